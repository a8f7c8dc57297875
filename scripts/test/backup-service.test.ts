import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { entriesOf, loadable, sums, written } from "../../compose/backup/ldif.ts";
import { metrics } from "../../compose/backup/metrics.ts";
import { prepareSecrets, readSettings } from "../../compose/backup/settings.ts";
import { nextRun, type RunReport, StateFile } from "../../compose/backup/state.ts";
import { bytes, span, table } from "../../compose/backup/table.ts";
import { moment, recoveryConfiguration } from "../../compose/backup/unpack.ts";
import { namedVolumes } from "../restore/volumes.ts";

const folder = mkdtempSync(join(tmpdir(), "meerkat-backup-"));
after(() => rmSync(folder, { recursive: true, force: true }));

describe("settings", () => {
  it("have defaults, and MariaDB with its profile only", () => {
    const settings = readSettings({});
    assert.deepEqual([settings.intervalMs, settings.keep, settings.drillIntervalMs], [86_400_000, 7, 691_200_000]);
    assert.deepEqual(settings.stores, ["postgres", "openldap"]);
    assert.deepEqual(readSettings({ BACKUP_PROFILES: "grafana, mysql" }).stores, ["postgres", "mariadb", "openldap"]);
  });

  it("refuse what makes no sense, by its name", () => {
    for (const value of ["24", "0s", "25d", "-1h", "1.5h"])
      assert.throws(() => readSettings({ BACKUP_INTERVAL: value }), /^Error: BACKUP_INTERVAL: /, value);
    for (const value of ["0", "1001", "two", "1.5"])
      assert.throws(() => readSettings({ BACKUP_KEEP: value }), /^Error: BACKUP_KEEP: /, value);
  });

  it("hand passwords on in files that only this user reads, and in no connection string", () => {
    for (const name of ["postgres", "ldap"]) writeFileSync(join(folder, `${name}_backup_password`), "hush");
    const settings = readSettings({ BACKUP_RUN_FOLDER: folder });
    prepareSecrets(settings, folder);
    assert.equal(readFileSync(join(folder, "pgpass"), "utf8"), "*:*:*:backup:hush\n");
    assert.equal(statSync(join(folder, "pgpass")).mode & 0o777, 0o600);
    assert.ok(!settings.postgres.includes("hush"));
  });
});

describe("the next run", () => {
  const at = (text: string) => Date.parse(text);
  const run = (text: string): RunReport => ({ set: "", at: text, seconds: 1, stores: {}, removed: [] });
  const hour = 3_600_000;
  const empty = { since: "2026-01-01T00:00:00Z", failures: {} };
  const now = at("2026-01-02T00:00:00Z");

  it("is soon where there never was one, and an interval after the last one else", () => {
    assert.equal(nextRun(empty, now, 24 * hour, 60_000), now + 60_000);
    const good = run("2026-01-01T12:00:00Z");
    assert.equal(
      nextRun({ ...empty, lastRun: good, lastSuccess: good }, now, 24 * hour, 60_000),
      at("2026-01-02T12:00:00Z"),
    );
  });

  it("is soon when the last one is longer ago than an interval, as after a night without power", () => {
    const good = run("2025-12-24T12:00:00Z");
    assert.equal(nextRun({ ...empty, lastRun: good, lastSuccess: good }, now, 24 * hour, 60_000), now + 60_000);
  });

  it("is tried again half an hour after one that failed", () => {
    const [good, bad] = [run("2026-01-01T00:00:00Z"), run("2026-01-01T23:50:00Z")];
    assert.equal(
      nextRun({ ...empty, lastRun: bad, lastSuccess: good }, now, 24 * hour, 60_000),
      at("2026-01-02T00:20:00Z"),
    );
  });
});

