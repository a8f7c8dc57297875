/** What a directory says besides who may log in: vCards and colleagues, and the same from a second server. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { LdapOptions } from "../../../src/storage/drivers/ldap/ldap.ts";
import {
  type Codec,
  type KeyValueStore,
  type MapStore,
  ReadOnlyError,
  type StorageDriver,
  StorageError,
} from "../../../src/storage/specs.ts";
import type { Element } from "../../../src/xml/element.ts";
import { parseElement } from "../../../src/xml/parser.ts";
import { Jid } from "../../../src/xmpp/jid.ts";
import { startDatabase, type TestDatabase } from "./containers.ts";
import { describeCapability, eventually, failure, migrated } from "./suite.ts";

const PORT = 1389;
const xml: Codec<Element> = {
  encode: (element) => element.toXml(),
  decode: (text) => parseElement(Buffer.from(text)),
};

let servers: readonly [TestDatabase, TestDatabase];
let options: LdapOptions & { driver: "ldap" };
let driver: StorageDriver;
const warnings: string[] = [];
const account = (local: string) => new Jid(local, "example.org");
const addressOf = (server: TestDatabase) => `ldap://localhost:${server.ports.get(PORT)}`;

before(async () => {
  servers = [await startDatabase("openldap", [PORT]), await startDatabase("openldap", [PORT])];
  options = {
    driver: "ldap",
    url: addressOf(servers[0]),
    bindDn: "cn=search,dc=example,dc=org",
    bindPassword: "search-secret",
    base: "ou=people,dc=example,dc=org",
    pageSize: 3,
    roster: { base: "ou=groups,dc=example,dc=org" },
    warn: (message) => warnings.push(message),
  };
  for (const server of servers) await up(server);
  driver = await migrated(options);
});
after(async () => {
  await driver?.close();
  for (const server of servers ?? []) await server.remove();
});

/** Waits until this server answers. */
async function up(server: TestDatabase): Promise<void> {
  await eventually(
    () => failure(migrated({ ...options, url: addressOf(server) }).then((probe) => probe.close())),
    (error) => error === undefined,
  );
}

async function refusesToWrite(write: Promise<unknown>): Promise<void> {
  const error = await failure(write);
  assert.ok(error instanceof ReadOnlyError, String(error));
  assert.ok(!(error instanceof StorageError));
}

describeCapability("ldap", "keyValue", () => {
  const vcards = (of: StorageDriver) => of.keyValue?.("vcards", xml) as KeyValueStore<Element>;

  test("has vCards, and no other values", () => {
    assert.notEqual(driver.keyValue?.("vcards", xml), undefined);
    assert.equal(driver.keyValue?.("last_seen", xml), undefined);
  });

  test("makes a vCard of what an entry says, its picture included", async () => {
    const card = await vcards(driver).get(account("alice").withResource("phone"));
    assert.equal(card?.xmlns, "vcard-temp");
    assert.equal(card.childText("FN"), "Alice Liddell");
    assert.deepEqual(
      card
        .elements()
        .filter(({ name }) => name === "EMAIL")
        .map((mail) => mail.childText("USERID"))
        .sort(),
      ["alice@example.org", "liddell@example.org"],
    );
    assert.equal(card.child("ORG")?.childText("ORGNAME"), "Wonderland");
    assert.equal(card.child("ADR")?.childText("LOCALITY"), "Oxford");
    assert.equal(card.childText("URL"), "https://example.org/~alice");
    const photo = card.child("PHOTO");
    assert.equal(photo?.childText("TYPE"), "image/jpeg");
    const picture = Buffer.from(photo?.childText("BINVAL") ?? "", "base64");
    assert.equal(picture.toString("latin1", 6, 10), "JFIF");
    assert.equal(picture.readUInt16BE(picture.length - 2), 0xffd9);
  });

  test("has none of who is in no entry, or in two", async () => {
    for (const local of ["nobody", "twin", "printer", "*"]) {
      assert.equal(await vcards(driver).get(account(local)), undefined, local);
    }
  });

  test("reads names as they are", async () => {
    assert.equal((await vcards(driver).get(account("jürgen")))?.childText("FN"), "Jürgen Müller");
    assert.equal((await vcards(driver).get(account("john")))?.childText("FN"), "John Smith");
  });

  test("writes none", async () => {
    await refusesToWrite(
      vcards(driver).set(account("alice"), parseElement(Buffer.from("<vCard xmlns='vcard-temp'/>"))),
    );
    await refusesToWrite(vcards(driver).remove(account("alice")));
  });
});

