/** A directory on loopback, as far as the driver's first steps need one: it lets the searcher in, and finds Alice. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { TestContext } from "node:test";

export const BASE = "dc=example";
const ALICE_DN = `uid=alice,${BASE}`;
export const INVALID_CREDENTIALS = 49;

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

/** What was asked of it, and ways for it to fail. */
export interface FakeDirectory {
  readonly url: string;
  /** Each search, and each bind of another than the searcher. */
  readonly asked: string[];
  /** Connections that were let in. */
  let(): number;
  /** From now on it answers nothing, or says this to every search, or does as it should. */
  behave(how: "well" | "silently" | number): void;
  /** Cuts all connections, and takes no more. */
  stop(): Promise<void>;
  /** At its old port. */
  start(): Promise<void>;
}

export async function fakeDirectory(t: TestContext, refusal = INVALID_CREDENTIALS): Promise<FakeDirectory> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  let how: "well" | "silently" | number = "well";
  let entered = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (bytes: Buffer) => {
      if (how === "silently") return;
      for (const { id, tag, body } of messages(bytes)) {
        const answer = (...parts: Buffer[]) => {
          for (const part of parts) socket.write(ber(0x30, id, part));
        };
        if (tag === 0x60) {
          const searcher = body.includes("cn=searcher");
          if (searcher) entered++;
          else asked.push("bind");
          const right = searcher || (body.includes(ALICE_DN) && body.includes("right"));
          answer(result(0x61, right ? 0 : refusal));
        }
        if (tag === 0x63) {
          asked.push("search");
          const found = body.includes("alice") ? [ber(0x64, text(ALICE_DN), ber(0x30))] : [];
          if (how === "well") answer(...found, result(0x65, 0));
          else answer(result(0x65, how));
        }
      }
    });
  });
  let port = 0;
  const start = async () => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    ({ port } = server.address() as AddressInfo);
  };
  const stop = async () => {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  await start();
  t.after(stop);
  return {
    url: `ldap://127.0.0.1:${port}`,
    asked,
    let: () => entered,
    behave(next) {
      how = next;
    },
    stop,
    start,
  };
}

/** How the driver is told of it. */
export const AS_SEARCHER = { bindDn: "cn=searcher", bindPassword: "secret", base: BASE, filter: "(uid=%u)" } as const;
