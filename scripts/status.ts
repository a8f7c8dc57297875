// Prints the table of `make status` from `docker inspect` on stdin. Arguments: the expected services, how many nodes, and
// what Patroni says of the PostgreSQL servers (JSON, may be empty).
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

interface Container {
  Name: string;
  RestartCount: number;
  Config: { Labels: Record<string, string> };
  State: { Status: string; ExitCode: number; StartedAt: string; Health?: { Status: string } };
  HostConfig: { RestartPolicy: { Name: string } };
  NetworkSettings: {
    Ports: Record<string, { HostIp: string; HostPort: string }[] | null>;
    Networks: Record<string, { IPAddress: string }>;
  };
}

interface Row {
  service: string;
  state: string;
  health: string;
  address: string;
  /** What a PostgreSQL server is now. */
  role: string;
  well: boolean;
}

/** Patroni's answer to GET /cluster, as far as it is used. */
interface Cluster {
  members: { name: string; role: string; state: string; lag?: number | string }[];
}

/** What each PostgreSQL server is now, by the name of its service. */
export function roles(cluster: Cluster): Map<string, string> {
  return new Map(
    cluster.members.map(({ name, role, state, lag }) => {
      if (role === "leader") return [name, state === "running" ? "primary" : `primary, ${state}`];
      const behind = typeof lag === "number" ? `${lag} B behind` : "how far behind is unknown";
      const safe = role === "sync_standby" ? "replica, in step" : "replica, not in step";
      return [name, state === "streaming" ? `${safe}, ${behind}` : `${safe}, ${state}`];
    }),
  );
}

/** Ports as a person writes them: sorted, and three or more in a row as a range. */
export function portList(ports: Iterable<number>): string {
  const sorted = [...new Set(ports)].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let i = 0; i < sorted.length; ) {
    let j = i;
    while (sorted[j + 1] === (sorted[j] as number) + 1) j++;
    if (j - i >= 2) parts.push(`${sorted[i]}-${sorted[j]}`);
    else parts.push(...sorted.slice(i, j + 1).map(String));
    i = j + 1;
  }
  return parts.join(",");
}

function address(container: Container): string {
  const published = Object.values(container.NetworkSettings.Ports ?? {}).flatMap((bindings) => bindings ?? []);
  const host = published[0]?.HostIp;
  if (host !== undefined)
    return `${host}:${portList(published.filter((b) => b.HostIp === host).map((b) => Number(b.HostPort)))}`;
  return (
    Object.values(container.NetworkSettings.Networks).find((network) => network.IPAddress !== "")?.IPAddress ?? "-"
  );
}

/** The rows of the table, in the services' order of names; a service without a container is a row too. */
export function rows(
  containers: Container[],
  expected: string[],
  nodes: number,
  roleOf: ReadonlyMap<string, string> = new Map(),
): Row[] {
  const out: Row[] = [];
  for (const container of containers) {
    const service = container.Config.Labels["com.docker.compose.service"] ?? container.Name;
    const number = container.Config.Labels["com.docker.compose.container-number"] ?? "1";
    const { Status: status, ExitCode: code, Health: check } = container.State;
    const oneShot = status === "exited" && code === 0 && container.HostConfig.RestartPolicy.Name !== "unless-stopped";
    const running = status === "running";
    const restarts = container.RestartCount > 0 ? ` (${container.RestartCount} restarts)` : "";
    out.push({
      service: service === "meerkat" ? `meerkat-${number}` : service,
      state: oneShot ? "done" : status === "exited" ? `exited ${code}` : status + restarts,
      health: check && running ? check.Status : oneShot ? "ok" : "-",
      address: running ? address(container) : "-",
      role: running ? (roleOf.get(service) ?? "") : "",
      well: oneShot || (running && (check === undefined || check.Status === "healthy")),
    });
  }
  for (const service of expected) {
    const have = containers.filter((c) => c.Config.Labels["com.docker.compose.service"] === service).length;
    const want = service === "meerkat" ? nodes : 1;
    if (have < want) {
      const name = want > 1 ? `${service} (${have} of ${want})` : service;
      out.push({ service: name, state: "missing", health: "-", address: "-", role: "", well: false });
    }
  }
  return out.sort((a, b) => a.service.localeCompare(b.service, "en", { numeric: true }));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const containers = JSON.parse(readFileSync(0, "utf8")) as Container[];
  const expected = (process.argv[2] ?? "").split(",").filter((name) => name !== "");
  const roleOf = process.argv[4] ? roles(JSON.parse(process.argv[4]) as Cluster) : new Map<string, string>();
  const table = rows(containers, expected, Number(process.argv[3] ?? 2), roleOf);
  const cells = [
    ["SERVICE", "STATE", "HEALTH", "ADDRESS", "ROLE"],
    ...table.map((r) => [r.service, r.state, r.health, r.address, r.role]),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...cells.map((row) => (row[column] ?? "").length)) + 2);
  for (const row of cells)
    console.log(
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("")
        .trimEnd(),
    );
  const unwell = table.filter((row) => !row.well).map((row) => row.service);
  console.log(unwell.length === 0 ? `${table.length} of ${table.length} well` : `not well: ${unwell.join(", ")}`);
  process.exitCode = unwell.length === 0 ? 0 : 1;
}
