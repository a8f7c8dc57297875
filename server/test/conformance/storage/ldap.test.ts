import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { LdapOptions } from "../../../src/storage/drivers/ldap/ldap.ts";
import { openDriver } from "../../../src/storage/open.ts";
import { type AccountStore, type StorageDriver, StorageError } from "../../../src/storage/specs.ts";
import { Jid } from "../../../src/xmpp/jid.ts";
import { freePort, startDatabase, type TestDatabase } from "./containers.ts";
import { describeCapability, eventually, failure, migrated } from "./suite.ts";

const PLAIN = 1389;
const TLS = 1636;

let container: TestDatabase;
let options: LdapOptions & { driver: "ldap" };
let driver: StorageDriver;
let accounts: Directory;
const warnings: string[] = [];

before(async () => {
  container = await startDatabase("openldap", [PLAIN, TLS]);
  options = {
    driver: "ldap",
    url: `ldap://localhost:${container.ports.get(PLAIN)}`,
    bindDn: "cn=search,dc=example,dc=org",
    bindPassword: "search-secret",
    base: "ou=people,dc=example,dc=org",
    warn: (message) => warnings.push(message),
  };
  await up();
  driver = await migrated(options);
  accounts = directory(driver);
});
after(async () => {
  await driver?.close();
  await container?.remove();
});

type Directory = AccountStore & Required<Pick<AccountStore, "verify">>;

function directory(driver: StorageDriver): Directory {
  const store = driver.accounts?.();
  if (!store?.verify) throw new Error("verifies nobody");
  return store as Directory;
}

/** Waits until the server answers, whoever restarted it. */
async function up(): Promise<void> {
  const probe = await openDriver(options);
  await eventually(
    () => failure(probe.migrate()),
    (error) => error === undefined,
  );
  await probe.close();
}

const account = (local: string) => new Jid(local, "example.org");

/** The far ends of the connections slapd has now. */
async function connections(): Promise<readonly string[]> {
  const hexPort = PLAIN.toString(16).padStart(4, "0").toUpperCase();
  const table = await container.run("cat", "/proc/net/tcp");
  const rows = table.split("\n").map((row) => row.trim().split(/\s+/));
  // 01 is ESTABLISHED.
  return rows
    .filter(([, local, , state]) => state === "01" && local?.endsWith(`:${hexPort}`))
    .map((row) => row[2] ?? "");
}

