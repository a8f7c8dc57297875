/** XEP-0313: what is archived, for whom, and how clients read it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Retention } from "../../src/modules/mam/retention.ts";
import { silentLog } from "../../src/observe/log.ts";
import { archiveId, archiveTime } from "../../src/storage/archive-id.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { type ArchiveStore, json, type StorageDriver, StorageError } from "../../src/storage/specs.ts";
import type { Element } from "../../src/xml/element.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import { NS } from "../../src/xmpp/namespaces.ts";
import { WoundClock } from "../support/clock.ts";
import { normal, parse, type RawClient, startServer } from "../support/server.ts";
import { isRefused, twoNodes } from "./contacts.ts";

const MODULES = (settings = "") =>
  `[host_types.default.modules]\nmam = { ${settings} }\nping = {}\ndisco = {}\nroster = {}\npresence = {}`;
const chat = (to: string, body: string, more = "") =>
  `<message type='chat' to='${to}' id='${body}'><body>${body}</body>${more}</message>`;
const field = (name: string, ...values: string[]) =>
  `<field var='${name}'>${values.map((value) => `<value>${value}</value>`).join("")}</field>`;
const form = (...fields: string[]) =>
  `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>${fields.join("")}</x>`;
const page = (inner: string) => `<set xmlns='http://jabber.org/protocol/rsm'>${inner}</set>`;

interface Found {
  readonly bodies: readonly string[];
  readonly ids: readonly string[];
  readonly results: readonly Element[];
  readonly fin: Element;
}

async function query(client: RawClient, inner = "", attrs = ""): Promise<Found> {
  client.send(`<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2' ${attrs}>${inner}</query></iq>`);
  const results: Element[] = [];
  for (;;) {
    const next = await client.next();
    const result = next.child("result", NS.mam);
    if (result !== undefined) {
      results.push(result);
      continue;
    }
    if (next.name !== "iq") continue;
    assert.equal(next.attrs.type, "result", next.toXml());
    const fin = next.child("fin", NS.mam);
    assert.ok(fin, next.toXml());
    return { results, ids: results.map(({ attrs }) => attrs.id ?? ""), bodies: results.map(bodyOf), fin };
  }
}

function original(result: Element): Element | undefined {
  return result.child("forwarded", NS.forward)?.child("message", NS.client);
}
const bodyOf = (result: Element) => original(result)?.childText("body") ?? "";
const edge = ({ fin }: Found, name: string) => fin.child("set", NS.rsm)?.childText(name);

/** Settles when all that the client has sent is handled. */
async function handled(client: RawClient): Promise<void> {
  client.send("<iq type='get' id='handled' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>");
  for (;;) if ((await client.next()).attrs.id === "handled") return;
}

async function say(from: RawClient, to: string, ...bodies: string[]): Promise<void> {
  for (const body of bodies) from.send(chat(to, body));
  await handled(from);
}

test("both have a conversation across two nodes, in its order, each with the ids of its own archive", async (t) => {
  const { one, two } = await twoNodes(t, MODULES());
  const alice = await one.online("alice", "desk");
  const bob = await two.online("bob", "phone");
  alice.send(chat("bob@example.org", "hello"));
  const heard = await bob.next();
  bob.send(chat(alice.jid, "hi"));
  await alice.next();
  await handled(bob);

  const bobs = await query(bob, "", "queryid='f1'");
  assert.deepEqual(bobs.bodies, ["hello", "hi"]);
  assert.equal(bobs.results[0]?.attrs.queryid, "f1");
  const [id] = heard.elements().filter(({ name }) => name === "stanza-id");
  assert.deepEqual({ ...id?.attrs }, { by: "bob@example.org", id: bobs.ids[0] });
  assert.equal(bobs.fin.attrs.complete, "true");
  assert.deepEqual([edge(bobs, "first"), edge(bobs, "last")], [bobs.ids[0], bobs.ids[1]]);

  const alices = await query(alice);
  assert.deepEqual(alices.bodies, ["hello", "hi"]);
  assert.equal(new Set([...alices.ids, ...bobs.ids]).size, 4);
  const first = alices.results[0] as Element;
  assert.deepEqual(
    { ...original(first)?.attrs },
    { type: "chat", id: "hello", from: alice.jid, to: "bob@example.org" },
  );
  assert.equal(original(first)?.child("stanza-id", NS.stanzaId), undefined);
  const stamp = first.child("forwarded", NS.forward)?.child("delay", NS.delay)?.attrs.stamp;
  assert.equal(Date.parse(stamp ?? ""), archiveTime(alices.ids[0] ?? ""));
});

