/** The ways in that a host type has: what is right, and what is told when it is not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openKeySets } from "../../src/auth/stores.ts";
import { silentLog } from "../../src/observe/log.ts";
import { mistakesIn, mistakesOf, read } from "./support.ts";

const jwt = (more: string, accounts = "") =>
  `[host_types.default]\n${accounts}\n[host_types.default.jwt]\nissuer = "https://i"\naudience = ["xmpp"]\n${more}`;
const SECRET = `secret = "${"s".repeat(32)}"`;

test("accounts may be left empty where tokens are enough, or guests are let in", () => {
  assert.deepEqual(read(jwt(`${SECRET}\naccount = "any"`, "accounts = []")).host_types.default?.accounts, []);
  assert.deepEqual(read("[host_types.default]\naccounts = []\nanonymous = {}").host_types.default?.anonymous, {
    max_per_address: 5,
    max_guests: 1000,
  });
});

for (const [toml, mistake] of [
  [
    "[host_types.default]\naccounts = []",
    "host_types.default.accounts = []: nobody could log in; name a store, or add a table [host_types.default.jwt] or [host_types.default.anonymous]",
  ],
  [
    jwt(SECRET, "accounts = []"),
    'host_types.default.jwt.account = "existing": accounts is empty, so there are none; name a store there, or write "any"',
  ],
  [jwt(""), "host_types.default.jwt: no key to check tokens with; add one of secret, public_keys, jwks_file, jwks_url"],
  [
    jwt(`${SECRET}\njwks_url = "https://h/"`),
    "host_types.default.jwt.jwks_url: there is secret already; take one of them out",
  ],
  [jwt(`${SECRET}\nca = "ca.pem"`), "host_types.default.jwt.ca: nothing is fetched; take it out"],
  [
    jwt(`secret = "${"s".repeat(31)}"`),
    "host_types.default.jwt.secret = (hidden): has 31 bytes; RFC 7518 3.2 wants 32 at least, such as of openssl rand -hex 32",
  ],
  [
    jwt(`${SECRET}\nalgorithms = ["HS256", "HS384"]`),
    'host_types.default.jwt.algorithms.1 = "HS384": does not go with secret; there are HS256',
  ],
  [
    jwt('jwks_url = "https://h/"\nalgorithms = ["HS256"]'),
    'host_types.default.jwt.algorithms.0 = "HS256": does not go with jwks_url; there are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA',
  ],
  [
    jwt(`${SECRET}\nalgorithms = ["none"]`),
    'host_types.default.jwt.algorithms.0 = "none": must be one of "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"',
  ],
  [
    jwt('jwks_url = "https://me:secret@h/"'),
    'host_types.default.jwt.jwks_url = "https://me:secret@h/": must be an address such as "https://example.org/path", without a name, a query or a fragment',
  ],
  [jwt(`${SECRET}\nclam = "sub"`), 'host_types.default.jwt.clam: there is no such key; did you mean "claim"?'],
  [
    'storage.main = { driver = "http", url = "https://h", username = "a" }',
    'storage.main.username = "a": there is no password; add one, or take the username out',
  ],
  [
    'storage.main = { driver = "http", url = "https://h", password = "a" }',
    "storage.main.password = (hidden): there is no username; add one, or take the password out",
  ],
  [
    'storage.main = { driver = "http", url = "https://h", token = "a", username = "b", password = "c" }',
    "storage.main.token = (hidden): there is a username or a password already; take them out, or this",
  ],
  [
    'storage.main = { driver = "http", url = "https://h", username = "a:b", password = "c" }',
    'storage.main.username = "a:b": must have no colon',
  ],
  [
    'storage.main = { driver = "http", url = "https://h", offers = ["register"] }',
    'storage.main.offers = ["register"]: nobody could log in; add "check_password" or "get_keys"',
  ],
  [
    'storage.main = { driver = "http", url = "https://h", pause = "2s", longest_pause = "1s" }',
    'storage.main.longest_pause = "1000ms": must not be less than storage.main.pause ("2000ms")',
  ],
  [
    'storage.main = { driver = "http", url = "https://h" }\nhost_types.default.modules.registration.open = true',
    "host_types.default.modules.registration.open = true: its stores (main) make no accounts; write false, or add one that does to host_types.default.accounts",
  ],
  [
    'storage.main = { driver = "http", url = "h" }',
    'storage.main.url = "h": must be an address such as "https://example.org/path", without a name, a query or a fragment',
  ],
  [
    'storage.main = { driver = "http", url = "https://h", offers = ["get_password"] }',
    'storage.main.offers.0 = "get_password": must be one of "check_password", "get_keys", "register", "set_keys", "remove_user"; did you mean "check_password"?',
  ],
] as const) {
  test(`a mistake is named with its remedy: ${mistake.slice(0, 70)}`, () => {
    assert.deepEqual(mistakesIn(toml), [mistake]);
  });
}

test("the least that a secret may have is 32 bytes", () => {
  assert.ok(read(jwt(SECRET)).host_types.default?.jwt);
});

test("a file of keys that is not there is named with its key", () => {
  for (const [line, words] of [
    ['public_keys = ["/nowhere/a.pem"]', 'public_keys = "/nowhere/a.pem": cannot be read (ENOENT)'],
    ['jwks_file = "/nowhere/a.json"', 'jwks_file = "/nowhere/a.json": cannot be read (ENOENT)'],
    ['jwks_url = "https://h"\nca = "/nowhere/ca"', 'ca = "/nowhere/ca" cannot be read (ENOENT)'],
  ] as const) {
    const [mistake = "", ...more] = mistakesOf(() => openKeySets(read(jwt(line)), silentLog));
    assert.deepEqual(more, []);
    assert.ok(mistake.startsWith(`host_types.default.jwt.${words}; mend the path`), mistake);
  }
});
