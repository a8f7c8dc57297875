/** Colleagues: in each other's rosters, and seeing each other, without having asked. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { SharedContact } from "../../src/modules/roster.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { json, type StorageDriver, StorageError } from "../../src/storage/specs.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import { Neighbourhood } from "../support/nodes.ts";
import { normal, type RawClient, startServer, type TestServer } from "../support/server.ts";
import { befriend, come, getRoster, heard, hears, isPushed, isRefused, item, putItem } from "./contacts.ts";

const ROSTER = "jabber:iq:roster";

/** A directory: who is in which group; those of one group are colleagues. */
class Directory {
  groups: Record<string, readonly string[]>;
  gone = false;

  constructor(groups: Record<string, readonly string[]>) {
    this.groups = groups;
  }

  get driver(): StorageDriver {
    return {
      name: "directory",
      readOnly: true,
      map: (_table, codec) => {
        const contact = (owner: Jid, key: string) => {
          if (this.gone) throw new StorageError("the directory is gone");
          const local = key.split("@")[0] as string;
          const common = Object.entries(this.groups)
            .filter(([, members]) => members.includes(owner.local) && members.includes(local) && local !== owner.local)
            .map(([group]) => group);
          const said: SharedContact = { name: `Dr ${local}`, groups: common };
          return common.length === 0 ? undefined : codec.decode(json().encode(said));
        };
        const refuse = () => Promise.reject(new Error("nothing is written to a directory"));
        return {
          get: async (owner, key) => contact(owner, key),
          list: async (owner) => {
            const all = new Set(Object.values(this.groups).flat());
            const found = [...all].map((local) => [`${local}@example.org`, contact(owner, local)] as const);
            return new Map(found.flatMap(([jid, one]) => (one === undefined ? [] : [[jid, one] as const])));
          },
          getEach: async (owners, key) =>
            new Map(
              owners.flatMap((owner) => {
                const one = contact(owner, key);
                return one === undefined ? [] : [[owner.bare, one] as const];
              }),
            ),
          set: refuse,
          update: refuse,
          updateTogether: refuse,
          remove: refuse,
          clear: refuse,
        };
      },
      migrate: async () => {},
      healthy: async () => true,
      close: async () => {},
    };
  }
}

const TOML = `
  storage = { main = { driver = "memory" }, company = { driver = "memory" } }
  host_types.default.stores = { shared_roster = "company" }`;

interface Office {
  readonly one: TestServer;
  readonly two: TestServer;
  readonly store: StorageDriver;
  readonly directory: Directory;
}

/** Two nodes of a company; Alice and Bob are colleagues, and so are Alice and Carol. */
async function office(
  t: TestContext,
  groups = { Sales: ["alice", "bob"], Board: ["alice", "carol"] },
): Promise<Office> {
  const neighbourhood = new Neighbourhood();
  const directory = new Directory(groups);
  const store = memoryDriver();
  const node = (id: string) =>
    startServer(t, {
      cluster: neighbourhood.join(id),
      store,
      stores: { company: directory.driver },
      toml: `node = { id = "${id}" }\n${TOML}`,
    });
  return { one: await node("n1"), two: await node("n2"), store, directory };
}

const BOB = item("jid='bob@example.org' name='Dr bob' subscription='both'", "<group>Sales</group>");
const CAROL = item("jid='carol@example.org' name='Dr carol' subscription='both'", "<group>Board</group>");

async function set(client: RawClient, inner: string): Promise<void> {
  client.send(`<iq type='set' id='set'><query xmlns='${ROSTER}'>${inner}</query></iq>`);
  const [answer] = (await heard(client)).filter((xml) => xml.includes("id='set'") || xml.includes('id="set"'));
  assert.ok(answer?.includes("result"), answer);
}

async function refusal(client: RawClient, inner: string): Promise<void> {
  client.send(`<iq type='set' id='set'><query xmlns='${ROSTER}'>${inner}</query></iq>`);
  await isRefused(client, "not-allowed", "cancel");
}

test("colleagues are in the roster, with the names and groups that the directory has", async (t) => {
  const { one } = await office(t);
  const alice = await one.login("alice", "desk");
  assert.deepEqual(await getRoster(alice), [BOB, CAROL]);
  const carol = await one.login("carol", "desk");
  assert.deepEqual(await getRoster(carol), [
    item("jid='alice@example.org' name='Dr alice' subscription='both'", "<group>Board</group>"),
  ]);
  const dave = await one.login("dave", "desk");
  assert.deepEqual(await getRoster(dave), []);
});

