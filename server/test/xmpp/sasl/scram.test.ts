import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { MaybePromise } from "../../../src/util/maybe-promise.ts";
import {
  type Channel,
  type Credentials,
  NO_STREAM,
  type SaslContext,
  type SaslStream,
} from "../../../src/xmpp/sasl/mechanism.ts";
import { SaslNegotiation, type SaslReply } from "../../../src/xmpp/sasl/negotiation.ts";
import { offerHash, SCRAM_MECHANISMS } from "../../../src/xmpp/sasl/scram.ts";
import { deriveKeys, SCRAM_HASHES, type ScramHash, type ScramKeys } from "../../../src/xmpp/sasl/scram-keys.ts";
import { ScramClient } from "./scram-client.ts";

const NAMES = { "sha-1": "SCRAM-SHA-1", "sha-256": "SCRAM-SHA-256", "sha-512": "SCRAM-SHA-512" };
const PENCIL = {
  "sha-1": await deriveKeys("pencil", "sha-1", 4096, Buffer.from("QSXCR+Q6sek8bf92", "base64")),
  "sha-256": await deriveKeys("pencil", "sha-256", 4096, Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64")),
  "sha-512": await deriveKeys("pencil", "sha-512", 4096, Buffer.from("Yin2FuHTt/M0kJWb0t9OIw==", "base64")),
};

/** One account and the proofs that were seen for it. */
function accountOf(name: string, keysOf: (hash: ScramHash) => MaybePromise<ScramKeys | undefined>) {
  const proofs: boolean[] = [];
  const credentials: Credentials = {
    scram: (local, hash) => (local === name ? keysOf(hash) : undefined),
    verify: () => false,
    proved: (_, right) => void proofs.push(right),
  };
  return { credentials, proofs };
}

function negotiation(
  credentials: Credentials,
  nonce = "3rfcNHYJY1ZVvWVs7j",
  stream: Partial<SaslStream> = {},
): SaslNegotiation {
  const context: SaslContext = {
    ...NO_STREAM,
    ...stream,
    domain: "example.org",
    credentials,
    decoySecret: Buffer.from("not to be guessed"),
    iterations: 4096,
    nonce: () => nonce,
  };
  return new SaslNegotiation(SCRAM_MECHANISMS, context);
}

const CHANNEL: Channel = {
  types: ["tls-exporter", "tls-server-end-point"],
  data: (type) =>
    type === "tls-exporter" ? Uint8Array.from({ length: 32 }, (_, at) => at) : Uint8Array.from([1, 2, 0xff]),
};
/** A stream that offers all mechanisms and bindings. */
const BOUND: SaslStream = {
  ...NO_STREAM,
  channel: CHANNEL,
  offered: { mechanisms: SCRAM_MECHANISMS.map(({ name }) => name), bindings: CHANNEL.types },
};

const user = () => accountOf("user", (hash) => PENCIL[hash]);
const base64 = (text: string) => Buffer.from(text).toString("base64");
const text = (encoded: string) => Buffer.from(encoded, "base64").toString();

async function challengeOf(reply: MaybePromise<SaslReply>): Promise<string> {
  const settled = await reply;
  assert.ok("challenge" in settled, JSON.stringify(settled));
  return text(settled.challenge);
}

async function login(server: SaslNegotiation, hash: ScramHash, client: ScramClient, lies = {}): Promise<SaslReply> {
  const challenge = await challengeOf(server.begin(NAMES[hash], base64(client.first)));
  return server.respond(base64(client.final(challenge, lies)));
}

describe("SCRAM", () => {
  test("says word for word what RFC 5802 5 says", async () => {
    const server = negotiation(user().credentials);
    assert.equal(
      await challengeOf(server.begin("SCRAM-SHA-1", base64("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"))),
      "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    );
    const final = "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
    assert.deepEqual(await server.respond(base64(final)), {
      success: { local: "user", data: base64("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=") },
    });
  });

  test("says word for word what RFC 7677 3 says", async () => {
    const server = negotiation(user().credentials, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    assert.equal(
      await challengeOf(server.begin("SCRAM-SHA-256", base64("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"))),
      "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    );
    const final =
      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert.deepEqual(await server.respond(base64(final)), {
      success: { local: "user", data: base64("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") },
    });
  });

  // Both by an independent implementation: Python's hashlib.pbkdf2_hmac and hmac over RFC 5802 3's formulas.
  test("says with SHA-512 what another implementation says", async () => {
    const server = negotiation(user().credentials);
    assert.equal(
      await challengeOf(server.begin("SCRAM-SHA-512", base64("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"))),
      "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=Yin2FuHTt/M0kJWb0t9OIw==,i=4096",
    );
    const final =
      "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j," +
      "p=03zcrhXjqMNv66Hp+/XSS6srUkEaJu/JFMIA1WYY3IODDSnGJmZlfOPcpXAqkjbO/j53W42j4JHtXXUkD+TkXA==";
    const signature = "ICRLqH7bZ0VYpASLcP1KClh0g9P0IcGPw0x6JAZvjAp0/rsyc7cbUbKeekZXZfgghR0wRKKJ5MWXf5G84yxUDg==";
    assert.deepEqual(await server.respond(base64(final)), {
      success: { local: "user", data: base64(`v=${signature}`) },
    });
  });

  test("binds SHA-512 to a channel as another implementation does", async () => {
    const server = negotiation(user().credentials, undefined, { channel: CHANNEL });
    await challengeOf(server.begin("SCRAM-SHA-512-PLUS", base64("p=tls-exporter,,n=user,r=fyko+d2lbbFgONRv9qkxdawL")));
    const final =
      "c=cD10bHMtZXhwb3J0ZXIsLAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j," +
      "p=MBpQZCrnzOxwJniMs4t0YrdJvFjKk7Uoj7CMLU3BKL9PD4elUES3K5JcXdPqtxBe3UVKoohNkum4SMG1uydXDA==";
    const signature = "oKo6bfxfWhJcPT5SEZhitKIQilOXCUaE5GmQyWfIGgIehh3E2iYnXZkB2HIMYjMOoYj5bfU2c5YnZ4dbJB0JBw==";
    assert.deepEqual(await server.respond(base64(final)), {
      success: { local: "user", data: base64(`v=${signature}`) },
    });
  });

  test("lets in whoever has the password and nobody else, and proves that the server knows it too", async () => {
    const name = fc.stringMatching(/^[a-z0-9=,._-]{1,12}$/);
    const password = fc.string({
      unit: fc.constantFrom(..."abcDEF0123 ,=\\!\u00e9\u03c0\u{1f600}"),
      minLength: 1,
      maxLength: 20,
    });
    await fc.assert(
      fc.asyncProperty(name, password, password, fc.constantFrom(...SCRAM_HASHES), async (local, own, guess, hash) => {
        const keys = await deriveKeys(own, hash, 2);
        const { credentials, proofs } = accountOf(local, () => keys);
        const client = new ScramClient(hash, local, own);
        const reply = await login(negotiation(credentials), hash, client);
        assert.ok("success" in reply && client.trusts(text(reply.success.data)), JSON.stringify(reply));
        assert.equal(reply.success.local, local);
        const guessed = await login(negotiation(credentials), hash, new ScramClient(hash, local, guess));
        assert.equal("success" in guessed, guess === own);
        assert.deepEqual(proofs, [true, guess === own]);
      }),
      { numRuns: 60 },
    );
  });

  test("takes a name as it is typed, and gives it as it is prepared", async () => {
    const reply = await login(negotiation(user().credentials), "sha-1", new ScramClient("sha-1", "USER", "pencil"));
    assert.ok("success" in reply && reply.success.local === "user");
  });

  test("lets a client act as itself, and as nobody else", async () => {
    for (const gs2 of ["n,a=user@example.org,", "y,a=User@EXAMPLE.org,", "y,,"]) {
      const reply = await login(
        negotiation(user().credentials),
        "sha-1",
        new ScramClient("sha-1", "user", "pencil", { gs2 }),
      );
      assert.ok("success" in reply, gs2);
    }
    for (const authzid of [
      "admin@example.org",
      "user@example.com",
      "user",
      "user@example.org/phone",
      "example.org",
      "/",
    ]) {
      const server = negotiation(user().credentials);
      const reply = await server.begin("SCRAM-SHA-1", base64(`n,a=${authzid},n=user,r=abc`));
      assert.deepEqual(reply, { failure: "invalid-authzid", text: "" }, authzid);
    }
  });

  test("answers an account that does not exist as one whose password is wrong, and the same each time", async () => {
    const { credentials, proofs } = user();
    const salts = [];
    for (const name of ["user", "nobody", "nobody", "somebody", '"none"']) {
      const server = negotiation(credentials);
      const client = new ScramClient("sha-256", name, "wrong");
      const challenge = await challengeOf(server.begin("SCRAM-SHA-256", base64(client.first)));
      const [, salt = ""] = /^r=[^,]+,s=([^,]+),i=4096$/.exec(challenge) ?? [];
      assert.equal(Buffer.from(salt, "base64").length, 16);
      salts.push(salt);
      assert.deepEqual(await server.respond(base64(client.final(challenge))), { failure: "not-authorized", text: "" });
    }
    assert.equal(salts[1], salts[2]);
    assert.equal(new Set(salts).size, 4);
    assert.deepEqual(proofs, [false, false, false, false]);
  });

  test("refuses a first message that is not one", async () => {
    const messages = [
      "",
      "n,,",
      "n,n=user,r=abc",
      "x,,n=user,r=abc",
      "N,,n=user,r=abc",
      "p=tls-exporter,,n=user,r=abc",
      "n,a=,n=user,r=abc",
      "n,,m=x,n=user,r=abc",
      "n,,n=user,r=abc,m=x",
      "n,,n=us=er,r=abc",
      "n,,n=us=2cer,r=abc",
      "n,,r=abc,n=user",
      "n,,n=user",
      "n,,n=user,r=",
      "n,,n=user,r=\u00e9",
      "n,,n=user,r=a b",
    ];
    for (const message of messages) {
      const reply = await negotiation(user().credentials).begin("SCRAM-SHA-1", base64(message) || "=");
      assert.ok("failure" in reply && reply.failure === "malformed-request", message);
    }
    const notUtf8 = Buffer.from("n,,n=us\xffer,r=abc", "latin1").toString("base64");
    const reply = await negotiation(user().credentials).begin("SCRAM-SHA-1", notUtf8);
    assert.ok("failure" in reply && reply.failure === "malformed-request");
  });

  test("lets extensions that it does not know pass, and signs them", async () => {
    const server = negotiation(user().credentials);
    const first = await challengeOf(server.begin("SCRAM-SHA-1", base64("n,,n=user,r=abc,x=1")));
    assert.match(first, /^r=abc3rfc/);
  });

  test("refuses a proof for another nonce or channel binding, in part, or of another length", async () => {
    const client = new ScramClient("sha-1", "user", "pencil");
    for (const lies of [{ binding: base64("y,,") }, { nonce: "fyko+d2lbbFgONRv9qkxdawL" }, { nonce: "" }]) {
      const { credentials, proofs } = user();
      const reply = await login(negotiation(credentials), "sha-1", client, lies);
      assert.ok("failure" in reply && reply.failure === "not-authorized", JSON.stringify(lies));
      assert.deepEqual(proofs, []);
    }
    for (const damage of [
      (final: string) => final.replace(/,p=.*/, ""),
      (final: string) => final.replace(/,p=.*/, ",p="),
      (final: string) => final.replace(/,p=.*/, ",p=AAAA"),
      (final: string) => final.replace(/,p=/, ",m=1,p="),
      (final: string) => final.replace(/=$/, ""),
      (final: string) => `${final},x=1`,
      (final: string) => final.slice(final.indexOf(",") + 1),
      () => "",
    ]) {
      const server = negotiation(user().credentials);
      const challenge = await challengeOf(server.begin("SCRAM-SHA-1", base64(client.first)));
      const reply = await server.respond(base64(damage(client.final(challenge))) || "=");
      assert.ok("failure" in reply && reply.failure === "malformed-request", damage.toString());
    }
  });

  test("takes no second proof, so that one challenge is one guess", async () => {
    const server = negotiation(user().credentials);
    const client = new ScramClient("sha-1", "user", "pencil");
    const challenge = await challengeOf(server.begin("SCRAM-SHA-1", base64(client.first)));
    const wrong = new ScramClient("sha-1", "user", "wrong").final(challenge);
    assert.deepEqual(await server.respond(base64(wrong)), { failure: "not-authorized", text: "" });
    const late = await server.respond(base64(client.final(challenge)));
    assert.ok("failure" in late && late.failure === "malformed-request");
  });

  test("never throws, whatever a client sends", async () => {
    const piece = fc.constantFrom(
      "n",
      "y",
      "p=",
      ",",
      "a=",
      "n=user",
      "r=",
      "abc",
      "m=",
      "=2C",
      "=",
      "c=biws",
      "p=AAAA",
      "\0",
      "\u00e9",
    );
    const message = fc.array(piece, { maxLength: 10 }).map((pieces) => pieces.join(""));
    await fc.assert(
      fc.asyncProperty(message, message, async (first, second) => {
        const server = negotiation(user().credentials);
        assert.ok(await server.begin("SCRAM-SHA-256", base64(first)));
        const reply = await server.respond(base64(second));
        assert.ok(!("success" in reply));
      }),
    );
  });

  test("never throws, whatever bytes a client sends", async () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc
        .tuple(fc.constantFrom("n,,n=user,r=abc", "p=tls-exporter,,n=user,r=abc"), fc.nat(30), fc.nat(255))
        .map(([message, at, byte]) => Buffer.from(message).map((old, index) => (index === at ? byte : old))),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...SCRAM_MECHANISMS),
        fc.array(bytes, { maxLength: 3 }),
        async ({ name }, messages) => {
          const server = negotiation(user().credentials, undefined, BOUND);
          assert.ok(await server.begin(name, ""));
          for (const message of messages) {
            const reply = await server.respond(Buffer.from(message).toString("base64"));
            assert.ok("challenge" in reply || "failure" in reply);
          }
        },
      ),
    );
  });

  test("answers at once where nothing waits", () => {
    const reply = negotiation(user().credentials).begin("SCRAM-SHA-1", base64("n,,n=user,r=abc"));
    assert.ok(!(reply instanceof Promise) && "challenge" in reply);
  });
});

