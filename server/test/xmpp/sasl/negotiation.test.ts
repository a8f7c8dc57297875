import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { external } from "../../../src/xmpp/sasl/external.ts";
import {
  type Credentials,
  NO_STREAM,
  type SaslContext,
  SaslError,
  type SaslStep,
} from "../../../src/xmpp/sasl/mechanism.ts";
import { SASL_MECHANISMS } from "../../../src/xmpp/sasl/mechanisms.ts";
import { SASL_LIMITS, SaslNegotiation } from "../../../src/xmpp/sasl/negotiation.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");

function contextOf(credentials: Partial<Credentials>): SaslContext {
  return {
    ...NO_STREAM,
    domain: "example.org",
    credentials: { scram: () => undefined, verify: () => false, proved: () => {}, ...credentials },
    decoySecret: Buffer.alloc(32),
    iterations: 4096,
    nonce: () => "nonce",
  };
}

function negotiation(verify: Credentials["verify"] = isAlice, limits = SASL_LIMITS): SaslNegotiation {
  return new SaslNegotiation(SASL_MECHANISMS, contextOf({ verify }), limits);
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
    for (const name of ["X-NONE", "plain", "", "SCRAM-SHA-256-"]) {
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

  test("asks for TLS where it is all that the mechanism lacks (RFC 6120 6.5.4)", () => {
    const server = new SaslNegotiation([], contextOf({ verify: () => true }), SASL_LIMITS, ["PLAIN"]);
    assert.deepEqual(server.begin("PLAIN", LOGIN), { failure: "encryption-required", text: "" });
    assert.deepEqual(server.begin("EXTERNAL", "="), { failure: "invalid-mechanism", text: "" });
  });

  test("tells apart no data with success, and data of no length (RFC 6120 6.4.6)", () => {
    const saying = (data?: Uint8Array) => {
      const step: SaslStep = { success: { local: "alice", ...(data && { data }) } };
      const mechanism = { ...external, start: () => ({ step: () => step }) };
      return new SaslNegotiation([mechanism], contextOf({})).begin("EXTERNAL", "=");
    };
    assert.deepEqual(saying(), SUCCESS);
    assert.deepEqual(saying(new Uint8Array()), { success: { local: "alice", data: "=" } });
    assert.deepEqual(saying(Buffer.from("hi")), { success: { local: "alice", data: "aGk=" } });
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

describe("EXTERNAL", () => {
  const asked: (string | undefined)[] = [];
  const server = () =>
    new SaslNegotiation(
      SASL_MECHANISMS,
      contextOf({
        certificate(authzid) {
          asked.push(authzid);
          return authzid === "bob@example.org" ? undefined : "alice";
        },
      }),
    );

  test("asks whom the certificate lets in, with the name that the client gives, or none", () => {
    asked.length = 0;
    assert.deepEqual(server().begin("EXTERNAL", "="), SUCCESS);
    assert.deepEqual(server().begin("EXTERNAL", base64("alice@example.org")), SUCCESS);
    assert.deepEqual(server().begin("EXTERNAL", base64("bob@example.org")), NOT_AUTHORIZED);
    assert.deepEqual(asked, [undefined, "alice@example.org", "bob@example.org"]);
  });

  test("takes an empty response after an empty challenge for no name", () => {
    for (const nothing of ["", "="]) {
      const negotiation = server();
      assert.deepEqual(negotiation.begin("EXTERNAL", ""), { challenge: "" });
      assert.deepEqual(negotiation.respond(nothing), SUCCESS);
    }
  });

  test("refuses a name that is none (RFC 4422 A.1)", () => {
    for (const message of ["al\0ice", "\u00e9"]) {
      const reply = server().begin("EXTERNAL", Buffer.from(message, "latin1").toString("base64"));
      assert.ok("failure" in reply && reply.failure === "malformed-request");
    }
  });

  test("lets nobody in where certificates are not looked at", () => {
    assert.deepEqual(new SaslNegotiation(SASL_MECHANISMS, contextOf({})).begin("EXTERNAL", "="), NOT_AUTHORIZED);
  });
});
