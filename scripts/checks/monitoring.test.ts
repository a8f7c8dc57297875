import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, it } from "node:test";
import { parse } from "yaml";
import { type Dashboard, dashboards, metricNames, panelsOf, rules, substitute } from "./expressions.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Verify"];
const read = (path: string): string => readFileSync(resolve(ROOT, path), "utf8");

const recorded = rules().flatMap(({ record }) => (record === undefined ? [] : [record]));
const alerts = rules().filter(({ alert }) => alert !== undefined);
const known = new Set([
  ...read("monitoring/prometheus/metrics.txt").trim().split("\n"),
  ...recorded,
  // Made by Prometheus itself from its alerts.
  "ALERTS",
]);
const unknown = (expr: string): string[] => metricNames(expr).filter((name) => !known.has(name));

/** What is wrong with the text of a runbook. */
function runbookFaults(alert: string, text: string): string[] {
  const faults: string[] = [];
  if (!text.startsWith(`# ${alert}\n`)) faults.push("its title is not the alert");
  const parts = text.split(/^## /m).slice(1);
  const titles = parts.map((part) => part.split("\n")[0] ?? "");
  if (titles.join() !== SECTIONS.join()) faults.push(`its sections are ${titles.join(", ")}`);
  for (const part of parts) {
    const [title, ...body] = part.split("\n");
    if (body.join("").trim().length < 5) faults.push(`${title} is empty`);
  }
  return faults;
}

/** What is wrong with a dashboard, apart from its expressions. */
function dashboardFaults(file: string, dashboard: Dashboard): string[] {
  const faults: string[] = [];
  if (file !== `${dashboard.uid}.json`) faults.push(`the uid ${dashboard.uid} is not the file's name`);
  if (!/^[a-z0-9-]{1,40}$/.test(dashboard.uid)) faults.push("the uid has characters that Grafana does not take");
  if (!(dashboard.schemaVersion >= 36)) faults.push("the schema is too old");
  if (dashboard.editable !== false) faults.push("it is editable, though changes would be lost");
  if (!dashboard.title || !dashboard.tags.includes("meerkat"))
    faults.push("it has no title, or lacks the tag of the links");
  if ("id" in dashboard) faults.push("it has an id, which belongs to one Grafana only");
  const panels = panelsOf(dashboard);
  if (new Set(panels.map(({ id }) => id)).size !== panels.length) faults.push("two panels have the same id");
  for (const [index, { type, title, gridPos: at, targets, datasource }] of panels.entries()) {
    if (!title) faults.push(`panel ${index} has no title`);
    if (at.x < 0 || at.w < 1 || at.h < 1 || at.x + at.w > 24) faults.push(`${title} does not fit in 24 columns`);
    for (const { gridPos: other, title: name } of panels.slice(index + 1))
      if (at.x < other.x + other.w && other.x < at.x + at.w && at.y < other.y + other.h && other.y < at.y + at.h)
        faults.push(`${title} and ${name} overlap`);
    if (type === "row") continue;
    if (datasource?.uid !== "prometheus") faults.push(`${title} asks another data source`);
    if ((targets ?? []).length === 0) faults.push(`${title} asks for nothing`);
    if (new Set(targets?.map(({ refId }) => refId)).size !== targets?.length) faults.push(`${title} repeats a refId`);
    for (const target of targets ?? [])
      if (!target.expr.trim() || target.datasource?.uid !== "prometheus") faults.push(`${title} has an empty target`);
  }
  return faults;
}

describe("the checks", () => {
  it("find the metrics of an expression, and nothing else", () => {
    assert.deepEqual(metricNames('sum by (path) (rate(a_total{x="b_total"}[5m])) / on (i) group_left (j) c > 1e3'), [
      "a_total",
      "c",
    ]);
    assert.deepEqual(metricNames("a:b:c or vector(0) and absent(d) offset 5m unless e == bool 1"), ["a:b:c", "d", "e"]);
  });

  it("find a metric that nobody exports", () => {
    assert.deepEqual(unknown("rate(xmpp_packets_total[5m]) > up"), ["xmpp_packets_total"]);
  });

  it("replace Grafana's variables", () => {
    assert.equal(substitute('rate(a{i=~"$node"}[$__rate_interval])', ["node"]), 'rate(a{i=~".*"}[1m])');
  });

  it("find a runbook that lacks a section, has an empty one, or is about another alert", () => {
    const whole = `# Some\n\n${SECTIONS.map((title) => `## ${title}\n\nWords.\n`).join("\n")}`;
    assert.deepEqual(runbookFaults("Some", whole), []);
    assert.equal(runbookFaults("Other", whole).length, 1);
    assert.equal(runbookFaults("Some", whole.replace("## Impact\n\nWords.\n", "")).length, 1);
    assert.equal(runbookFaults("Some", whole.replace("## Impact\n\nWords.\n", "## Impact\n")).length, 1);
  });

  it("find what is wrong with a dashboard", () => {
    const [file, dashboard] = [...dashboards()][0] ?? assert.fail("no dashboard");
    const [first, second] = dashboard.panels;
    assert.ok(first && second);
    const broken = (change: Partial<Dashboard>): string[] => dashboardFaults(file, { ...dashboard, ...change });
    assert.match(broken({ uid: "another" })[0] ?? "", /uid/);
    assert.match(broken({ editable: true })[0] ?? "", /editable/);
    assert.match(broken({ panels: [first, { ...second, id: first.id }] })[0] ?? "", /same id/);
    assert.match(broken({ panels: [first, { ...second, gridPos: first.gridPos }] })[0] ?? "", /overlap/);
    assert.match(broken({ panels: [{ ...first, gridPos: { ...first.gridPos, x: 20 } }] })[0] ?? "", /24 columns/);
    assert.match(broken({ panels: [{ ...first, targets: [] }] })[0] ?? "", /asks for nothing/);
    assert.match(broken({ panels: [{ ...first, datasource: { type: "x", uid: "y" } }] })[0] ?? "", /data source/);
  });
});

describe("alerts", () => {
  it("have different names", () => {
    const names = alerts.map(({ alert }) => alert);
    assert.equal(new Set(names).size, names.length);
    assert.ok(names.length > 30, `only ${names.length} alerts read`);
  });

  for (const { alert = "", expr, labels, annotations } of alerts) {
    it(`${alert} has a severity, a summary, a complete runbook, and asks only for metrics that exist`, () => {
      assert.match(labels?.severity ?? "", /^(?:critical|warning|none)$/);
      assert.ok((annotations?.summary ?? "").length > 10);
      const path = annotations?.runbook_url ?? "";
      assert.equal(path, `monitoring/runbooks/${alert}.md`);
      assert.ok(existsSync(resolve(ROOT, path)), `${path} is missing`);
      assert.deepEqual(runbookFaults(alert, read(path)), []);
      assert.deepEqual(unknown(expr), []);
    });
  }

  it("are tested, each in a course of events where it fires and in one where it does not", () => {
    const folder = resolve(ROOT, "monitoring/prometheus/tests");
    const fires = new Set<string>();
    const quiet = new Set<string>();
    for (const file of readdirSync(folder)) {
      const { tests } = parse(readFileSync(resolve(folder, file), "utf8")) as {
        tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
      };
      for (const { alertname, exp_alerts } of tests.flatMap((test) => test.alert_rule_test))
        (exp_alerts.length > 0 ? fires : quiet).add(alertname);
    }
    const names = alerts.map(({ alert = "" }) => alert);
    assert.deepEqual(
      names.filter((name) => !fires.has(name)),
      [],
    );
    // The watchdog always fires.
    assert.deepEqual(
      names.filter((name) => name !== "Watchdog" && !quiet.has(name)),
      [],
    );
  });

  it("are what the runbooks and the inhibitions are about", () => {
    const names = new Set(alerts.map(({ alert = "" }) => alert));
    for (const file of readdirSync(resolve(ROOT, "monitoring/runbooks")))
      if (file !== "README.md") assert.ok(names.has(file.replace(/\.md$/, "")), `${file} is about no alert`);
    const config = parse(read("monitoring/alertmanager/alertmanager.yml")) as {
      inhibit_rules: { source_matchers: string[]; target_matchers: string[] }[];
    };
    for (const matcher of config.inhibit_rules.flatMap((rule) => [...rule.source_matchers, ...rule.target_matchers])) {
      const named = /^alertname =~? "(.+)"$/.exec(matcher)?.[1]?.split("|") ?? [];
      for (const name of named) assert.ok(names.has(name), `${name} is inhibited, but there is no such alert`);
    }
  });

  it("link in their runbooks to alerts that exist", () => {
    const names = new Set(alerts.map(({ alert = "" }) => alert));
    const family =
      /\b(?:Probe|Node|Haproxy|Redis|Postgres|Mysql|Host|Cluster|Bus|Storage|Certificate|Target|Alert|Prometheus|Backup|RestoreDrill|Directory|Etcd)[A-Z]\w+\b/g;
    for (const file of readdirSync(resolve(ROOT, "monitoring/runbooks")))
      for (const [name] of read(`monitoring/runbooks/${file}`).matchAll(family))
        assert.ok(names.has(name), `${file} names ${name}`);
  });

  it("name in their runbooks only commands that make has", () => {
    const targets = new Set([...read("Makefile").matchAll(/^([a-z0-9-]+):/gm)].map((match) => match[1]));
    for (const file of readdirSync(resolve(ROOT, "monitoring/runbooks")))
      for (const [, target = ""] of read(`monitoring/runbooks/${file}`).matchAll(/`make ([a-z0-9-]+)/g))
        assert.ok(targets.has(target), `${file} says make ${target}`);
  });
});

describe("recordings", () => {
  for (const { record = "", expr } of rules().filter((rule) => rule.record !== undefined)) {
    it(`${record} asks only for metrics that exist`, () => {
      assert.match(record, /^meerkat:\w+:\w+$/);
      assert.deepEqual(unknown(expr), []);
    });
  }
});

describe("dashboards", () => {
  for (const [file, dashboard] of dashboards()) {
    it(`${file} is complete, and asks only for metrics that exist`, () => {
      assert.deepEqual(dashboardFaults(file, dashboard), []);
      const variables = dashboard.templating.list.map(({ name }) => name);
      const exprs = panelsOf(dashboard)
        .flatMap((panel) => panel.targets ?? [])
        .map(({ expr }) => expr);
      for (const expr of exprs) {
        const text = substitute(expr, variables);
        assert.doesNotMatch(text, /\$/, `${expr} uses a variable that is not declared`);
        assert.deepEqual(unknown(text), [], expr);
      }
    });
  }

  it("have the names that their files, the home page and the data source are configured with", () => {
    const source = parse(read("monitoring/grafana/provisioning/datasources/prometheus.yml")) as {
      datasources: { uid: string }[];
    };
    assert.equal(source.datasources[0]?.uid, "prometheus");
    assert.ok(dashboards().has("meerkat-overview.json"), "the home page");
    assert.match(
      read("compose/monitoring.yaml"),
      /HOME_DASHBOARD_PATH: \/etc\/grafana\/dashboards\/meerkat-overview\.json/,
    );
  });
});
