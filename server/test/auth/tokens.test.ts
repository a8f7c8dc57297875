import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { exportJWK, type JWK, type JWTHeaderParameters, type JWTPayload, SignJWT, UnsecuredJWT } from "jose";
import { jwksFile, jwksUrl, type KeySet, pemKeys, secretKey } from "../../src/auth/key-sets.ts";
import { type TokenRules, TokenVerifier } from "../../src/auth/tokens.ts";
import { SaslError } from "../../src/xmpp/sasl/mechanism.ts";
import { TokenError } from "../../src/xmpp/sasl/oauthbearer.ts";
import { TOKEN_ALGORITHMS, type TokenAlgorithm } from "../../src/xmpp/sasl/token-algorithms.ts";

const DOMAIN = "example.org";
const NOW = Date.parse("2026-01-01T12:00:00Z");
const SECRET = "s".repeat(64);
const RSA = generateKeyPairSync("rsa", { modulusLength: 2048 });
const OTHER_RSA = generateKeyPairSync("rsa", { modulusLength: 2048 });
const P256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
const PAIRS = {
  rsa: RSA,
  prime256v1: P256,
  secp384r1: generateKeyPairSync("ec", { namedCurve: "P-384" }),
  secp521r1: generateKeyPairSync("ec", { namedCurve: "P-521" }),
  ed25519: generateKeyPairSync("ed25519"),
};
const pem = (key: KeyObject) => key.export({ type: "spki", format: "pem" }).toString();
const at = (seconds: number) => NOW / 1000 + seconds;

/** A good token for Alice, but for what is given. */
function token(
  payload: Readonly<Record<string, unknown>> = {},
  key: KeyObject | Uint8Array = Buffer.from(SECRET),
  header: Partial<JWTHeaderParameters> = {},
): Promise<string> {
  const claims = { iss: "https://login.example", aud: "xmpp", sub: "alice", exp: at(60), ...payload } as JWTPayload;
  return new SignJWT(claims).setProtectedHeader({ alg: "HS256", ...header }).sign(key);
}

function verifier(rules: Partial<TokenRules> = {}): TokenVerifier {
  return new TokenVerifier(DOMAIN, {
    keys: secretKey(SECRET),
    algorithms: Object.keys(TOKEN_ALGORITHMS) as TokenAlgorithm[],
    issuer: "https://login.example",
    audience: ["xmpp"],
    claim: "sub",
    form: "local",
    leeway: 30,
    now: () => NOW,
    ...rules,
  });
}

