/** XEP-0050: commands are listed to who may run them, and run step by step by who began them. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { LocalCluster } from "../../src/cluster/local/local-cluster.ts";
import { defineModule } from "../../src/module/api.ts";
import { HookTable } from "../../src/module/hook-table.ts";
import { startModules } from "../../src/module/loader.ts";
import { adhoc, note, type Step } from "../../src/modules/adhoc.ts";
import { disco } from "../../src/modules/disco.ts";
import { roster } from "../../src/modules/roster.ts";
import { silentLog } from "../../src/observe/log.ts";
import { createMetrics } from "../../src/observe/metrics.ts";
import { Sessions } from "../../src/router/sessions.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import type { Element } from "../../src/xml/element.ts";
import { StanzaError } from "../../src/xmpp/errors.ts";
import { type Jid, parseJid } from "../../src/xmpp/jid.ts";
import { WoundClock } from "../support/clock.ts";
import { nobody } from "../support/modules.ts";
import { normal, parse } from "../support/server.ts";
import { mistaken, taken } from "./settings.ts";

const COMMANDS = "http://jabber.org/protocol/commands";
const INFO = "http://jabber.org/protocol/disco#info";
const ITEMS = "http://jabber.org/protocol/disco#items";
const jid = (text: string) => parseJid(text) as Jid;
const ALICE = jid("alice@example.org/desk");
const BOB = jid("bob@example.org/desk");

/** Asks for a drink and a size, and says what was ordered. */
function order(served: string[]): Step {
  return {
    ask: { formType: "", fields: [{ name: "drink", required: true }] },
    last: false,
    next: async (first) => ({
      ask: { formType: "", fields: [{ name: "size", type: "list-single", options: { s: "Small", l: "Large" } }] },
      last: true,
      next: async (second) => {
        served.push(`${first.text("drink")} ${second.text("size")}`);
        return { done: [note("info", "Here you are.")] };
      },
    }),
  };
}

async function stage(t: TestContext, settings: object = {}) {
  const hooks = new HookTable(silentLog);
  const clock = new WoundClock();
  const served: string[] = [];
  const bar = defineModule({
    name: "bar",
    implements: [],
    requires: [adhoc],
    start({ use }) {
      use(adhoc).add({ node: "order", name: "Order", for: "everyone", run: async () => order(served) });
      use(adhoc).add({
        node: "count",
        name: "Count",
        for: "admins",
        run: async (_, host) => ({ done: [note("info", `${host}: ${served.length}`)] }),
      });
      use(adhoc).add({
        node: "closed",
        name: "Closed",
        for: "everyone",
        run: async () => {
          throw new StanzaError("not-allowed", "closed");
        },
      });
      assert.throws(() => use(adhoc).add({ node: "order", name: "", for: "admins", run: async () => ({ done: [] }) }));
    },
  });
  const sessions = new Sessions(new LocalCluster({ kind: "local", nodeId: "n1" }), silentLog, {
    maxPerAccount: 10,
    replaceTimeoutMs: 1000,
  });
  const driver = memoryDriver();
  const stop = await startModules(
    [roster, disco, adhoc, bar].map((module) => {
      const given = module.name === "adhoc" ? settings : {};
      return { module, config: module.config?.parse(given), driverOf: () => driver };
    }),
    {
      hostType: "default",
      hooks,
      sessions,
      accounts: nobody,
      router: { route() {}, reroute() {}, fanOut() {} },
      clock,
      log: silentLog,
      metrics: createMetrics({ process: false }),
    },
  );
  t.after(stop);

  async function ask(from: Jid, kind: "get" | "set", xml: string, to = "example.org"): Promise<Element> {
    const payload = parse(xml);
    const method = hooks.iqHandler(payload)?.host?.[kind];
    if (method === undefined) throw new Error(`nobody answers ${xml}`);
    const origin = { kind: "server" } as const;
    return (await method({ from, to: jid(to), id: "1", payload, origin })) as Element;
  }
  const says = (from: Jid, attrs: string, inner = "", to = "example.org") =>
    ask(from, "set", `<command xmlns='${COMMANDS}' ${attrs}>${inner}</command>`, to);
  const closed = (full: Jid) =>
    hooks.notices.sessionClosed.tell({ session: { jid: full } as never, lastPresence: undefined });
  return { ask, says, closed, clock, served };
}

