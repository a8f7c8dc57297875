/** One node of a race, in a thread of its own: opens its own driver, migrates, and adds to items all nodes share. */
import { parentPort, workerData } from "node:worker_threads";
import type { DriverOptions } from "../../../src/storage/open.ts";
import { json } from "../../../src/storage/specs.ts";
import { Jid } from "../../../src/xmpp/jid.ts";
import { migrated, scramKeys, scramStore } from "./suite.ts";

export interface NodeTask {
  readonly options: DriverOptions;
  readonly domain: string;
  readonly updates: number;
}

export interface NodeResult {
  /** Accounts this node was told it had made. */
  readonly created: number;
}

const { options, domain, updates } = workerData as NodeTask;
const driver = await migrated(options);
const items = driver.map?.("race", json<number>());
const accounts = scramStore(driver);
const alice = new Jid("alice", domain);
let created = 0;
parentPort?.postMessage("ready");
await new Promise((resolve) => parentPort?.once("message", resolve));
for (let round = 0; round < updates; round++) {
  // An item that comes and goes makes rows vanish under the other nodes.
  await items?.update(alice, "count", (present = 0) => present + 1);
  await items?.update(alice, "flicker", (present) => (present === undefined ? 1 : undefined));
  // So do two that come and go together.
  await items?.updateTogether(alice, ["left", "right"], (present) =>
    present.size === 0 ? new Map(["right", "left"].map((key) => [key, 1])) : new Map(),
  );
  const answer = await accounts.create(new Jid(`bob${round}`, domain), [scramKeys("sha-1", 1)]);
  if (answer === "created") created++;
}
await driver.close();
parentPort?.postMessage({ created } satisfies NodeResult);
parentPort?.close();