describe("the state", () => {
  const report: RunReport = {
    set: "s",
    at: "2026-01-01T00:00:00Z",
    seconds: 2,
    stores: { postgres: { bytes: 10, rows: 3, seconds: 1, exact: true }, openldap: { error: "down" } },
    removed: [],
  };
  const text = (state: StateFile) =>
    metrics({
      settings: readSettings({}),
      state: state.value,
      lag: { receiving: true, bytes: 7 },
      running: false,
      sets: 2,
    });

  it("outlives a restart, and keeps its first day", () => {
    const first = new StateFile(folder, new Date("2026-01-01T00:00:00Z"));
    first.ran(report);
    first.drilled({ at: "2026-01-01T01:00:00Z", set: "s", ok: false, seconds: 9, ageSeconds: 60 });
    const second = new StateFile(folder, new Date("2026-02-02T00:00:00Z"));
    assert.deepEqual(second.value, first.value);
    assert.equal(second.value.since, "2026-01-01T00:00:00.000Z");
  });

  it("shows a store that failed, and no success of a set that lacks it", () => {
    const shown = text(new StateFile(folder, new Date()));
    assert.match(shown, /^backup_last_run_success\{store="postgres"\} 1$/m);
    assert.match(shown, /^backup_last_run_success\{store="openldap"\} 0$/m);
    assert.match(shown, /^backup_failures_total\{store="openldap"\} 1$/m);
    assert.match(shown, /^backup_last_success_timestamp_seconds 0$/m);
    assert.match(shown, /^backup_drill_success 0$/m);
    assert.match(shown, /^backup_drill_last_success_timestamp_seconds 0$/m);
  });

  it("shows sizes and rows of the last whole set, also after one that failed", () => {
    const state = new StateFile(folder, new Date());
    const whole = { bytes: 10, rows: 3, seconds: 1, exact: true };
    state.ran({ ...report, at: "2026-01-02T00:00:00Z", stores: { postgres: whole, openldap: whole } });
    state.ran({ ...report, at: "2026-01-03T00:00:00Z" });
    state.drilled({ at: "2026-01-03T01:00:00Z", set: "s", ok: true, seconds: 9, ageSeconds: 60 });
    const shown = text(state);
    assert.match(shown, /^backup_store_rows\{store="openldap"\} 3$/m);
    assert.match(shown, /^backup_last_success_timestamp_seconds 1767312000$/m);
    assert.match(shown, /^backup_drill_success 1$/m);
  });

  it("has no drill's outcome before the first drill", () => {
    const empty = mkdtempSync(join(folder, "empty-"));
    assert.doesNotMatch(text(new StateFile(empty, new Date())), /^backup_drill_success/m);
  });

  it("that cannot be read is begun anew", () => {
    const broken = mkdtempSync(join(folder, "broken-"));
    writeFileSync(join(broken, "state.json"), "{");
    assert.equal(new StateFile(broken, new Date("2026-01-01T00:00:00Z")).value.since, "2026-01-01T00:00:00.000Z");
  });
});