const form = (name: string, value: string, type = "submit") =>
  `<x xmlns='jabber:x:data' type='${type}'><field var='${name}'><value>${value}</value></field></x>`;
const refused = (condition: string, detail?: string) => (error: unknown) => {
  assert.ok(error instanceof StanzaError, String(error));
  assert.equal(error.condition, condition);
  assert.equal(error.detail?.toXml(), detail === undefined ? undefined : `<${detail} xmlns='${COMMANDS}'/>`);
  return true;
};
/** "status: actions (default action)", and what is asked. */
function summary(command: Element): string {
  const actions = command.child("actions", COMMANDS);
  const names = actions?.elements().map(({ name }) => name) ?? [];
  const fields = command.child("x", "jabber:x:data")?.elements() ?? [];
  return [command.attrs.status, ...names, actions?.attrs.execute, ...fields.map(({ attrs }) => attrs.var)].join(" ");
}

test("a command is done in steps, each with the actions that it allows", async (t) => {
  const { says, served } = await stage(t);
  const first = await says(BOB, "node='order' action='execute'");
  assert.equal(summary(first), "executing next next drink");
  const id = first.attrs.sessionid;
  const second = await says(BOB, `node='order' sessionid='${id}' action='next'`, form("drink", "tea"));
  assert.equal(second.attrs.sessionid, id);
  assert.equal(summary(second), "executing prev complete complete size");
  const third = await says(BOB, `node='order' sessionid='${id}' action='complete'`, form("size", "l"));
  assert.equal(
    normal(third),
    normal(
      parse(
        `<command xmlns='${COMMANDS}' node='order' sessionid='${id}' status='completed'><note type='info'>Here you are.</note></command>`,
      ),
    ),
  );
  assert.deepEqual(served, ["tea l"]);
  await assert.rejects(
    says(BOB, `node='order' sessionid='${id}' action='complete'`, form("size", "l")),
    refused("not-allowed", "session-expired"),
  );
});

test("execute, or no action at all, goes on as it should, and a cancelled form counts as a filled one", async (t) => {
  const { says, served } = await stage(t);
  const id = (await says(BOB, "node='order'")).attrs.sessionid;
  await says(BOB, `node='order' sessionid='${id}'`, form("drink", "tea", "cancel"));
  await says(BOB, `node='order' sessionid='${id}' action='execute'`, form("size", "s"));
  assert.deepEqual(served, ["tea s"]);
});

test("an answer that is sent twice at once does its work once", async (t) => {
  const { says, served } = await stage(t);
  const id = (await says(BOB, "node='order'")).attrs.sessionid;
  await says(BOB, `node='order' sessionid='${id}'`, form("drink", "tea"));
  const twice = [1, 2].map(() => says(BOB, `node='order' sessionid='${id}'`, form("size", "s")));
  const [first, second] = await Promise.allSettled(twice);
  assert.deepEqual([first?.status, second?.status], ["fulfilled", "rejected"]);
  assert.deepEqual(served, ["tea s"]);
});

test("the way back leads to the first step, and no further", async (t) => {
  const { says, served } = await stage(t);
  const id = (await says(BOB, "node='order'")).attrs.sessionid;
  const prev = () => says(BOB, `node='order' sessionid='${id}' action='prev'`);
  await assert.rejects(prev(), refused("bad-request", "bad-action"));
  await says(BOB, `node='order' sessionid='${id}'`, form("drink", "tea"));
  assert.equal(summary(await prev()), "executing next next drink");
  await says(BOB, `node='order' sessionid='${id}'`, form("drink", "coffee"));
  await says(BOB, `node='order' sessionid='${id}'`, form("size", "s"));
  assert.deepEqual(served, ["coffee s"]);
});

