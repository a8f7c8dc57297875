/** XEP-0092: what is told about the software is the operator's choice. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { release, type } from "node:os";
import { type TestContext, test } from "node:test";
import { version } from "../../src/modules/version.ts";
import { startServer } from "../support/server.ts";
import { moduleConfig } from "./contacts.ts";
import { mistaken, taken } from "./settings.ts";

const OWN = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version as string;

async function told(t: TestContext, settings: string): Promise<string[]> {
  const server = await startServer(t, { toml: moduleConfig({ version: settings }) });
  const alice = await server.login("alice", "desk");
  alice.send("<iq type='get' id='1' to='example.org'><query xmlns='jabber:iq:version'/></iq>");
  const query = (await alice.next()).child("query", "jabber:iq:version");
  return (query?.elements() ?? []).map((child) => `${child.name}: ${child.text()}`);
}

test("the name and the version are told, and what it runs on is not", async (t) => {
  assert.deepEqual(await told(t, ""), ["name: Meerkat", `version: ${OWN}`]);
});

test("the operator may tell less", async (t) => {
  assert.deepEqual(await told(t, 'name = "A server", show_version = false'), ["name: A server", "version: "]);
});

test("the operator may tell more", async (t) => {
  assert.deepEqual(await told(t, "show_os = true"), ["name: Meerkat", `version: ${OWN}`, `os: ${type()} ${release()}`]);
});

taken(version, "", 'name = "A server"', "show_version = false", "show_os = true");
mistaken(version, {
  'name = ""': "version.name",
  "show_version = 1": "must be true or false",
  'show_os = "yes"': "must be true or false",
});
