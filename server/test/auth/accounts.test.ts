import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Accounts, type AccountsOptions } from "../../src/auth/accounts.ts";
import { HashQueue } from "../../src/auth/hash-queue.ts";
import { Throttle, type ThrottleOptions } from "../../src/auth/throttle.ts";
import { type AccountStore, StorageError } from "../../src/storage/specs.ts";
import { StanzaError } from "../../src/xmpp/errors.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import { SaslNegotiation, type SaslReply } from "../../src/xmpp/sasl/negotiation.ts";
import { deriveKeys } from "../../src/xmpp/sasl/scram-keys.ts";
import { ScramClient } from "../xmpp/sasl/scram-client.ts";
import { Directory, KeyStore } from "./key-store.ts";

const DOMAIN = "example.org";
const PASSWORD = "correct horse";
const NOT_AUTHORIZED = { failure: "not-authorized", text: "" };
const TRY_LATER = { failure: "temporary-auth-failure", text: "" };
const TOO_MANY = { failure: "temporary-auth-failure", text: "too many failed logins, try again in a minute" };
const base64 = (text: string) => Buffer.from(text).toString("base64");

function accountsOver(stores: readonly AccountStore[], options: AccountsOptions = {}): Accounts {
  return new Accounts(DOMAIN, stores, { iterations: 10, ...options });
}

function throttleOf(options: Partial<ThrottleOptions>, now = () => 0): Throttle {
  return new Throttle(now, { failuresPerAddress: 0, failuresPerAccount: 0, period: 60_000, entries: 100, ...options });
}

async function withAlice(options: AccountsOptions = {}) {
  const store = new KeyStore();
  const accounts = accountsOver([store], options);
  assert.equal(await accounts.create("alice", PASSWORD), "created");
  store.requests.length = 0;
  return { store, accounts };
}

async function plain(accounts: Accounts, local: string, password: string, address = "192.0.2.1"): Promise<SaslReply> {
  const server = new SaslNegotiation(accounts.mechanisms(), accounts.saslContext(address));
  return server.begin("PLAIN", base64(`\0${local}\0${password}`));
}

async function scram(accounts: Accounts, local: string, password: string, address = "192.0.2.1"): Promise<SaslReply> {
  const server = new SaslNegotiation(accounts.mechanisms(), accounts.saslContext(address));
  const client = new ScramClient("sha-256", local, password);
  const reply = await server.begin("SCRAM-SHA-256", base64(client.first));
  if (!("challenge" in reply)) return reply;
  return server.respond(base64(client.final(Buffer.from(reply.challenge, "base64").toString())));
}

const refusedWith = (condition: string, text: RegExp) => (error: unknown) =>
  error instanceof StanzaError && error.condition === condition && text.test(error.text);

/** A store that cannot be reached. */
const unreachable: AccountStore = {
  exists: () => Promise.reject(new StorageError("down")),
  scram: () => Promise.reject(new StorageError("down")),
  verify: () => Promise.reject(new StorageError("down")),
};
const unreachableDirectory: AccountStore = {
  exists: () => Promise.reject(new StorageError("down")),
  verify: () => Promise.reject(new StorageError("down")),
};

