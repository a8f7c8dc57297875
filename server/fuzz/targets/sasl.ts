import assert from "node:assert/strict";
import { NO_STREAM, type SaslContext } from "../../src/xmpp/sasl/mechanism.ts";
import { SASL_MECHANISMS } from "../../src/xmpp/sasl/mechanisms.ts";
import { SaslNegotiation, type SaslReply } from "../../src/xmpp/sasl/negotiation.ts";
import { deriveKeys } from "../../src/xmpp/sasl/scram-keys.ts";
import { ScramClient } from "../../test/xmpp/sasl/scram-client.ts";
import { mutate } from "../random.ts";
import type { Target } from "../target.ts";

const PASSWORD = "pencil";
const NONCE = "3rfcNHYJY1ZVvWVs7j";
const base64 = (text: string | Uint8Array) => Buffer.from(text as string).toString("base64");

/** One hash of the password is enough here. */
const KEYS = await deriveKeys(PASSWORD, "sha-256", 1, Buffer.from("salt"));
const CONTEXT: SaslContext = {
  ...NO_STREAM,
  domain: "example.org",
  credentials: {
    scram: (local, hash) => (local === "user" && hash === "sha-256" ? KEYS : undefined),
    verify: (local, password) => local === "user" && password === PASSWORD,
    proved() {},
  },
  decoySecret: Buffer.from("not to be guessed"),
  iterations: 1,
  nonce: () => NONCE,
};

// The server's nonce never changes here, so that one run of words logs in, and no other may.
const CLIENT = new ScramClient("sha-256", "user", PASSWORD);
const [, CLIENT_NONCE] = /r=(.*)$/.exec(CLIENT.first) ?? [];
const FINAL = CLIENT.final(`r=${CLIENT_NONCE}${NONCE},s=${base64("salt")},i=1`);
const PLAIN = base64(`\0user\0${PASSWORD}`);
const LOGINS = [["SCRAM-SHA-256", base64(CLIENT.first), base64(FINAL)].join("\n"), `PLAIN\n${PLAIN}`];

const FRAGMENTS = [
  ...", = =2C =3D n= r= c= p= m= a= n,, y,, p=tls-unique,, p=tls-exporter,, biws AAAA ==== = user".split(" "),
  "\0",
  "\n",
  "\r\n",
  " ",
  "\u00e9",
  "\n=\n",
];

/** Whatever a client says is refused in words for it, unless it is exactly what one who knows the password says. */
export const sasl: Target = {
  name: "login",

  make(random) {
    const login = random.pick(LOGINS);
    if (random.chance(5)) return Buffer.from(login);
    if (random.chance(30)) return mutate(random, Buffer.from(login), FRAGMENTS);
    // Changed beneath the base64, where the grammar of the mechanism is.
    const [mechanism = "", ...messages] = login.split("\n");
    const changed = messages.map((message) => base64(mutate(random, Buffer.from(message, "base64"), FRAGMENTS)));
    const name = random.chance(80) ? mechanism : random.pick(SASL_MECHANISMS).name;
    return Buffer.from([name, ...changed].join("\n"));
  },

  async check(input) {
    const [mechanism = "", ...messages] = input.toString().split("\n");
    const negotiation = new SaslNegotiation(SASL_MECHANISMS, CONTEXT);
    let reply: SaslReply = await negotiation.begin(mechanism, messages[0] ?? "");
    let said = 1;
    while (said < messages.length && !("success" in reply))
      reply = await negotiation.respond(messages[said++] as string);
    const login = [mechanism, ...messages.slice(0, said)].join("\n");
    const right = rightfully(login);
    if ("success" in reply) assert.ok(right, "logged in by other words");
    else assert.ok(!LOGINS.includes(login), "kept out with the right words");
    return "success" in reply || "challenge" in reply;
  },
};

/** PLAIN has more than one way to say who one is. */
function rightfully(said: string): boolean {
  // RFC 6120 6.4.2: who says nothing at first is asked to speak.
  const login = said.replace(/^([^\n]*)\n\n/, "$1\n");
  if (LOGINS.includes(login)) return true;
  const [mechanism, message = ""] = login.split("\n").filter((line, at) => line !== "" || at === 0);
  const [authzid, local = "", password] = Buffer.from(message, "base64").toString().split("\0");
  const known = authzid === "" || authzid?.toLowerCase() === "user@example.org";
  return mechanism === "PLAIN" && known && local.normalize("NFKC").toLowerCase() === "user" && password === PASSWORD;
}