test("pages go forward and backward, and a client that follows them sees each message once", async (t) => {
  const server = await startServer(t, { toml: MODULES("page = 3, max_page = 5") });
  const alice = await server.online("alice", "desk");
  await server.account("bob");
  const bodies = Array.from({ length: 11 }, (_, i) => `m${i}`);
  await say(alice, "bob@example.org", ...bodies);

  const forward: string[] = [];
  for (let after = ""; ; ) {
    const found = await query(alice, page(`<max>4</max>${after === "" ? "" : `<after>${after}</after>`}`));
    forward.push(...found.bodies);
    if (found.fin.attrs.complete === "true") break;
    after = edge(found, "last") ?? "";
  }
  assert.deepEqual(forward, bodies);

  const backward: string[] = [];
  for (let before = ""; ; ) {
    const found = await query(alice, page(`<max>4</max><before>${before}</before>`));
    backward.unshift(...found.bodies);
    if (found.fin.attrs.complete === "true") break;
    before = edge(found, "first") ?? "";
  }
  assert.deepEqual(backward, bodies);

  assert.deepEqual((await query(alice)).bodies, bodies.slice(0, 3), "as many as the setting says");
  assert.deepEqual((await query(alice, page("<max>900</max>"))).bodies, bodies.slice(0, 5), "and no more than that");
  const count = await query(alice, page("<max>0</max>"));
  assert.deepEqual([count.bodies, edge(count, "count"), count.fin.attrs.complete], [[], "11", undefined]);
  const flipped = await query(alice, `${page("<max>2</max><before/>")}<flip-page/>`);
  assert.deepEqual(flipped.bodies, ["m10", "m9"]);
  assert.equal(edge(flipped, "last"), flipped.ids[0]);
});

test("a query is narrowed by address, by time and by id", async (t) => {
  const clock = new WoundClock();
  const server = await startServer(t, { toml: MODULES(), clock });
  const alice = await server.online("alice", "desk");
  for (const other of ["bob", "carol"]) await server.account(other);
  await say(alice, "bob@example.org/phone", "b1");
  await clock.wind(60);
  await say(alice, "carol@example.org", "c1");
  await clock.wind(60);
  await say(alice, "bob@example.org", "b2");
  await say(alice, "alice@example.org", "note");
  const all = await query(alice);
  assert.deepEqual(all.bodies, ["b1", "c1", "b2", "note"]);
  const found = async (...fields: string[]) => (await query(alice, form(...fields))).bodies;
  const at = (seconds: number) => new Date(1_700_000_000_000 + seconds * 1000).toISOString();
  assert.deepEqual(await found(field("with", "bob@example.org")), ["b1", "b2"]);
  assert.deepEqual(await found(field("with", "bob@example.org/phone")), ["b1"]);
  assert.deepEqual(await found(field("with", "alice@example.org")), ["note"], "sent to oneself, and nothing else");
  assert.deepEqual(await found(field("start", at(60))), ["c1", "b2", "note"]);
  assert.deepEqual(await found(field("start", at(1)), field("end", at(60))), ["c1"]);
  const [b1 = "", c1 = "", b2 = ""] = all.ids;
  assert.deepEqual(await found(field("after-id", b1), field("before-id", b2)), ["c1"]);
  assert.deepEqual(await found(field("ids", b2, b1)), ["b1", "b2"]);
  const within = await query(alice, form(field("before-id", b2)) + page(`<after>${b1}</after>`));
  assert.deepEqual(within.bodies, ["c1"]);
  assert.deepEqual((await query(alice, form(field("after-id", c1)) + page(`<after>${b1}</after>`))).bodies, [
    "b2",
    "note",
  ]);
});