test("colleagues on two nodes see each other come and go without having asked, and nobody else does", async (t) => {
  const { one, two } = await office(t);
  const bob = await come(two, "bob", "desk");
  const carol = await come(one, "carol", "desk");
  const dave = await come(one, "dave", "desk");
  const alice = await one.login("alice", "desk");
  alice.send("<presence><show>dnd</show></presence>");
  const shown = (to: string) =>
    `<presence xmlns='jabber:client' from='alice@example.org/desk' to='${to}@example.org'><show>dnd</show></presence>`;
  const greeted = (await heard(alice)).filter(
    (xml) => xml.includes("bob@example.org/desk") || xml.includes("carol@example.org/desk"),
  );
  assert.equal(greeted.length, 2);
  await hears(bob, shown("bob"));
  await hears(carol, shown("carol"));
  await hears(dave);
  await alice.leave();
  const gone = (to: string) =>
    `<presence xmlns='jabber:client' type='unavailable' from='alice@example.org/desk' to='${to}@example.org'/>`;
  await bob.receives(gone("bob"));
  await carol.receives(gone("carol"));
});

test("a probe of a colleague is answered, and a stranger's is not", async (t) => {
  const { one, two } = await office(t);
  await come(one, "alice", "desk");
  const bob = await two.login("bob", "desk");
  bob.send("<presence type='probe' to='alice@example.org'/>");
  assert.match((await heard(bob)).join(), /alice@example\.org\/desk/);
  const dave = await two.login("dave", "desk");
  dave.send("<presence type='probe' to='alice@example.org'/>");
  assert.doesNotMatch((await heard(dave)).join(), /alice@example\.org\/desk/);
});

test("a colleague who is a contact as well is there once, by the name and groups that the account gave", async (t) => {
  const { one, store } = await office(t);
  await befriend(store, "alice", "bob", "to");
  await putItem(store, "alice@example.org", "carol@example.org", { name: "C", groups: ["Friends"] });
  const alice = await one.login("alice", "desk");
  assert.deepEqual(await getRoster(alice), [
    BOB,
    item("jid='carol@example.org' name='C' subscription='both'", "<group>Friends</group>"),
  ]);
});

test("an account calls a colleague what it likes, on all its clients, until it takes that back", async (t) => {
  const { one, two } = await office(t);
  const desk = await one.login("alice", "desk");
  const phone = await two.login("alice", "phone");
  await getRoster(desk);
  await getRoster(phone);
  await set(desk, "<item jid='bob@example.org' name='Bobby'><group>Mates</group></item>");
  const mine = item("jid='bob@example.org' name='Bobby' subscription='both'", "<group>Mates</group>");
  await isPushed(phone, mine);
  assert.deepEqual(await getRoster(desk), [mine, CAROL]);

  await set(desk, "<item jid='bob@example.org' subscription='remove'/>");
  await isPushed(phone, BOB);
  assert.deepEqual(await getRoster(desk), [BOB, CAROL]);
});

test("a colleague of whom the account has said nothing cannot be removed, and still sees it", async (t) => {
  const { one, two } = await office(t);
  const alice = await come(one, "alice", "desk");
  const bob = await come(two, "bob", "desk");
  await heard(alice);
  await refusal(alice, "<item jid='bob@example.org' subscription='remove'/>");
  await hears(bob);
  assert.deepEqual(await getRoster(alice), [BOB, CAROL]);
});

test("what says no more than the directory does is not kept", async (t) => {
  const { one, store } = await office(t);
  const alice = await one.login("alice", "desk");
  await getRoster(alice);
  await set(alice, "<item jid='bob@example.org' name='Dr bob'><group>Sales</group></item>");
  const kept = await store.map?.("roster", json())?.list(new Jid("alice", "example.org"));
  assert.deepEqual([...(kept?.keys() ?? [])], [""]);
});