describeCapability("ldap", "accounts", () => {
  test("makes and changes no accounts", () => {
    assert.deepEqual(Object.keys(accounts).sort(), ["count", "exists", "list", "verify"]);
    assert.equal(driver.readOnly, true);
  });

  test("counts and lists who can have an address and is nobody's twin, whatever the size of its pages", async () => {
    const everyone = ["alice", "bob", "john", "jürgen", "left", "élan"];
    for (const pageSize of [1, 2, 3, 500]) {
      const paged = await migrated({ ...options, pageSize });
      assert.equal(await directory(paged).count?.("example.org"), everyone.length);
      const pages: (readonly string[])[] = [];
      for (let from = ""; pages.at(-1)?.length !== 0; from = pages.at(-1)?.at(-1) ?? "") {
        pages.push((await directory(paged).list?.("example.org", from, 4)) ?? []);
      }
      assert.deepEqual(pages, [everyone.slice(0, 4), everyone.slice(4), []]);
      await paged.close();
    }
  });

  test("looks at no more entries than it may, and says so", async () => {
    const people = 9;
    for (const [maxEntries, warned] of [
      [people, 0],
      [people - 1, 1],
      [1, 1],
    ] as const) {
      warnings.length = 0;
      const bounded = await migrated({ ...options, maxEntries, pageSize: 2 });
      assert.ok(((await directory(bounded).count?.("example.org")) ?? 0) <= maxEntries);
      assert.equal(warnings.filter((each) => each.includes(`more than ${maxEntries} entries`)).length, warned);
      await bounded.close();
    }
  });

  test("finds who is in the directory, by the bare JID", async () => {
    assert.equal(await accounts.exists(account("alice")), true);
    assert.equal(await accounts.exists(account("alice").withResource("phone")), true);
    assert.equal(await accounts.exists(account("nobody")), false);
    assert.equal(await accounts.exists(new Jid("", "example.org")), false);
  });

  test("verifies the right password alone", async () => {
    assert.equal(await accounts.verify(account("alice"), "alice-secret"), true);
    assert.equal(await accounts.verify(account("alice"), "Alice-secret"), false);
    assert.equal(await accounts.verify(account("alice"), "bob-secret"), false);
    assert.equal(await accounts.verify(account("nobody"), "alice-secret"), false);
  });

  test("refuses the empty password, which a directory may take for an anonymous bind", async () => {
    assert.equal(await accounts.verify(account("alice"), ""), false);
  });

  test("still searches with its own rights after passwords were verified", async () => {
    for (const password of ["alice-secret", "wrong"]) await accounts.verify(account("alice"), password);
    assert.equal(await accounts.exists(account("bob")), true);
  });

  test("takes what looks like a filter for a name", async () => {
    const attempts = ["*", "a*", "alice)(uid=*", "*)(objectClass=*", "alice)(|(uid=*", "\\2a", "alice\u0000", "(", "|"];
    for (const local of attempts) {
      assert.equal(await accounts.exists(account(local)), false, local);
      assert.equal(await accounts.verify(account(local), "alice-secret"), false, local);
    }
  });

  test("finds odd names as they are, whatever their entry is called", async () => {
    assert.equal(await accounts.verify(account("o'odd(*)\\2a,name"), "odd-secret"), true);
    assert.equal(await accounts.verify(account("élan"), "élan-secret"), true);
    assert.equal(await accounts.exists(account("elan")), false);
  });

  test("keeps to the filter's object class", async () => {
    assert.equal(await accounts.exists(account("printer")), false);
  });

  test("knows nobody where two entries answer, and says so", async () => {
    warnings.length = 0;
    assert.equal(await accounts.exists(account("twin")), false);
    assert.equal(await accounts.verify(account("twin"), "twin-secret"), false);
    assert.match(warnings[0] ?? "", /more than one entry answers to twin@example\.org/);
  });

  test("looks among the base's direct children alone when told to", async () => {
    const narrow = await migrated({ ...options, scope: "one" });
    assert.equal(await directory(narrow).verify(account("twin"), "twin-secret"), true);
    await narrow.close();
  });

  test("asks by the filter it was given", async () => {
    const byName = await migrated({ ...options, filter: "(&(sn=Builder)(|(uid=%u)(mail=%u@%d)))" });
    assert.equal(await directory(byName).exists(account("bob")), true);
    assert.equal(await directory(byName).exists(account("alice")), false);
    await byName.close();
  });

  test("answers many at once, each for itself, over no more connections than it may open", async () => {
    const small = await migrated({ ...options, max: 2 });
    const before = new Set(await connections());
    const answers = await Promise.all(
      Array.from({ length: 120 }, (_, index) =>
        directory(small).verify(account(index % 2 ? "alice" : "bob"), index % 3 ? "alice-secret" : "bob-secret"),
      ),
    );
    assert.deepEqual(
      answers,
      answers.map((_, index) => (index % 2 === 1) === (index % 3 !== 0)),
    );
    // One was open from migrating: two for searches, two for binds.
    const opened = (await connections()).filter((each) => !before.has(each)).length;
    assert.ok(opened >= 1 && opened <= 3, `${opened} connections`);
    await small.close();
  });

  test("queues no more than it may and refuses the rest", async () => {
    const small = await migrated({ ...options, max: 1, queue: 2 });
    const errors = await Promise.all(
      Array.from({ length: 6 }, () => failure(directory(small).exists(account("alice")))),
    );
    assert.deepEqual(
      errors.map((error) => error instanceof StorageError && /2 requests wait/.test(error.message)),
      [false, false, false, true, true, true],
    );
    assert.deepEqual(errors.slice(0, 3), [undefined, undefined, undefined]);
    await small.close();
  });

  test("uses a connection again, but not one that was idle for too long", async () => {
    for (const [idleTimeout, again] of [
      [60_000, true],
      [1, false],
    ] as const) {
      const before = new Set(await connections());
      const fresh = async () => (await connections()).filter((each) => !before.has(each));
      const client = await migrated({ ...options, idleTimeout });
      const first = await fresh();
      assert.equal(first.length, 1);
      assert.equal(await directory(client).exists(account("alice")), true);
      const second = await eventually(fresh, (each) => each.length === 1);
      assert.equal(second[0] === first[0], again);
      await client.close();
      await eventually(fresh, (each) => each.length === 0);
    }
  });
});