for (const [what, inner, condition, type] of [
  ["an id that there is not, after", page("<after>0000000000000000000000a1</after>"), "item-not-found", "cancel"],
  ["an id that there is not, before", page("<before>zzz</before>"), "item-not-found", "cancel"],
  ["an id that there is not in the form", form(field("after-id", "x")), "item-not-found", "cancel"],
  ["one of several ids that there is not", form(field("ids", "x", "y")), "item-not-found", "cancel"],
  ["a field that there is not", form(field("{urn:x}search", "x")), "feature-not-implemented", "cancel"],
  ["an address that is none", form(field("with", "@")), "bad-request", "modify"],
  ["a time that is none", form(field("start", "yesterday")), "bad-request", "modify"],
  ["a page of no number", page("<max>many</max>"), "bad-request", "modify"],
  ["a page between two items", page("<after>a</after><before>b</before>"), "bad-request", "modify"],
  ["another form", form().replace("urn:xmpp:mam:2", "urn:x"), "bad-request", "modify"],
] as const) {
  test(`${what}: ${condition}`, async (t) => {
    const server = await startServer(t, { toml: MODULES() });
    const alice = await server.online("alice", "desk");
    alice.send(`<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'>${inner}</query></iq>`);
    await isRefused(alice, condition, type);
  });
}

test("nobody reads another's archive", async (t) => {
  const server = await startServer(t, { toml: MODULES() });
  const alice = await server.online("alice", "desk");
  await server.account("bob");
  for (const [type, name] of [
    ["set", "query"],
    ["get", "query"],
    ["get", "metadata"],
  ]) {
    alice.send(`<iq type='${type}' id='q' to='bob@example.org'><${name} xmlns='urn:xmpp:mam:2'/></iq>`);
    await isRefused(alice, "forbidden", "auth");
  }
});

test("a client learns of the fields, and where the archive begins and ends", async (t) => {
  const server = await startServer(t, { toml: MODULES() });
  const alice = await server.online("alice", "desk");
  await server.account("bob");
  alice.send("<iq type='get' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>");
  const fields = (await alice.next()).child("query", NS.mam)?.child("x", NS.data)?.elements();
  assert.deepEqual(
    fields?.map(({ attrs }) => attrs.var),
    ["FORM_TYPE", "with", "start", "end", "before-id", "after-id", "ids"],
  );
  const metadata = async () => {
    alice.send("<iq type='get' id='q'><metadata xmlns='urn:xmpp:mam:2'/></iq>");
    return (await alice.next()).child("metadata", NS.mam);
  };
  assert.deepEqual((await metadata())?.elements(), []);
  await say(alice, "bob@example.org", "one", "two");
  const { ids } = await query(alice);
  assert.deepEqual(
    (await metadata())?.elements().map(({ name, attrs }) => [name, attrs.id]),
    [
      ["start", ids[0]],
      ["end", ids[1]],
    ],
  );
});

