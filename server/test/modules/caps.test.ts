/** XEP-0115 and XEP-0390: whom the server asks, what it believes, and of whom. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { LocalCluster } from "../../src/cluster/local/local-cluster.ts";
import { defineModule, type Session } from "../../src/module/api.ts";
import { HookTable } from "../../src/module/hook-table.ts";
import { swallow } from "../../src/module/hooks.ts";
import { startModules } from "../../src/module/loader.ts";
import { type CapsApi, caps } from "../../src/modules/caps.ts";
import { disco } from "../../src/modules/disco.ts";
import { roster } from "../../src/modules/roster.ts";
import { silentLog } from "../../src/observe/log.ts";
import { createMetrics } from "../../src/observe/metrics.ts";
import { Sessions } from "../../src/router/sessions.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import type { Element } from "../../src/xml/element.ts";
import { hash, hashInput, verificationString } from "../../src/xmpp/caps.ts";
import { Jid, parseJid } from "../../src/xmpp/jid.ts";
import { WoundClock } from "../support/clock.ts";
import { nobody } from "../support/modules.ts";
import { normal, parse, startServer } from "../support/server.ts";
import { mistaken, taken } from "./settings.ts";

const INFO = "http://jabber.org/protocol/disco#info";

/** A client of the module alone: what it says goes through the filters, what it is asked is kept. */
class Client {
  readonly asked: Element[] = [];
  readonly session: Session;
  readonly #hooks: HookTable;

  constructor(name: string, hooks: HookTable) {
    const jid = new Jid(name, "example.org", "desk");
    this.#hooks = hooks;
    this.session = {
      jid,
      id: name,
      priority: 0,
      presence: undefined,
      available: true,
      secure: true,
      marks: new Set(),
      announce() {},
      mark() {},
      send: (stanza) => void this.asked.push(stanza),
      close() {},
    };
  }

  says(xml: string) {
    const stanza = parse(xml).with({ from: this.session.jid.full });
    const to = parseJid(stanza.attrs.to ?? "") ?? this.session.jid.toBare();
    const origin = { kind: "client", session: this.session } as const;
    return this.#hooks.filters.userSend.fire({ from: this.session.jid, to, origin, stanza });
  }

  /** Answers what it was asked last. */
  answers(info: string, attrs = "type='result'") {
    const id = this.asked.at(-1)?.attrs.id;
    return this.says(`<iq ${attrs} id='${id}' to='example.org'>${info}</iq>`);
  }

  leaves(): Promise<void> {
    return this.#hooks.notices.sessionClosed.tell({ session: this.session, lastPresence: undefined });
  }
}

interface Stage {
  readonly api: CapsApi;
  readonly clock: WoundClock;
  /** "name: features", in the order in which they became known. */
  readonly told: string[];
  client(name: string): Client;
}