describe("SCRAM and the channel", () => {
  const last = async (name: string, gs2: string, stream: SaslStream, channelData?: Uint8Array) => {
    const hash = SCRAM_HASHES.find((each) => NAMES[each] === name.replace("-PLUS", "")) as ScramHash;
    const client = new ScramClient(hash, "user", "pencil", { gs2, ...(channelData && { channelData }) });
    const server = negotiation(user().credentials, undefined, stream);
    const reply = await server.begin(name, base64(client.first));
    if (!("challenge" in reply)) return reply;
    return server.respond(base64(client.final(text(reply.challenge))));
  };
  const malformed = "the channel binding flag is not that of the mechanism";

  test("offers the bound mechanisms first, and of them the one with the strongest hash", () => {
    assert.deepEqual(
      SCRAM_MECHANISMS.map(({ name }) => name),
      ["SCRAM-SHA-512-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"],
    );
  });

  for (const hash of SCRAM_HASHES) {
    for (const type of CHANNEL.types) {
      test(`${NAMES[hash]}-PLUS lets in who is bound to the same channel by ${type}, and nobody else`, async () => {
        const name = `${NAMES[hash]}-PLUS`;
        const data = CHANNEL.data(type) as Uint8Array;
        const reply = await last(name, `p=${type},,`, BOUND, data);
        assert.ok("success" in reply, JSON.stringify(reply));
        for (const other of [new Uint8Array(), data.subarray(1), Uint8Array.from([...data, 0])]) {
          assert.deepEqual(await last(name, `p=${type},,`, BOUND, other), {
            failure: "not-authorized",
            text: "channel binding does not match",
          });
        }
      });
    }
  }

  test("a -PLUS mechanism takes no unbound login, and another no bound one", async () => {
    for (const gs2 of ["n,,", "y,,"]) {
      const reply = await last("SCRAM-SHA-256-PLUS", gs2, BOUND);
      assert.deepEqual(reply, { failure: "malformed-request", text: malformed });
    }
    const reply = await last("SCRAM-SHA-256", "p=tls-exporter,,", BOUND, CHANNEL.data("tls-exporter"));
    assert.deepEqual(reply, { failure: "malformed-request", text: malformed });
  });

  test("a type that is unknown, or that this channel does not have, is refused", async () => {
    const refused = { failure: "not-authorized", text: "channel binding of a type that was not offered" };
    for (const type of ["tls-unique", "unknown", "TLS-EXPORTER"]) {
      assert.deepEqual(await last("SCRAM-SHA-1-PLUS", `p=${type},,`, BOUND), refused);
    }
    const endPoint = { ...BOUND, channel: { ...CHANNEL, types: ["tls-server-end-point"] } };
    assert.deepEqual(await last("SCRAM-SHA-1-PLUS", "p=tls-exporter,,", endPoint), refused);
    assert.deepEqual(await last("SCRAM-SHA-1-PLUS", "p=tls-exporter,,", NO_STREAM), refused);
  });

  test("a client that thinks that nothing could be bound is refused where it could, as it was lied to", async () => {
    assert.deepEqual(await last("SCRAM-SHA-256", "y,,", BOUND), {
      failure: "not-authorized",
      text: "channel binding was offered, but somebody hid it from the client",
    });
    const unbound = { ...BOUND, offered: { mechanisms: ["SCRAM-SHA-256"], bindings: [] } };
    assert.ok("success" in (await last("SCRAM-SHA-256", "y,,", unbound)));
    assert.ok("success" in (await last("SCRAM-SHA-256", "n,,", BOUND)));
  });

  test("the hash over what was offered is that of XEP-0474 2.3", () => {
    const offered = {
      mechanisms: ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"],
      bindings: ["tls-server-end-point", "tls-exporter"],
    };
    assert.equal(offerHash(offered, "sha-1"), "G6k/rBLDqgOhRRaCuuatSDFkJ08=");
    assert.equal(
      offerHash({ ...offered, bindings: [] }, "sha-1"),
      createHash("sha1").update("SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS").digest("base64"),
    );
  });

  test("the hash over what was offered follows the iterations, by the mechanism's own function", async () => {
    for (const hash of SCRAM_HASHES) {
      const server = negotiation(user().credentials, undefined, BOUND);
      const challenge = await challengeOf(server.begin(NAMES[hash], base64("n,,n=user,r=abc")));
      assert.equal(challenge.split(",")[3], `h=${offerHash(BOUND.offered, hash)}`);
    }
  });
});

