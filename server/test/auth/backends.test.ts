/** A node whose accounts come from several places at once, as its clients see it. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { exportJWK, SignJWT } from "jose";
import { parseConfig } from "../../src/config/load.ts";
import { startNode } from "../../src/node.ts";
import { silentLog } from "../../src/observe/log.ts";
import type { Element } from "../../src/xml/element.ts";
import { PASSWORD, RawClient } from "../support/server.ts";

const SASL = "urn:ietf:params:xml:ns:xmpp-sasl";
const KEYS = generateKeyPairSync("ec", { namedCurve: "P-256" });
const base64 = (text: string) => Buffer.from(text).toString("base64");

/** A company's site: its accounts service, which knows Eve, and the key set of its tokens. */
async function company() {
  const jwk = { ...(await exportJWK(KEYS.publicKey)), kid: "1" };
  const fetches = { count: 0 };
  const site = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const { user, pass } = Object.fromEntries(new URLSearchParams(body));
    if (request.url === "/jwks.json") fetches.count++;
    if (request.url === "/jwks.json") response.end(JSON.stringify({ keys: [jwk] }));
    else if (request.url === "/accounts/user_exists") response.end(String(user === "eve"));
    else response.end(String(user === "eve" && pass === "apple pie"));
  });
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
  const close = () => {
    site.closeAllConnections();
    site.close();
  };
  return { site: `http://127.0.0.1:${(site.address() as AddressInfo).port}`, fetches, close };
}

async function startCompanyServer(t: TestContext) {
  const { site, fetches, close } = await company();
  const sockets: TLSSocket[] = [];
  const dataDir = mkdtempSync(join(tmpdir(), "meerkat-"));
  const config = parseConfig(`
    node = { id = "n1", data_dir = "${dataDir}" }
    hosts = [{ domain = "example.org" }]
    listen = [{ kind = "c2s", port = 0, tls = "direct" }, { kind = "ops", port = 0 }]
    auth = { scram_iterations = 4096, failures_per_address = 0 }
    [storage.main]
    driver = "memory"
    [storage.company]
    driver = "http"
    url = "${site}/accounts"
    [host_types.default]
    accounts = ["main", "company"]
    [host_types.default.jwt]
    issuer = "${site}"
    audience = ["xmpp"]
    jwks_url = "${site}/jwks.json"
    scope = "chat"
    [host_types.default.anonymous]
  `);
  const node = await startNode(config, silentLog, new AbortController().signal);
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    await node.stop();
    close();
    rmSync(dataDir, { recursive: true });
  });
  await node.accounts.get("example.org")?.create("alice", PASSWORD);
  const port = node.doors.find(({ kind }) => kind === "c2s")?.port as number;
  const open = async (): Promise<{ client: RawClient; features: Element }> => {
    const socket = connect({ host: "127.0.0.1", port, servername: "example.org", rejectUnauthorized: false });
    sockets.push(socket);
    await once(socket, "secureConnect");
    const client = new RawClient(socket);
    return { client, features: await client.open() };
  };
  const auth = async (mechanism: string, message: string) => {
    const { client } = await open();
    client.send(`<auth xmlns='${SASL}' mechanism='${mechanism}'>${message}</auth>`);
    return { client, answer: await client.next() };
  };
  const token = (claims: object) =>
    new SignJWT({ iss: site, aud: "xmpp", scope: "chat", ...claims })
      .setProtectedHeader({ alg: "ES256", kid: "1" })
      .setExpirationTime("1m")
      .sign(KEYS.privateKey);
  const bearer = (text: string) => auth("OAUTHBEARER", base64(`n,,\x01auth=Bearer ${text}\x01\x01`));
  return { open, auth, token, bearer, node, fetches };
}

test("a reload fetches the keys of tokens again", async (t) => {
  const { token, bearer, node, fetches } = await startCompanyServer(t);
  const login = async () => (await bearer(await token({ sub: "alice" }))).answer.name;
  assert.deepEqual([await login(), await login(), fetches.count], ["success", "success", 1]);
  node.reload();
  assert.deepEqual([await login(), fetches.count], ["success", 2]);
});

test("accounts of a store, of a service, of an issuer's tokens and of nobody log in to one domain", async (t) => {
  const { open, auth, token, bearer } = await startCompanyServer(t);
  const { features } = await open();
  const mechanisms = features
    .child("mechanisms", SASL)
    ?.elements()
    .map((mechanism) => mechanism.text())
    .filter((name) => !name.startsWith("SCRAM"));
  assert.deepEqual(mechanisms, ["OAUTHBEARER", "PLAIN", "ANONYMOUS"]);

  const bind = async (client: RawClient) => {
    await client.open();
    client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    const jid = (await client.next()).child("bind", "urn:ietf:params:xml:ns:xmpp-bind")?.childText("jid") ?? "";
    return jid.slice(0, jid.indexOf("@"));
  };
  for (const [login, local] of [
    [auth("PLAIN", base64(`\0alice\0${PASSWORD}`)), /^alice$/],
    [auth("PLAIN", base64("\0eve\0apple pie")), /^eve$/],
    [bearer(await token({ sub: "alice" })), /^alice$/],
    [bearer(await token({ sub: "eve" })), /^eve$/],
    [auth("ANONYMOUS", ""), /^[0-9a-f]{48}$/],
  ] as const) {
    const { client, answer } = await login;
    assert.equal(answer.name, "success", answer.toXml());
    assert.match(await bind(client), local);
  }
});

test("what is wrong is refused in each way, and the client of a token hears what it needs", async (t) => {
  const { auth, token, bearer } = await startCompanyServer(t);
  for (const message of [`\0alice\0apple pie`, `\0eve\0${PASSWORD}`, `\0nobody\0${PASSWORD}`]) {
    const { answer } = await auth("PLAIN", base64(message));
    assert.equal(answer.elements()[0]?.name, "not-authorized", answer.toXml());
  }
  for (const [claims, status, text] of [
    [{ sub: "nobody" }, "invalid_token", "the token is for an account that there is not"],
    [{ sub: "alice", scope: "mail" }, "insufficient_scope", "the token lacks the scope chat"],
    [{ sub: "alice", aud: "mail" }, "invalid_token", "the token's aud is not right"],
  ] as const) {
    const { client, answer } = await bearer(await token(claims));
    assert.equal(answer.name, "challenge", answer.toXml());
    assert.deepEqual(JSON.parse(Buffer.from(answer.text(), "base64").toString()), { status, scope: "chat" });
    client.send(`<response xmlns='${SASL}'>${base64("\x01")}</response>`);
    await client.receives(`<failure xmlns='${SASL}'><not-authorized/><text xml:lang='en'>${text}</text></failure>`);
  }
});
