/** Several servers that have one directory. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type LdapOptions, ldapDriver } from "../../src/storage/drivers/ldap/ldap.ts";
import { Servers } from "../../src/storage/drivers/ldap/servers.ts";
import { StorageError } from "../../src/storage/specs.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import { AS_SEARCHER, fakeDirectory } from "./ldap-directory.ts";

const ALICE = new Jid("alice", "example.org");

/** Two servers, a driver that has both, and what it warned of. */
async function pair(t: TestContext, options: Partial<LdapOptions> = {}) {
  const [one, two] = [await fakeDirectory(t), await fakeDirectory(t)];
  const warnings: string[] = [];
  const warn = (message: string) => warnings.push(message);
  const driver = ldapDriver({ ...AS_SEARCHER, url: [one.url, two.url], warn, timeout: 300, ...options });
  t.after(() => driver.close());
  const accounts = driver.accounts?.();
  assert.ok(accounts);
  return { one, two, driver, accounts, warnings };
}

/** The two servers alone, with a clock to wind. */
async function wound(t: TestContext, order: "named" | "turns" = "named") {
  const [one, two] = [await fakeDirectory(t), await fakeDirectory(t)];
  const clock = { now: 0 };
  const warnings: string[] = [];
  const servers = new Servers(
    [one, two].map(({ url }) => ({ url, startTls: false, ca: undefined, connectTimeout: 300, timeout: 300 })),
    { order, pause: 1000, longestPause: 4000, warn: (words) => warnings.push(words), now: () => clock.now },
  );
  const open = async () => {
    const connection = await servers.open("cn=searcher", "secret");
    t.after(() => connection.destroy());
    return connection;
  };
  return { one, two, clock, open, warnings };
}

test("the first that was named is asked as long as it answers", async (t) => {
  const { one, two, accounts } = await pair(t);
  for (let i = 0; i < 3; i++) assert.equal(await accounts.exists(ALICE), true);
  assert.deepEqual([one.asked.length, two.asked.length], [3, 0]);
});

test("in turns each gets its share of the connections", async (t) => {
  const { one, two, open } = await wound(t, "turns");
  for (let i = 0; i < 6; i++) await open();
  assert.deepEqual([one.let(), two.let()], [3, 3]);
});

test("a request whose server hung up is answered by the other, and nobody notices", async (t) => {
  const { one, two, accounts, warnings } = await pair(t);
  assert.equal(await accounts.exists(ALICE), true);
  await one.stop();
  assert.equal(await accounts.exists(ALICE), true);
  assert.equal(await accounts.verify?.(ALICE, "right"), true);
  assert.deepEqual(two.asked, ["search", "search", "bind"]);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? "", new RegExp(`^ldap at ${one.url}: .*ECONNREFUSED.*; the others are asked meanwhile$`));
});

test("one that hangs is given up once: the other answers, and its other connections are not used any more", async (t) => {
  const { one, two, accounts } = await pair(t, { pause: 60_000 });
  await Promise.all([accounts.exists(ALICE), accounts.exists(ALICE), accounts.exists(ALICE)]);
  one.behave("silently");
  for (let i = 0; i < 4; i++) assert.equal(await accounts.exists(ALICE), true);
  assert.equal(await accounts.verify?.(ALICE, "right"), true);
  assert.deepEqual([one.asked.length, two.asked.length], [3, 6]);
});

test("when both hang a request is given up after two time-outs", async (t) => {
  const { one, two, accounts } = await pair(t, { pause: 60_000 });
  assert.equal(await accounts.exists(ALICE), true);
  for (const each of [one, two]) each.behave("silently");
  await assert.rejects(
    accounts.exists(ALICE),
    (error) => error instanceof StorageError && /in 300 ms/.test(error.message),
  );
});

for (const [code, words] of [
  [51, "is busy"],
  [52, "is about to stop"],
] as const) {
  test(`a request that one refuses since it ${words} is answered by the other`, async (t) => {
    const { one, two, accounts } = await pair(t, { pause: 60_000 });
    assert.equal(await accounts.exists(ALICE), true);
    one.behave(code);
    for (let i = 0; i < 2; i++) assert.equal(await accounts.exists(ALICE), true);
    assert.deepEqual([one.asked.length, two.asked.length], [2, 2]);
  });
}

test("one that failed is left in peace, twice as long each time but no longer than the longest pause", async (t) => {
  const { one, two, clock, open, warnings } = await wound(t);
  await one.stop();
  await open();
  // What would have let it in again, if it had been asked.
  await one.start();
  clock.now = 999;
  await open();
  assert.deepEqual([one.let(), two.let()], [0, 2]);
  await one.stop();
  for (const pause of [1000, 2000, 4000, 4000]) {
    clock.now += pause;
    await open();
  }
  await one.start();
  clock.now += 3999;
  await open();
  assert.equal(one.let(), 0);
  clock.now += 1;
  await open();
  assert.equal(one.let(), 1);
  assert.equal(warnings.length, 2);
  assert.equal(warnings[1], `ldap at ${one.url}: is back`);
});

test("while one request tries whether a server is back, the others go elsewhere at once", async (t) => {
  const { one, two, clock, open } = await wound(t);
  await one.stop();
  await open();
  await one.start();
  one.behave("silently");
  clock.now = 1000;
  const trying = open();
  await Promise.all([open(), open()]);
  assert.equal(two.let(), 3);
  await trying;
  assert.equal(two.let(), 4);
});

test("where all of them rest, all are asked, those that rest for the shortest time first", async (t) => {
  const { one, two, open } = await wound(t);
  await Promise.all([one.stop(), two.stop()]);
  await assert.rejects(open(), (error) => {
    assert.ok(error instanceof StorageError);
    assert.ok(error.message.includes(one.url) && error.message.includes(two.url), error.message);
    assert.ok(!error.message.includes("secret"));
    return true;
  });
  await two.start();
  await open();
  assert.equal(two.let(), 1);
});

test("a server that is back is used again once the other's connection has had its time", async (t) => {
  const { one, two, accounts } = await pair(t, { pause: 1, longestPause: 1, lifetime: 1 });
  await one.stop();
  assert.equal(await accounts.exists(ALICE), true);
  assert.equal(two.asked.length, 1);
  await one.start();
  while (one.asked.length === 0) await accounts.exists(ALICE);
});

test("what is no address of a server is refused, whichever of them", () => {
  for (const url of [[], ["ldap://a", "http://b"], "ldap://"]) {
    assert.throws(() => ldapDriver({ ...AS_SEARCHER, url }), TypeError, String(url));
  }
});
