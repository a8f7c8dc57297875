import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { SCRAM_HASHES, type StorageDriver } from "../../../src/storage/specs.ts";
import { Jid } from "../../../src/xmpp/jid.ts";
import { describeCapability, freshAccount, freshDomain, ODD_TEXTS, type Open, scramKeys, scramStore } from "./suite.ts";

/** What every store that keeps SCRAM accounts does. */
export function accountsSuite(name: string, open: Open): void {
  describeCapability(name, "accounts", () => {
    let driver: StorageDriver;
    let accounts: ReturnType<typeof scramStore>;
    before(async () => {
      driver = await open();
      accounts = scramStore(driver);
    });
    after(() => driver.close());

    test("gives back the keys an account was made with, for either hash", async () => {
      const alice = freshAccount();
      assert.equal(await accounts.create(alice, [scramKeys("sha-1", 1), scramKeys("sha-256", 2)]), "created");
      assert.deepEqual(await accounts.scram(alice, "sha-1"), scramKeys("sha-1", 1));
      assert.deepEqual(await accounts.scram(alice, "sha-256"), scramKeys("sha-256", 2));
    });

    test("knows an account by its bare JID", async () => {
      const alice = freshAccount();
      await accounts.create(alice.withResource("phone"), [scramKeys("sha-1", 1)]);
      assert.equal(await accounts.exists(alice), true);
      assert.equal(await accounts.exists(alice.withResource("laptop")), true);
      assert.equal(await accounts.exists(new Jid(alice.local, freshDomain())), false);
    });

    test("has no keys of an account that is missing, nor of a hash that was not kept", async () => {
      const alice = freshAccount();
      assert.equal(await accounts.scram(alice, "sha-256"), undefined);
      await accounts.create(alice, [scramKeys("sha-1", 1)]);
      assert.equal(await accounts.scram(alice, "sha-256"), undefined);
    });

    test("makes an account once and keeps the first keys", async () => {
      const alice = freshAccount();
      await accounts.create(alice, [scramKeys("sha-256", 1)]);
      assert.equal(await accounts.create(alice, [scramKeys("sha-256", 2)]), "exists");
      assert.deepEqual(await accounts.scram(alice, "sha-256"), scramKeys("sha-256", 1));
    });

    test("lets one of many makers of an account win, with all of its keys", async () => {
      const alice = freshAccount();
      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, fill) =>
          accounts.create(
            alice,
            SCRAM_HASHES.map((hash) => scramKeys(hash, fill)),
          ),
        ),
      );
      assert.equal(answers.filter((answer) => answer === "created").length, 1);
      const winner = answers.indexOf("created");
      for (const hash of SCRAM_HASHES) assert.deepEqual(await accounts.scram(alice, hash), scramKeys(hash, winner));
    });

    test("replaces all keys at once", async () => {
      const alice = freshAccount();
      assert.equal(await accounts.setKeys(alice, [scramKeys("sha-256", 1)]), "missing");
      assert.equal(await accounts.exists(alice), false);
      await accounts.create(alice, [scramKeys("sha-1", 1), scramKeys("sha-256", 1)]);
      assert.equal(await accounts.setKeys(alice, [scramKeys("sha-256", 2)]), "changed");
      assert.equal(await accounts.scram(alice, "sha-1"), undefined);
      assert.deepEqual(await accounts.scram(alice, "sha-256"), scramKeys("sha-256", 2));
    });

    test("adds keys of further hashes, and leaves those it has", async () => {
      const alice = freshAccount();
      await accounts.create(alice, [scramKeys("sha-1", 1), scramKeys("sha-256", 1)]);
      await accounts.addKeys(alice, scramKeys("sha-256", 1), [scramKeys("sha-1", 2), scramKeys("sha-512", 2)]);
      assert.deepEqual(await accounts.scram(alice, "sha-1"), scramKeys("sha-1", 1));
      assert.deepEqual(await accounts.scram(alice, "sha-256"), scramKeys("sha-256", 1));
      assert.deepEqual(await accounts.scram(alice, "sha-512"), scramKeys("sha-512", 2));
    });

    test("adds none of a password that was replaced meanwhile, nor to an account that is gone", async () => {
      const alice = freshAccount();
      await accounts.create(alice, [scramKeys("sha-256", 1)]);
      await accounts.setKeys(alice, [scramKeys("sha-256", 2)]);
      await accounts.addKeys(alice, scramKeys("sha-256", 1), [scramKeys("sha-512", 1)]);
      await accounts.addKeys(alice, scramKeys("sha-1", 1), [scramKeys("sha-512", 1)]);
      assert.equal(await accounts.scram(alice, "sha-512"), undefined);
      await accounts.remove(alice);
      await accounts.addKeys(alice, scramKeys("sha-256", 2), [scramKeys("sha-512", 1)]);
      assert.equal(await accounts.exists(alice), false);
      assert.equal(await accounts.scram(alice, "sha-512"), undefined);
    });

    test("keeps copies, not the caller's bytes", async () => {
      const alice = freshAccount();
      const keys = scramKeys("sha-1", 1);
      await accounts.create(alice, [keys]);
      keys.salt.fill(0);
      (await accounts.scram(alice, "sha-1"))?.storedKey.fill(0);
      assert.deepEqual(await accounts.scram(alice, "sha-1"), scramKeys("sha-1", 1));
    });

    test("forgets a removed account and its keys, and takes the name again", async () => {
      const alice = freshAccount();
      await accounts.remove(alice);
      await accounts.create(alice, [scramKeys("sha-1", 1)]);
      await accounts.remove(alice);
      assert.equal(await accounts.exists(alice), false);
      assert.equal(await accounts.scram(alice, "sha-1"), undefined);
      assert.equal(await accounts.create(alice, [scramKeys("sha-256", 2)]), "created");
      assert.equal(await accounts.scram(alice, "sha-1"), undefined);
    });

    test("tells odd names apart and lists them by their UTF-8 bytes", async () => {
      const domain = freshDomain();
      for (const [fill, local] of ODD_TEXTS.entries()) {
        assert.equal(await accounts.create(new Jid(local, domain), [scramKeys("sha-1", fill)]), "created", local);
      }
      for (const [fill, local] of ODD_TEXTS.entries()) {
        assert.deepEqual(await accounts.scram(new Jid(local, domain), "sha-1"), scramKeys("sha-1", fill), local);
      }
      const inOrder = ODD_TEXTS.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      assert.deepEqual(await accounts.list(domain, "", 100), inOrder);
      assert.equal(await accounts.count(domain), ODD_TEXTS.length);
    });

    test("lists page by page, each after the last, of one domain alone", async () => {
      const domain = freshDomain();
      const locals = Array.from({ length: 7 }, (_, index) => `a${index}`);
      for (const local of locals.toReversed()) await accounts.create(new Jid(local, domain), []);
      await accounts.create(new Jid("a3b", freshDomain()), []);
      const pages: (readonly string[])[] = [];
      for (let after = ""; pages.at(-1)?.length !== 0; after = pages.at(-1)?.at(-1) ?? "") {
        pages.push(await accounts.list(domain, after, 3));
      }
      assert.deepEqual(pages, [["a0", "a1", "a2"], ["a3", "a4", "a5"], ["a6"], []]);
      assert.deepEqual(await accounts.list(domain, "a3 was removed", 1), ["a4"]);
    });

    test("counts the accounts of a domain", async () => {
      const domain = freshDomain();
      assert.equal(await accounts.count(domain), 0);
      await accounts.create(new Jid("alice", domain), []);
      await accounts.create(new Jid("bob", domain), []);
      await accounts.remove(new Jid("alice", domain));
      assert.equal(await accounts.count(domain), 1);
    });

    test("keeps names as long as an address allows", async () => {
      const longest = new Jid("l".repeat(1023), freshDomain().padEnd(1023, "d"));
      await accounts.create(longest, [scramKeys("sha-1", 1)]);
      assert.deepEqual(await accounts.scram(longest, "sha-1"), scramKeys("sha-1", 1));
    });
  });
}