describe("an account", () => {
  test("is created once, by its prepared name, and logs in by each mechanism", async () => {
    const store = new KeyStore();
    const accounts = accountsOver([store]);
    assert.equal(await accounts.create("Alice", PASSWORD), "created");
    assert.equal(await accounts.create("alice", "another password"), "exists");
    assert.equal(await accounts.exists("ALICE"), true);
    assert.equal(await accounts.exists("bob"), false);
    assert.equal(await accounts.exists("a@b"), false);
    for (const login of [plain, scram]) {
      const reply = await login(accounts, "alice", PASSWORD);
      assert.ok("success" in reply && reply.success.local === "alice", JSON.stringify(reply));
      for (const [local, password] of [
        ["alice", "wrong"],
        ["bob", PASSWORD],
      ] as const) {
        assert.deepEqual(await login(accounts, local, password), NOT_AUTHORIZED);
      }
    }
    const sha1 = await store.scram(new Jid("alice", DOMAIN), "sha-1");
    assert.deepEqual(sha1, await deriveKeys(PASSWORD, "sha-1", 10, sha1?.salt));
  });

  test("has its keys made with the iterations that are configured, 10000 unless told otherwise", async () => {
    for (const [options, iterations] of [
      [{}, 10_000],
      [{ iterations: 4096 }, 4096],
    ] as const) {
      const store = new KeyStore();
      await new Accounts(DOMAIN, [store], options).create("alice", PASSWORD);
      assert.equal((await store.scram(new Jid("alice", DOMAIN), "sha-256"))?.iterations, iterations);
    }
  });

  test("gets a new password, after which the old one is none", async () => {
    const { accounts } = await withAlice();
    assert.equal(await accounts.setPassword("alice", "battery staple"), "changed");
    assert.equal(await accounts.setPassword("bob", "battery staple"), "missing");
    assert.equal(await accounts.verify("alice", PASSWORD), false);
    assert.equal(await accounts.verify("alice", "battery staple"), true);
  });

  test("is gone when it was removed", async () => {
    const { accounts } = await withAlice();
    await accounts.remove("alice");
    await accounts.remove("alice");
    assert.equal(await accounts.exists("alice"), false);
    assert.equal(await accounts.verify("alice", PASSWORD), false);
  });

  test("is listed in order over all stores, a page at a time, and counted", async () => {
    const stores = [new KeyStore(), new KeyStore()] as const;
    const keys = [await deriveKeys(PASSWORD, "sha-1", 1)];
    for (const [at, local] of ["dora", "alice", "carol", "bob"].entries()) {
      await stores[at % 2 === 0 ? 0 : 1].create(new Jid(local, DOMAIN), keys);
    }
    const accounts = accountsOver([...stores, new Directory({ eve: "" })]);
    assert.deepEqual(await accounts.list(), ["alice", "bob", "carol", "dora"]);
    assert.deepEqual(await accounts.list("alice", 2), ["bob", "carol"]);
    assert.equal(await accounts.count(), 4);
  });

  test("is refused a name that can be none, and a weak password", async () => {
    const accounts = accountsOver([new KeyStore()]);
    await assert.rejects(accounts.create("a b", PASSWORD), refusedWith("jid-malformed", /name/));
    const weak: readonly (readonly [string, RegExp])[] = [
      ["", /forbidden/],
      ["good\u0007password", /forbidden/],
      ["seven77", /shorter than 8/],
      ["abababababab", /different/],
      ["Alice123", /account's name/],
    ];
    for (const [password, why] of weak) {
      await assert.rejects(accounts.create("alice", password), refusedWith("not-acceptable", why), password);
      await assert.rejects(accounts.setPassword("alice", password), refusedWith("not-acceptable", why), password);
    }
    for (const [local, password] of [
      ["alice", "eight888"],
      ["bob", "abcdeabcde"],
      ["carol", "carolsings1"],
    ] as const) {
      assert.equal(await accounts.create(local, password), "created");
    }
    const strict = accountsOver([new KeyStore()], { passwordLength: 12 });
    await assert.rejects(strict.create("alice", "eleven chrs"), refusedWith("not-acceptable", /shorter than 12/));
    assert.equal(await strict.create("alice", "twelve chars"), "created");
  });

  test("cannot be made or changed where all is kept elsewhere", async () => {
    const accounts = accountsOver([new Directory({ eve: "apple pie" })]);
    await assert.rejects(accounts.create("adam", PASSWORD), refusedWith("not-allowed", /elsewhere/));
    await assert.rejects(accounts.setPassword("eve", PASSWORD), refusedWith("not-allowed", /elsewhere/));
  });
});

describe("stores in order", () => {
  test("offer SCRAM only where one keeps keys, and PLAIN always", () => {
    const names = (...stores: AccountStore[]) =>
      accountsOver(stores)
        .mechanisms()
        .map(({ name }) => name);
    assert.deepEqual(names(new KeyStore()), ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]);
    assert.deepEqual(names(new Directory({})), ["PLAIN"]);
    assert.deepEqual(names(new Directory({}), new KeyStore()), ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]);
  });

  test("are all asked, but keys decide where there are some", async () => {
    const { store } = await withAlice();
    const directory = new Directory({ alice: "other password", eve: "apple pie" });
    const accounts = accountsOver([store, directory]);
    assert.equal(await accounts.verify("eve", "apple pie"), true);
    assert.equal(await accounts.verify("eve", "apple tart"), false);
    assert.equal(await accounts.verify("alice", "other password"), false);
    assert.equal(await accountsOver([directory, store]).verify("alice", PASSWORD), true);
    assert.equal(await accounts.exists("eve"), true);
    assert.equal(await accounts.create("eve", PASSWORD), "exists");
  });

  test("check a password as an opaque string, and are never asked about an empty one", async () => {
    const directory = new Directory({ eve: "a b" });
    const accounts = accountsOver([directory]);
    assert.equal(await accounts.verify("eve", "a\u00a0b"), true);
    assert.equal(await accounts.verify("eve", ""), false);
    assert.equal(await accounts.verify("eve", "a\u0000b"), false);
    assert.deepEqual(directory.asked, ["a b"]);
  });

  test("that do not answer make a login fail for now, not for good", async () => {
    const { store } = await withAlice();
    for (const login of [plain, scram]) {
      assert.deepEqual(await login(accountsOver([unreachable]), "alice", PASSWORD), TRY_LATER);
      assert.deepEqual(await login(accountsOver([unreachable, store]), "alice", PASSWORD), TRY_LATER);
      assert.ok("success" in (await login(accountsOver([unreachableDirectory, store]), "alice", PASSWORD)));
    }
    assert.deepEqual(await plain(accountsOver([unreachableDirectory, store]), "bob", PASSWORD), TRY_LATER);
    await assert.rejects(accountsOver([unreachable]).verify("alice", PASSWORD), StorageError);
  });

  test("that have a bug do not hide it", async () => {
    const broken: AccountStore = {
      exists: () => Promise.reject(new TypeError("a bug")),
      scram: () => Promise.reject(new TypeError("a bug")),
      verify: () => Promise.reject(new TypeError("a bug")),
    };
    await assert.rejects(plain(accountsOver([broken]), "alice", PASSWORD), /a bug/);
    await assert.rejects(scram(accountsOver([broken]), "alice", PASSWORD), /a bug/);
    await assert.rejects(
      plain(accountsOver([{ ...broken, scram: async () => undefined }]), "alice", PASSWORD),
      /a bug/,
    );
  });

  test("are asked as often, and hash as often, for an account that does not exist", async () => {
    let hashes = 0;
    class CountingQueue extends HashQueue {
      override run<T>(hash: () => Promise<T>): Promise<T> {
        hashes += 1;
        return super.run(hash);
      }
    }
    const { store, accounts } = await withAlice({ hashing: new CountingQueue() });
    const costOf = async (login: typeof plain, local: string) => {
      hashes = 0;
      store.requests.length = 0;
      assert.deepEqual(await login(accounts, local, "wrong"), NOT_AUTHORIZED);
      return [hashes, ...store.requests];
    };
    assert.deepEqual(await costOf(plain, "nobody"), [1, "scram", "scram", "scram"]);
    assert.deepEqual(await costOf(plain, "nobody"), await costOf(plain, "alice"));
    assert.deepEqual(await costOf(scram, "nobody"), await costOf(scram, "alice"));
  });
});

