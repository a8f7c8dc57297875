import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { raceSuite } from "./race.ts";

const folder = mkdtempSync(join(tmpdir(), "meerkat-race-"));
after(() => rmSync(folder, { recursive: true }));
raceSuite("sqlite", () => ({ driver: "sqlite", path: join(folder, "race.sqlite") }));
