import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../lib/eventually.ts";
import { site } from "../lib/story.ts";

const base = `https://${site.opsHost}:${site.ports.ops}/prometheus/api/v1`;
const authorization = `Basic ${Buffer.from(`admin:${site.secret("admin_password")}`).toString("base64")}`;

async function ask<T>(path: string): Promise<T> {
  const answer = await fetch(`${base}/${path}`, { headers: { authorization }, signal: AbortSignal.timeout(10_000) });
  if (!answer.ok) throw new Error(`${path} is answered with ${answer.status}`);
  const { data } = (await answer.json()) as { data: T };
  return data;
}

interface Target {
  readonly labels: Record<string, string>;
  readonly health: string;
  readonly lastError: string;
}

/** The value of each series, by one of its labels. */
async function query(expression: string, label: string): Promise<Record<string, number>> {
  const { result } = await ask<{ result: { metric: Record<string, string>; value: [number, string] }[] }>(
    `query?query=${encodeURIComponent(expression)}`,
  );
  return Object.fromEntries(result.map(({ metric, value }) => [metric[label] as string, Number(value[1])]));
}

test("every target of Prometheus is up, as Prometheus itself says through the admin port", async () => {
  const targets = await eventually(
    async () => {
      const { activeTargets } = await ask<{ activeTargets: Target[] }>("targets?state=active");
      const down = activeTargets.filter(({ health }) => health !== "up");
      if (down.length === 0) return activeTargets;
      throw new Error(down.map(({ labels, lastError }) => `${labels.job} ${labels.instance}: ${lastError}`).join("; "));
    },
    { withinMs: 60_000, everyMs: 1000, what: "every target is up" },
  );
  const jobs = new Set(targets.map(({ labels }) => labels.job));
  const stores = ["redis", "postgres", "patroni", "etcd", "backup"];
  for (const job of ["haproxy", "meerkat", "prober", ...stores, "node", "blackbox-tcp", "blackbox-tls"]) {
    assert.ok(jobs.has(job), `no target of the job ${job} among ${[...jobs].join(", ")}`);
  }
  const nodes = targets.filter(({ labels }) => labels.job === "meerkat").length;
  assert.ok(nodes >= 2, `${nodes} Meerkat nodes are scraped`);
});

test("what blackbox probes answers, and the prober's paths all work", async () => {
  const PATHS = ["cross-node", "direct-tls", "tcp-starttls", "turn", "websocket"];
  await eventually(
    async () => {
      const probed = await query("probe_success", "instance");
      const failed = Object.keys(probed).filter((instance) => probed[instance] !== 1);
      if (failed.length > 0 || Object.keys(probed).length === 0) throw new Error(`blackbox: ${JSON.stringify(probed)}`);
      const paths = await query("xmpp_probe_success", "path");
      assert.deepEqual(Object.keys(paths).sort(), PATHS);
      if (Object.values(paths).some((value) => value !== 1)) throw new Error(`prober: ${JSON.stringify(paths)}`);
      return true;
    },
    { withinMs: 60_000, everyMs: 1000, what: "every probe succeeds" },
  );
  const ages = await query("time() - xmpp_probe_last_success_timestamp_seconds", "path");
  for (const path of PATHS) assert.ok((ages[path] as number) < 90, `${path} worked last ${ages[path]} s ago`);
  const days = await query("(xmpp_probe_certificate_expiry_seconds - time()) / 86400", "path");
  for (const path of PATHS.filter((each) => each !== "turn"))
    assert.ok((days[path] as number) > 7, `${path}: ${days[path]} days`);
});

test("no rule of Prometheus fails to evaluate", async () => {
  const { groups } = await ask<{ groups: { rules: { name: string; health: string; lastError?: string }[] }[] }>(
    "rules",
  );
  const rules = groups.flatMap((group) => group.rules);
  assert.ok(rules.length > 0, "there are no rules");
  assert.deepEqual(
    rules.filter(({ health }) => health === "err").map(({ name, lastError }) => `${name}: ${lastError}`),
    [],
  );
});

test("the admin port wants the password", async () => {
  assert.equal((await fetch(`${base}/targets`)).status, 401);
  const wrong = `Basic ${Buffer.from("admin:guess").toString("base64")}`;
  assert.equal((await fetch(`${base}/targets`, { headers: { authorization: wrong } })).status, 401);
});
