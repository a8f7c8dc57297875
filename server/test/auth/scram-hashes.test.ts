/** Which hashes keys are kept for, which are offered, and how an account gets from few to all. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Accounts, type AccountsOptions } from "../../src/auth/accounts.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { type AccountStore, SCRAM_HASHES, type ScramHash, StorageError } from "../../src/storage/specs.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import { NO_STREAM } from "../../src/xmpp/sasl/mechanism.ts";
import { SaslNegotiation, type SaslReply } from "../../src/xmpp/sasl/negotiation.ts";
import { startServer } from "../support/server.ts";
import { ScramClient } from "../xmpp/sasl/scram-client.ts";

const PASSWORD = "correct horse";
const ALICE = new Jid("alice", "example.org");
const base64 = (text: string) => Buffer.from(text).toString("base64");

function accountsOver(store: AccountStore, options: AccountsOptions = {}): Accounts {
  return new Accounts("example.org", [store], { iterations: 10, ...options });
}

const memory = () => memoryDriver().accounts?.() as AccountStore;

async function hashesIn(store: AccountStore): Promise<readonly ScramHash[]> {
  const keys = await Promise.all(SCRAM_HASHES.map((hash) => store.scram?.(ALICE, hash)));
  return keys.flatMap((found) => (found === undefined ? [] : [found.hash]));
}

async function plain(accounts: Accounts, password: string): Promise<SaslReply> {
  const server = new SaslNegotiation(accounts.mechanisms(), accounts.saslContext("192.0.2.1"));
  return server.begin("PLAIN", base64(`\0alice\0${password}`));
}

/** What is done beside the login is done once the event loop has turned so often. */
async function settle(store: AccountStore): Promise<readonly ScramHash[]> {
  for (let turn = 0; turn < 200 && (await hashesIn(store)).length < SCRAM_HASHES.length; turn++) {
    await new Promise(setImmediate);
  }
  return hashesIn(store);
}

describe("keys", () => {
  test("are made for every hash, unless the operator wants fewer", async () => {
    for (const hashes of [undefined, ["sha-256"], ["sha-512", "sha-1"]] as const) {
      const store = memory();
      await accountsOver(store, { ...(hashes && { hashes }) }).create("alice", PASSWORD);
      assert.deepEqual(
        await hashesIn(store),
        SCRAM_HASHES.filter((hash) => hashes?.includes(hash as never) ?? true),
      );
    }
  });

  test("that an account lacks are made when it logs in with PLAIN, and are good", async () => {
    const store = memory();
    await accountsOver(store, { hashes: ["sha-1"] }).create("alice", PASSWORD);
    const accounts = accountsOver(store, { offered: SCRAM_HASHES });
    assert.ok("failure" in (await plain(accounts, "wrong horse")));
    assert.deepEqual(await hashesIn(store), ["sha-1"]);
    assert.ok("success" in (await plain(accounts, PASSWORD)));
    assert.deepEqual(await settle(store), SCRAM_HASHES);
    const server = new SaslNegotiation(accounts.mechanisms(), accounts.saslContext("192.0.2.1"));
    const client = new ScramClient("sha-512", "alice", PASSWORD);
    const reply = await server.begin("SCRAM-SHA-512", base64(client.first));
    assert.ok("challenge" in reply);
    const final = client.final(Buffer.from(reply.challenge, "base64").toString());
    assert.ok("success" in (await server.respond(base64(final))));
  });

  test("that an account lacks are no reason to refuse it, if they cannot be kept", async () => {
    const store = memory();
    await accountsOver(store, { hashes: ["sha-1"] }).create("alice", PASSWORD);
    let tries = 0;
    const addKeys = () => {
      tries += 1;
      return Promise.reject(new StorageError("down"));
    };
    assert.ok("success" in (await plain(accountsOver({ ...store, addKeys }), PASSWORD)));
    while (tries === 0) await new Promise(setImmediate);
    const { addKeys: _, ...without } = store;
    assert.ok("success" in (await plain(accountsOver(without), PASSWORD)));
    assert.deepEqual(await hashesIn(store), ["sha-1"]);
  });

  test("of an old hash stay when new ones are made, for the clients that know no other", async () => {
    const store = memory();
    await accountsOver(store).create("alice", PASSWORD);
    const before = await store.scram?.(ALICE, "sha-1");
    assert.ok("success" in (await plain(accountsOver(store, { hashes: ["sha-512"] }), PASSWORD)));
    assert.deepEqual(await store.scram?.(ALICE, "sha-1"), before);
  });
});

