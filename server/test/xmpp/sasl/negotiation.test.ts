import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Credentials, NO_STREAM, SaslError } from "../../../src/xmpp/sasl/mechanism.ts";
import { SASL_MECHANISMS } from "../../../src/xmpp/sasl/mechanisms.ts";
import { SASL_LIMITS, SaslNegotiation } from "../../../src/xmpp/sasl/negotiation.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");

function negotiation(verify: Credentials["verify"] = isAlice, limits = SASL_LIMITS): SaslNegotiation {
  const context = {
    ...NO_STREAM,
    domain: "example.org",
    credentials: { scram: () => undefined, verify, proved: () => {} },
    decoySecret: Buffer.alloc(32),
    iterations: 4096,
    nonce: () => "nonce",
  };
  return new SaslNegotiation(SASL_MECHANISMS, context, limits);
}

function isAlice(local: string, password: string): boolean {
  return local === "alice" && password === "s3cret \u03c0";
}

const LOGIN = base64("\0alice\0s3cret \u03c0");
const SUCCESS = { success: { local: "alice", data: "" } };
const NOT_AUTHORIZED = { failure: "not-authorized", text: "" };

describe("PLAIN", () => {
  test("lets in whoever has the password, by name as typed or prepared", () => {
    for (const message of [
      "\0alice\0s3cret \u03c0",
      "\0ALICE\0s3cret \u03c0",
      "alice@example.org\0alice\0s3cret \u03c0",
    ]) {
      assert.deepEqual(negotiation().begin("PLAIN", base64(message)), SUCCESS, JSON.stringify(message));
    }
  });

  test("refuses a wrong password, an unknown account and a name that can be none alike", () => {
    for (const message of [
      "\0alice\0wrong",
      "\0bob\0s3cret \u03c0",
      '\0"alice"\0s3cret \u03c0',
      "\0alice@example.org\0s3cret \u03c0",
    ]) {
      assert.deepEqual(negotiation().begin("PLAIN", base64(message)), NOT_AUTHORIZED, JSON.stringify(message));
    }
  });

  test("refuses acting as somebody else, before it asks for the password", () => {
    const asked: string[] = [];
    const server = negotiation((local) => asked.push(local) > 0);
    assert.deepEqual(server.begin("PLAIN", base64("bob@example.org\0alice\0x")), {
      failure: "invalid-authzid",
      text: "",
    });
    assert.deepEqual(asked, []);
  });

  test("refuses a message without its three parts, or with an empty name or password", () => {
    for (const message of [
      "alice",
      "\0alice",
      "\0alice\0",
      "\0\0s3cret",
      "\0alice\0s3cret\0",
      "\0alice\0s3\0cret",
      "\0\0",
    ]) {
      const reply = negotiation(() => true).begin("PLAIN", base64(message));
      assert.ok("failure" in reply && reply.failure === "malformed-request", JSON.stringify(message));
    }
  });
});

describe("a SASL negotiation", () => {
  test("asks for what the client did not send along (RFC 6120 6.4.2)", () => {
    const server = negotiation();
    assert.deepEqual(server.begin("PLAIN", ""), { challenge: "" });
    assert.deepEqual(server.respond(LOGIN), SUCCESS);
  });

  test("takes = for an empty message", () => {
    const reply = negotiation().begin("PLAIN", "=");
    assert.ok("failure" in reply && reply.failure === "malformed-request");
  });

  test("refuses what is not strict base64", () => {
    for (const text of [
      "AGFsaWNl AHM=",
      `${LOGIN}\n`,
      LOGIN.replace(/=+$/, ""),
      "====",
      "A",
      "AB==",
      "!!!!",
      "AGF-",
      "=AAA",
    ]) {
      assert.deepEqual(negotiation().begin("PLAIN", text), { failure: "incorrect-encoding", text: "" }, text);
    }
  });

  test("takes a message as long as the limit and none that is longer", () => {
    for (const messageBytes of [4096, 30, 31, 32]) {
      const message = (bytes: number) => base64(`\0alice\0${"x".repeat(bytes - 7)}`);
      const server = negotiation(() => true, { messageBytes, refusals: 3 });
      assert.deepEqual(server.begin("PLAIN", message(messageBytes)), SUCCESS);
      for (const longer of [1, 2, 3, 5000]) {
        const reply = server.begin("PLAIN", message(messageBytes + longer));
        assert.deepEqual(reply, { failure: "malformed-request", text: "message too long" });
      }
    }
    assert.equal(SASL_LIMITS.messageBytes, 4096);
  });

  test("refuses a mechanism that is not offered, whatever its case", () => {
    for (const name of ["X-NONE", "plain", "", "SCRAM-SHA-256-PLUS"]) {
      assert.deepEqual(negotiation().begin(name, LOGIN), { failure: "invalid-mechanism", text: "" });
    }
  });

  test("refuses a response where nothing was asked, and after an abort", () => {
    const server = negotiation();
    const nothing = { failure: "malformed-request", text: "no exchange is under way" };
    assert.deepEqual(server.respond(LOGIN), nothing);
    assert.deepEqual(server.begin("PLAIN", ""), { challenge: "" });
    assert.deepEqual(server.abort(), { failure: "aborted", text: "" });
    assert.deepEqual(server.respond(LOGIN), nothing);
  });

  test("starts over when the client does", () => {
    const server = negotiation();
    const first = server.begin("SCRAM-SHA-1", base64("n,,n=alice,r=abc"));
    assert.ok("challenge" in first);
    assert.deepEqual(server.begin("PLAIN", LOGIN), SUCCESS);
  });

  test("is exhausted by as many refusals as are allowed, not by one less", () => {
    const server = negotiation(isAlice, { messageBytes: 4096, refusals: 2 });
    assert.deepEqual(server.begin("PLAIN", base64("\0alice\0wrong")), NOT_AUTHORIZED);
    assert.equal(server.exhausted, false);
    assert.ok("failure" in server.abort());
    assert.equal(server.exhausted, true);
    assert.equal(SASL_LIMITS.refusals, 3);
  });

  test("tells the client a refusal of the accounts, and lets a bug through", async () => {
    const refused = negotiation(() => Promise.reject(new SaslError("account-disabled", "gone fishing")));
    assert.deepEqual(await refused.begin("PLAIN", LOGIN), { failure: "account-disabled", text: "gone fishing" });
    const sync = negotiation(() => {
      throw new SaslError("temporary-auth-failure");
    });
    assert.deepEqual(sync.begin("PLAIN", LOGIN), { failure: "temporary-auth-failure", text: "" });
    const broken = negotiation(() => Promise.reject(new TypeError("a bug")));
    await assert.rejects(async () => broken.begin("PLAIN", LOGIN), /a bug/);
  });
});
