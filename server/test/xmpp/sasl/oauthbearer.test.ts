import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type Credentials, NO_CHANNEL, type SaslContext, SaslError } from "../../../src/xmpp/sasl/mechanism.ts";
import { SaslNegotiation, type SaslReply } from "../../../src/xmpp/sasl/negotiation.ts";
import { oauthBearer, TokenError } from "../../../src/xmpp/sasl/oauthbearer.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");
const NOT_UNDERSTOOD = "malformed-request";

function negotiation(token?: Credentials["token"], asked: string[] = []): SaslNegotiation {
  const context: SaslContext = {
    domain: "example.org",
    credentials: {
      scram: () => undefined,
      verify: () => false,
      proved: () => {},
      token: (text) => {
        asked.push(text);
        return token === undefined ? (text === "good" ? "alice" : undefined) : token(text);
      },
    },
    channel: NO_CHANNEL,
    offered: { mechanisms: [], bindings: [] },
    decoySecret: new Uint8Array(32),
    iterations: 4096,
    nonce: () => "nonce",
  };
  return new SaslNegotiation([oauthBearer], context);
}

const begin = (message: string, server = negotiation()) => server.begin("OAUTHBEARER", base64(message));

async function fails(reply: Promise<SaslReply> | SaslReply, condition: string): Promise<void> {
  const settled = await reply;
  assert.ok("failure" in settled && settled.failure === condition, JSON.stringify(settled));
}