/** How a token fares: the local part, or what is wrong with it. */
async function outcome(verifying: TokenVerifier, given: Promise<string> | string): Promise<string> {
  try {
    return await verifying.accountOf(await given);
  } catch (error) {
    if (error instanceof TokenError) return error.text === "" ? error.status : `${error.status}: ${error.text}`;
    if (error instanceof SaslError) return error.condition;
    throw error;
  }
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "meerkat-keys-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

const files = (now = () => 0, warnings: string[] = []) => ({
  now,
  warn: (message: string) => void warnings.push(message),
});

describe("a token", () => {
  for (const [alg, kind] of Object.entries(TOKEN_ALGORITHMS)) {
    test(`signed with ${alg} is taken when that is listed, and not when it is not`, async (t) => {
      let keys: KeySet = secretKey(SECRET);
      let key: KeyObject | Uint8Array = Buffer.from(SECRET);
      if (kind !== "secret") {
        const path = join(folder(t), "key.pem");
        writeFileSync(path, pem(PAIRS[kind].publicKey));
        keys = pemKeys([path], files());
        key = PAIRS[kind].privateKey;
      }
      const signed = await token({}, key, { alg });
      const all = Object.keys(TOKEN_ALGORITHMS) as TokenAlgorithm[];
      assert.equal(await outcome(verifier({ keys, algorithms: [alg as TokenAlgorithm] }), signed), "alice");
      const others = all.filter((other) => other !== alg);
      assert.equal(await outcome(verifier({ keys, algorithms: others }), signed), "invalid_token");
    });
  }

  for (const [what, payload, expected] of [
    ["of another issuer", { iss: "https://evil.example" }, "invalid_token: the token's iss is not right"],
    ["of no issuer", { iss: undefined }, "invalid_token: the token's iss is not right"],
    ["for another audience", { aud: ["mail", "web"] }, "invalid_token: the token's aud is not right"],
    ["for no audience", { aud: undefined }, "invalid_token: the token's aud is not right"],
    ["for several audiences, this one too", { aud: ["mail", "xmpp"] }, "alice"],
    ["that never expires", { exp: undefined }, "invalid_token: the token's exp is not right"],
    ["that expired within the leeway", { exp: at(-29) }, "alice"],
    ["that expired before it", { exp: at(-30) }, "invalid_token: the token has expired"],
    ["that will be good within the leeway", { nbf: at(30) }, "alice"],
    ["that will be good later", { nbf: at(31) }, "invalid_token: the token's nbf is not right"],
    ["for nobody", { sub: undefined }, "invalid_token: its sub names no account here"],
    ["for no name", { sub: "a b" }, "invalid_token: its sub names no account here"],
    ["for a name in capitals", { sub: "ALICE" }, "alice"],
  ] as const) {
    test(`${what}: ${expected}`, async () => {
      assert.equal(await outcome(verifier(), token(payload)), expected);
    });
  }

  test("with another signature, or none, lets nobody in", async () => {
    const good = await token();
    const claims = { iss: "https://login.example", aud: "xmpp", sub: "alice", exp: at(60) };
    const [header = "", payload = "", signature = ""] = good.split(".");
    for (const bad of [
      new UnsecuredJWT(claims).encode(),
      `${header}.${payload}.`,
      `${header}.${payload}.${signature.replace(/^./, (first) => (first === "A" ? "B" : "A"))}`,
      `${header}.${Buffer.from(JSON.stringify({ ...claims, sub: "bob" })).toString("base64url")}.${signature}`,
      await token({}, Buffer.from("t".repeat(64))),
      "a.b.c",
      "not a token",
    ]) {
      assert.equal(await outcome(verifier(), bad), "invalid_token", bad);
    }
  });

  test("signed with a public key as though it were a secret lets nobody in", async (t) => {
    const path = join(folder(t), "key.pem");
    writeFileSync(path, pem(RSA.publicKey));
    const jwks = join(folder(t), "keys.json");
    writeFileSync(jwks, JSON.stringify({ keys: [await exportJWK(RSA.publicKey)] }));
    for (const alg of ["HS256", "HS384", "HS512"]) {
      const forged = await token({}, Buffer.from(pem(RSA.publicKey)), { alg });
      for (const keys of [pemKeys([path], files()), jwksFile(jwks, files())]) {
        assert.equal(await outcome(verifier({ keys }), forged), "invalid_token");
      }
    }
    const signed = await token({}, RSA.privateKey, { alg: "RS256" });
    assert.equal(await outcome(verifier({ keys: secretKey(pem(RSA.publicKey)) }), signed), "invalid_token");
  });

  test("with a key of its own, or what must be understood, is not believed", async () => {
    const jwk = await exportJWK(RSA.publicKey);
    assert.equal(await outcome(verifier(), token({}, RSA.privateKey, { alg: "RS256", jwk })), "invalid_token");
    const critical = new SignJWT({ sub: "alice" }).setProtectedHeader({ alg: "HS256", b64: true, crit: ["b64"] });
    assert.equal(
      await outcome(verifier(), critical.sign(Buffer.from(SECRET))),
      "invalid_token: the token's iss is not right",
    );
    const [, payload = "", signature = ""] = (await token()).split(".");
    const odd = Buffer.from('{"alg":"HS256","crit":["x"],"x":1}').toString("base64url");
    assert.equal(await outcome(verifier(), `${odd}.${payload}.${signature}`), "invalid_token");
  });

  test("needs the scope that is asked for, among others, in a text or a list", async () => {
    const strict = verifier({ scope: "chat" });
    for (const [scope, expected] of [
      ["chat", "alice"],
      ["mail chat", "alice"],
      [["mail", "chat"], "alice"],
      ["chatter", "insufficient_scope: the token lacks the scope chat"],
      [undefined, "insufficient_scope: the token lacks the scope chat"],
      [{ chat: true }, "insufficient_scope: the token lacks the scope chat"],
    ] as const) {
      assert.equal(await outcome(strict, token({ scope })), expected);
    }
  });

  test("names the account in the claim that is asked for", async () => {
    const byName = verifier({ claim: "preferred_username" });
    assert.equal(await outcome(byName, token({ sub: "42", preferred_username: "bob" })), "bob");
    assert.equal(await outcome(byName, token()), "invalid_token: its preferred_username names no account here");
    assert.equal(
      await outcome(byName, token({ preferred_username: ["bob"] })),
      "invalid_token: its preferred_username names no account here",
    );
  });

  test("names it by a bare JID of this domain where that is asked for", async () => {
    const byJid = verifier({ form: "jid" });
    assert.equal(await outcome(byJid, token({ sub: "Alice@Example.ORG" })), "alice");
    for (const sub of ["alice", "alice@example.com", "example.org", "alice@example.org/phone", "@"]) {
      assert.equal(await outcome(byJid, token({ sub })), "invalid_token: its sub names no account here", sub);
    }
    assert.equal(
      await outcome(verifier(), token({ sub: "alice@example.org" })),
      "invalid_token: its sub names no account here",
    );
  });

  test("is told from a password by its header", async () => {
    assert.equal(verifier().isToken(await token()), true);
    for (const text of ["correct horse", "a.b.c", "", "eyJhbGciOiJIUzI1NiJ9", "e30.e30.e30"]) {
      assert.equal(verifier().isToken(text), false, text);
    }
  });
});

describe("keys in files", () => {
  test("are tried one after the other when the token names none", async (t) => {
    const path = folder(t);
    const paths = [OTHER_RSA.publicKey, P256.publicKey, RSA.publicKey].map((key, i) => {
      writeFileSync(join(path, `${i}.pem`), pem(key));
      return join(path, `${i}.pem`);
    });
    const reading = verifier({ keys: pemKeys(paths, files()) });
    assert.equal(await outcome(reading, token({}, RSA.privateKey, { alg: "PS512" })), "alice");
    assert.equal(await outcome(reading, token({}, P256.privateKey, { alg: "ES256" })), "alice");
    assert.equal(await outcome(reading, token({}, PAIRS.ed25519.privateKey, { alg: "EdDSA" })), "invalid_token");
  });

  test("are read again when told, and some time after they have changed", async (t) => {
    const path = join(folder(t), "keys.json");
    const write = async (key: KeyObject, minute: number) => {
      writeFileSync(path, JSON.stringify({ keys: [await exportJWK(key)] }));
      utimesSync(path, at(minute), at(minute));
    };
    let now = 0;
    const warnings: string[] = [];
    await write(OTHER_RSA.publicKey, 0);
    const keys = jwksFile(
      path,
      files(() => now, warnings),
    );
    const reading = verifier({ keys });
    const signed = await token({}, RSA.privateKey, { alg: "RS256" });
    assert.equal(await outcome(reading, signed), "invalid_token");
    await write(RSA.publicKey, 1);
    now = 4999;
    assert.equal(await outcome(reading, signed), "invalid_token");
    now = 5000;
    assert.equal(await outcome(reading, signed), "alice");
    writeFileSync(path, "{");
    now = 10_000;
    assert.equal(await outcome(reading, signed), "alice");
    assert.match(warnings.join(), /keys\.json": is not JSON/);
    assert.throws(() => keys.reload(), /is not JSON/);
    assert.equal(await outcome(reading, signed), "alice");
    await write(OTHER_RSA.publicKey, 2);
    keys.reload();
    assert.equal(await outcome(reading, signed), "invalid_token");
  });

  const small = generateKeyPairSync("rsa", { modulusLength: 1024 });
  for (const [what, text, words] of [
    ["no key", "key", /"[^"]+\.pem": is no public key in PEM/],
    ["a private key", RSA.privateKey.export({ type: "pkcs8", format: "pem" }).toString(), /is a private key/],
    ["a short key", pem(small.publicKey), /has 1024 bits; RFC 7518 3.3 wants 2048/],
    ["a key for something else", pem(generateKeyPairSync("x25519").publicKey), /kind \(x25519\) that signs no tokens/],
  ] as const) {
    test(`are refused with their path: ${what}`, (t) => {
      const path = join(folder(t), "a.pem");
      writeFileSync(path, text);
      assert.throws(() => pemKeys([path], files()), words);
    });
  }

  test("that cannot be read are refused with their path", (t) => {
    const path = join(folder(t), "none");
    assert.throws(() => pemKeys([path], files()), /none": cannot be read \(ENOENT\)/);
    assert.throws(() => jwksFile(path, files()), /none": cannot be read \(ENOENT\)/);
  });

  for (const [what, text] of [
    ["no keys", '{"keys":[]}'],
    ["more keys than there should be", JSON.stringify({ keys: Array(101).fill({ kty: "RSA" }) })],
    ["something else", "[]"],
  ]) {
    test(`are no key set: ${what}`, (t) => {
      const path = join(folder(t), "keys.json");
      writeFileSync(path, text as string);
      assert.throws(() => jwksFile(path, files()), /is no JSON Web Key Set \(RFC 7517 5\) of 1 to 100 keys/);
    });
  }

  test("of a set that are too short, broken or secret are as though they were not there", async (t) => {
    const path = join(folder(t), "keys.json");
    const secret = { kty: "oct", k: Buffer.from(SECRET).toString("base64url"), alg: "HS256" };
    const keys = [
      { kty: "RSA", n: "AQ", e: "AQAB" },
      { kty: "EC", crv: "P-256" },
      secret,
      await exportJWK(small.publicKey),
    ];
    writeFileSync(path, JSON.stringify({ keys }));
    const reading = verifier({ keys: jwksFile(path, files()) });
    assert.equal(await outcome(reading, token({}, RSA.privateKey, { alg: "RS256" })), "invalid_token");
    assert.equal(await outcome(reading, token({}, P256.privateKey, { alg: "ES256" })), "invalid_token");
    assert.equal(await outcome(reading, token()), "invalid_token");
  });
});

/** An issuer on loopback, whose key set and behaviour the test changes. */
async function issuer(t: TestContext) {
  const served = { keys: [] as JWK[], status: 200, padding: "", fetches: 0 };
  const server = createServer((_, response) => {
    served.fetches++;
    response.writeHead(served.status).end(JSON.stringify({ keys: served.keys }) + served.padding);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const clock = { now: 0 };
  const warnings: string[] = [];
  const keys = jwksUrl({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`,
    timeout: 2000,
    bytes: 4096,
    refresh: 3_600_000,
    cooldown: 30_000,
    keep: 86_400_000,
    now: () => clock.now,
    warn: (message) => void warnings.push(message),
  });
  t.after(async () => {
    await keys.close();
    server.closeAllConnections();
    server.close();
  });
  return { served, clock, warnings, keys, reading: verifier({ keys }) };
}

describe("keys behind a URL", async () => {
  const first = { ...(await exportJWK(RSA.publicKey)), kid: "1" };
  const second = { ...(await exportJWK(P256.publicKey)), kid: "2" };
  const signedFirst = await token({}, RSA.privateKey, { alg: "RS256", kid: "1" });
  const signedSecond = await token({}, P256.privateKey, { alg: "ES256", kid: "2" });

  test("are fetched once for many tokens", async (t) => {
    const { served, reading } = await issuer(t);
    served.keys = [first, second];
    const all = [signedFirst, signedSecond, signedFirst].map((each) => outcome(reading, each));
    assert.deepEqual(await Promise.all(all), ["alice", "alice", "alice"]);
    assert.equal(await outcome(reading, signedSecond), "alice");
    assert.equal(served.fetches, 1);
  });

  test("are fetched again for a key that is not there, at most once a cooldown", async (t) => {
    const { served, clock, reading } = await issuer(t);
    served.keys = [first];
    assert.equal(await outcome(reading, signedFirst), "alice");
    served.keys = [first, second];
    clock.now = 29_999;
    for (let time = 0; time < 5; time++) assert.equal(await outcome(reading, signedSecond), "invalid_token");
    assert.equal(served.fetches, 1);
    clock.now = 30_000;
    assert.equal(await outcome(reading, signedSecond), "alice");
    assert.equal(served.fetches, 2);
  });

  test("are fetched again after a while, and one that was taken out is good no more", async (t) => {
    const { served, clock, reading } = await issuer(t);
    served.keys = [first, second];
    assert.equal(await outcome(reading, signedFirst), "alice");
    served.keys = [second];
    clock.now = 3_599_999;
    assert.equal(await outcome(reading, signedFirst), "alice");
    clock.now = 3_600_000;
    assert.equal(await outcome(reading, signedFirst), "invalid_token");
    assert.equal(await outcome(reading, signedSecond), "alice");
    assert.equal(served.fetches, 2);
  });

  test("are used while the URL is down, asked for once a cooldown, and not for ever", async (t) => {
    const { served, clock, warnings, reading } = await issuer(t);
    served.keys = [first];
    assert.equal(await outcome(reading, signedFirst), "alice");
    served.status = 503;
    for (const now of [3_600_000, 3_629_999]) {
      clock.now = now;
      assert.equal(await outcome(reading, signedFirst), "alice");
    }
    assert.equal(served.fetches, 2);
    assert.match(warnings[0] ?? "", /jwks\.json: answered 503/);
    clock.now = 86_399_999;
    assert.equal(await outcome(reading, signedFirst), "alice");
    clock.now = 86_400_000;
    assert.equal(await outcome(reading, signedFirst), "temporary-auth-failure");
    served.status = 200;
    clock.now += 30_000;
    assert.equal(await outcome(reading, signedFirst), "alice");
  });

  test("that were never had make a login fail for now", async (t) => {
    const { served, clock, reading } = await issuer(t);
    for (const [status, padding, keys] of [
      [500, "", [first]],
      [404, "", [first]],
      [302, "", [first]],
      [200, "}", [first]],
      [200, " ".repeat(4096), [first]],
      [200, "", []],
    ] as const) {
      Object.assign(served, { status, padding, keys });
      assert.equal(await outcome(reading, signedFirst), "temporary-auth-failure", String(status));
      clock.now += 30_000;
    }
  });

  test("are fetched at once after a reload", async (t) => {
    const { served, keys, reading } = await issuer(t);
    served.keys = [first];
    assert.equal(await outcome(reading, signedFirst), "alice");
    served.keys = [second];
    keys.reload();
    assert.equal(await outcome(reading, signedFirst), "invalid_token");
    assert.equal(await outcome(reading, signedSecond), "alice");
  });

  test("are tried in turn for a token that names none, ten at most", async (t) => {
    const { served, reading } = await issuer(t);
    const strangers = await Promise.all(
      Array.from({ length: 10 }, () => exportJWK(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey)),
    );
    const own = await exportJWK(P256.publicKey);
    served.keys = [...strangers.slice(1), own];
    const signed = await token({}, P256.privateKey, { alg: "ES256" });
    assert.equal(await outcome(reading, signed), "alice");
    const other = await issuer(t);
    other.served.keys = [...strangers, own];
    assert.equal(await outcome(other.reading, signed), "invalid_token");
  });
});

test("a verifier never throws anything but a refusal, whatever it is given", async () => {
  for (let round = 0; round < 200; round++) {
    const parts = [1, 2, 3].map(() => randomBytes(round % 40).toString("base64url"));
    assert.equal(await outcome(verifier(), parts.join(".")), "invalid_token");
  }
});
