/** That the time a failed login takes does not tell who has an account, by counting what is done in that time. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SignJWT } from "jose";
import { Accounts, type BearerTokens } from "../../src/auth/accounts.ts";
import { HashQueue } from "../../src/auth/hash-queue.ts";
import { secretKey } from "../../src/auth/key-sets.ts";
import { Throttle } from "../../src/auth/throttle.ts";
import { TokenVerifier } from "../../src/auth/tokens.ts";
import { type AccountStore, type ScramHash, type ScramKeys, StorageError } from "../../src/storage/specs.ts";
import type { Jid } from "../../src/xmpp/jid.ts";
import { SaslNegotiation, type SaslReply } from "../../src/xmpp/sasl/negotiation.ts";
import { deriveKeys } from "../../src/xmpp/sasl/scram-keys.ts";
import { ScramClient } from "../xmpp/sasl/scram-client.ts";

const DOMAIN = "example.org";
const SECRET = "s".repeat(32);
const base64 = (text: string) => Buffer.from(text).toString("base64");
const KEYS = await Promise.all((["sha-1", "sha-256", "sha-512"] as const).map((hash) => deriveKeys("right", hash, 10)));

type Kind = "keys" | "passwords" | "both";

/** A store that notes what it is asked, or that does not answer. */
class Noting implements AccountStore {
  readonly verify?: (account: Jid, password: string) => Promise<boolean>;
  readonly scram?: (account: Jid, hash: ScramHash) => Promise<ScramKeys | undefined>;
  readonly #own: string | undefined;
  readonly #note: (what: string) => void;

  constructor(kind: Kind, own: string | undefined, note: (what: string) => void, down = false) {
    this.#own = own;
    this.#note = note;
    const answer = async <T>(what: string, value: T): Promise<T> => {
      note(what);
      if (down) throw new StorageError("down");
      return value;
    };
    if (kind !== "passwords") {
      this.scram = ({ local }, hash) =>
        answer("scram", local === own ? KEYS.find((keys) => keys.hash === hash) : undefined);
    }
    if (kind !== "keys") {
      this.verify = ({ local }, password) =>
        answer("verify", kind === "passwords" && local === own && password === "right");
    }
  }

  async exists({ local }: Jid): Promise<boolean> {
    this.#note("exists");
    return local === this.#own;
  }
}

class NotingQueue extends HashQueue {
  readonly #note: (what: string) => void;
  constructor(note: (what: string) => void) {
    super();
    this.#note = note;
  }
  override run<T>(hash: () => Promise<T>): Promise<T> {
    this.#note("hash");
    return super.run(hash);
  }
}

async function plain(accounts: Accounts, local: string, password: string): Promise<SaslReply> {
  const server = new SaslNegotiation(accounts.mechanisms(), accounts.saslContext("192.0.2.1"));
  return server.begin("PLAIN", base64(`\0${local}\0${password}`));
}

async function scram(accounts: Accounts, local: string, password: string): Promise<SaslReply> {
  const server = new SaslNegotiation(accounts.mechanisms(), accounts.saslContext("192.0.2.1"));
  const client = new ScramClient("sha-256", local, password);
  const reply = await server.begin("SCRAM-SHA-256", base64(client.first));
  if (!("challenge" in reply)) return reply;
  return server.respond(base64(client.final(Buffer.from(reply.challenge, "base64").toString())));
}

/** What a login does and answers; `at` is the store that has Alice, and `down` the one that does not answer. */
async function work(kinds: readonly Kind[], at: number, login: typeof plain, local: string, down = -1) {
  const notes: string[] = [];
  const note = (what: string) => void notes.push(what);
  const stores = kinds.map(
    (kind, i) => new Noting(kind, i === at ? "alice" : undefined, (what) => note(`${i} ${what}`), i === down),
  );
  const accounts = new Accounts(DOMAIN, stores, { hashing: new NotingQueue(note), iterations: 10 });
  const reply = await login(accounts, local, "wrong");
  return { reply, notes: notes.sort() };
}

const ALL: Kind[] = ["keys", "passwords", "both"];
const COMBINATIONS: (readonly Kind[])[] = [
  ...ALL.map((kind) => [kind]),
  ...ALL.flatMap((one) => ALL.map((other) => [one, other])),
  ["passwords", "keys", "passwords"],
  ["keys", "passwords", "keys"],
  ["both", "keys", "both"],
];