test("between colleagues nothing is asked for, and nothing can be taken back", async (t) => {
  const { one, two } = await office(t);
  const alice = await come(one, "alice", "desk");
  const bob = await come(two, "bob", "desk");
  await heard(alice);
  for (const type of ["subscribe", "subscribed"]) alice.send(`<presence type='${type}' to='bob@example.org'/>`);
  await hears(alice);
  await hears(bob);
  await getRoster(alice);
  for (const type of ["unsubscribe", "unsubscribed"]) {
    alice.send(`<presence type='${type}' to='bob@example.org'/>`);
    // As it stands.
    await isPushed(alice, BOB);
  }
  await hears(bob);
  assert.deepEqual(await getRoster(alice), [BOB, CAROL]);
});

test("contacts of before are contacts again when they are colleagues no more", async (t) => {
  const { one, store, directory } = await office(t);
  await befriend(store, "alice", "bob");
  const alice = await one.login("alice", "desk");
  assert.deepEqual(await getRoster(alice), [BOB, CAROL]);
  directory.groups = {};
  assert.deepEqual(await getRoster(alice), [item("jid='bob@example.org' subscription='both'")]);
});

/** Asks with a version; what the answer has, and the version the client then holds. */
async function withVersion(client: RawClient, ver: string): Promise<{ items: string[] | undefined; ver: string }> {
  client.send(`<iq type='get' id='v'><query xmlns='${ROSTER}' ver='${ver}'/></iq>`);
  const answer = await client.next();
  assert.equal(answer.attrs.id, "v", answer.toXml());
  const query = answer.child("query", ROSTER);
  return {
    items: query
      ?.elements()
      .map((each) => normal(each))
      .sort(),
    ver: query?.attrs.ver ?? ver,
  };
}

test("a client that knows the version is told nothing, until the company or the account changes something", async (t) => {
  const { one, two, directory } = await office(t);
  const desk = await one.login("alice", "desk");
  const first = await withVersion(desk, "");
  assert.deepEqual(first.items, [BOB, CAROL]);
  const phone = await two.login("alice", "phone");
  assert.equal((await withVersion(phone, first.ver)).items, undefined);

  await set(phone, "<item jid='bob@example.org' name='Bobby'/>");
  const [push] = await heard(desk);
  const second = /ver=['"]([^'"]+)['"]/.exec(push ?? "")?.[1] ?? "";
  assert.notEqual(second, "");
  assert.notEqual(second, first.ver);
  assert.equal((await withVersion(desk, second)).items, undefined);

  directory.groups = { Sales: ["alice", "bob"] };
  const third = await withVersion(desk, second);
  assert.deepEqual(third.items, [
    item("jid='bob@example.org' name='Bobby' subscription='both'", "<group>Sales</group>"),
  ]);
  assert.notEqual(third.ver, second);
});

test("a push that comes after the company has changed does not claim a version", async (t) => {
  const { one, two, directory } = await office(t);
  const desk = await one.login("alice", "desk");
  const phone = await two.login("alice", "phone");
  await withVersion(desk, "");
  directory.groups = { Sales: ["alice", "bob"] };
  await set(phone, "<item jid='erin@example.org' name='Erin'/>");
  const [push = ""] = await heard(desk);
  assert.match(push, /erin@example\.org/);
  assert.doesNotMatch(push, / ver=/);
});

test("while the directory cannot be reached, who asks for the roster is told to wait rather than that nobody is there", async (t) => {
  const { one, directory } = await office(t);
  const alice = await one.login("alice", "desk");
  directory.gone = true;
  alice.send(`<iq type='get' id='r'><query xmlns='${ROSTER}'/></iq>`);
  await isRefused(alice, "resource-constraint", "wait");
  directory.gone = false;
  assert.deepEqual(await getRoster(alice), [BOB, CAROL]);
});

test("an account that is removed takes leave of its own contacts alone", async (t) => {
  const { one, two, store } = await office(t);
  await befriend(store, "alice", "dave");
  const alice = await come(one, "alice", "desk");
  const bob = await come(two, "bob", "desk");
  const dave = await come(two, "dave", "desk");
  await heard(alice);
  await getRoster(bob);
  await getRoster(dave);
  await heard(bob);
  await heard(dave);
  alice.send("<iq type='set' id='1'><query xmlns='jabber:iq:register'><remove/></query></iq>");
  await alice.next();
  for (;;) if ((await alice.take()) === "end") break;
  assert.match((await heard(dave)).join(), /unsubscribed/);
  assert.doesNotMatch((await heard(bob)).join(), /subscribe/);
});

test("where no directory is named there are no colleagues, whoever asks for the table", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  assert.deepEqual(await getRoster(alice), []);
});