async function stage(t: TestContext, settings: object = {}, { listens = true } = {}): Promise<Stage> {
  const hooks = new HookTable(silentLog);
  const clock = new WoundClock();
  const told: string[] = [];
  let api: CapsApi | undefined;
  const listener = defineModule({
    name: "listener",
    implements: [],
    requires: [caps],
    start({ use }) {
      api = use(caps);
      if (listens) api.whenKnown((session, features) => told.push(`${session.id}: ${[...features].join(" ")}`));
    },
  });
  const sessions = new Sessions(new LocalCluster({ kind: "local", nodeId: "n1" }), silentLog, {
    maxPerAccount: 10,
    replaceTimeoutMs: 1000,
  });
  const driver = memoryDriver();
  const stop = await startModules(
    [
      { module: roster, config: roster.config?.parse({}), driverOf: () => driver },
      { module: disco, config: disco.config?.parse({}), driverOf: () => driver },
      { module: caps, config: caps.config?.parse(settings), driverOf: () => driver },
      { module: listener, config: undefined, driverOf: () => driver },
    ],
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
  return { api: api as CapsApi, clock, told, client: (name) => new Client(name, hooks) };
}

const info = (...features: string[]) =>
  `<query xmlns='${INFO}'><identity category='client' type='pc'/>${features.map((one) => `<feature var='${one}'/>`).join("")}</query>`;

/** The presence of a client that can do this, by the old specification or the new one. */
function presence(query: string, { old = true, wrong = "", node = "urn:c" } = {}): string {
  const element = parse(query);
  const ver = hash(verificationString(element)?.text ?? "", "sha-1");
  const value = hash(hashInput(element) ?? "", "sha-256");
  return old
    ? `<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='${node}' ver='${wrong}${ver}'/></presence>`
    : `<presence><c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>${wrong}${value}</hash></c></presence>`;
}

test("nobody is asked as long as no module wants to know", async (t) => {
  const { client, api } = await stage(t, {}, { listens: false });
  const alice = client("alice");
  alice.says(presence(info("a")));
  assert.deepEqual(alice.asked, []);
  assert.equal(api.features(alice.session), undefined);
});

for (const old of [true, false]) {
  const specification = old ? "XEP-0115" : "XEP-0390";

  test(`${specification}: one client is asked for all that claim the same, also for those that come later`, async (t) => {
    const { client, told, api } = await stage(t);
    const [alice, bob, carol] = [client("alice"), client("bob"), client("carol")];
    const query = info("urn:b", "urn:a");
    assert.equal(alice.says(presence(query, { old })), undefined);
    bob.says(presence(query, { old, node: "urn:other" }));
    const [asked, ...more] = alice.asked;
    assert.deepEqual([more, bob.asked], [[], []]);
    const node = old
      ? `urn:c#${hash(verificationString(parse(query))?.text ?? "", "sha-1")}`
      : `urn:xmpp:caps#sha-256.${hash(hashInput(parse(query)) ?? "", "sha-256")}`;
    assert.equal(
      normal(asked as Element),
      normal(
        parse(
          `<iq type='get' id='${asked?.attrs.id}' from='example.org' to='alice@example.org/desk'><query xmlns='${INFO}' node='${node}'/></iq>`,
        ),
      ),
    );
    assert.deepEqual(told, []);
    assert.equal(api.supports(alice.session, "urn:a"), false);
    assert.equal(alice.answers(query), swallow);
    carol.says(presence(query, { old }));
    assert.deepEqual(told, ["alice: urn:b urn:a", "bob: urn:b urn:a", "carol: urn:b urn:a"]);
    assert.deepEqual(carol.asked, []);
    assert.ok([alice, bob, carol].every(({ session }) => api.supports(session, "urn:a")));
    assert.equal(api.supports(bob.session, "urn:c"), false);
  });

  test(`${specification}: an answer that is not as claimed holds for its sender alone, and the next is asked`, async (t) => {
    const { client, told } = await stage(t);
    const [eve, alice, bob] = [client("eve"), client("alice"), client("bob")];
    const query = info("urn:a");
    for (const one of [eve, alice, bob]) one.says(presence(query, { old }));
    eve.answers(info("urn:poison"));
    assert.deepEqual(told, ["eve: urn:poison"]);
    assert.deepEqual([alice.asked.length, bob.asked.length], [1, 0]);
    alice.answers(query);
    assert.deepEqual(told.slice(1), ["alice: urn:a", "bob: urn:a"]);
  });
}

test("the new specification is believed before the old one", async (t) => {
  const { client } = await stage(t);
  const alice = client("alice");
  const both = presence(info("a"), { old: false }).replace(
    "</presence>",
    `${presence(info("b")).replace(/<\/?presence>/g, "")}</presence>`,
  );
  alice.says(both);
  assert.match(alice.asked[0]?.child("query", INFO)?.attrs.node ?? "", /^urn:xmpp:caps#sha-256\./);
});

test("hashes that are not known, and SHA-1 by the new specification, are passed over", async (t) => {
  const { client } = await stage(t);
  const alice = client("alice");
  const hashes = [
    ["md5", "x"],
    ["sha-1", "x"],
    ["sha3-256", "x".repeat(89)],
    ["sha3-256", "y"],
  ].map(([algo, value]) => `<hash xmlns='urn:xmpp:hashes:2' algo='${algo}'>${value}</hash>`);
  alice.says(`<presence><c xmlns='urn:xmpp:caps'>${hashes.join("").replace(">y<", ">\n  y <")}</c></presence>`);
  assert.equal(alice.asked[0]?.child("query", INFO)?.attrs.node, "urn:xmpp:caps#sha3-256.y");
});

test("a form that could pass for features is not believed of others", async (t) => {
  const { client, told } = await stage(t);
  const [eve, alice] = [client("eve"), client("alice")];
  const honest = info("urn:a", "urn:b");
  const form =
    "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>urn:a</value></field><field var='urn:b'/></x>";
  for (const one of [eve, alice]) one.says(presence(honest));
  eve.answers(info().replace("</query>", `${form}</query>`));
  assert.deepEqual(told, ["eve: "]);
  assert.equal(alice.asked.length, 1);
});

for (const [what, lose] of [
  ["answers with an error", async ({ alice }: { alice: Client }) => void alice.answers("", "type='error'")],
  ["answers something else", async ({ alice }: { alice: Client }) => void alice.answers("<other xmlns='urn:other'/>")],
  ["leaves", ({ alice }: { alice: Client }) => alice.leaves()],
  [
    "goes offline",
    async ({ alice }: { alice: Client }) => {
      assert.equal(alice.says("<presence type='unavailable'/>"), undefined);
    },
  ],
  ["can do something else now", async ({ alice }: { alice: Client }) => void alice.says(presence(info("urn:other")))],
  ["does not answer in time", ({ clock }: { clock: WoundClock }) => clock.wind(30)],
] as const) {
  test(`when the client that was asked ${what}, the next one is`, async (t) => {
    const { client, clock, told } = await stage(t);
    const [alice, bob] = [client("alice"), client("bob")];
    for (const one of [alice, bob]) one.says(presence(info("urn:a")));
    assert.equal(bob.asked.length, 0);
    await lose({ alice, clock });
    assert.equal(bob.asked.length, 1);
    bob.answers(info("urn:a"));
    assert.ok(told.includes("bob: urn:a"), told.join());
  });
}

test("an answer that comes too late, or that was never asked for, is dropped", async (t) => {
  const { client, clock, told } = await stage(t, { answer_within: "1s" });
  const [alice, eve] = [client("alice"), client("eve")];
  alice.says(presence(info("urn:a")));
  eve.says(presence(info("urn:a")));
  const id = alice.asked[0]?.attrs.id;
  assert.equal(eve.says(`<iq type='result' id='${id}' to='example.org'>${info("urn:a")}</iq>`), swallow);
  await clock.wind(0.999);
  assert.equal(eve.asked.length, 0);
  await clock.wind(0.001);
  assert.equal(eve.asked.length, 1);
  assert.equal(alice.answers(info("urn:a")), swallow);
  assert.deepEqual(told, []);
});

test("another iq of the client goes its way", async (t) => {
  const { client } = await stage(t);
  const alice = client("alice");
  alice.says(presence(info("urn:a")));
  const id = alice.asked[0]?.attrs.id;
  assert.equal(alice.says(`<iq type='get' id='${id}' to='example.org'><x xmlns='urn:x'/></iq>`), undefined);
  assert.equal(alice.says("<iq type='result' id='other' to='example.org'/>"), undefined);
  assert.equal(alice.says(`<iq type='result' id='${id}' to='bob@example.org/desk'/>`), undefined);
});

for (const [what, xml, node] of [
  ["says nothing", "<presence/>", undefined],
  [
    "names no hash",
    "<presence><c xmlns='http://jabber.org/protocol/caps' node='urn:c' ver='0.9'/></presence>",
    "urn:c#0.9",
  ],
  [
    "names a hash that is not known",
    "<presence><c xmlns='http://jabber.org/protocol/caps' hash='md5' node='urn:c' ver='x'/></presence>",
    "urn:c#x",
  ],
  [
    "says too much",
    `<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:c' ver='${"x".repeat(1020)}'/></presence>`,
    undefined,
  ],
] as const) {
  test(`each client whose presence ${what} is asked for itself, once`, async (t) => {
    const { client, told } = await stage(t);
    const [alice, bob] = [client("alice"), client("bob")];
    for (const one of [alice, bob]) {
      one.says(xml);
      one.says(xml.replace("<presence>", "<presence><show>away</show>"));
      assert.equal(one.asked.length, 1);
      assert.equal(one.asked[0]?.child("query", INFO)?.attrs.node, node);
    }
    alice.answers(info("urn:a"));
    bob.answers(info("urn:b"));
    assert.deepEqual(told, ["alice: urn:a", "bob: urn:b"]);
  });
}

test("clients that say nothing can be left in peace", async (t) => {
  const { client } = await stage(t, { ask_silent: false });
  const alice = client("alice");
  alice.says("<presence/>");
  assert.deepEqual(alice.asked, []);
  alice.says(presence(info("urn:a")));
  assert.equal(alice.asked.length, 1);
});

test("presence to someone alone says nothing to the server", async (t) => {
  const { client } = await stage(t);
  const alice = client("alice");
  alice.says(presence(info("urn:a")).replace("<presence>", "<presence to='bob@example.org'>"));
  assert.deepEqual(alice.asked, []);
});

test("a client that can do something else now is asked again, and until it answers nothing is known", async (t) => {
  const { client, api, told } = await stage(t);
  const alice = client("alice");
  alice.says(presence(info("urn:a")));
  alice.answers(info("urn:a"));
  alice.says(presence(info("urn:b")));
  assert.equal(api.features(alice.session), undefined);
  alice.answers(info("urn:b"));
  alice.says(presence(info("urn:a")));
  assert.deepEqual(told, ["alice: urn:a", "alice: urn:b", "alice: urn:a"]);
  assert.equal(alice.asked.length, 2);
});

test("no more answers are remembered than there may be, the oldest being forgotten", async (t) => {
  const { client } = await stage(t, { max_known: 2 });
  for (const name of ["a", "b", "c"]) {
    const one = client(name);
    one.says(presence(info(name)));
    one.answers(info(name));
  }
  const [late, later] = [client("late"), client("later")];
  late.says(presence(info("c")));
  assert.equal(late.asked.length, 0);
  later.says(presence(info("a")));
  assert.equal(later.asked.length, 1);
});

test("an answer that is too large is none", async (t) => {
  const { client, told } = await stage(t, { max_answer: "1KiB" });
  const padding = 1024 - Buffer.byteLength(parse(info("")).toXml());
  for (const [name, length] of [
    ["fits", padding],
    ["not", padding + 1],
  ] as const) {
    const one = client(name);
    const query = info("x".repeat(length));
    one.says(presence(query));
    one.answers(query);
  }
  assert.deepEqual(
    told.map((line) => line.split(":")[0]),
    ["fits"],
  );
});

test("a session of another node, or none, is not known here", async (t) => {
  const { api } = await stage(t);
  const jid = new Jid("alice", "example.org", "elsewhere");
  assert.equal(api.features(jid), undefined);
  assert.equal(api.supports(jid, "urn:a"), false);
});

test("the server shows its own hashes in its stream features, and they are those of what it tells about itself", async (t) => {
  const server = await startServer(t, {
    toml: `host_types.default.modules.contact-addresses = { admin = ["xmpp:a@example.org"] }
    host_types.default.modules.roster = {}
    host_types.default.modules.disco = {}
    host_types.default.modules.caps = { node = "https://example.org/" }`,
  });
  await server.account("alice");
  const alice = await server.connect();
  const before = await alice.open();
  assert.equal(before.child("c", "urn:xmpp:caps"), undefined);
  await alice.scram("alice");
  const features = await alice.open();
  const { node, ver } = features.child("c", "http://jabber.org/protocol/caps")?.attrs ?? {};
  const hashes = features.child("c", "urn:xmpp:caps")?.elements() ?? [];
  assert.equal(node, "https://example.org/");
  alice.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
  await alice.next();

  const nodes = [`${node}#${ver}`, ...hashes.map((one) => `urn:xmpp:caps#${one.attrs.algo}.${one.text()}`)];
  assert.equal(nodes.length, 3);
  for (const asked of ["", ...nodes]) {
    alice.send(`<iq type='get' id='d' to='example.org'><query xmlns='${INFO}'${asked && ` node='${asked}'`}/></iq>`);
    const query = (await alice.next()).child("query", INFO) as Element;
    assert.equal(query.attrs.node ?? "", asked);
    assert.ok(query.child("x", "jabber:x:data"));
    assert.equal(hash(verificationString(query)?.text ?? "", "sha-1"), ver);
    // Whatever language the stream has.
    for (const one of hashes) assert.equal(hash(hashInput(query, "fr") ?? "", one.attrs.algo ?? ""), one.text());
  }
  alice.send(`<iq type='get' id='e' to='example.org'><query xmlns='${INFO}' node='${node}#old'/></iq>`);
  assert.match((await alice.next()).toXml(), /item-not-found/);
});

taken(caps, "", 'node = "https://example.org/"', "max_known = 2", "max_known = 1000000", 'max_answer = "1KiB"');
taken(caps, 'max_answer = "1MiB"', 'answer_within = "1s"', 'answer_within = "10m"', "ask_silent = false");
mistaken(caps, {
  'node = ""': "caps.node",
  "max_known = 1": "must be 2 or more",
  "max_known = 1000001": "must be 1000000 or less",
  'max_answer = "1023B"': "from 1KiB to 1MiB",
  'max_answer = "1025KiB"': "from 1KiB to 1MiB",
  'answer_within = "999ms"': "from 1s to 10m",
  'answer_within = "11m"': "from 1s to 10m",
  "ask_silent = 1": "must be true or false",
});
