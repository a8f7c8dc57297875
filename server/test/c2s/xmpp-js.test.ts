/** A client that others have written speaks XEP-0388, XEP-0386, XEP-0198 and XEP-0484 with the server. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, type TestContext, test } from "node:test";
import { type Client, client, type Element, xml } from "@xmpp/client";
import { PASSWORD, startServer, type TestServer } from "../support/server.ts";

const directory = mkdtempSync(join(tmpdir(), "meerkat-"));
after(() => rmSync(directory, { recursive: true }));

async function start(t: TestContext): Promise<TestServer> {
  const toml = `node = { id = "n1", data_dir = "${directory}" }\nlisten = [{ kind = "c2s", port = 0, tls = "direct" }]`;
  const server = await startServer(t, { toml });
  await server.account("alice");
  return server;
}

function made(t: TestContext, server: TestServer, id: string, password = PASSWORD): Client {
  const entity = client({
    service: `xmpps://127.0.0.1:${server.port("c2s")}`,
    domain: "example.org",
    resource: "Balcony",
    username: "alice",
    password,
    userAgent: xml("user-agent", { id }),
  });
  entity.on("error", () => {});
  // COMPAT(xmpp.js, 0.14): it listens for the answer to its stream header only once that has been written.
  const write = entity.write.bind(entity);
  entity.write = async (text: string) => {
    write(text).catch(() => {});
  };
  entity.reconnect.delay = 1;
  t.after(async () => {
    entity.reconnect.stop();
    await entity.stop().catch(() => {});
  });
  return entity;
}

/** What it hears with this id. */
function hears(entity: Client, id: string): Promise<Element> {
  return new Promise((resolve) => {
    entity.on("stanza", (stanza: Element) => {
      if (stanza.attrs.id === id) resolve(stanza);
    });
  });
}

const note = (to: string, id: string) => xml("message", { to, id, type: "chat" }, xml("body", {}, id));

describe("xmpp.js", () => {
  // It has no way to be told of a certificate that nobody has signed.
  const verifies = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  before(() => {
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
  });
  after(() => {
    if (verifies === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    else process.env.NODE_TLS_REJECT_UNAUTHORIZED = verifies;
  });

  test("logs in, binds and enables stream management at once, and keeps a token", async (t) => {
    const server = await start(t);
    const alice = made(t, server, "d4565fa7-4d72-4749-b3d3-740edbf87770");
    await alice.start();
    const jid = String(alice.jid);
    assert.match(jid, /^alice@example\.org\/Balcony\/[\w-]{16}$/);
    assert.equal(alice.streamManagement.enabled, true);
    assert.equal((await alice.fast.fetchToken())?.mechanism, "HT-SHA-256-NONE");
    const heard = hears(alice, "m");
    await alice.send(note(jid, "m"));
    assert.equal((await heard).getChildText("body"), "m");
  });

  test("logs in again with the token alone, as the same client", async (t) => {
    const server = await start(t);
    const id = "0c4a1d6e-7a5f-4c9b-8e2d-3f6b1a9c5d70";
    const first = made(t, server, id);
    await first.start();
    const token = await first.fast.fetchToken();
    assert.ok(token);
    await first.stop();
    const second = made(t, server, id, "forgotten");
    await second.fast.saveToken(token);
    await second.start();
    assert.equal(String(second.jid), String(first.jid));
  });

  test("resumes its session within its login when its connection breaks", async (t) => {
    const server = await start(t);
    const alice = made(t, server, "7f0d3c1a-2b4e-4d5f-9a6b-8c7d9e0f1a2b");
    await alice.start();
    const [jid, session] = [String(alice.jid), alice.streamManagement.id];
    const resumed = once(alice.streamManagement, "resumed");
    alice.socket?.socket.destroy();
    await resumed;
    assert.deepEqual([String(alice.jid), alice.streamManagement.id], [jid, session]);
    const heard = hears(alice, "after");
    await alice.send(note(jid, "after"));
    await heard;
  });
});
