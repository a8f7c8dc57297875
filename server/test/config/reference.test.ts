import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { configReference } from "../../scripts/config-reference.ts";
import { parseConfig } from "../../src/config/load.ts";
import { schema } from "../../src/config/schema.ts";

const PAGE = join(import.meta.dirname, "../../../docs/configuration.md");

test("docs/configuration.md says what the schema says (UPDATE_GOLDEN=1 rewrites it)", () => {
  const now = configReference();
  if (process.env.UPDATE_GOLDEN === "1") writeFileSync(PAGE, now);
  assert.equal(readFileSync(PAGE, "utf8"), now);
});

test("every section and every key of the server itself has a meaning in the reference", () => {
  const page = configReference();
  for (const section of Object.keys(schema.shape)) assert.match(page, new RegExp(`^## ${section}$`, "m"));
  const bare = page.split("\n").filter((line) => /^\| `/.test(line) && /\|\s*\|$/.test(line));
  assert.deepEqual(bare, []);
});

test("the defaults that the reference names are those of an empty file", () => {
  const config = parseConfig("", { env: {}, readFile: () => "" });
  const page = configReference();
  const row = (key: string) => page.split("\n").find((line) => line.startsWith(`| \`${key}\``));
  assert.equal(config.limits.stanza_size, 256 * 1024);
  assert.equal(
    row("stanza_size"),
    '| `stanza_size` | "10000B" to "16MiB" | `"256KiB"` | The largest stanza of a client that has logged in (RFC 6120 13.12 wants 10000 bytes at least). |',
  );
  assert.deepEqual(
    config.listen.map(({ kind, port }) => `${kind} ${port}`),
    ["c2s 5222", "c2s 5223", "http 5443", "ops 9090"],
  );
  assert.ok(page.includes('{ kind = "http", port = 5443, tls = true }'));
});
