/** A whole node over a real PostgreSQL that is taken from it in every way: it stays up, says so, loses nothing, and goes on by itself. */
import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { Client } from "pg";
import { openDriver } from "../../../src/storage/open.ts";
import { archive, type StorageDriver } from "../../../src/storage/specs.ts";
import type { Element } from "../../../src/xml/element.ts";
import { type Jid, parseJid } from "../../../src/xmpp/jid.ts";
import { type RawClient, startServer, type TestServer } from "../../support/server.ts";
import { freePort, startDatabase, type TestDatabase } from "./containers.ts";
import { describeCapability, eventually, failure, migrated } from "./suite.ts";

let container: TestDatabase;
let options: Parameters<typeof openDriver>[0] & { driver: "postgres" };

before(async () => {
  container = await startDatabase("postgres", [5432], { "/tiny": "size=6m,mode=1777" });
  options = {
    driver: "postgres",
    host: "localhost",
    port: container.ports.get(5432) ?? 0,
    database: "postgres",
    username: "meerkat",
    password: "secret",
    max: 4,
    queue: 50,
    connectionTimeout: 1000,
    statementTimeout: 1000,
  };
  await eventually(
    () => failure(migrated(options).then((driver) => driver.close())),
    (error) => error === undefined,
  );
});
after(() => container?.remove());

const TOML = "[host_types.default.modules]\nmam = {}\nping = {}\nroster = {}\npresence = {}\n";

interface Scene {
  readonly server: TestServer;
  readonly ready: () => Promise<string>;
  readonly alice: RawClient;
  readonly bob: RawClient;
  readonly store: StorageDriver;
}

async function scene(t: TestContext): Promise<Scene> {
  const store = await openDriver(options);
  const server = await startServer(t, { store, toml: TOML });
  const [alice, bob] = [await server.online("alice", "desk"), await server.online("bob", "phone")];
  return { server, alice, bob, store, ready: () => readiness(server.port("ops")) };
}

async function readiness(port: number): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch((error: unknown) => String(error));
  return typeof answer === "string" ? answer : `${answer.status} ${await answer.text()}`;
}

async function asSuperuser(...statements: string[]): Promise<void> {
  const { host, port, database, username: user } = options;
  const client = new Client({ host, port: port ?? 0, database, user, password: "secret" });
  client.on("error", () => {});
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}

/** Alice writes to Bob: whether it came, or what she heard instead. */
async function sends({ alice, bob }: Scene, body: string, padding = ""): Promise<"came" | Element> {
  alice.send(
    `<message type='chat' id='${body}' to='${bob.jid}'><body>${body}</body><x xmlns='urn:x'>${padding}</x></message>` +
      "<iq type='get' id='done' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>",
  );
  // Her stanzas are handled one after the other: when the second is answered, the first is with Bob or has come back.
  let refusal: Element | undefined;
  for (let next = await alice.next(); next.attrs.id !== "done"; next = await alice.next()) {
    assert.equal(next.attrs.id, body);
    refusal = next;
  }
  if (refusal !== undefined) return refusal;
  assert.equal((await bob.next()).childText("body"), body);
  return "came";
}

function isTryAgain(outcome: "came" | Element): void {
  assert.notEqual(outcome, "came");
  const error = (outcome as Element).child("error");
  assert.equal(error?.attrs.type, "wait", (outcome as Element).toXml());
  assert.equal(error?.elements()[0]?.name, "resource-constraint");
}

/** Each that came is in Bob's archive, once and in order; those that were refused may be, as their sender does not know. */
async function allKept({ store }: Scene, came: readonly string[], refused: readonly string[]): Promise<void> {
  const messages = archive<string>("mam", { encode: (xml) => xml, decode: (xml) => xml }).open(store);
  const page = await messages?.page(parseJid("bob@example.org") as Jid, { from: "newest", max: 500 });
  const bodies = (page?.items ?? []).map(({ value }) => /<body>([^<]*)<\/body>/.exec(value)?.[1] ?? "");
  const known = new Set([...came, ...refused]);
  const these = bodies.filter((body) => known.has(body));
  assert.equal(new Set(these).size, these.length, "none is there twice");
  assert.deepEqual(
    these.filter((body) => came.includes(body)),
    came,
  );
}

