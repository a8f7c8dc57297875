// What every service of the datacenter must keep to, over the merged compose model, Prometheus' scrape targets and
// HAProxy's servers. A service that cannot keep a rule says why in its label `meerkat.policy.<rule>`.

export interface Service {
  image?: string;
  build?: { context: string; dockerfile?: string; target?: string };
  command?: string[] | null;
  user?: string;
  environment?: Record<string, string | null>;
  healthcheck?: { test?: string[] | string; disable?: boolean; interval?: string };
  mem_limit?: string | number;
  pids_limit?: number;
  logging?: { driver?: string; options?: Record<string, string> };
  restart?: string;
  cap_drop?: string[];
  cap_add?: string[];
  security_opt?: string[];
  read_only?: boolean;
  privileged?: boolean;
  network_mode?: string;
  networks?: Record<string, { aliases?: string[]; ipv4_address?: string } | null>;
  ports?: { target: number; published?: string; host_ip?: string; protocol?: string }[];
  depends_on?: Record<string, { condition: string }>;
  labels?: Record<string, string>;
}

export interface Model {
  services: Record<string, Service>;
  networks?: Record<string, { internal?: boolean } | null>;
  /** The user of each image that is built here, see `dockerfileUser`. */
  imageUsers?: Record<string, string>;
}

/** A host that `from` must be able to reach by name. */
export interface Reach {
  from: string;
  host: string;
  /** Where it is asked for, for the message. */
  where: string;
}

/** `rule service: what is wrong`, one a finding. */
export type Findings = string[];

/** Services that may be missing without any client noticing; the core never waits for them. */
export const MONITORING = [
  "prometheus",
  "alertmanager",
  "redis-exporter",
  "postgres-exporter",
  "mysqld-exporter",
  "node-exporter",
  "blackbox-exporter",
  "grafana",
  "prober",
];

/** Ports of metrics and admin pages; they are never published. */
export const OPERATIONS_PORTS = [2381, 3000, 8008, 8405, 9090, 9093, 9100, 9104, 9115, 9121, 9187, 9464, 9465];

type Rule = (service: Service, name: string, model: Model) => string | undefined;

const SECRET_NAME = /(?:^|_)(?:PASS|PASSWD|PASSWORD|SECRET|TOKEN|CREDENTIALS?|PRIVATE_?KEY|API_?KEY)(?:_|$)/i;
const NAMES_A_FILE = /(?:_FILE|_PATH|_DIR)$/i;
// scheme://name:password@host
const URL_WITH_PASSWORD = /[a-z][a-z0-9+.-]*:\/\/[^/\s:@]*:[^/\s:@]+@/i;

function secretInEnvironment(environment: Record<string, string | null>): string | undefined {
  for (const [key, value] of Object.entries(environment)) {
    if (value === null || value === "") continue;
    if (URL_WITH_PASSWORD.test(value)) return `${key} holds an address with a password in it`;
    if (/-----BEGIN/.test(value)) return `${key} holds a key`;
    const pathOnly = /^\/run\/secrets(?:\/[\w.-]+)*$/.test(value);
    if (SECRET_NAME.test(key) && !NAMES_A_FILE.test(key) && !pathOnly) return `${key} looks like a secret`;
  }
  return undefined;
}

