/** What goes wrong with Riak, and between those who write to it at once: all over the double, which misbehaves on demand. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { generate } from "selfsigned";
import { archiveId, archiveIdAt } from "../../../src/storage/archive-id.ts";
import { type RiakOptions, riakDriver } from "../../../src/storage/drivers/riak/riak.ts";
import { json, type StorageDriver, StorageError } from "../../../src/storage/specs.ts";
import { Jid } from "../../../src/xmpp/jid.ts";
import { type DoubleOptions, RiakDouble } from "./riak-double.ts";
import { describeCapability, eventually, failure, freshAccount, scramKeys, scramStore } from "./suite.ts";

const BOB = new Jid("bob", "example.org");
const RIGHT = { allow_mult: true, last_write_wins: false };

async function started(t: TestContext, options: DoubleOptions = {}): Promise<RiakDouble> {
  const double = await RiakDouble.start(options);
  t.after(() => double.stop().catch(() => {}));
  return double;
}

/** A node of Meerkat's, with everything of its own. */
function opened(t: TestContext, doubles: readonly RiakDouble[], options: Partial<RiakOptions> = {}): StorageDriver {
  const driver = riakDriver({ nodes: doubles.map(({ node }) => node), ...options });
  t.after(() => driver.close());
  return driver;
}

function counters(driver: StorageDriver) {
  const store = driver.map?.("counters", json<number>());
  assert.ok(store);
  return store;
}

const add = (present = 0) => present + 1;
const refused = (error: unknown, words: RegExp) => {
  assert.ok(error instanceof StorageError, String(error));
  assert.match(error.message, words);
};