describe("LDIF", () => {
  const base = "dc=example";
  const tree = [
    "dn: uid=ada,ou=people,dc=example\nobjectClass: person\nuid: ada\ndescription: a long\n  line\nhasSubordinates: FALSE\nentryDN: uid=ada\n",
    "dn: ou=people,dc=example\nobjectClass: organizationalUnit\nentryUUID: 1\n",
    "# a comment\ndn:: ZGM9ZXhhbXBsZQ==\nobjectClass: domain\ncontextCSN: 1\n",
  ].join("\n");

  const all = (text: string) => Array.fromAsync(entriesOf([text]));
  const inOrder = async (text: string) =>
    (await Array.fromAsync(loadable(entriesOf([text]), base))).map(({ dn }) => dn);
  const summed = (text: string) => sums(entriesOf([text]), base);

  it("is read with folded lines joined, and without what no server takes", async () => {
    const [ada, , top] = await all(tree);
    assert.deepEqual(ada?.lines, [
      "dn: uid=ada,ou=people,dc=example",
      "objectClass: person",
      "uid: ada",
      "description: a long line",
    ]);
    assert.equal(top?.dn, base);
  });

  it("is read the same wherever the text is cut", async () => {
    const whole = await all(tree);
    for (let at = 1; at < tree.length; at++)
      assert.deepEqual(await Array.fromAsync(entriesOf([tree.slice(0, at), tree.slice(at)])), whole, `cut at ${at}`);
  });

  it("is written with parents before children", async () => {
    const order = [base, "ou=people,dc=example", "uid=ada,ou=people,dc=example"];
    assert.deepEqual(await inOrder(tree), order);
    const text = (await Array.fromAsync(loadable(entriesOf([tree]), base))).map(written).join("");
    assert.deepEqual(
      (await all(text)).map(({ dn }) => dn),
      order,
    );
  });

  it("is refused where the parent of an entry is missing", async () => {
    await assert.rejects(inOrder(tree.replace("dn: ou=people", "dn: ou=others")), /uid=ada.* without what is above/);
  });

  it("has sums that know a changed value, and neither the order nor the way of writing", async () => {
    const one = await summed(tree);
    assert.deepEqual(Object.keys(one).sort(), [base, "ou=people"]);
    assert.equal(one["ou=people"]?.rows, 2);
    const reversed = tree.split("\n\n").reverse().join("\n\n");
    const otherwise = reversed.replace("uid: ada\n", "UID:: YWRh\n").replace("contextCSN: 1", "contextCSN: 2");
    assert.deepEqual(await summed(otherwise), one);
    assert.notEqual((await summed(tree.replace("uid: ada", "uid: Ada")))["ou=people"]?.sum, one["ou=people"]?.sum);
  });

  it("does not take an escaped comma for the end of a name", async () => {
    const odd = "dn: cn=Byron\\, Ada,ou=people,dc=example\ncn: x\n";
    assert.deepEqual(Object.keys(await summed(odd)), ["ou=people"]);
  });
});

describe("recovery", () => {
  const log = { lsn: "0/5000090", timeline: 3, first: "x", chain: "7" };

  it("stops where the manifest counted, on the set's own timeline", () => {
    const text = recoveryConfiguration("/data", log, "set");
    assert.match(
      text,
      /^recovery_target_lsn = '0\/5000090'\nrecovery_target_inclusive = off\nrecovery_target_timeline = '3'$/m,
    );
  });

  it("goes to a moment, or to the end, of the newest timeline", () => {
    assert.match(
      recoveryConfiguration("/data", log, "2026-01-01T12:00:00Z"),
      /^recovery_target_time = '2026-01-01 12:00:00.000\+00'$/m,
    );
    assert.doesNotMatch(recoveryConfiguration("/data", log, "latest"), /recovery_target_(?:time|lsn) /);
  });

  it("takes a moment in UTC unless it says otherwise, and nothing that is none", () => {
    assert.equal(moment("2026-01-01 12:00:00"), "2026-01-01 12:00:00.000+00");
    assert.equal(moment("2026-01-01T12:00:00+02:00"), "2026-01-01 10:00:00.000+00");
    assert.throws(() => moment("yesterday'; DROP"), /no time/);
  });
});

it("a store's volumes are found by its image, the first server's first", () => {
  const data = (source: string) => ({ image: "meerkat/postgres:dev", volumes: [{ type: "volume", source }] });
  const services = {
    "postgres-2": data("postgres-2-data"),
    "postgres-1": data("postgres-data"),
    postgres: { image: "meerkat/postgres-address:dev", volumes: [{ type: "volume", source: "other" }] },
    backup: { image: "meerkat/backup:dev", volumes: [{ type: "bind", source: "/x" }] },
  };
  assert.deepEqual(namedVolumes({ services }, "postgres"), ["postgres-data", "postgres-2-data"]);
  assert.deepEqual(namedVolumes({ services }, "backup"), []);
});

it("tables, sizes and spans are written as a person reads them", () => {
  assert.equal(
    table(
      ["store", "rows"],
      [
        ["a", "10"],
        ["postgres", "7"],
      ],
    ),
    "store     rows\na           10\npostgres     7",
  );
  assert.deepEqual([0, 1023, 1536, 5 * 1024 ** 3].map(bytes), ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
  assert.deepEqual([1.25, 61, 7260, 93_784].map(span), ["1.3 s", "1 min 1 s", "2 h 1 min", "1 d 2 h"]);
});