/** Alice goes on writing until one message came after others were refused, and the node has told of it in these words. */
async function throughAnOutage(
  scene: Scene,
  name: string,
  told: RegExp,
  begin: () => Promise<void>,
  end: () => Promise<void>,
) {
  const came: string[] = [];
  const refused: string[] = [];
  const write = async (body: string) => {
    const outcome = await sends(scene, body);
    if (outcome === "came") came.push(body);
    else {
      isTryAgain(outcome);
      refused.push(body);
    }
  };
  for (let i = 0; i < 5; i++) await write(`${name} before ${i}`);
  assert.equal(refused.length, 0);
  await begin();
  for (let i = 0; refused.length < 3; i++) await write(`${name} during ${i}`);
  await eventually(scene.ready, (text) => told.test(text));
  await end();
  const before = came.length;
  await eventually(
    async () => {
      await write(`${name} after ${came.length + refused.length}`);
      return came.length;
    },
    (count) => count > before,
  );
  await eventually(scene.ready, (text) => text.trim() === "200 ready");
  await allKept(scene, came, refused);
}

describeCapability("postgres", "faults", () => {
  test("a node whose database is down at start waits, says so, and serves once it is there", async (t) => {
    await container.kill();
    const port = await freePort();
    const toml = `listen = [{ kind = "c2s", port = 0, tls = "none" }, { kind = "ops", port = ${port} }]\n${TOML}`;
    const starting = startServer(t, { store: await openDriver(options), toml });
    await eventually(
      () => readiness(port),
      (text) => text.startsWith("503"),
    );
    assert.match(await readiness(port), /starting/);
    await container.start();
    await starting;
    await eventually(
      () => readiness(port),
      (text) => text.trim() === "200 ready",
    );
  });

  test("a node whose database is killed under way refuses what it cannot keep, and goes on when it is back", async (t) => {
    await throughAnOutage(await scene(t), "killed", /^503 broken: storage/, container.kill, container.start);
  });

  test("a node whose database hangs refuses after a bounded time, and goes on when it moves again", async (t) => {
    await throughAnOutage(await scene(t), "hung", /^503 broken: storage/, container.pause, container.resume);
  });

  test("a node whose database no longer lets it in says so, and goes on when it does", async (t) => {
    const lockOut = () =>
      asSuperuser(
        "create role keeper superuser login password 'secret'",
        "alter role meerkat password 'changed'",
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'meerkat' and pid <> pg_backend_pid()",
      );
    const letIn = async () => {
      const { host, port, database } = options;
      const keeper = new Client({ host, port: port ?? 0, database, user: "keeper", password: "secret" });
      await keeper.connect();
      await keeper.query("alter role meerkat password 'secret'");
      await keeper.end();
      await asSuperuser("drop role keeper");
    };
    await throughAnOutage(await scene(t), "locked out", /^503 broken: storage/, lockOut, letIn);
  });

  test("a node whose database has become read-only, as a primary that was replaced, refuses and goes on", async (t) => {
    const set = (readOnly: string) => () =>
      asSuperuser(
        "set default_transaction_read_only = off",
        `alter database postgres set default_transaction_read_only = ${readOnly}`,
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'meerkat' and pid <> pg_backend_pid()",
      );
    await throughAnOutage(
      await scene(t),
      "read-only",
      /^200 ready, without storage.main to write to/,
      set("on"),
      set("off"),
    );
  });

  test("a node whose database is full refuses with words, lets who is there be, and goes on when there is room", async (t) => {
    const stage = await scene(t);
    assert.equal(await sends(stage, "makes the part of the month"), "came");
    const parts = "select relid::regclass::text from pg_partition_tree('archive_items') where isleaf";
    const move = (to: string) =>
      asSuperuser(
        `do $$ declare p text; begin for p in ${parts} loop execute format('alter table %s set tablespace ${to}', p); end loop; end $$`,
      );
    await container.asRoot("install", "-d", "-m", "700", "-o", "postgres", "/tiny/space");
    await asSuperuser("create tablespace tiny location '/tiny/space'");
    await move("tiny");
    const came: string[] = ["makes the part of the month"];
    const padding = "x".repeat(60_000);
    for (let i = 0; ; i++) {
      // Text that PostgreSQL cannot press together.
      const noise = Array.from({ length: 30_000 }, () =>
        String.fromCharCode(0x4e00 + Math.floor(Math.random() * 20_000)),
      );
      const outcome = await sends(stage, `fills ${i}`, i % 2 === 0 ? noise.join("") : padding);
      if (outcome !== "came") {
        isTryAgain(outcome);
        break;
      }
      came.push(`fills ${i}`);
      assert.ok(i < 200, "the disk never fills");
    }
    assert.match(
      await eventually(stage.ready, (text) => text.includes("without")),
      /^200 ready, without storage.main to write to/,
    );
    await stage.bob.receivesNothing();
    await move("pg_default");
    assert.equal(
      await eventually(
        () => sends(stage, "room again"),
        (outcome) => outcome === "came",
      ),
      "came",
    );
    await eventually(stage.ready, (text) => text.trim() === "200 ready");
    await allKept(stage, [...came, "room again"], []);
  });
});