describeCapability("riak (double)", "faults", () => {
  test("does not start on a cluster that cannot keep its word, and says what to do", async (t) => {
    const double = await started(t);
    const driver = opened(t, [double]);
    await driver.migrate();
    const cases: [Record<string, unknown> | undefined, RegExp][] = [
      [undefined, /no active bucket type "meerkat"; make it: riak-admin bucket-type create meerkat .*activate meerkat/],
      [
        { ...RIGHT, allow_mult: false },
        /allow_mult = false, which must be true; set it: riak-admin bucket-type update/,
      ],
      [{ ...RIGHT, last_write_wins: true }, /last_write_wins = true.*update meerkat/],
      [{ ...RIGHT, datatype: "map" }, /datatype = "map".*another bucket_type/],
      [{ ...RIGHT, consistent: true }, /consistent = true.*another bucket_type/],
    ];
    for (const [properties, words] of cases) {
      double.setType("meerkat", properties);
      const error = await failure(driver.migrate());
      assert.ok(error instanceof Error && !(error instanceof StorageError));
      assert.match(error.message, words);
    }
    double.setType("meerkat", RIGHT);
    double.hasIndexes = false;
    const error = await failure(driver.migrate());
    assert.ok(error instanceof Error && !(error instanceof StorageError));
    assert.match(error.message, /no secondary indexes; set storage_backend = leveled/);
  });

  test("waits at the start for a cluster that is down, or that refuses the login", async (t) => {
    const double = await started(t);
    const driver = opened(t, [double]);
    for (const [status, words] of [
      [426, /TLS alone \(426\); set tls = true/],
      [401, /refuses the username or the password \(401\)/],
      [403, /no right to this \(403\): Permission denied/],
      [503, /answered 503: overload/],
    ] as const) {
      double.meddle = () => ({ status, body: status === 503 ? "overload" : "<h1>Permission denied</h1>" });
      refused(await failure(driver.migrate()), words);
    }
    double.meddle = () => undefined;
    await double.stop();
    refused(await failure(driver.migrate()), new RegExp(`riak at http://${double.node}: .*ECONNREFUSED`));
    assert.equal(await driver.healthy(), false);
    await double.listen();
    await driver.migrate();
    assert.equal(await driver.healthy(), true);
  });

  test("logs in over TLS, whose certificate is checked", async (t) => {
    const { private: key, cert } = await generate([{ name: "commonName", value: "riak" }], {
      extensions: [{ name: "subjectAltName", altNames: [{ type: 7, ip: "127.0.0.1" }] }],
    });
    const double = await started(t, { tls: { key, cert } });
    const driver = opened(t, [double], { tls: { ca: cert }, username: "meerkat", password: "hunter2" });
    await driver.migrate();
    const basic = `Basic ${Buffer.from("meerkat:hunter2").toString("base64")}`;
    assert.ok(double.requests.every(({ headers }) => headers.authorization === basic));
    const error = await failure(opened(t, [double], { tls: {}, username: "meerkat", password: "hunter2" }).migrate());
    refused(error, /self-signed certificate/);
    assert.doesNotMatch(String(error), /hunter2/);
  });

  test("shares requests among its nodes, and does without those that fail", async (t) => {
    const [one, two] = [await started(t), await started(t)];
    const driver = opened(t, [one, two], { timeout: 2000 });
    for (let round = 0; round < 8; round++) await driver.migrate();
    assert.ok(one.requests.length >= 4 && two.requests.length >= 4);
    one.meddle = () => ({ status: 503 });
    for (let round = 0; round < 4; round++) await driver.migrate();
    await one.stop();
    for (let round = 0; round < 4; round++) await driver.migrate();
    // One that hangs is left after half of the time.
    await one.listen();
    one.meddle = () => ({ until: new Promise(() => {}) });
    await driver.migrate();
    one.meddle = () => undefined;
    const before = one.requests.filter(({ path }) => path.endsWith("/props")).length;
    await eventually(
      async () => {
        await driver.migrate();
        return one.requests.filter(({ path }) => path.endsWith("/props")).length;
      },
      (now) => now > before,
    );
  });

  test("gives up what takes too long, and bounds what is under way and what waits", async (t) => {
    const double = await started(t);
    const driver = opened(t, [double], { timeout: 300, connections: 2, queue: 3 });
    const notes = driver.keyValue?.("notes", json<string>());
    double.meddle = () => ({ until: new Promise(() => {}) });
    const asked = Array.from({ length: 7 }, (_, n) =>
      failure(notes?.get(new Jid(`user${n}`, "x")) as Promise<unknown>),
    );
    const refusals = await Promise.all(asked.slice(5));
    for (const error of refusals) refused(error, /3 requests wait for a connection already/);
    await eventually(
      async () => double.requests.length,
      (requests) => requests === 2,
    );
    const late = await Promise.all(asked.slice(0, 5));
    for (const error of late) refused(error, /(no answer|no connection was free) in 300 ms/);
    double.meddle = () => undefined;
    assert.equal(await notes?.get(BOB), undefined);
  });

  test("makes a change once when the connection breaks before the answer", async (t) => {
    const double = await started(t);
    const driver = opened(t, [double]);
    const alice = freshAccount();
    await counters(driver).set(alice, "n", 0);
    for (const cut of ["before", "after"] as const) {
      let left = 1;
      double.meddle = ({ method }) => (method === "PUT" && left-- > 0 ? { cut } : undefined);
      await counters(driver).update(alice, "n", add);
      assert.equal(left, -1);
    }
    assert.equal(await counters(driver).get(alice, "n"), 2);
  });

  test("loses no change when another writer comes between a condition and its write", async (t) => {
    const double = await started(t);
    const [one, two] = [opened(t, [double]), opened(t, [double])];
    const alice = freshAccount();
    for (const present of [undefined, 10]) {
      if (present !== undefined) await counters(one).set(alice, "n", present);
      let first = true;
      double.between = async () => {
        if (!first) return;
        first = false;
        await counters(two).update(alice, "n", add);
      };
      await counters(one).update(alice, "n", add);
      assert.equal(await counters(one).get(alice, "n"), (present ?? 0) + 2);
    }
  });

  test("brings nothing back that was cleared while it was changed", async (t) => {
    const double = await started(t);
    const [one, two] = [opened(t, [double]), opened(t, [double])];
    const alice = freshAccount();
    await counters(one).set(alice, "old", 1);
    let first = true;
    double.between = async () => {
      if (!first) return;
      first = false;
      await counters(two).clear(alice);
    };
    await counters(one).update(alice, "n", add);
    assert.deepEqual(await counters(two).list(alice), new Map([["n", 1]]));
  });

  test("clears for good what is changed while it is cleared", async (t) => {
    const double = await started(t);
    const [one, two] = [opened(t, [double]), opened(t, [double])];
    const alice = freshAccount();
    await counters(one).set(alice, "old", 1);
    let first = true;
    double.between = async () => {
      if (!first) return;
      first = false;
      await counters(two).update(alice, "n", add);
    };
    await counters(one).clear(alice);
    assert.equal(first, false);
    assert.deepEqual(await counters(two).list(alice), new Map());
  });

  test("makes an account once when two nodes make it at the same time", async (t) => {
    const double = await started(t);
    const [one, two] = [scramStore(opened(t, [double])), scramStore(opened(t, [double]))];
    const alice = freshAccount();
    const answers: string[] = [];
    let first = true;
    double.between = async () => {
      if (!first) return;
      first = false;
      answers.push(await two.create(alice, [scramKeys("sha-256", 2)]));
    };
    answers.push(await one.create(alice, [scramKeys("sha-256", 1)]));
    assert.deepEqual(answers, ["created", "exists"]);
    assert.deepEqual(await one.scram(alice, "sha-256"), scramKeys("sha-256", 2));
  });

  test("gives a queued item to one of two who take it at once", async (t) => {
    const double = await started(t);
    const [one, two] = [opened(t, [double]), opened(t, [double])].map((driver) => driver.queue?.("mail", json()));
    const alice = freshAccount();
    await one?.push(alice, "hello", 10);
    const [item] = (await one?.list(alice, 1)) ?? [];
    const ids = [item?.id ?? ""];
    let first = true;
    let others: readonly string[] | undefined;
    double.between = async () => {
      if (!first) return;
      first = false;
      others = await two?.remove(alice, ids);
    };
    assert.deepEqual(await one?.remove(alice, ids), []);
    assert.deepEqual(others, ids);
    assert.equal(await one?.size(alice), 0);
  });

  test("tells of what it has taken from a queue, though the rest fails", async (t) => {
    const double = await started(t);
    const driver = opened(t, [double]);
    const queue = driver.queue?.("mail", json<number>());
    assert.ok(queue);
    const alice = freshAccount();
    for (const n of [1, 2, 3]) await queue.push(alice, n, 10);
    const ids = (await queue.list(alice, 3)).map(({ id }) => id);
    const isOf = (path: string, id: string | undefined) => path.includes(`${id}`);
    // One is taken and not removed, and one cannot be taken.
    double.meddle = ({ method, path }) =>
      (method === "DELETE" && isOf(path, ids[0])) || (method === "PUT" && isOf(path, ids[1]))
        ? { status: 503 }
        : undefined;
    assert.deepEqual(await queue.remove(alice, ids), [ids[0], ids[2]]);
    assert.ok((await failure(queue.remove(alice, [ids[1] as string]))) instanceof StorageError);
    double.meddle = () => undefined;
    assert.deepEqual(
      (await queue.list(alice, 3)).map(({ value }) => value),
      [2],
    );
  });

  test("counts a queue once for what is pushed meanwhile, keeps its limit, and pushes again after a failure", async (t) => {
    const double = await started(t);
    const driver = opened(t, [double]);
    const queue = driver.queue?.("mail", json<number>());
    assert.ok(queue);
    const alice = freshAccount();
    const push = () =>
      Promise.all(Array.from({ length: 30 }, (_, n) => queue.push(alice, n, 20).catch(() => "failed")));
    double.meddle = ({ path }) => (path.includes("/index/") ? { status: 503 } : undefined);
    assert.deepEqual(new Set(await push()), new Set(["failed"]));
    double.meddle = () => undefined;
    double.requests.length = 0;
    const answers = await push();
    assert.deepEqual(answers, [...new Array(20).fill("stored"), ...new Array(10).fill("full")]);
    assert.ok(double.requests.filter(({ path }) => path.includes("/index/")).length <= 2);
    assert.deepEqual(
      (await queue.list(alice, 30)).map(({ value }) => value),
      [...new Array(20).keys()],
    );
  });

  test("settles an object that has as many siblings as Riak takes", async (t) => {
    const double = await started(t);
    const driver = opened(t, [double], { timeout: 1000 });
    const alice = freshAccount();
    await counters(driver).set(alice, "n", 1);
    const { url } = double.requests.at(-1) as { url: string };
    const path = url.split("?")[0] ?? "";
    const body = JSON.stringify({
      table: "counters",
      owner: alice.bare,
      version: 0,
      items: [["m", 1, [archiveIdAt(0)], "7"]],
    });
    const blind = () =>
      fetch(`http://${double.node}${path}`, { method: "PUT", body, headers: { "content-type": "application/json" } });
    let status = 204;
    while (status === 204) ({ status } = await blind());
    assert.equal(status, 500);
    await counters(driver).update(alice, "n", add);
    assert.equal(await counters(driver).get(alice, "n"), 2);
    assert.equal((await blind()).status, 204);
  });

  test("reads siblings that nobody settled in one way, whatever their order", async (t) => {
    const double = await started(t);
    const driver = opened(t, [double]);
    const notes = driver.keyValue?.("notes", json<string>());
    const alice = freshAccount();
    await notes?.set(alice, "first");
    await counters(driver).set(alice, "n", 1);
    const puts = double.requests.filter(({ method }) => method === "PUT").map(({ url }) => url.split("?")[0] ?? "");
    const blind = (path: string, body: object) =>
      fetch(`http://${double.node}${path}`, {
        method: "PUT",
        body: JSON.stringify(body),
        headers: { "content-type": "application/json" },
      });
    const values = [archiveId(), archiveIdAt(0)].map((set, n) => ({
      table: "notes",
      owner: alice.bare,
      set,
      value: `"${n}"`,
    }));
    for (const value of [...values, ...values.toReversed()]) await blind(puts[0] ?? "", value);
    assert.equal(await notes?.get(alice), "0");
    const item = (key: string, version: number, value: string | null) => [key, version, [archiveId()], value];
    const documents = [[item("n", 2, "5"), item("m", 1, "6")], [item("n", 3, null)]].map((items) => {
      return { table: "counters", owner: alice.bare, version: 1, items };
    });
    for (const document of documents) await blind(puts[1] ?? "", document);
    assert.deepEqual(await counters(driver).list(alice), new Map([["m", 6]]));
  });

  test("passes over what an index still names, and fills a page with what follows", async (t) => {
    const double = await started(t);
    const driver = opened(t, [double]);
    const archive = driver.archive?.("mail", json<number>());
    const queue = driver.queue?.("mail", json<number>());
    assert.ok(archive && queue);
    const alice = freshAccount();
    const ids = Array.from({ length: 9 }, (_, n) => archiveIdAt(1_700_000_000_000 + n));
    for (const [n, id] of ids.entries()) await archive.append(alice, { id, with: BOB, value: n });
    for (let n = 0; n < 4; n++) await queue.push(alice, n, 10);
    double.objects.indexesLag = true;
    await archive.expire(1_700_000_000_003);
    await archive.expire(1_700_000_000_003);
    const values = async (from: "oldest" | "newest", max: number) => {
      const page = await archive.page(alice, { from, max });
      return [page.items.map(({ value }) => value), page.complete];
    };
    assert.deepEqual(await values("oldest", 2), [[3, 4], false]);
    assert.deepEqual(await values("newest", 5), [[4, 5, 6, 7, 8], false]);
    assert.deepEqual(await values("newest", 7), [[3, 4, 5, 6, 7, 8], true]);
    await archive.trim(alice, 3);
    assert.deepEqual(await values("oldest", 10), [[6, 7, 8], true]);
    const [first] = await queue.list(alice, 1);
    await queue.remove(alice, [first?.id ?? ""]);
    assert.deepEqual(
      (await queue.list(alice, 2)).map(({ value }) => value),
      [1, 2],
    );
  });

  test("keeps an object that is as large as it may be, and refuses one that is larger", async (t) => {
    const driver = opened(t, [await started(t)], { maxValueBytes: 400, objectBytes: 1000 });
    const items = driver.map?.("items", json<string>());
    const alice = freshAccount();
    await items?.set(alice, "a", "x".repeat(300));
    await items?.set(alice, "b", "x".repeat(300));
    refused(
      await failure(items?.set(alice, "c", "x".repeat(300)) as Promise<void>),
      /an object of map is \d+ bytes; at most 1000/,
    );
    refused(await failure(items?.set(alice, "a", "x".repeat(400)) as Promise<void>), /402 bytes; at most 400/);
    assert.equal((await items?.list(alice))?.size, 2);
  });

  test("refuses what is not its own, or no answer at all, in words", async (t) => {
    const double = await started(t);
    const notes = opened(t, [double]).keyValue?.("notes", json());
    double.meddle = () => ({ status: 200, body: "<html>" });
    refused(await failure(notes?.get(BOB) as Promise<unknown>), /not one of Meerkat's/);
    double.meddle = () => ({ status: 500, body: "<html><pre>{error,\n   {too_large,50000}}</pre></html>" });
    refused(await failure(notes?.get(BOB) as Promise<unknown>), /answered 500: \{error, \{too_large,50000\}\}/);
  });

  test("offers nothing that expires", async (t) => {
    assert.equal(opened(t, [await started(t)]).expiring, undefined);
  });
});