/** One rule a line of the contract; the key is the <rule> of the label that excuses a service. */
export const RULES: Record<string, Rule> = {
  healthcheck: ({ healthcheck }) => {
    if (healthcheck === undefined || healthcheck.disable === true) return "has no health check";
    if (healthcheck.test?.[0] === "NONE") return "has no health check";
    const seconds = duration(healthcheck.interval ?? "30s");
    return seconds < 10 ? `checks its health every ${seconds} s; under 10 s costs more than it tells` : undefined;
  },
  mem_limit: ({ mem_limit }) => (Number(mem_limit ?? 0) > 0 ? undefined : "has no mem_limit"),
  pids_limit: ({ pids_limit }) => ((pids_limit ?? 0) > 0 ? undefined : "has no pids_limit"),
  logging: ({ logging }) =>
    logging?.options?.["max-size"] !== undefined && logging.options["max-file"] !== undefined
      ? undefined
      : "has no cap on its log (max-size and max-file)",
  restart: ({ restart }) =>
    restart === "unless-stopped" || restart === "always" ? undefined : "has no restart policy",
  cap_drop: ({ cap_drop, privileged }) => {
    if (privileged === true) return "is privileged";
    return cap_drop?.includes("ALL") ? undefined : "does not drop all capabilities";
  },
  cap_add: ({ cap_add }) => ((cap_add ?? []).length === 0 ? undefined : `adds the capabilities ${cap_add?.join(", ")}`),
  no_new_privileges: ({ security_opt }) =>
    security_opt?.some((option) => /^no-new-privileges(?::true)?$/.test(option))
      ? undefined
      : "may gain new privileges",
  read_only: ({ read_only }) => (read_only === true ? undefined : "has a writable root file system"),
  user: ({ user, image }, _name, model) => {
    const effective = user ?? model.imageUsers?.[image ?? ""];
    if (effective === undefined) return "does not say as which user it runs";
    return /^(?:0|root)(?::|$)/.test(effective) ? "runs as root" : undefined;
  },
  ports: (service) => {
    const ports = service.ports ?? [];
    if (service.network_mode === "host") return "uses the host's network";
    if (ports.length === 0) return undefined;
    if (!("edge" in (service.networks ?? {}))) return "publishes a port but is not on the edge network";
    const open = ports.find(({ host_ip }) => host_ip === undefined || host_ip === "" || host_ip !== BIND_ADDRESS);
    if (open !== undefined)
      return `publishes ${open.target} on ${open.host_ip ?? "every address"}, not on BIND_ADDRESS`;
    const operations = ports.find(({ target }) => OPERATIONS_PORTS.includes(target));
    return operations === undefined ? undefined : `publishes ${operations.target}, a port of operations`;
  },
  networks: ({ networks, network_mode }, _name, model) => {
    if (network_mode !== undefined) return `uses network_mode ${network_mode}`;
    const names = Object.keys(networks ?? {});
    if (names.length === 0) return "is on no network of its own";
    if (names.includes("default")) return "is on the default network";
    const open = names.find((name) => name !== "edge" && model.networks?.[name]?.internal !== true);
    return open === undefined ? undefined : `is on ${open}, which is neither edge nor internal`;
  },
  environment: ({ environment }) => secretInEnvironment(environment ?? {}),
  image: ({ image }) => {
    if (image === undefined) return "names no image";
    const tag = /:([\w.-]+)$/.exec(image.split("/").at(-1) ?? "")?.[1];
    if (image.includes("@sha256:")) return undefined;
    if (tag === undefined && !image.startsWith("set-")) return `uses ${image} without a tag`;
    return tag === "latest" ? `uses ${image}` : undefined;
  },
  depends_on: ({ depends_on }, name) => {
    if (MONITORING.includes(name)) return undefined;
    const other = Object.keys(depends_on ?? {}).find((on) => MONITORING.includes(on));
    return other === undefined ? undefined : `depends on ${other}, which is monitoring`;
  },
};

/** The address that the checks merge the model with, unlike any default, so that a fixed one shows. */
export const BIND_ADDRESS = "127.0.0.77";

/** Compose prints Go durations: `1m30s`, `500ms`. */
export function duration(text: string): number {
  const unit = { h: 3600, m: 60, s: 1, ms: 0.001 } as const;
  let seconds = 0;
  for (const [, number, name] of text.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g))
    seconds += Number(number) * unit[name as keyof typeof unit];
  return seconds;
}

/** Applies every rule to every service. An excuse must have a reason, name a rule, and be needed. */
export function judge(model: Model): Findings {
  const findings: Findings = [];
  for (const [name, service] of Object.entries(model.services)) {
    const excused = new Map<string, string>();
    for (const [label, reason] of Object.entries(service.labels ?? {})) {
      const rule = /^meerkat\.policy\.(.+)$/.exec(label)?.[1];
      if (rule === undefined) continue;
      if (!(rule in RULES)) findings.push(`${rule} ${name}: there is no such rule`);
      if (reason.trim().length < 10) findings.push(`${rule} ${name}: the label gives no reason`);
      excused.set(rule, reason);
    }
    for (const [rule, check] of Object.entries(RULES)) {
      const wrong = check(service, name, model);
      if (wrong !== undefined && !excused.has(rule)) findings.push(`${rule} ${name}: ${wrong}`);
      if (wrong === undefined && excused.has(rule))
        findings.push(`${rule} ${name}: keeps the rule and needs no excuse`);
    }
  }
  return findings;
}

