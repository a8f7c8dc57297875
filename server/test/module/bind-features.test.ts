import assert from "node:assert/strict";
import { test } from "node:test";
import { LocalCluster } from "../../src/cluster/local/local-cluster.ts";
import { type AnyModule, defineModule } from "../../src/module/api.ts";
import { HookTable } from "../../src/module/hook-table.ts";
import { startModules } from "../../src/module/loader.ts";
import { silentLog } from "../../src/observe/log.ts";
import { createMetrics } from "../../src/observe/metrics.ts";
import { Sessions } from "../../src/router/sessions.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { WoundClock } from "../support/clock.ts";
import { nobody } from "../support/modules.ts";

const binder = (name: string, xmlns: string) =>
  defineModule({ name, implements: [], start: (context) => context.bindFeature(xmlns, () => undefined) });

function start(hooks: HookTable, ...modules: AnyModule[]) {
  const cluster = new LocalCluster({ kind: "local", nodeId: "n1" });
  return startModules(
    modules.map((module) => ({ module, config: undefined, driverOf: () => memoryDriver() })),
    {
      hostType: "default",
      hooks,
      sessions: new Sessions(cluster, silentLog, { maxPerAccount: 10, replaceTimeoutMs: 1000 }),
      accounts: nobody,
      router: { route() {}, reroute() {}, fanOut() {} },
      clock: new WoundClock(),
      log: silentLog,
      metrics: createMetrics({ process: false }),
    },
  );
}

test("what a module lets clients bind is there as long as the module runs", async () => {
  const hooks = new HookTable(silentLog);
  const stop = await start(hooks, binder("one", "urn:x"), binder("two", "urn:y"));
  assert.deepEqual([...hooks.bindFeatures.keys()], ["urn:x", "urn:y"]);
  await stop();
  assert.equal(hooks.bindFeatures.size, 0);
});

test("two modules cannot answer for the same", async () => {
  await assert.rejects(
    start(new HookTable(silentLog), binder("one", "urn:x"), binder("two", "urn:x")),
    /two modules bind urn:x/,
  );
});
