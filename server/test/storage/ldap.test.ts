import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ldapDriver } from "../../src/storage/drivers/ldap/ldap.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import { AS_SEARCHER, fakeDirectory } from "./ldap-directory.ts";

/** A directory with Alice in it, which notes what it is asked. */
async function directory(t: TestContext, refusal?: number) {
  const { url, asked } = await fakeDirectory(t, refusal);
  const driver = ldapDriver({ ...AS_SEARCHER, url });
  t.after(() => driver.close());
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