test("what has no meaning later, or is not to be kept, is not kept", async (t) => {
  const server = await startServer(t, { toml: MODULES() });
  const alice = await server.online("alice", "desk");
  const bob = await server.online("bob", "phone");
  const hint = (name: string) => `<${name} xmlns='urn:xmpp:hints'/>`;
  const kept = [
    chat(bob.jid, "plain"),
    `<message type='chat' to='${bob.jid}'>${hint("store")}<x xmlns='urn:x'/></message>`,
    `<message to='${bob.jid}'><received xmlns='urn:xmpp:receipts' id='1'/></message>`,
  ];
  const passed = [
    chat(bob.jid, "secret", hint("no-store")),
    chat(bob.jid, "secret", hint("no-permanent-store")),
    `<message type='chat' to='${bob.jid}'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>`,
    `<message type='headline' to='${bob.jid}'><body>news</body></message>`,
    `<message type='error' to='${bob.jid}' id='e'><body>no</body>${hint("store")}<error type='cancel'/></message>`,
  ];
  for (const message of [...kept, ...passed]) alice.send(message);
  await handled(alice);
  await handled(bob);
  assert.equal((await query(alice)).results.length, kept.length);
  assert.equal((await query(bob)).results.length, kept.length);
});

test("an id that somebody else claims to be of one's own archive is taken out", async (t) => {
  const server = await startServer(t, { toml: MODULES() });
  const alice = await server.online("alice", "desk");
  const bob = await server.online("bob", "phone");
  const claim = (by: string) => `<stanza-id xmlns='urn:xmpp:sid:0' by='${by}' id='forged'/>`;
  alice.send(
    `<message type='headline' to='${bob.jid}'>${claim("bob@example.org")}${claim("room@example.org")}</message>`,
  );
  const message = await bob.next();
  assert.deepEqual(
    message.elements().map(({ attrs }) => attrs.by),
    ["room@example.org"],
  );
  // The same address, as a client may take it.
  alice.send(`<message type='headline' to='${bob.jid}'>${claim("BOB@Example.ORG")}</message>`);
  assert.deepEqual((await bob.next()).elements(), []);
  alice.send(chat(bob.jid, "hello", claim("bob@example.org")));
  const ids = (await bob.next()).elements().filter(({ name }) => name === "stanza-id");
  assert.deepEqual(
    ids.map(({ attrs }) => attrs.id),
    (await query(bob)).ids,
  );
});

test("a message for somebody who is away waits in the archive, and nobody is told that it failed", async (t) => {
  const server = await startServer(t, { toml: MODULES() });
  const alice = await server.online("alice", "desk");
  await server.account("bob");
  alice.send(chat("bob@example.org", "later"));
  await alice.receivesNothing();
  const bob = await server.online("bob", "phone");
  assert.deepEqual((await query(bob)).bodies, ["later"]);
});

test("who is away misses what was not to be kept, and the sender hears so", async (t) => {
  const server = await startServer(t, { toml: MODULES() });
  const alice = await server.online("alice", "desk");
  await server.account("bob");
  alice.send(chat("bob@example.org", "secret", "<no-store xmlns='urn:xmpp:hints'/>"));
  const answer = await alice.next();
  assert.equal(answer.attrs.type, "error");
  assert.ok(answer.child("error")?.child("service-unavailable", "urn:ietf:params:xml:ns:xmpp-stanzas"));
});

test("for an account that does not exist nothing is kept, and the sender hears so", async (t) => {
  const store = memoryDriver();
  const server = await startServer(t, { toml: MODULES(), store });
  const alice = await server.online("alice", "desk");
  alice.send(chat("nobody@example.org", "hello?"));
  assert.equal((await alice.next()).attrs.type, "error");
  const nobody = await server.online("nobody", "x");
  assert.deepEqual((await query(nobody)).bodies, []);
});

test("an account that is removed leaves no archive behind", async (t) => {
  const server = await startServer(t, { toml: `${MODULES()}\nregistration = {}` });
  const alice = await server.online("alice", "desk");
  await server.account("bob");
  await say(alice, "bob@example.org", "hello");
  alice.send("<iq type='set' id='r'><query xmlns='jabber:iq:register'><remove/></query></iq>");
  for (;;) if ((await alice.take()) === "end") break;
  const again = await server.online("alice", "desk");
  assert.deepEqual((await query(again)).bodies, []);
});

