/** Logins by token, as an account's host sees them: throttled like others, and gone with the password or the account. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, test } from "node:test";
import { Accounts, type AccountsOptions } from "../../src/auth/accounts.ts";
import { type ClientTokens, FastTokens } from "../../src/auth/fast-tokens.ts";
import { Throttle } from "../../src/auth/throttle.ts";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { type AccountStore, type MapStore, map, StorageError } from "../../src/storage/specs.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import { FAST_MECHANISMS } from "../../src/xmpp/sasl/ht.ts";
import { NO_STREAM } from "../../src/xmpp/sasl/mechanism.ts";
import { SASL_MECHANISMS } from "../../src/xmpp/sasl/mechanisms.ts";
import { SaslNegotiation, type SaslReply } from "../../src/xmpp/sasl/negotiation.ts";
import { KeyStore } from "./key-store.ts";

const ALICE = new Jid("alice", "example.org");
const PHONE = "d4565fa7-4d72-4749-b3d3-740edbf87770";
const NONE = "HT-SHA-256-NONE";
const NOT_AUTHORIZED = { failure: "not-authorized", text: "" };
const TRY_LATER = { failure: "temporary-auth-failure", text: "" };
const TOO_MANY = { failure: "temporary-auth-failure", text: "too many failed logins, try again in a minute" };

async function withAlice(options: AccountsOptions & { readonly store?: AccountStore } = {}) {
  const time = { now: 0 };
  const kept = map<ClientTokens>("fast_tokens").open(memoryDriver()) as MapStore<ClientTokens>;
  const tokens = new FastTokens(kept, {
    secret: Buffer.from("s"),
    lifetime: 1000,
    renewAfter: 1000,
    perAccount: 5,
    now: () => time.now,
  });
  const store = new KeyStore();
  const accounts = new Accounts("example.org", [store], { iterations: 10, tokens, ...options });
  await accounts.create("alice", "correct horse");
  const { token } = await tokens.issue(ALICE, PHONE, NONE);
  return { accounts, store, tokens, token, time, kept };
}

function throttle(failuresPerAddress: number, failuresPerAccount: number): Throttle {
  return new Throttle(() => 0, { failuresPerAddress, failuresPerAccount, period: 60_000, entries: 10 });
}

async function login(accounts: Accounts, token: string, local = "alice", address = "192.0.2.1"): Promise<SaslReply> {
  const negotiation = new SaslNegotiation(accounts.fastMechanisms(NO_STREAM), accounts.saslContext(address));
  const proof = createHmac("sha256", token).update("Initiator").digest();
  const message = Buffer.concat([Buffer.from(`${local}\0`), proof]).toString("base64");
  return negotiation.begin(NONE, message, { userAgent: PHONE, count: undefined, invalidate: false, renewable: true });
}

const succeeds = async (accounts: Accounts, token: string) => "success" in (await login(accounts, token));

describe("a login by token", () => {
  test("is there where tokens are, with the mechanisms that the channel allows", async () => {
    const { accounts } = await withAlice();
    const names = (types: readonly string[]) =>
      accounts.fastMechanisms({ channel: { types, data: () => undefined } }).map(({ name }) => name);
    assert.deepEqual(names([]), [NONE]);
    assert.deepEqual(names(["tls-server-end-point"]), ["HT-SHA-256-ENDP", NONE]);
    assert.deepEqual(names(["tls-exporter", "tls-server-end-point"]), ["HT-SHA-256-EXPR", "HT-SHA-256-ENDP", NONE]);
    assert.deepEqual(new Accounts("example.org", [new KeyStore()]).fastMechanisms(NO_STREAM), []);
  });

  test("is for those who have shown a password or a token before", async () => {
    const { accounts } = await withAlice();
    const given = (over: Accounts) =>
      [...SASL_MECHANISMS, ...FAST_MECHANISMS].filter((each) => over.givesTokens(each)).map(({ name }) => name);
    const names = given(accounts);
    for (const name of ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "PLAIN", NONE]) assert.ok(names.includes(name), name);
    for (const name of ["EXTERNAL", "ANONYMOUS", "OAUTHBEARER"]) assert.ok(!names.includes(name), name);
    // What PLAIN shows may be a token of somebody else's, which runs out.
    const bearer = { verifier: undefined as never, suffice: false, asPassword: true };
    const other = new Accounts("example.org", [new KeyStore()], { bearer });
    assert.ok(!given(other).includes("PLAIN"));
  });

  test("needs the token of an account; who has none hears the same", async () => {
    const { accounts, token } = await withAlice();
    assert.ok(await succeeds(accounts, token));
    assert.deepEqual(await login(accounts, "guess"), NOT_AUTHORIZED);
    assert.deepEqual(await login(accounts, token, "nobody"), NOT_AUTHORIZED);
  });

  test("with an expired token is told so, and counts as no guess", async () => {
    const { accounts, token, time } = await withAlice({ throttle: throttle(1, 1) });
    time.now = 1000;
    const expired = { failure: "credentials-expired", text: "" };
    assert.deepEqual(await login(accounts, token), expired);
    assert.deepEqual(await login(accounts, token), expired);
  });

  test("counts as a guess when it is wrong, for the account and for the address, be the account there or not", async () => {
    for (const local of ["alice", "nobody"]) {
      const { accounts, token } = await withAlice({ throttle: throttle(0, 1) });
      assert.deepEqual(await login(accounts, "guess", local), NOT_AUTHORIZED);
      assert.deepEqual(await login(accounts, token, local, "192.0.2.2"), TOO_MANY, local);
    }
    const { accounts, token } = await withAlice({ throttle: throttle(1, 0) });
    assert.deepEqual(await login(accounts, "guess", "nobody"), NOT_AUTHORIZED);
    assert.deepEqual(await login(accounts, token), TOO_MANY);
  });

  test("is put off when the store does not answer, and counts as no guess", async () => {
    const { accounts, token, kept } = await withAlice({ throttle: throttle(1, 1) });
    const get = kept.get;
    kept.get = () => Promise.reject(new StorageError("down"));
    assert.deepEqual(await login(accounts, token), TRY_LATER);
    kept.get = get;
    assert.ok(await succeeds(accounts, token));
  });
});

describe("tokens are gone", () => {
  test("with the password that they were got by", async () => {
    const { accounts, token } = await withAlice();
    assert.equal(await accounts.setPassword("alice", "battery staple"), "changed");
    assert.deepEqual(await login(accounts, token), NOT_AUTHORIZED);
  });

  test("with their account, also for the next one of that name", async () => {
    const { accounts, token } = await withAlice();
    await accounts.remove("alice");
    assert.deepEqual(await login(accounts, token), NOT_AUTHORIZED);
    await accounts.create("alice", "battery staple");
    assert.deepEqual(await login(accounts, token), NOT_AUTHORIZED);
  });

  test("with an account that was removed behind the server's back", async () => {
    const { accounts, store, token } = await withAlice();
    await store.remove(ALICE);
    assert.deepEqual(await login(accounts, token), NOT_AUTHORIZED);
    await accounts.create("alice", "battery staple");
    assert.deepEqual(await login(accounts, token), NOT_AUTHORIZED);
  });
});
