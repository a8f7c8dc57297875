import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { generate } from "selfsigned";
import { type HttpOptions, httpDriver } from "../../src/storage/drivers/http/http.ts";
import { type AccountStore, StorageError } from "../../src/storage/specs.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import { describeCapability, scramKeys } from "../conformance/storage/suite.ts";

const ALICE = new Jid("alice", "example.org");
const EVERYTHING = ["check_password", "get_keys", "register", "set_keys", "remove_user"] as const;

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly form: Readonly<Record<string, string>>;
  readonly authorization: string | undefined;
}
type Answer = (asked: Asked, response: ServerResponse, request: IncomingMessage) => void | Promise<void>;

function answering(answer: Answer, asked: Asked[]) {
  return async (request: IncomingMessage, response: ServerResponse) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const question = {
      method: request.method ?? "",
      path: request.url ?? "",
      form: Object.fromEntries(new URLSearchParams(body)),
      authorization: request.headers.authorization,
    };
    asked.push(question);
    await answer(question, response, request);
  };
}

/** A service on loopback that answers as it is told, and the driver that asks it. */
async function service(t: TestContext, answer: Answer, options: Partial<HttpOptions> = {}) {
  const asked: Asked[] = [];
  const server = createServer(answering(answer, asked));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/xmpp`;
  const driver = httpDriver({ url, offers: EVERYTHING, ...options });
  t.after(async () => {
    await driver.close();
    server.closeAllConnections();
    server.close();
  });
  return {
    url,
    asked,
    driver,
    server,
    accounts: driver.accounts?.() as Required<Omit<AccountStore, "count" | "list">>,
  };
}

const says =
  (status: number, text = ""): Answer =>
  (_, response) => {
    response.writeHead(status).end(text);
  };
const fails = (words: RegExp) => (error: unknown) => error instanceof StorageError && words.test(error.message);

describeCapability("http", "accounts", () => {
  test("is asked who exists and whose password it is, in forms that are posted", async (t) => {
    const { accounts, asked } = await service(t, ({ path, form }, response) => {
      response.end(path === "/xmpp/user_exists" || form.pass === "a&b=ä" ? "true\n" : "false");
    });
    assert.equal(await accounts.exists(ALICE), true);
    assert.equal(await accounts.verify(ALICE, "a&b=ä"), true);
    assert.equal(await accounts.verify(ALICE, "wrong"), false);
    const account = { user: "alice", server: "example.org" };
    assert.deepEqual(
      asked.map(({ method, path, form }) => [method, path, form]),
      [
        ["POST", "/xmpp/user_exists", account],
        ["POST", "/xmpp/check_password", { ...account, pass: "a&b=ä" }],
        ["POST", "/xmpp/check_password", { ...account, pass: "wrong" }],
      ],
    );
  });

  test("is asked for nothing that it does not offer, and never about an empty password", async (t) => {
    const { accounts, asked } = await service(t, says(200, "true"), { offers: undefined });
    assert.equal(await accounts.verify(ALICE, ""), false);
    assert.deepEqual(asked, []);
    assert.deepEqual(Object.keys(accounts), ["exists", "verify"]);
  });

  test("is asked once for the keys of all hashes, and hands out those there are", async (t) => {
    const [sha1, sha256] = [scramKeys("sha-1", 1), scramKeys("sha-256", 2)];
    const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
    const written = Object.fromEntries(
      [sha1, sha256].map(({ hash, salt, iterations, storedKey, serverKey }) => [
        hash,
        { salt: base64(salt), iterations, stored_key: base64(storedKey), server_key: base64(serverKey) },
      ]),
    );
    const { accounts, asked } = await service(t, ({ form, path }, response) => {
      if (path.endsWith("register")) assert.deepEqual(JSON.parse(form.keys ?? ""), written);
      response.end(JSON.stringify(form.user === "alice" ? written : form.user === "eve" ? {} : null));
    });
    const hashes = ["sha-1", "sha-256", "sha-512"] as const;
    const all = (account: Jid) => Promise.all(hashes.map((hash) => accounts.scram(account, hash)));
    assert.deepEqual(await all(ALICE), [sha1, sha256, undefined]);
    assert.equal(asked.length, 1);
    for (const local of ["eve", "nobody"]) {
      assert.deepEqual(await all(new Jid(local, "example.org")), [undefined, undefined, undefined]);
    }
    assert.equal(await accounts.create(ALICE, [sha1, sha256]), "created");
  });

  for (const [name, change, statuses] of [
    ["register", (accounts) => accounts.create?.(ALICE, []), { 201: "created", 200: "created", 409: "exists" }],
    ["set_keys", (accounts) => accounts.setKeys?.(ALICE, []), { 204: "changed", 200: "changed", 404: "missing" }],
    ["remove_user", (accounts) => accounts.remove?.(ALICE), { 204: undefined, 200: undefined, 404: undefined }],
  ] as readonly (readonly [string, (accounts: AccountStore) => Promise<unknown>, Record<number, unknown>])[]) {
    test(`tells by the status how a change went (${name})`, async (t) => {
      let status = 0;
      const { accounts, asked } = await service(t, (_, response) => void response.writeHead(status).end());
      for (const [code, meaning] of Object.entries(statuses)) {
        status = Number(code);
        assert.equal(await change(accounts), meaning, code);
      }
      status = 403;
      await assert.rejects(change(accounts), fails(new RegExp(`${name} answered 403.*password or token here`)));
      assert.equal(asked.at(-1)?.path, `/xmpp/${name}`);
    });
  }

  for (const [what, status, text, words] of [
    ["a failure", 500, "false", /answered 500/],
    ["a path that there is not", 404, "", /user_exists answered 404, and not true or false/],
    ["a redirection", 302, "true", /answered 302/],
    ["something else than yes or no", 200, "yes", /answered 200, and not true or false/],
  ] as const) {
    test(`that answers with ${what} says neither yes nor no`, async (t) => {
      const { accounts } = await service(t, says(status, text));
      await assert.rejects(accounts.exists(ALICE), fails(words));
    });
  }

  for (const [what, keys] of [
    ["no JSON", "keys"],
    ["an unknown hash", '{"md5":{}}'],
    [
      "a key of the wrong length",
      '{"sha-1":{"salt":"AA==","iterations":4096,"stored_key":"AA==","server_key":"AA=="}}',
    ],
    [
      "more iterations than a login may cost",
      `{"sha-1":{"salt":"AA==","iterations":10000001,"stored_key":"${"A".repeat(27)}=","server_key":"${"A".repeat(27)}="}}`,
    ],
  ] as const) {
    test(`that hands out ${what} is not believed`, async (t) => {
      const { accounts } = await service(t, says(200, keys));
      await assert.rejects(accounts.scram(ALICE, "sha-1"), fails(/what are no keys/));
    });
  }

  test("knows this server by a name and a password, or by a token", async (t) => {
    for (const [options, header] of [
      [{ username: "meerkat", password: "s:ä" }, `Basic ${Buffer.from("meerkat:s:ä").toString("base64")}`],
      [{ token: "abc" }, "Bearer abc"],
      [{}, undefined],
    ] as const) {
      const { accounts, asked } = await service(t, says(200, "true"), options);
      await accounts.exists(ALICE);
      assert.equal(asked[0]?.authorization, header);
    }
  });

  test("is well when its bare address answers anything but a failure or a refusal", async (t) => {
    for (const [status, well] of [
      [200, true],
      [404, true],
      [401, false],
      [403, false],
      [503, false],
    ] as const) {
      const { driver, asked } = await service(t, says(status));
      assert.equal(await driver.healthy(), well, String(status));
      assert.deepEqual([asked[0]?.method, asked[0]?.path], ["GET", "/xmpp/"]);
      if (well) await driver.migrate();
      else await assert.rejects(driver.migrate(), StorageError);
    }
  });

  test("may answer with so many bytes and not one more", async (t) => {
    const spaces = (bytes: number): Answer => says(200, `true${" ".repeat(bytes - 4)}`);
    assert.equal(await (await service(t, spaces(1024), { answerBytes: 1024 })).accounts.exists(ALICE), true);
    await assert.rejects((await service(t, spaces(1025), { answerBytes: 1024 })).accounts.exists(ALICE), StorageError);
  });

  test("that is too slow is not waited for", async (t) => {
    const { accounts } = await service(t, () => {}, { timeout: 50 });
    await assert.rejects(accounts.exists(ALICE), fails(/user_exists: no answer in 50 ms/));
  });

  test("is asked by so many at a time; some wait, and the rest are refused at once", async (t) => {
    const held: ServerResponse[] = [];
    const arrivals = Promise.withResolvers<void>();
    const { accounts, asked } = await service(
      t,
      (_, response) => {
        held.push(response);
        if (held.length === 2) arrivals.resolve();
      },
      { max: 2, queue: 1 },
    );
    const first = [accounts.exists(ALICE), accounts.exists(ALICE), accounts.exists(ALICE)];
    await arrivals.promise;
    await assert.rejects(accounts.exists(ALICE), fails(/1 requests wait already/));
    assert.equal(asked.length, 2);
    held[0]?.end("true");
    await first[0];
    while (held.length < 3) await new Promise((resolve) => setImmediate(resolve));
    for (const response of held.slice(1)) response.end("true");
    assert.deepEqual(await Promise.all(first), [true, true, true]);
  });

  test("that had hung up on a kept connection is asked again, but not told again", async (t) => {
    let hangUp = false;
    const { accounts, asked } = await service(t, (_, response) => {
      if (hangUp) response.socket?.destroy();
      else response.end("true");
      hangUp = !hangUp;
    });
    assert.equal(await accounts.exists(ALICE), true);
    assert.equal(await accounts.exists(ALICE), true);
    assert.equal(asked.length, 3);
    hangUp = true;
    await assert.rejects(accounts.remove(ALICE), StorageError);
    assert.equal(asked.length, 4);
  });

  test("that is down does not answer, and is named", async (t) => {
    const { url, server, driver } = await service(t, says(200));
    server.close();
    await once(server, "close");
    assert.equal(await driver.healthy(), false);
    await assert.rejects(driver.migrate(), (error) => error instanceof StorageError && error.message.includes(url));
  });
});

describeCapability("http", "faults", () => {
  test("so many times in a row is left in peace, for longer each time, and tried by one request", async (t) => {
    let now = 0;
    let status = 500;
    const { accounts, asked } = await service(t, (_, response) => void response.writeHead(status).end("true"), {
      failures: 2,
      pause: 1000,
      longestPause: 3000,
      now: () => now,
    });
    const ask = (words: RegExp) => assert.rejects(accounts.exists(ALICE), fails(words));
    const leftInPeace = async (ms: number) => {
      const before = asked.length;
      now += ms - 1;
      await ask(/not asked: it has failed \d+ times in a row/);
      assert.equal(asked.length, before);
      now += 1;
    };
    await ask(/answered 500/);
    await ask(/answered 500/);
    for (const pause of [1000, 2000, 3000, 3000]) {
      await leftInPeace(pause);
      const trial = ask(/answered 500/);
      await ask(/not asked/);
      await trial;
    }
    now += 3000;
    status = 200;
    assert.equal(await accounts.exists(ALICE), true);
    status = 500;
    await ask(/answered 500/);
    status = 200;
    assert.equal(await accounts.exists(ALICE), true);
  });

  test("is not one that refuses: a status below 500 stops nothing", async (t) => {
    const { accounts } = await service(t, says(403), { failures: 1 });
    for (let time = 0; time < 3; time++) await assert.rejects(accounts.exists(ALICE), fails(/answered 403/));
  });
});

test("a service's certificate is checked against the authority that was named, and its name", async (t) => {
  const { private: key, cert } = await generate([{ name: "commonName", value: "localhost" }], {
    keyType: "ec",
    extensions: [{ name: "subjectAltName", altNames: [{ type: 2, value: "localhost" }] }],
  });
  const server = createTlsServer({ key, cert }, answering(says(200, "true"), []));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  for (const [host, ca, well] of [
    ["localhost", cert, true],
    ["localhost", undefined, false],
    ["127.0.0.1", cert, false],
  ] as const) {
    const driver = httpDriver({ url: `https://${host}:${port}`, ca });
    assert.equal(await driver.healthy(), well, `${host} ${ca === undefined}`);
    await driver.close();
  }
});