test("a command that is cancelled is over", async (t) => {
  const { says } = await stage(t);
  const id = (await says(BOB, "node='order'")).attrs.sessionid;
  const cancelled = await says(BOB, `node='order' sessionid='${id}' action='cancel'`);
  assert.equal(
    normal(cancelled),
    normal(parse(`<command xmlns='${COMMANDS}' node='order' sessionid='${id}' status='canceled'/>`)),
  );
  await assert.rejects(says(BOB, `node='order' sessionid='${id}'`), refused("not-allowed", "session-expired"));
});

test("each mistake has its condition, and a wrong answer can be given again", async (t) => {
  const { says, served } = await stage(t);
  await assert.rejects(says(BOB, "node='none'"), refused("item-not-found"));
  await assert.rejects(says(BOB, "action='execute'"), refused("item-not-found"));
  await assert.rejects(says(BOB, "node='order' action='dance'"), refused("bad-request", "malformed-action"));
  await assert.rejects(says(BOB, "node='order' action='next'"), refused("bad-request", "bad-action"));
  await assert.rejects(says(BOB, "node='closed'"), refused("not-allowed"));
  const id = (await says(BOB, "node='order'")).attrs.sessionid;
  const go = (action: string, inner: string) => says(BOB, `node='order' sessionid='${id}' ${action}`, inner);
  await assert.rejects(go("action='complete'", form("drink", "tea")), refused("bad-request", "bad-action"));
  await assert.rejects(go("", ""), refused("bad-request", "bad-payload"));
  await assert.rejects(go("", form("drink", "")), refused("bad-request", "bad-payload"));
  await assert.rejects(go("", "<x xmlns='jabber:x:data'/>"), refused("bad-request", "bad-payload"));
  await go("", form("drink", "tea"));
  await assert.rejects(go("", form("size", "xl")), refused("bad-request", "bad-payload"));
  await go("", form("size", "s"));
  assert.deepEqual(served, ["tea s"]);
});

test("a session is its requester's alone, at one host, for one command", async (t) => {
  const { says } = await stage(t, { admins: ["bob@example.org"] });
  const id = (await says(BOB, "node='order'")).attrs.sessionid;
  const attrs = `node='order' sessionid='${id}'`;
  for (const from of [ALICE, BOB.withResource("phone")]) {
    await assert.rejects(says(from, attrs, form("drink", "tea")), refused("bad-request", "bad-sessionid"));
  }
  await assert.rejects(
    says(BOB, attrs, form("drink", "tea"), "other.example"),
    refused("bad-request", "bad-sessionid"),
  );
  await assert.rejects(says(BOB, `node='count' sessionid='${id}'`), refused("bad-request", "bad-sessionid"));
  await says(BOB, attrs, form("drink", "tea"));
});

test("a command that only administrators may run is refused to others, and not listed", async (t) => {
  const { says, ask } = await stage(t, { admins: ["Alice@example.org"] });
  await assert.rejects(says(BOB, "node='count'"), refused("forbidden"));
  assert.match((await says(ALICE, "node='count'")).toXml(), /example\.org: 0/);
  const items = async (from: Jid) =>
    (await ask(from, "get", `<query xmlns='${ITEMS}' node='${COMMANDS}'/>`))
      .elements()
      .map(({ attrs }) => ({ ...attrs }));
  const open = ["order", "closed"].map((node) => ({
    jid: "example.org",
    node,
    name: node === "order" ? "Order" : "Closed",
  }));
  assert.deepEqual(await items(BOB), open);
  assert.deepEqual(await items(ALICE), [open[0], { jid: "example.org", node: "count", name: "Count" }, open[1]]);
  const asked = `<query xmlns='${INFO}' node='count'/>`;
  await assert.rejects(ask(BOB, "get", asked), refused("forbidden"));
  assert.equal(
    normal(await ask(ALICE, "get", asked)),
    normal(
      parse(
        `<query xmlns='${INFO}' node='count'><identity category='automation' type='command-node' name='Count'/><feature var='${COMMANDS}'/><feature var='jabber:x:data'/></query>`,
      ),
    ),
  );
});