describeCapability("ldap", "faults", () => {
  test("speaks TLS from the start or after StartTLS, and trusts only the authority it was given", async () => {
    const ca = await container.run("cat", "/srv/ldap/tls/ca.crt");
    const secured = {
      "ldaps://": { url: `ldaps://localhost:${container.ports.get(TLS)}` },
      StartTLS: { startTls: true },
    };
    for (const [name, change] of Object.entries(secured)) {
      const trusting = await migrated({ ...options, ...change, ca });
      assert.equal(await directory(trusting).verify(account("alice"), "alice-secret"), true, name);
      assert.equal(await trusting.healthy(), true, name);
      await trusting.close();
      const distrusting = await openDriver({ ...options, ...change });
      const error = await failure(distrusting.migrate());
      assert.ok(error instanceof StorageError, name);
      assert.match(error.message, /certificate/, name);
      await distrusting.close();
    }
  });

  test("refuses a certificate for another name", async () => {
    const ca = await container.run("cat", "/srv/ldap/tls/ca.crt");
    const elsewhere = await openDriver({ ...options, url: `ldaps://127.0.0.1:${container.ports.get(TLS)}`, ca });
    const error = await failure(elsewhere.migrate());
    assert.ok(error instanceof StorageError);
    assert.match(error.message, /altnames/);
    await elsewhere.close();
  });

  test("names what it could not reach, in the server's own words, and never the password", async () => {
    const nobody = await freePort();
    const cases: [Partial<LdapOptions>, RegExp][] = [
      [{ url: `ldap://localhost:${nobody}` }, new RegExp(`ldap://localhost:${nobody}: .*ECONNREFUSED`)],
      [{ url: "ldap://nowhere.invalid" }, /nowhere\.invalid/],
      [{ bindPassword: "hunter2" }, /credentials|0x31/i],
      [{ base: "ou=nowhere,dc=example,dc=org" }, /ou=nowhere|0x20|no such/i],
    ];
    for (const [change, words] of cases) {
      const unreached = await openDriver({ ...options, ...change });
      const error = await failure(unreached.migrate());
      assert.ok(error instanceof StorageError, String(error));
      assert.match(error.message, words);
      assert.doesNotMatch(error.message, /hunter2|search-secret/);
      assert.ok((await failure(directory(unreached).verify(account("alice"), "alice-secret"))) instanceof StorageError);
      assert.equal(await unreached.healthy(), false);
      await unreached.close();
    }
  });

  test("rejects with StorageErrors while the server is gone, then finds it again by itself, with its rights", async () => {
    assert.equal(await accounts.verify(account("alice"), "alice-secret"), true);
    await container.kill();
    assert.ok((await failure(accounts.exists(account("alice")))) instanceof StorageError);
    assert.ok((await failure(accounts.verify(account("alice"), "alice-secret"))) instanceof StorageError);
    assert.equal(await driver.healthy(), false);
    await container.start();
    await eventually(() => driver.healthy(), Boolean);
    // The directory shows nothing to a connection that is bound as nobody.
    assert.equal(await accounts.exists(account("alice")), true);
    assert.equal(await accounts.verify(account("alice"), "alice-secret"), true);
  });

  test("answers the first request after a restart that nobody noticed", async () => {
    const quiet = await migrated(options);
    assert.equal(await directory(quiet).verify(account("alice"), "alice-secret"), true);
    await container.kill();
    await container.start();
    await up();
    assert.equal(await directory(quiet).verify(account("alice"), "alice-secret"), true);
    await quiet.close();
  });

  test("gives up on a server that hangs, those in the queue included, and goes on when it wakes", async () => {
    const hasty = await migrated({ ...options, max: 1, timeout: 500 });
    await container.pause();
    try {
      const errors = await Promise.all([
        failure(directory(hasty).exists(account("alice"))),
        failure(directory(hasty).verify(account("alice"), "alice-secret")),
        failure(hasty.migrate()),
      ]);
      for (const error of errors) {
        assert.ok(error instanceof StorageError);
        assert.match(error.message, /in 500 ms/);
      }
      assert.equal(await hasty.healthy(), false);
    } finally {
      await container.resume();
    }
    await eventually(() => hasty.healthy(), Boolean);
    assert.equal(await directory(hasty).verify(account("alice"), "alice-secret"), true);
    await hasty.close();
  });

  test("hangs up when closed and answers nothing afterwards", async () => {
    const before = new Set(await connections());
    const closing = await migrated(options);
    await directory(closing).verify(account("alice"), "alice-secret");
    await closing.close();
    assert.ok((await failure(directory(closing).exists(account("alice")))) instanceof StorageError);
    await eventually(
      async () => (await connections()).filter((each) => !before.has(each)).length,
      (count) => count === 0,
    );
  });
});