/** As whom an image's program runs: the last USER of the stage, or of the stages that it is built on. */
export function dockerfileUser(dockerfile: string, target?: string): string | undefined {
  const stages = new Map<string, { parent: string; user?: string }>();
  let current: { parent: string; user?: string } | undefined;
  let last = "";
  for (const line of dockerfile.split("\n")) {
    const from = /^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?/i.exec(line);
    if (from !== null) {
      current = { parent: from[1] ?? "" };
      last = from[2] ?? `#${stages.size}`;
      stages.set(last, current);
    }
    const user = /^\s*USER\s+(\S+)/i.exec(line)?.[1];
    if (user !== undefined && current !== undefined) current.user = user;
  }
  for (let stage = stages.get(target ?? last); stage !== undefined; stage = stages.get(stage.parent))
    if (stage.user !== undefined) return stage.user;
  return undefined;
}

/** Each host is a service or an alias on a network that the asking service is on as well. */
export function judgeReach(model: Model, reaches: readonly Reach[]): Findings {
  const findings: Findings = [];
  for (const { from, host, where } of reaches) {
    const asking = model.services[from];
    if (asking === undefined) {
      findings.push(`reach ${from}: no such service (${where})`);
      continue;
    }
    const networks = new Set<string>();
    for (const [name, service] of Object.entries(model.services)) {
      for (const [network, settings] of Object.entries(service.networks ?? {}))
        if (name === host || settings?.aliases?.includes(host)) networks.add(network);
    }
    if (networks.size === 0) findings.push(`reach ${from}: ${host} is no service and no alias (${where})`);
    else if (!Object.keys(asking.networks ?? {}).some((network) => networks.has(network)))
      findings.push(`reach ${from}: ${host} is on ${[...networks].join(", ")}, ${from} is not (${where})`);
  }
  return findings;
}

interface ScrapeConfig {
  job_name: string;
  static_configs?: { targets: string[] }[];
  dns_sd_configs?: { names: string[] }[];
  relabel_configs?: { target_label?: string; replacement?: string; source_labels?: string[]; regex?: string }[];
}

/** Whom Prometheus asks, and, where it asks through an exporter, whom the exporter asks. */
export function scrapeReaches(config: { scrape_configs: ScrapeConfig[] }): Reach[] {
  const reaches: Reach[] = [];
  for (const job of config.scrape_configs) {
    const where = `scrape job ${job.job_name}`;
    const through = job.relabel_configs?.find((step) => step.target_label === "__address__")?.replacement;
    const targets = (job.static_configs ?? []).flatMap((group) => group.targets).map(hostOf);
    if (through !== undefined) {
      reaches.push({ from: "prometheus", host: hostOf(through), where });
      for (const host of targets) reaches.push({ from: hostOf(through), host, where });
    } else {
      for (const host of targets) if (host !== "localhost") reaches.push({ from: "prometheus", host, where });
    }
    for (const { names } of job.dns_sd_configs ?? [])
      for (const host of names) reaches.push({ from: "prometheus", host, where });
  }
  return reaches;
}

/** The hosts behind every `server` and `server-template` line. */
export function haproxyReaches(config: string, from = "haproxy", file = "haproxy.cfg"): Reach[] {
  const reaches: Reach[] = [];
  for (const [index, line] of config.split("\n").entries()) {
    const address = /^\s*(?:server\s+\S+|server-template\s+\S+\s+\S+)\s+(\S+)/.exec(line)?.[1];
    if (address === undefined || address.startsWith("unix@")) continue;
    reaches.push({ from, host: hostOf(address), where: `${file} line ${index + 1}` });
  }
  return reaches;
}

function hostOf(address: string): string {
  return address.replace(/^[a-z]+:\/\//, "").replace(/:\d+$/, "");
}
