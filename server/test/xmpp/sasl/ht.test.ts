import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, test } from "node:test";
import { FAST_MECHANISMS } from "../../../src/xmpp/sasl/ht.ts";
import { type Channel, NO_CHANNEL, NO_STREAM, SaslError, type TokenLogin } from "../../../src/xmpp/sasl/mechanism.ts";
import { SaslNegotiation, type SaslReply } from "../../../src/xmpp/sasl/negotiation.ts";

const TOKEN = "secret-token:WXZzciBwYmFm\u00e9";
const LOGIN = { userAgent: "d4565fa7-4d72-4749-b3d3-740edbf87770", count: 7, invalidate: false, renewable: true };
const CHANNEL: Channel = {
  types: ["tls-exporter", "tls-server-end-point"],
  data: (type) => Buffer.from(`${type} data`),
};
const NOT_AUTHORIZED = { failure: "not-authorized", text: "" };

const hashed = (role: string, binding = "", token = TOKEN) =>
  createHmac("sha256", Buffer.from(token)).update(role).update(binding).digest();
const message = (name: string, proof: Uint8Array) =>
  Buffer.concat([Buffer.from(`${name}\0`), proof]).toString("base64");

/** A server on which alice has one token; notes whom it was asked for. */
function server(channel = CHANNEL) {
  const asked: [string, TokenLogin][] = [];
  const negotiation = new SaslNegotiation(FAST_MECHANISMS, {
    ...NO_STREAM,
    channel,
    domain: "example.org",
    credentials: {
      scram: () => undefined,
      verify: () => false,
      proved: () => {},
      fast(local, login, matches) {
        asked.push([local, login]);
        if (!matches(TOKEN) || local !== "alice") throw new SaslError("not-authorized");
        return { token: TOKEN, renewed: { token: "new", expires: 1 } };
      },
    },
    decoySecret: Buffer.alloc(32),
    iterations: 4096,
    nonce: () => "nonce",
  });
  const login = (mechanism: string, text: string, more: typeof LOGIN | undefined = LOGIN): SaslReply => {
    const reply = negotiation.begin(mechanism, text, more);
    assert.ok(!(reply instanceof Promise));
    return reply;
  };
  return { asked, login, negotiation };
}

describe("HT-SHA-256", () => {
  const BINDINGS = { NONE: "", EXPR: "tls-exporter data", ENDP: "tls-server-end-point data" };
  for (const [suffix, binding] of Object.entries(BINDINGS)) {
    test(`-${suffix} lets in who has the token, and proves that the server has it too`, () => {
      const { asked, login } = server();
      assert.deepEqual(login(`HT-SHA-256-${suffix}`, message("Alice", hashed("Initiator", binding))), {
        success: {
          local: "alice",
          data: hashed("Responder", binding).toString("base64"),
          renewed: { token: "new", expires: 1 },
        },
      });
      assert.deepEqual(asked, [["alice", { ...LOGIN, mechanism: `HT-SHA-256-${suffix}` }]]);
    });

    test(`-${suffix} refuses another token, another channel, the server's own proof and another account alike`, () => {
      for (const [name, proof] of [
        ["alice", hashed("Initiator", binding, "guess")],
        ["alice", hashed("Initiator", `${binding}x`)],
        ["alice", hashed("Responder", binding)],
        ["bob", hashed("Initiator", binding)],
        ['"alice"', hashed("Initiator", binding)],
      ] as const) {
        assert.deepEqual(server().login(`HT-SHA-256-${suffix}`, message(name, proof)), NOT_AUTHORIZED, name);
      }
    });
  }

  test("refuses what is not a name, a zero byte and a whole hash", () => {
    const proof = hashed("Initiator");
    for (const bad of [
      proof.toString("base64"),
      message("", proof),
      message("alice", proof.subarray(1)),
      message("alice", Buffer.concat([proof, Buffer.of(0)])),
      message("alice\0", proof),
      Buffer.concat([Buffer.of(0xff, 0), proof]).toString("base64"),
    ]) {
      const reply = server().login("HT-SHA-256-NONE", bad);
      assert.equal("failure" in reply && reply.failure, "malformed-request", bad);
    }
  });

  test("refuses a login that says nothing of the client, and one over a channel that it cannot be bound to", () => {
    const bare = server().negotiation.begin("HT-SHA-256-NONE", message("alice", hashed("Initiator"))) as SaslReply;
    assert.equal("failure" in bare && bare.failure, "malformed-request");
    const unbound = server(NO_CHANNEL).login("HT-SHA-256-EXPR", message("alice", hashed("Initiator")));
    assert.equal("failure" in unbound && unbound.failure, "mechanism-too-weak");
  });
});