/** A store whose archive takes nothing, or takes its time, as long as it is told so. */
function failing(): { readonly store: StorageDriver; fails: boolean; held: (() => void)[] | undefined } {
  const inner = memoryDriver();
  const state: ReturnType<typeof failing> = {
    fails: false,
    held: undefined,
    store: {
      ...inner,
      archive(table, codec) {
        const store = inner.archive?.(table, codec);
        return (
          store && {
            ...store,
            async append(owner, item) {
              if (state.fails) throw new StorageError("the database is away");
              const { held } = state;
              if (held !== undefined) await new Promise<void>((resolve) => held.push(resolve));
              await store.append(owner, item);
            },
          }
        );
      },
    },
  };
  return state;
}

test("what cannot be archived is not delivered, and its sender may try again", async (t) => {
  const state = failing();
  const server = await startServer(t, { toml: MODULES(), store: state.store });
  const alice = await server.online("alice", "desk");
  const bob = await server.online("bob", "phone");
  state.fails = true;
  alice.send(chat(bob.jid, "lost?"));
  await isRefused(alice, "resource-constraint", "wait");
  await bob.receivesNothing();
  state.fails = false;
  alice.send(chat(bob.jid, "again"));
  assert.equal((await bob.next()).childText("body"), "again");
});

test("a message counts as handled, and goes on, only when it is archived", async (t) => {
  const state = failing();
  const server = await startServer(t, { toml: MODULES(), store: state.store });
  const alice = await server.online("alice", "desk");
  const bob = await server.online("bob", "phone");
  alice.send("<enable xmlns='urn:xmpp:sm:3'/>");
  assert.equal((await alice.next()).name, "enabled");
  const held: (() => void)[] = [];
  state.held = held;
  alice.send(chat(bob.jid, "slowly"));
  alice.send("<r xmlns='urn:xmpp:sm:3'/>");
  await bob.receivesNothing();
  assert.equal(held.length, 2, "both archives are being written");
  state.held = undefined;
  held[0]?.();
  await bob.receivesNothing();
  held[1]?.();
  assert.equal((await bob.next()).childText("body"), "slowly");
  const answer = await alice.next();
  assert.equal(normal(answer), normal(parse("<a xmlns='urn:xmpp:sm:3' h='1'/>")));
});

test("what is older than it is kept for, or more than is kept, goes from the old end", async (t) => {
  const clock = new WoundClock();
  const toml = MODULES("keep_for = '1h', keep_count = 3, sweep_every = '1m'");
  const server = await startServer(t, { toml, clock });
  const alice = await server.online("alice", "desk");
  await server.account("bob");
  await say(alice, "bob@example.org", "1", "2", "3", "4", "5");
  await clock.wind(61);
  assert.deepEqual((await query(alice)).bodies, ["3", "4", "5"]);
  await clock.wind(1800);
  await say(alice, "bob@example.org", "6");
  await clock.wind(1800);
  assert.deepEqual((await query(alice)).bodies, ["6"]);
});

test("a sweep that takes long does not hold up a node that stops", async () => {
  const clock = new WoundClock();
  const swept: number[] = [];
  const messages = {
    ...(memoryDriver().archive?.("mam", json<string>()) as ArchiveStore<string>),
    expire: (before: number) => {
      swept.push(before);
      return new Promise<void>(() => {});
    },
  };
  const keep = { keep_for: 1000, keep_count: 0, sweep_every: 60_000 };
  const retention = new Retention(messages, keep, clock, silentLog);
  await clock.wind(61);
  assert.equal(swept.length, 1);
  const stopped = retention.stop();
  await clock.wind(10);
  await stopped;
});

test("while sweeps fail, messages that come do not begin one each", async () => {
  const clock = new WoundClock();
  let sweeps = 0;
  const messages = {
    ...(memoryDriver().archive?.("mam", json<string>()) as ArchiveStore<string>),
    async trim() {
      sweeps++;
      throw new StorageError("too slow");
    },
  };
  const keep = { keep_for: 0, keep_count: 1, sweep_every: 60_000 };
  const retention = new Retention(messages, keep, clock, silentLog);
  for (let n = 0; n < 10_100; n++) {
    retention.noteAppended(new Jid(`user${n}`, "example.org"));
    if (n > 9990) await clock.wind(0);
  }
  assert.equal(sweeps, 1);
  await clock.wind(61);
  assert.equal(sweeps, 2);
  await retention.stop();
});