describe("the offer", () => {
  const channel = { types: ["tls-exporter"], data: () => new Uint8Array(32) };
  const names = (options: AccountsOptions, stream = NO_STREAM) =>
    accountsOver(memory(), options)
      .mechanisms(stream)
      .map(({ name }) => name);

  test("has the hashes that are configured, strongest first, and without any only what needs none", () => {
    assert.deepEqual(names({}), ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]);
    assert.deepEqual(names({ offered: ["sha-1", "sha-512"] }), ["SCRAM-SHA-512", "SCRAM-SHA-1", "PLAIN"]);
    assert.deepEqual(names({ offered: ["sha-256"] }, { ...NO_STREAM, channel }), [
      "SCRAM-SHA-256-PLUS",
      "SCRAM-SHA-256",
      "PLAIN",
    ]);
  });

  test("has no -PLUS where the channel has nothing that SCRAM can be bound to", () => {
    const unknown = { ...channel, types: ["tls-unique"] };
    assert.deepEqual(names({ offered: ["sha-1"] }, { ...NO_STREAM, channel: unknown }), ["SCRAM-SHA-1", "PLAIN"]);
  });

  test("has no -PLUS where the operator wants none", () => {
    const options = { offered: ["sha-1"], channelBinding: false } as const;
    assert.deepEqual(names(options, { ...NO_STREAM, channel }), ["SCRAM-SHA-1", "PLAIN"]);
  });

  test("has EXTERNAL first, for a certificate of this host alone", () => {
    const certified = (...addresses: string[]) => names({ offered: [] }, { ...NO_STREAM, certified: addresses });
    assert.deepEqual(certified("alice@example.org"), ["EXTERNAL", "PLAIN"]);
    assert.deepEqual(certified("alice@other.example", "ALICE@Example.Org"), ["EXTERNAL", "PLAIN"]);
    assert.deepEqual(certified("alice@other.example", "example.org", "alice@example.org/phone", "@"), ["PLAIN"]);
  });
});

test("an account without keys for a hash looks like none, with one salt each time", async () => {
  const store = memory();
  await accountsOver(store, { hashes: ["sha-1"] }).create("alice", PASSWORD);
  const options = { offered: SCRAM_HASHES, decoySecret: Buffer.alloc(32, 1) };
  const salts = new Set<string>();
  for (const name of ["alice", "alice", "nobody", "nobody"]) {
    const accounts = accountsOver(store, options);
    const server = new SaslNegotiation(accounts.mechanisms(), accounts.saslContext("192.0.2.1"));
    const client = new ScramClient("sha-512", name, PASSWORD);
    const reply = await server.begin("SCRAM-SHA-512", base64(client.first));
    assert.ok("challenge" in reply);
    const challenge = Buffer.from(reply.challenge, "base64").toString();
    salts.add(/s=([^,]+),i=10$/.exec(challenge)?.[1] ?? "");
    assert.deepEqual(await server.respond(base64(client.final(challenge))), { failure: "not-authorized", text: "" });
  }
  assert.equal(salts.size, 2);
});

test("a server keeps and offers what its configuration says", async (t) => {
  const driver = memoryDriver();
  const server = await startServer(t, {
    store: driver,
    toml: 'auth = { scram_iterations = 4096, scram_hashes = ["sha-512", "sha-256"], scram_offered = ["sha-512"] }',
  });
  await server.account("alice");
  assert.deepEqual(await hashesIn(driver.accounts?.() as AccountStore), ["sha-256", "sha-512"]);
  const client = await server.connect();
  const features = await client.open();
  const offered = features.child("mechanisms", "urn:ietf:params:xml:ns:xmpp-sasl")?.elements();
  assert.deepEqual(
    offered?.map((each) => each.text()),
    ["SCRAM-SHA-512"],
  );
});
