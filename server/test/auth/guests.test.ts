import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { Accounts } from "../../src/auth/accounts.ts";
import { type GuestOptions, Guests } from "../../src/auth/guests.ts";
import type { Session } from "../../src/module/api.ts";
import { NoticeBoard } from "../../src/module/hooks.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { json } from "../../src/storage/specs.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import { prepareLocal } from "../../src/xmpp/precis.ts";
import { startServer } from "../support/server.ts";
import { KeyStore } from "./key-store.ts";

const DOMAIN = "example.org";
const SECRET = Buffer.from("secret");

function guestsOf(options: Partial<GuestOptions> = {}): Guests {
  return new Guests({ secret: SECRET, perAddress: 2, max: 3, bindWithin: 30_000, now: () => 0, ...options });
}
const jidOf = (local: string | undefined, domain = DOMAIN) => new Jid(local as string, domain);

/** Guests whose sessions the test opens and ends, in time that it winds. */
function attended(t: TestContext, guests = guestsOf()) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const failed = (error: unknown) => assert.fail(String(error));
  const notices = {
    sessionOpened: new NoticeBoard<{ session: Session }>(failed),
    sessionClosed: new NoticeBoard<{ session: Session; lastPresence: undefined }>(failed),
    sessionLost: new NoticeBoard<{ jid: Jid; available: boolean }>(failed),
  };
  const online = new Set<string>();
  const removed: string[] = [];
  const broken = { removal: false, told: [] as string[] };
  const leave = guests.attend({
    notices: notices as unknown as Parameters<Guests["attend"]>[0]["notices"],
    online: (account) => online.has(account.bare),
    remove: async (account) => {
      if (broken.removal) throw new Error("down");
      removed.push(account.bare);
    },
    failed: (account, error) => void broken.told.push(`${account.bare}: ${error}`),
    after: 5000,
  });
  const session = (local: string) => ({ jid: new Jid(local, DOMAIN, "r") }) as Session;
  return {
    guests,
    online,
    removed,
    broken,
    leave,
    open: (local: string) => notices.sessionOpened.tell({ session: session(local) }),
    close: (local: string) => notices.sessionClosed.tell({ session: session(local), lastPresence: undefined }),
    lose: (local: string) => notices.sessionLost.tell({ jid: session(local).jid, available: true }),
    async wait(ms: number) {
      t.mock.timers.tick(ms);
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

describe("a guest's name", () => {
  test("is new each time, hard to guess, and a local part as it is", () => {
    const guests = guestsOf({ perAddress: 1000, max: 1000 });
    const names = Array.from({ length: 100 }, () => guests.admit("192.0.2.1", DOMAIN) as string);
    assert.equal(new Set(names.map((name) => name.slice(0, 32))).size, 100);
    for (const name of names) assert.equal(prepareLocal(name), name);
  });

  test("is known by every node with the same secret, and by nobody else", () => {
    const name = guestsOf().admit("192.0.2.1", DOMAIN) as string;
    assert.equal(guestsOf().made(jidOf(name)), true);
    assert.equal(guestsOf({ secret: Buffer.from("other") }).made(jidOf(name)), false);
    assert.equal(guestsOf().made(jidOf(name, "example.com")), false);
    const changed = `${name.startsWith("0") ? "1" : "0"}${name.slice(1)}`;
    for (const other of [changed, name.slice(1), `${name}0`, "alice", "", "g".repeat(48), "0".repeat(48)]) {
      assert.equal(guestsOf().made(jidOf(other)), false, other);
    }
  });
});

describe("guests", () => {
  test("are so many from one address, and so many in all", () => {
    const guests = guestsOf();
    const come = (address: string) => guests.admit(address, DOMAIN) !== undefined;
    assert.deepEqual(["192.0.2.1", "192.0.2.1", "192.0.2.1"].map(come), [true, true, false]);
    assert.deepEqual(["2001:db8::1", "192.0.2.2"].map(come), [true, false]);
    assert.equal(guests.count, 3);
  });

  test("of one /64 are from one address", () => {
    const guests = guestsOf();
    const come = (address: string) => guests.admit(address, DOMAIN) !== undefined;
    assert.deepEqual(["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"].map(come), [
      true,
      true,
      false,
      true,
    ]);
  });

  test("that never bind a resource are forgotten in time, and those that did are not", async (t) => {
    let now = 0;
    const { guests, open } = attended(t, guestsOf({ now: () => now }));
    const bound = guests.admit("192.0.2.1", DOMAIN) as string;
    guests.admit("192.0.2.1", DOMAIN);
    await open(bound);
    now = 29_999;
    assert.equal(guests.admit("192.0.2.1", DOMAIN), undefined);
    now = 30_000;
    assert.ok(guests.admit("192.0.2.1", DOMAIN));
    assert.equal(guests.admit("192.0.2.1", DOMAIN), undefined);
  });

  test("make room when they leave, and their account is removed a little later", async (t) => {
    const { guests, open, close, removed, wait } = attended(t);
    const name = guests.admit("192.0.2.1", DOMAIN) as string;
    await open(name);
    assert.equal(await guests.present(jidOf(name)), true);
    await close(name);
    assert.equal(await guests.present(jidOf(name)), false);
    assert.equal(guests.count, 0);
    await wait(4999);
    assert.deepEqual(removed, []);
    await wait(1);
    assert.deepEqual(removed, [`${name}@${DOMAIN}`]);
  });

  test("whose session went on elsewhere keep their account", async (t) => {
    const { guests, open, close, removed, online, wait } = attended(t);
    const name = guests.admit("192.0.2.1", DOMAIN) as string;
    await open(name);
    online.add(`${name}@${DOMAIN}`);
    await close(name);
    await wait(5000);
    assert.deepEqual(removed, []);
    assert.equal(await guests.present(jidOf(name)), true);
  });

  test("of a node that died are removed by the one that hears of it; accounts are not", async (t) => {
    const name = guestsOf().admit("192.0.2.1", DOMAIN) as string;
    const { lose, removed, wait, close } = attended(t);
    await lose(name);
    await lose("alice");
    await close("alice");
    await wait(5000);
    assert.deepEqual(removed, [`${name}@${DOMAIN}`]);
  });

  test("that have just left are removed at once when the node stops", async (t) => {
    const { guests, open, close, removed, leave, wait } = attended(t);
    const name = guests.admit("192.0.2.1", DOMAIN) as string;
    await open(name);
    await close(name);
    await leave();
    assert.deepEqual(removed, [`${name}@${DOMAIN}`]);
    await wait(5000);
    assert.equal(removed.length, 1);
  });
});

test("a guest whose account cannot be removed holds up neither the others nor the end", async (t) => {
  const { guests, open, close, removed, broken, leave, wait } = attended(t);
  const names = ["192.0.2.1", "192.0.2.2"].map((address) => guests.admit(address, DOMAIN) as string);
  for (const name of names) await open(name);
  await close(names[0] as string);
  broken.removal = true;
  await wait(5000);
  assert.deepEqual(broken.told, [`${names[0]}@${DOMAIN}: Error: down`]);
  await close(names[1] as string);
  await leave();
  assert.equal(broken.told.length, 2);
  assert.deepEqual(removed, []);
});

test("an account has no guest's name, and a guest has no password", async () => {
  const guests = guestsOf();
  const accounts = new Accounts(DOMAIN, [new KeyStore()], { guests, iterations: 10 });
  const name = guests.admit("192.0.2.1", DOMAIN) as string;
  assert.equal(await accounts.create(name, "correct horse"), "exists");
  assert.equal(await accounts.setPassword(name, "correct horse"), "missing");
  assert.equal(await accounts.verify(name, "correct horse"), false);
  assert.equal(accounts.isGuest(name), true);
  assert.equal(accounts.isGuest("alice"), false);
});

const TOML = `
  host_types = { default = {}, open = { accounts = [], anonymous = { max_per_address = 1 } } }
  hosts = [{ domain = "example.org" }, { domain = "open.example", type = "open" }]`;

describe("a server", () => {
  test("lets guests in where that is configured, and offers it nowhere else", async (t) => {
    const server = await startServer(t, { toml: TOML });
    const offers = async (domain: string) => {
      const client = await server.connect();
      const features = await client.open(domain);
      return features
        .child("mechanisms", "urn:ietf:params:xml:ns:xmpp-sasl")
        ?.elements()
        .map((mechanism) => mechanism.text());
    };
    assert.deepEqual(await offers("open.example"), ["ANONYMOUS"]);
    assert.ok(!(await offers("example.org"))?.includes("ANONYMOUS"));
    const stranger = await server.connect();
    await stranger.open("example.org");
    stranger.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>");
    await stranger.receives("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><invalid-mechanism/></failure>");
  });

  test("gives a guest a session, the address's one place again afterwards, and keeps nothing", async (t) => {
    const store = memoryDriver();
    const server = await startServer(t, { toml: TOML, store });
    const auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>";
    const guest = await server.connect();
    await guest.open("open.example");
    guest.send(auth);
    await guest.receives("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    await guest.open("open.example");
    guest.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    const jid = (await guest.next()).child("bind", "urn:ietf:params:xml:ns:xmpp-bind")?.childText("jid") ?? "";
    const account = jidOf(jid.slice(0, jid.indexOf("@")), "open.example");
    guest.jid = jid;
    guest.send(
      "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='alice@example.org' name='Alice'/></query></iq>",
    );
    await guest.receives(`<iq type='result' id='r' from='${account.bare}' to='${jid}'/>`);
    const roster = store.map?.("roster", json<unknown>());
    assert.ok((await roster?.list(account))?.has("alice@example.org"));

    const second = await server.connect();
    await second.open("open.example");
    second.send(auth);
    await second.receives(
      "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><temporary-auth-failure/><text xml:lang='en'>there are too many guests, try again later</text></failure>",
    );
    await guest.leave();
    while ((await guest.take()) !== "end");
    second.send(auth);
    await second.receives("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    await server.stop();
    assert.equal((await roster?.list(account))?.size, 0);
  });
});
