import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import type { DriverOptions } from "../../../src/storage/open.ts";
import { json } from "../../../src/storage/specs.ts";
import { Jid } from "../../../src/xmpp/jid.ts";
import type { NodeResult, NodeTask } from "./node.ts";
import { describeCapability, freshDomain, migrated, scramStore } from "./suite.ts";

/** Nodes of one cluster, each a thread with a driver of its own, at one database that none has touched before. */
export function raceSuite(name: string, options: () => DriverOptions | Promise<DriverOptions>): void {
  describeCapability(name, "map", () => {
    test(`nodes that start at once on an empty ${name} database migrate it once, and lose no update`, async () => {
      const nodes = 8;
      const updates = 25;
      const domain = freshDomain();
      const task: NodeTask = { options: await options(), domain, updates };
      const workers = Array.from(
        { length: nodes },
        () => new Worker(new URL("./node.ts", import.meta.url), { workerData: task }),
      );
      try {
        await Promise.all(workers.map((worker) => once(worker, "message")));
        const results = workers.map(async (worker) => ((await once(worker, "message")) as [NodeResult])[0]);
        for (const worker of workers) worker.postMessage("go");
        const created = (await Promise.all(results)).reduce((sum, result) => sum + result.created, 0);

        const driver = await migrated(task.options);
        const items = driver.map?.("race", json<number>());
        const alice = new Jid("alice", domain);
        assert.equal(await items?.get(alice, "count"), nodes * updates);
        // It was there after every odd update.
        assert.equal(await items?.get(alice, "flicker"), (nodes * updates) % 2 === 0 ? undefined : 1);
        const pair = [await items?.get(alice, "left"), await items?.get(alice, "right")];
        assert.deepEqual(pair, (nodes * updates) % 2 === 0 ? [undefined, undefined] : [1, 1]);
        assert.equal(created, updates);
        assert.equal(await scramStore(driver).count(domain), updates);
        await driver.close();
      } finally {
        await Promise.all(workers.map((worker) => worker.terminate()));
      }
    });
  });
}