interface Contact {
  readonly name: string;
  readonly groups: readonly string[];
}
const json: Codec<Contact> = { encode: JSON.stringify, decode: (text) => JSON.parse(text) as Contact };
const rosterOf = (of: StorageDriver) => of.map?.("shared_roster", json) as MapStore<Contact>;

/** Of an account, everyone's groups by local part. */
async function colleagues(of: StorageDriver, local: string): Promise<Record<string, readonly string[]>> {
  const found = await rosterOf(of).list(account(local));
  return Object.fromEntries([...found].map(([jid, { groups }]) => [jid.split("@")[0] ?? "", groups]));
}

async function using(
  roster: LdapOptions["roster"],
  run: (of: StorageDriver) => Promise<void>,
  more = {},
): Promise<void> {
  const other = await migrated({ ...options, ...more, roster: { ...options.roster, ...roster } });
  try {
    await run(other);
  } finally {
    await other.close();
  }
}

describeCapability("ldap", "map", () => {
  test("has colleagues, and no other items", () => {
    assert.notEqual(driver.map?.("shared_roster", json), undefined);
    assert.equal(driver.map?.("roster", json), undefined);
  });

  test("has those who are in a group together, however the group names them", async () => {
    assert.deepEqual(await colleagues(driver, "alice"), {
      bob: ["Engineering", "Sales"],
      john: ["Engineering"],
      left: ["Engineering"],
      jürgen: ["Sales"],
    });
    assert.deepEqual(await colleagues(driver, "bob"), {
      alice: ["Engineering", "Sales"],
      john: ["Engineering", "Pagers"],
      left: ["Engineering"],
      jürgen: ["Sales"],
    });
    for (const nobody of ["twin", "nobody", "printer"]) assert.deepEqual(await colleagues(driver, nobody), {}, nobody);
  });

  test("calls them what the directory does", async () => {
    const found = await rosterOf(driver).list(account("alice"));
    assert.equal(found.get("john@example.org")?.name, "John Smith");
    assert.equal(found.get("jürgen@example.org")?.name, "Jürgen Müller");
  });

  test("says the same of one, of all, and of many for one, in either direction", async () => {
    const roster = rosterOf(driver);
    const locals = ["alice", "bob", "john", "jürgen", "left", "élan", "twin", "nobody"];
    for (const one of locals) {
      const each = await roster.getEach(locals.map(account), account(one).bare);
      for (const other of locals) {
        const listed = (await roster.list(account(other))).get(account(one).bare);
        assert.deepEqual(await roster.get(account(other), account(one).bare), listed, `${other} and ${one}`);
        assert.deepEqual(each.get(account(other).bare), listed, `${other} and ${one}`);
        assert.equal((await roster.list(account(one))).has(account(other).bare), listed !== undefined);
      }
    }
    assert.equal(await roster.get(account("alice"), "bob@elsewhere.example"), undefined);
    assert.equal(await roster.get(account("alice"), "@"), undefined);
  });

  test("leaves out whom a filter leaves out", () =>
    using({ only: "(!(employeeType=disabled))" }, async (of) => {
      assert.equal("left" in (await colleagues(of, "alice")), false);
      assert.deepEqual(await colleagues(of, "left"), {});
    }));

  test("takes those of one department for a group, and shows all groups where told to", async () => {
    await using({ department: "ou", filter: "(cn=none)" }, async (of) => {
      assert.deepEqual(await colleagues(of, "alice"), { john: ["Books"], left: ["Books"] });
      assert.deepEqual(await colleagues(of, "jürgen"), {});
    });
    await using({ shows: "all" }, async (of) => {
      assert.deepEqual(Object.keys(await colleagues(of, "jürgen")).sort(), ["alice", "bob", "john", "left"]);
      assert.deepEqual(await colleagues(of, "twin"), {});
    });
  });

  test("takes groups as large, and as many, as it may, and says so beyond", async () => {
    for (const [bound, holds] of [
      [{ maxMembers: 4 }, true],
      [{ maxMembers: 3 }, false],
      [{ maxGroups: 4 }, true],
      [{ maxGroups: 1 }, false],
    ] as const) {
      warnings.length = 0;
      await using(bound, async (of) => {
        const isWhole = Object.keys(await colleagues(of, "bob")).length === 4;
        assert.equal(isWhole, holds, JSON.stringify(bound));
        assert.equal(warnings.length, holds ? 0 : 1, warnings.join());
      });
    }
  });

  test("writes none", async () => {
    const roster = rosterOf(driver);
    const contact = { name: "", groups: [] };
    await refusesToWrite(roster.set(account("alice"), "x@y", contact));
    await refusesToWrite(roster.update(account("alice"), "x@y", () => contact));
    await refusesToWrite(roster.updateTogether(account("alice"), ["x@y"], (present) => present));
    await refusesToWrite(roster.remove(account("alice"), "x@y"));
    await refusesToWrite(roster.clear(account("alice")));
  });

  test("reads the groups once for all who ask, and again when they are old", async () => {
    const add = (name: string) =>
      servers[0].run(
        "sh",
        "-c",
        `printf 'dn: cn=${name},ou=groups,dc=example,dc=org\\nobjectClass: groupOfNames\\ncn: ${name}\\nmember: uid=bob,ou=people,dc=example,dc=org\\nmember: cn=accent,ou=people,dc=example,dc=org\\n' | ldapadd -x -H ldap://localhost:1389 -D cn=admin,dc=example,dc=org -w admin`,
      );
    await using({ cacheFor: 60_000 }, async (of) => {
      assert.equal("élan" in (await colleagues(of, "bob")), false);
      await add("New");
      assert.equal("élan" in (await colleagues(of, "bob")), false);
    });
    await using({ cacheFor: 1 }, async (of) => {
      assert.deepEqual((await colleagues(of, "bob")).élan, ["New"]);
    });
  });
});