describe("failed logins", () => {
  for (const login of [plain, scram]) {
    test(`of an account are limited without asking its store, and time heals it (${login.name})`, async () => {
      let now = 0;
      const throttle = throttleOf({ failuresPerAccount: 3 }, () => now);
      const { store, accounts } = await withAlice({ throttle });
      for (let failure = 0; failure < 3; failure++) {
        assert.deepEqual(await login(accounts, "alice", "wrong", `192.0.2.${failure}`), NOT_AUTHORIZED);
      }
      store.requests.length = 0;
      assert.deepEqual(await login(accounts, "alice", PASSWORD, "192.0.2.99"), TOO_MANY);
      assert.deepEqual(store.requests, []);
      assert.deepEqual(await login(accounts, "bob", PASSWORD), NOT_AUTHORIZED);
      now = 19_999;
      assert.deepEqual(await login(accounts, "alice", PASSWORD), TOO_MANY);
      now = 20_000;
      assert.ok("success" in (await login(accounts, "alice", PASSWORD)));
    });

    test(`from an address are limited over all accounts (${login.name})`, async () => {
      const { accounts } = await withAlice({ throttle: throttleOf({ failuresPerAddress: 2 }) });
      assert.deepEqual(await login(accounts, "bob", "wrong"), NOT_AUTHORIZED);
      assert.ok("success" in (await login(accounts, "alice", PASSWORD)));
      assert.deepEqual(await login(accounts, "carol", "wrong"), NOT_AUTHORIZED);
      assert.deepEqual(await login(accounts, "alice", PASSWORD), TOO_MANY);
      assert.ok("success" in (await login(accounts, "alice", PASSWORD, "192.0.2.2")));
    });
  }

  test("are not counted when it is the store that fails", async () => {
    const throttle = throttleOf({ failuresPerAccount: 1, failuresPerAddress: 1 });
    for (let time = 0; time < 3; time++) {
      assert.deepEqual(await plain(accountsOver([unreachable], { throttle }), "alice", PASSWORD), TRY_LATER);
    }
    const { accounts } = await withAlice({ throttle });
    assert.ok("success" in (await plain(accounts, "alice", PASSWORD)));
  });

  test("are limited also when all guesses are sent at once", async () => {
    const { accounts } = await withAlice({ throttle: throttleOf({ failuresPerAccount: 3 }) });
    for (const login of [plain, scram]) {
      const replies = await Promise.all(Array.from({ length: 8 }, () => login(accounts, "alice", "wrong")));
      const tried = replies.filter((reply) => "failure" in reply && reply.failure === "not-authorized");
      assert.equal(tried.length, login === plain ? 3 : 0);
    }
    const other = await withAlice({ throttle: throttleOf({ failuresPerAccount: 3 }) });
    const replies = await Promise.all(Array.from({ length: 8 }, () => scram(other.accounts, "alice", "wrong")));
    assert.equal(replies.filter((reply) => "failure" in reply && reply.failure === "not-authorized").length, 3);
  });
});
