/** The removal of an account: what happens in which order, and what a part that does not answer leaves undone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Accounts } from "../../src/auth/accounts.ts";
import { accountDirectory } from "../../src/auth/directory.ts";
import { ClusterError, type SessionEntry } from "../../src/cluster/cluster.ts";
import { HookTable } from "../../src/module/hook-table.ts";
import { silentLog } from "../../src/observe/log.ts";
import type { Sessions } from "../../src/router/sessions.ts";
import { Jid } from "../../src/xmpp/jid.ts";

const ALICE = new Jid("alice", "example.org");

function stage({ keptElsewhere = false, unreachable = "" } = {}) {
  const log: string[] = [];
  const hooks = new HookTable(silentLog);
  hooks.notices.accountRemoved.add(({ account }) => void log.push(`told ${account.full}`));
  const accounts = {
    remove: async (local: string) => void log.push(`removed ${local}`),
    isKept: async () => keptElsewhere,
  };
  const entries = ["n1", "n2"].map(
    (node): SessionEntry => ({ jid: ALICE.withResource(node), node, id: node, priority: 0, marks: [] }),
  );
  const sessions = {
    async locate() {
      if (unreachable === "registry") throw new ClusterError("gone");
      return entries;
    },
    async end(entry: SessionEntry, condition: string) {
      if (unreachable === entry.node) throw new ClusterError("gone");
      log.push(`ended ${entry.jid.full} ${condition}`);
    },
  };
  const directory = accountDirectory({
    accounts: new Map([["example.org", accounts as unknown as Accounts]]),
    hooks,
    sessions: sessions as unknown as Sessions,
    log: silentLog,
    serves: (domain) => domain === "example.org",
    forget: async (account) => void log.push(`forgot ${account.full}`),
  });
  return { log, remove: () => directory.remove(ALICE.withResource("desk"), () => log.push("gone")), directory };
}

const BEFORE = ["removed alice", "told alice@example.org", "gone"];

test("modules hear it while the sessions are there, the sessions end, and last of all everything is forgotten", async () => {
  const { log, remove } = stage();
  await remove();
  assert.deepEqual(log, [
    ...BEFORE,
    "ended alice@example.org/n1 not-authorized",
    "ended alice@example.org/n2 not-authorized",
    "forgot alice@example.org",
  ]);
});

test("a node that cannot be told keeps nothing else from being done", async () => {
  const { log, remove } = stage({ unreachable: "n1" });
  await remove();
  assert.deepEqual(log, [...BEFORE, "ended alice@example.org/n2 not-authorized", "forgot alice@example.org"]);
});

test("when the sessions cannot be found, nothing is left all the same, and whoever removes it hears", async () => {
  const { log, remove } = stage({ unreachable: "registry" });
  await assert.rejects(remove(), { name: "ClusterError" });
  assert.deepEqual(log, [...BEFORE, "forgot alice@example.org"]);
});

test("an account that is kept where it cannot be removed stays as it is", async () => {
  const { log, remove } = stage({ keptElsewhere: true });
  await assert.rejects(remove(), { condition: "not-allowed" });
  assert.deepEqual(log, ["removed alice"]);
});

test("a domain that is not served has no accounts, and none can be made or counted there", async () => {
  const { directory } = stage();
  const stranger = new Jid("alice", "other.example");
  assert.equal(await directory.exists(stranger), false);
  for (const attempt of [
    directory.create(stranger, "a password"),
    directory.setPassword(stranger, "a password"),
    directory.remove(stranger),
    directory.count("other.example"),
    directory.list("other.example", "", 1),
  ]) {
    await assert.rejects(attempt, { condition: "item-not-found" });
  }
});