describeCapability("ldap", "faults", () => {
  test("goes on with the second server when the first dies, and with the first when that one does", async () => {
    const [one, two] = servers;
    const both = await migrated({
      ...options,
      url: [addressOf(one), addressOf(two)],
      pause: 50,
      longestPause: 200,
      lifetime: 500,
    });
    try {
      const accounts = both.accounts?.();
      assert.ok(accounts?.verify);
      const works = async () => {
        assert.equal(await accounts.exists(account("alice")), true);
        assert.equal(await accounts.verify?.(account("alice"), "alice-secret"), true);
        assert.equal(await accounts.verify?.(account("alice"), "wrong"), false);
        assert.equal(await both.healthy(), true);
      };
      await works();
      await one.kill();
      await works();
      assert.ok(await both.keyValue?.("vcards", xml)?.get(account("alice")));
      await one.start();
      await up(one);
      await two.kill();
      await works();
      await one.kill();
      const error = await failure(accounts.exists(account("alice")));
      assert.ok(error instanceof StorageError);
      assert.ok(
        [one, two].every((each) => error.message.includes(addressOf(each))),
        error.message,
      );
    } finally {
      await Promise.all([one.start(), two.start()]);
      for (const server of servers) await up(server);
      await both.close();
    }
  });

  test("keeps the colleagues that there were while no server answers, and has none to tell of before", async () => {
    const [one] = servers;
    await using({ cacheFor: 1 }, async (of) => {
      assert.notDeepEqual(await colleagues(of, "alice"), {});
      await one.kill();
      try {
        assert.notDeepEqual(await colleagues(of, "alice"), {});
        await using({}, async () => assert.fail("there is no server")).catch((error: unknown) =>
          assert.ok(error instanceof StorageError, String(error)),
        );
      } finally {
        await one.start();
        await up(one);
      }
    });
  });
});