test("the list of commands is a node, and so is each command; no other node is", async (t) => {
  const { ask } = await stage(t);
  assert.equal(
    normal(await ask(BOB, "get", `<query xmlns='${INFO}' node='${COMMANDS}'/>`)),
    normal(
      parse(
        `<query xmlns='${INFO}' node='${COMMANDS}'><identity category='automation' type='command-list' name='Commands'/></query>`,
      ),
    ),
  );
  assert.deepEqual((await ask(BOB, "get", `<query xmlns='${ITEMS}' node='order'/>`)).elements(), []);
  for (const xmlns of [INFO, ITEMS]) {
    await assert.rejects(ask(BOB, "get", `<query xmlns='${xmlns}' node='x'/>`), refused("item-not-found"));
  }
});

test("one account has only so many commands begun, and the oldest goes for a new one", async (t) => {
  const { says } = await stage(t, { max_sessions: 2 });
  const ids: string[] = [];
  while (ids.length < 2) ids.push((await says(BOB, "node='order'")).attrs.sessionid ?? "");
  await says(ALICE, "node='order'");
  // Going on with one makes it the youngest.
  await says(BOB, `node='order' sessionid='${ids[0]}'`, form("drink", "tea"));
  const phone = BOB.withResource("phone");
  ids.push((await says(phone, "node='order'")).attrs.sessionid ?? "");
  const alive = async (id: string | undefined) =>
    says(id === ids[2] ? phone : BOB, `node='order' sessionid='${id}' action='cancel'`).then(
      () => true,
      () => false,
    );
  assert.deepEqual([await alive(ids[0]), await alive(ids[1]), await alive(ids[2])], [true, false, true]);
});

test("all accounts together have only so many, and the oldest goes for a new one", async (t) => {
  const { says } = await stage(t, { max_total: 2 });
  const first = (await says(ALICE, "node='order'")).attrs.sessionid;
  const second = (await says(BOB, "node='order'")).attrs.sessionid;
  await says(BOB, "node='order'");
  await assert.rejects(says(ALICE, `node='order' sessionid='${first}'`), refused("not-allowed", "session-expired"));
  await says(BOB, `node='order' sessionid='${second}'`, form("drink", "tea"));
});

test("a step waits for its answer only so long, each step anew", async (t) => {
  const { says, clock } = await stage(t, { session_timeout: "10s" });
  const id = (await says(BOB, "node='order'")).attrs.sessionid;
  await clock.wind(9);
  await says(BOB, `node='order' sessionid='${id}'`, form("drink", "tea"));
  await clock.wind(9);
  await says(BOB, `node='order' sessionid='${id}' action='prev'`);
  await clock.wind(10);
  await assert.rejects(says(BOB, `node='order' sessionid='${id}'`), refused("not-allowed", "session-expired"));
});

test("what a session had begun ends with it", async (t) => {
  const { says, closed } = await stage(t);
  const id = (await says(BOB, "node='order'")).attrs.sessionid;
  const other = (await says(ALICE, "node='order'")).attrs.sessionid;
  await closed(BOB);
  await assert.rejects(says(BOB, `node='order' sessionid='${id}'`), refused("not-allowed", "session-expired"));
  await says(ALICE, `node='order' sessionid='${other}'`, form("drink", "tea"));
});

taken(adhoc, "", 'admins = ["alice@example.org"]', "max_sessions = 1", "max_sessions = 1000", "max_total = 1");
taken(adhoc, "max_total = 1000000", 'session_timeout = "10s"', 'session_timeout = "24h"');
const account = 'must be an account such as "alice@example.org"';
mistaken(adhoc, {
  'admins = ["example.org"]': account,
  'admins = ["alice@example.org/desk"]': account,
  'admins = ["@"]': account,
  'admins = "alice@example.org"': "must be a list",
  "max_sessions = 0": "must be 1 or more",
  "max_sessions = 1001": "must be 1000 or less",
  "max_total = 0": "must be 1 or more",
  "max_total = 1000001": "must be 1000000 or less",
  'session_timeout = "9s"': "from 10s to 24h",
  'session_timeout = "25h"': "from 10s to 24h",
});