describe("OAUTHBEARER", () => {
  test("lets in whom the token is for, and needs TLS", async () => {
    assert.equal(oauthBearer.plaintext, true);
    const request = "n,a=alice@example.org,\x01host=xmpp.example.org\x01port=5222\x01auth=Bearer good\x01\x01";
    assert.deepEqual(await begin(request), { success: { local: "alice", data: "" } });
  });

  for (const request of [
    "n,,\x01auth=Bearer good\x01\x01",
    "y,,\x01auth=bearer good\x01\x01",
    "n,,\x01auth=BEARER   good\x01host=[2001:db8::1]\x01\x01",
    "n,a=Alice@example.org,\x01auth=Bearer good\x01port=65535\x01\x01",
    "n,,\x01unknown=a b\tc\r\n\x01auth=Bearer good\x01empty=\x01\x01",
  ]) {
    test(`understands ${JSON.stringify(request)}`, async () => {
      assert.deepEqual(await begin(request), { success: { local: "alice", data: "" } });
    });
  }

  for (const request of [
    "\x01",
    "auth=Bearer good\x01\x01",
    "n,,auth=Bearer good\x01\x01",
    "n,,\x01auth=Bearer good\x01",
    "n,,\x01auth=Bearer good",
    "n,,\x01auth=Bearer good\x01\x01x",
    "n,,\x01auth=Bearer good\x01\x01\x01",
    "n,,\x01\x01",
    "n,,\x01host=example.org\x01\x01",
    "p=tls-exporter,,\x01auth=Bearer good\x01\x01",
    "F,n,,\x01auth=Bearer good\x01\x01",
    "x,,\x01auth=Bearer good\x01\x01",
    "n,a=,\x01auth=Bearer good\x01\x01",
    "n,a=al=ice,\x01auth=Bearer good\x01\x01",
    "n,alice,\x01auth=Bearer good\x01\x01",
    "n,,\x01auth=Bearer good\x01auth=Bearer good\x01\x01",
    "n,,\x01auth=Bearer good\x01host=a b\x01\x01",
    `n,,\x01auth=Bearer good\x01host=${"a".repeat(256)}\x01\x01`,
    "n,,\x01auth=Bearer good\x01port=05222\x01\x01",
    "n,,\x01auth=Bearer good\x01port=0\x01\x01",
    "n,,\x01auth=Bearer good\x01port=65536\x01\x01",
    "n,,\x01auth=Bearer good\x01port=\x01\x01",
    "n,,\x01auth=Bearer good\x01two words=1\x01\x01",
    "n,,\x01auth=Bearer good\x01key\x01\x01",
    "n,,\x01auth=Bearer good\x01k=ä\x01\x01",
    "n,,\x01auth=Bearer good\x01k=\x00\x01\x01",
  ]) {
    test(`does not understand ${JSON.stringify(request).slice(0, 80)}`, async () => {
      const asked: string[] = [];
      await fails(begin(request, negotiation(undefined, asked)), NOT_UNDERSTOOD);
      assert.deepEqual(asked, []);
    });
  }

  test("takes 16 pairs and not 17", async () => {
    const pairs = (count: number) => Array.from({ length: count }, (_, i) => `k${"x".repeat(i)}=\x01`).join("");
    assert.ok("success" in (await begin(`n,,\x01auth=Bearer good\x01${pairs(15)}\x01`)));
    await fails(begin(`n,,\x01auth=Bearer good\x01${pairs(16)}\x01`), NOT_UNDERSTOOD);
  });

  test("tells in JSON what is wrong with a token, and fails when the client has read it (RFC 7628 3.2.2)", async () => {
    const advice = { scope: "chat", "openid-configuration": "https://login.example/.well-known/openid-configuration" };
    const server = negotiation(() =>
      Promise.reject(new TokenError("it is old", { advice, condition: "credentials-expired" })),
    );
    const reply = await begin("n,,\x01auth=Bearer old\x01\x01", server);
    assert.ok("challenge" in reply);
    const told: unknown = JSON.parse(Buffer.from(reply.challenge, "base64").toString());
    assert.deepEqual(told, { status: "invalid_token", ...advice });
    assert.deepEqual(await server.respond(base64("\x01")), { failure: "credentials-expired", text: "it is old" });
    assert.equal(server.exhausted, false);
  });

  test("fails after the JSON whatever the client says then, another request included", async () => {
    for (const next of ["", "x", "n,,\x01auth=Bearer good\x01\x01"]) {
      const server = negotiation();
      const reply = await begin("n,,\x01auth=Bearer bad\x01\x01", server);
      assert.deepEqual(reply, { challenge: base64('{"status":"invalid_token"}') });
      await fails(server.respond(base64(next) || "="), "not-authorized");
      await fails(server.respond(base64("\x01")), NOT_UNDERSTOOD);
    }
  });

  test("counts each refused token once, also when the client gives up at the JSON", async () => {
    const server = negotiation();
    for (let time = 0; time < 3; time++) {
      assert.equal(server.exhausted, false);
      await begin("n,,\x01auth=Bearer bad\x01\x01", server);
      if (time === 0) server.abort();
      else await server.respond(base64("\x01"));
    }
    assert.equal(server.exhausted, true);
  });

  test("asks about no token when there is none of the right kind (RFC 7628 4.3)", async () => {
    for (const auth of ["", "Bearer", "Bearer ", "Basic Zm9v", "Bearer a b", "Bearer a=b"]) {
      const asked: string[] = [];
      const reply = await begin(`n,,\x01auth=${auth}\x01\x01`, negotiation(undefined, asked));
      assert.ok("challenge" in reply, auth);
      assert.deepEqual(asked, [""]);
    }
  });

  test("is for oneself: another's address is refused (RFC 6120 6.3.8)", async () => {
    for (const authzid of [
      "bob@example.org",
      "alice@example.com",
      "alice@example.org/phone",
      "alice",
      "a=2Cb@example.org",
    ]) {
      await fails(begin(`n,a=${authzid},\x01auth=Bearer good\x01\x01`), "invalid-authzid");
    }
  });

  test("answers anything at all with a reply, and lets in only what has the good token", async () => {
    const piece = fc.oneof(
      fc.constantFrom("n,,", "y,a=alice@example.org,", "\x01", "auth=Bearer good", "host=", "port=1", "=", "n,,\x01"),
      fc.string({ unit: "binary", maxLength: 8 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 8 }), async (pieces) => {
        const message = pieces.join("");
        const reply = await begin(message);
        if ("success" in reply) assert.ok(message.includes("\x01auth=Bearer good\x01"), message);
      }),
      { numRuns: 2000 },
    );
  });

  test("passes on what is not about the token as it is", async () => {
    const server = negotiation(() => {
      throw new SaslError("temporary-auth-failure");
    });
    await fails(begin("n,,\x01auth=Bearer good\x01\x01", server), "temporary-auth-failure");
    await assert.rejects(
      async () =>
        begin(
          "n,,\x01auth=Bearer good\x01\x01",
          negotiation(() => Promise.reject(new TypeError("a bug"))),
        ),
      /a bug/,
    );
  });
});