describe("SCRAM clients of others", () => {
  const require = createRequire(import.meta.url);

  interface XmppJsMechanism {
    response(credentials: object): string | Promise<string>;
    challenge(text: string): unknown;
  }

  test("log in: the one of @xmpp/client (SCRAM-SHA-1)", async () => {
    const Mechanism = require("sasl-scram-sha-1") as new () => XmppJsMechanism;
    for (const [password, outcome] of [
      ["pencil", "success"],
      ["pen", "failure"],
    ] as const) {
      const server = negotiation(user().credentials, undefined, BOUND);
      const client = new Mechanism();
      const credentials = { username: "user", password };
      client.challenge(await challengeOf(server.begin("SCRAM-SHA-1", base64(await client.response(credentials)))));
      assert.ok(outcome in (await server.respond(base64(await client.response(credentials)))));
    }
  });

  interface StanzaMechanism {
    createResponse(credentials: object): Buffer;
    processChallenge(message: Buffer): void;
    processSuccess(message: Buffer): void;
    finalize(): { readonly authenticated: boolean; readonly mutuallyAuthenticated: boolean };
  }

  for (const hash of SCRAM_HASHES) {
    test(`log in, and trust the server: stanza's ${NAMES[hash]}`, async () => {
      const { SCRAM } = require("stanza/lib/sasl") as { SCRAM: new (name: string) => StanzaMechanism };
      const server = negotiation(user().credentials, undefined, BOUND);
      const client = new SCRAM(NAMES[hash]);
      const credentials = { username: "user", password: "pencil", authzid: "user@example.org" };
      const first = client.createResponse(credentials).toString("base64");
      client.processChallenge(Buffer.from(await challengeOf(server.begin(NAMES[hash], first))));
      const reply = await server.respond(client.createResponse(credentials).toString("base64"));
      assert.ok("success" in reply, JSON.stringify(reply));
      client.processSuccess(Buffer.from(reply.success.data, "base64"));
      assert.deepEqual(client.finalize(), { authenticated: true, mutuallyAuthenticated: true });
    });
  }
});