test("what the archive does not take for what it is, is not delivered, and does not vanish", async (t) => {
  const inner = memoryDriver();
  const store: StorageDriver = {
    ...inner,
    archive: (table, codec) => {
      const opened = inner.archive?.(table, codec);
      return opened && { ...opened, append: () => Promise.reject(new Error("value out of range")) };
    },
  };
  const server = await startServer(t, { toml: MODULES(), store });
  const alice = await server.online("alice", "desk");
  await server.account("bob");
  alice.send(chat("bob@example.org", "hello"));
  await isRefused(alice, "internal-server-error", "cancel");
});

test("while nobody knows whether an account is there, a message for it waits with its sender", async (t) => {
  const inner = memoryDriver();
  let isAway = false;
  const store: StorageDriver = {
    ...inner,
    accounts: () => {
      const opened = inner.accounts?.();
      return (
        opened && {
          ...opened,
          async exists(account) {
            if (isAway) throw new StorageError("the directory is away");
            return opened.exists(account);
          },
        }
      );
    },
  };
  const server = await startServer(t, { toml: MODULES(), store });
  const alice = await server.online("alice", "desk");
  await server.account("bob");
  isAway = true;
  alice.send(chat("bob@example.org", "hello", "<stanza-id xmlns='urn:xmpp:sid:0' by='bob@example.org' id='forged'/>"));
  await isRefused(alice, "resource-constraint", "wait");
});

test("a page ends early where its messages are large, and a client that goes on has them all", async (t) => {
  const store = memoryDriver();
  const server = await startServer(t, { toml: MODULES(`page_size = '64KiB'`), store });
  const alice = await server.online("alice", "desk");
  const messages = store.archive?.("mam", { encode: (xml: string) => xml, decode: (xml: string) => xml });
  const bob = new Jid("bob", "example.org");
  const bodies = Array.from({ length: 120 }, (_, n) => `${n} ${"x".repeat(n === 60 ? 100_000 : 2000)}`);
  for (const body of bodies) {
    const value = `<message xmlns='jabber:client' type='chat'><body>${body}</body></message>`;
    await messages?.append(new Jid("alice", "example.org"), { id: archiveId(), with: bob, value });
  }
  for (const way of ["after", "before"] as const) {
    const found: string[] = [];
    let pages = 0;
    for (let place = way === "before" ? "<before/>" : ""; ; pages++) {
      const answer = await query(alice, page(`<max>200</max>${place}`));
      const bytes = answer.bodies.reduce((sum, body) => sum + body.length, 0);
      assert.ok(answer.bodies.length === 1 || bytes <= 65_536, `${bytes} bytes on a page`);
      if (way === "after") found.push(...answer.bodies);
      else found.unshift(...answer.bodies);
      if (answer.fin.attrs.complete === "true") break;
      place = `<${way}>${edge(answer, way === "after" ? "last" : "first")}</${way}>`;
    }
    assert.deepEqual(found, bodies);
    assert.ok(pages >= 4 && pages <= 8, `${pages} pages`);
  }
  const { ids } = await query(alice, page("<max>3</max>"));
  assert.deepEqual((await query(alice, form(field("ids", ...ids)))).ids, ids);
  const all = (await messages?.page(new Jid("alice", "example.org"), { from: "oldest", max: 200 }))?.items ?? [];
  const some = await query(alice, form(field("ids", ...all.map(({ id }) => id))));
  assert.equal(some.fin.attrs.complete, undefined);
  assert.deepEqual(some.bodies, bodies.slice(0, some.bodies.length));
  assert.ok(some.bodies.length > 10 && some.bodies.length < 40);
});
