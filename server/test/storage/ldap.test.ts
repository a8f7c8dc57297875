import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { ldapDriver } from "../../src/storage/drivers/ldap/ldap.ts";
import { Jid } from "../../src/xmpp/jid.ts";

const BASE = "dc=example";
const ALICE_DN = `uid=alice,${BASE}`;
const INVALID_CREDENTIALS = 49;

/** Basic Encoding Rules, as far as short messages need them (RFC 4511 5.1). */
function ber(tag: number, ...contents: (Buffer | string)[]): Buffer {
  const content = Buffer.concat(contents.map((part) => Buffer.from(part)));
  assert.ok(content.length < 128);
  return Buffer.concat([Buffer.from([tag, content.length]), content]);
}
const text = (value: string) => ber(0x04, value);
const result = (tag: number, code: number) => ber(tag, ber(0x0a, Buffer.from([code])), text(""), text(""));

/** The messages in some bytes: each one's id, and its operation with its tag. */
function* messages(bytes: Buffer): Generator<{ id: Buffer; tag: number; body: Buffer }> {
  for (let at = 0; at < bytes.length; ) {
    let length = bytes[at + 1] as number;
    let start = at + 2;
    if (length > 127) {
      const size = length - 128;
      length = bytes.readUIntBE(start, size);
      start += size;
    }
    const idEnd = start + 2 + (bytes[start + 1] as number);
    yield {
      id: bytes.subarray(start, idEnd),
      tag: bytes[idEnd] as number,
      body: bytes.subarray(idEnd, start + length),
    };
    at = start + length;
  }
}

/** A directory on loopback with Alice in it, which notes what it is asked. */
async function directory(t: TestContext, refusal = INVALID_CREDENTIALS) {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => {
      for (const { id, tag, body } of messages(bytes)) {
        const answer = (...parts: Buffer[]) => {
          for (const part of parts) socket.write(ber(0x30, id, part));
        };
        if (tag === 0x60) {
          const searcher = body.includes("cn=searcher");
          if (!searcher) asked.push("bind");
          const right = searcher || (body.includes(ALICE_DN) && body.includes("right"));
          answer(result(0x61, right ? 0 : refusal));
        }
        if (tag === 0x63) {
          asked.push("search");
          const found = body.includes("alice") ? [ber(0x64, text(ALICE_DN), ber(0x30))] : [];
          answer(...found, result(0x65, 0));
        }
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const driver = ldapDriver({
    url: `ldap://127.0.0.1:${port}`,
    bindDn: "cn=searcher",
    bindPassword: "secret",
    base: BASE,
    filter: "(uid=%u)",
  });
  t.after(async () => {
    await driver.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const verify = async (local: string, password: string) => {
    asked.length = 0;
    const right = await driver.accounts?.()?.verify?.(new Jid(local, "example.org"), password);
    return [right, ...asked];
  };
  return { verify };
}

test("a directory is asked as much about an account that it does not have", async (t) => {
  const { verify } = await directory(t);
  assert.deepEqual(await verify("alice", "right"), [true, "search", "bind"]);
  assert.deepEqual(await verify("alice", "wrong"), [false, "search", "bind"]);
  assert.deepEqual(await verify("nobody", "right"), [false, "search", "bind"]);
  assert.deepEqual(await verify("alice", ""), [false]);
});

test("whatever a directory says to a bind as nobody, it is a no", async (t) => {
  const { verify } = await directory(t, 34);
  assert.deepEqual(await verify("nobody", "right"), [false, "search", "bind"]);
  await assert.rejects(verify("alice", "wrong"), /ldap at/);
});