for (const kinds of COMBINATIONS) {
  describe(`over ${kinds.join(", then ")}`, () => {
    for (const login of [plain, scram]) {
      if (login === scram && kinds.every((kind) => kind === "passwords")) continue;
      test(`a wrong ${login.name} login does the same for any account and for none`, async () => {
        const none = await work(kinds, -1, login, "nobody");
        assert.deepEqual(none.reply, { failure: "not-authorized", text: "" });
        for (const at of kinds.keys()) {
          assert.deepEqual(await work(kinds, at, login, "alice"), none, `store ${at}`);
          assert.deepEqual(await work(kinds, at, login, "nobody"), none, `store ${at}`);
        }
      });

      test(`and so while one of them is down (${login.name})`, async () => {
        for (const down of kinds.keys()) {
          const none = await work(kinds, -1, login, "nobody", down);
          for (const at of kinds.keys()) {
            assert.deepEqual(await work(kinds, at, login, "alice", down), none, `store ${at}, down ${down}`);
          }
        }
      });
    }

    test("the right password is right, wherever the account is", async () => {
      for (const at of kinds.keys()) {
        const stores = kinds.map((kind, i) => new Noting(kind, i === at ? "alice" : undefined, () => {}));
        const accounts = new Accounts(DOMAIN, stores, { iterations: 10 });
        assert.deepEqual(await plain(accounts, "alice", "right"), { success: { local: "alice", data: "" } });
        if (kinds[at] !== "passwords") assert.ok("success" in (await scram(accounts, "alice", "right")));
      }
    });
  });
}

test("a store whose answer does not matter any more is asked about nobody, with nobody's password", async () => {
  const asked: string[] = [];
  const directory: AccountStore = {
    exists: async () => false,
    verify: async ({ local }, password) => {
      asked.push(local, password);
      return true;
    },
  };
  const accounts = new Accounts(DOMAIN, [new Noting("keys", "alice", () => {}), directory], { iterations: 10 });
  assert.equal(await accounts.verify("alice", "wrong"), false);
  assert.equal(asked.length, 2);
  assert.ok(!asked.includes("alice") && !asked.includes("wrong"), asked.join());
});

describe("while a store is down, a guess", () => {
  const throttle = () =>
    new Throttle(() => 0, { failuresPerAddress: 1, failuresPerAccount: 3, period: 60_000, entries: 10 });
  for (const login of [plain, scram]) {
    for (const local of ["alice", "nobody"]) {
      test(`counts for the account and not for the address (${login.name}, ${local})`, async () => {
        const stores = [new Noting("keys", "alice", () => {}), new Noting("both", undefined, () => {}, true)];
        const accounts = new Accounts(DOMAIN, stores, { throttle: throttle(), iterations: 10 });
        for (let guess = 0; guess < 3; guess++) {
          assert.deepEqual(await login(accounts, local, "wrong"), { failure: "temporary-auth-failure", text: "" });
        }
        const reply = await login(accounts, local, "right");
        assert.ok("failure" in reply && reply.text.includes("too many"), JSON.stringify(reply));
        assert.deepEqual(await login(accounts, "bob", "wrong"), { failure: "temporary-auth-failure", text: "" });
      });
    }
  }
});

describe("tokens", () => {
  const verifier = new TokenVerifier(DOMAIN, {
    keys: secretKey(SECRET),
    algorithms: ["HS256"],
    issuer: "i",
    audience: ["xmpp"],
    claim: "sub",
    form: "local",
    leeway: 0,
    now: () => 0,
  });
  const tokenFor = (sub: string, key = SECRET, exp = 60) =>
    new SignJWT({ iss: "i", aud: "xmpp", sub, exp }).setProtectedHeader({ alg: "HS256" }).sign(Buffer.from(key));

  function login(options: Partial<BearerTokens> = {}, more: { throttle?: Throttle } = {}) {
    const notes: string[] = [];
    const note = (what: string) => void notes.push(what);
    const stores = [new Noting("keys", "alice", note), new Noting("passwords", "eve", note)];
    const bearer = { verifier, suffice: false, asPassword: true, ...options };
    const accounts = new Accounts(DOMAIN, stores, { bearer, hashing: new NotingQueue(note), iterations: 10, ...more });
    const oauth = async (token: string, address = "192.0.2.1") => {
      const server = new SaslNegotiation(accounts.mechanisms(), accounts.saslContext(address));
      const reply = await server.begin("OAUTHBEARER", base64(`n,,\x01auth=Bearer ${token}\x01\x01`));
      return "challenge" in reply ? server.respond(base64("\x01")) : reply;
    };
    return { accounts, notes, oauth };
  }
  const condition = (reply: SaslReply) => ("failure" in reply ? reply.failure : JSON.stringify(reply));

  test("are offered where they are taken, PLAIN where there is a password or a token for one", () => {
    const names = (stores: AccountStore[], bearer?: BearerTokens) =>
      new Accounts(DOMAIN, stores, { bearer })
        .mechanisms()
        .map(({ name }) => name)
        .filter((name) => !name.startsWith("SCRAM"));
    const keys = [new Noting("keys", undefined, () => {})];
    assert.deepEqual(names(keys), ["PLAIN"]);
    assert.deepEqual(names(keys, { verifier, suffice: false, asPassword: false }), ["OAUTHBEARER", "PLAIN"]);
    assert.deepEqual(names([], { verifier, suffice: true, asPassword: false }), ["OAUTHBEARER"]);
    assert.deepEqual(names([], { verifier, suffice: true, asPassword: true }), ["OAUTHBEARER", "PLAIN"]);
  });

  test("let in whoever has an account in a store, or anyone where they are enough", async () => {
    for (const [suffice, local, expected] of [
      [false, "alice", '{"success":{"local":"alice","data":""}}'],
      [false, "eve", '{"success":{"local":"eve","data":""}}'],
      [false, "bob", "not-authorized"],
      [true, "bob", '{"success":{"local":"bob","data":""}}'],
    ] as const) {
      const { oauth, accounts } = login({ suffice });
      assert.equal(condition(await oauth(await tokenFor(local))), expected);
      assert.equal(await accounts.exists(local), expected !== "not-authorized");
      assert.equal(await accounts.isKept(local), local !== "bob");
    }
  });

  test("that are wrong ask no store, whomever they name", async () => {
    const { oauth, notes } = login();
    for (const local of ["alice", "nobody"])
      assert.equal(condition(await oauth(await tokenFor(local, "t".repeat(32)))), "not-authorized");
    assert.deepEqual(notes, []);
  });

  test("that are wrong count for the source; a question, and one that has expired, do not", async () => {
    const throttle = () =>
      new Throttle(() => 0, { failuresPerAddress: 2, failuresPerAccount: 0, period: 60_000, entries: 10 });
    const wrong = await tokenFor("alice", "t".repeat(32));
    const good = await tokenFor("alice");
    const { oauth } = login({}, { throttle: throttle() });
    for (let time = 0; time < 3; time++) {
      assert.equal(condition(await oauth("")), "not-authorized");
      assert.equal(condition(await oauth(await tokenFor("alice", SECRET, -1))), "credentials-expired");
    }
    for (let time = 0; time < 2; time++) assert.equal(condition(await oauth(wrong)), "not-authorized");
    assert.equal(condition(await oauth(good)), "temporary-auth-failure");
    assert.match(condition(await oauth(good, "192.0.2.2")), /success/);
  });

  test("are a password for PLAIN where that is wanted, for their own account alone, and stores see none", async () => {
    const { accounts, notes } = login();
    const good = await tokenFor("alice");
    assert.match(condition(await plain(accounts, "alice", good)), /success/);
    assert.deepEqual(notes, ["exists"]);
    for (const [local, token] of [
      ["eve", good],
      ["nobody", good],
      ["alice", await tokenFor("alice", "t".repeat(32))],
      ["nobody", await tokenFor("nobody")],
    ] as const) {
      assert.equal(condition(await plain(accounts, local, token)), "not-authorized");
    }
    assert.ok(!notes.includes("0 verify") && !notes.includes("hash"), notes.join());
    assert.match(condition(await plain(accounts, "alice", "right")), /success/);
    const strict = login({ asPassword: false });
    assert.equal(condition(await plain(strict.accounts, "alice", good)), "not-authorized");
    assert.ok(strict.notes.includes("hash"));
  });

  test("tried as passwords are limited for the account and the source", async () => {
    const throttle = new Throttle(() => 0, {
      failuresPerAddress: 5,
      failuresPerAccount: 2,
      period: 60_000,
      entries: 10,
    });
    const { accounts } = login({}, { throttle });
    const wrong = await tokenFor("alice", "t".repeat(32));
    for (let time = 0; time < 2; time++)
      assert.equal(condition(await plain(accounts, "alice", wrong)), "not-authorized");
    assert.equal(condition(await plain(accounts, "alice", "right")), "temporary-auth-failure");
  });

  test("fail for now when their store does not answer", async () => {
    const bearer = { verifier, suffice: false, asPassword: false };
    const down: AccountStore = { exists: () => Promise.reject(new StorageError("down")) };
    const accounts = new Accounts(DOMAIN, [down], { bearer });
    const credentials = accounts.saslContext("192.0.2.1").credentials;
    await assert.rejects(async () => credentials.token?.(await tokenFor("alice")), /temporary-auth-failure/);
  });
});
