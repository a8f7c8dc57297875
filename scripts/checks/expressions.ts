// Every PromQL expression of the dashboards and rules. Run by itself it prints the dashboards' expressions as a rule
// file, so that promtool can judge their syntax.
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parse } from "yaml";

const MONITORING = resolve(import.meta.dirname, "../../monitoring");

export interface Panel {
  id: number;
  type: string;
  title: string;
  datasource?: { type: string; uid: string };
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: { refId: string; expr: string; datasource?: { uid: string } }[];
  panels?: Panel[];
}

export interface Dashboard {
  uid: string;
  title: string;
  schemaVersion: number;
  editable: boolean;
  tags: string[];
  panels: Panel[];
  templating: { list: { name: string; query: { query: string } }[] };
}

export interface Rule {
  alert?: string;
  record?: string;
  expr: string;
  labels?: { severity?: string };
  annotations?: { summary?: string; runbook_url?: string };
}

/** The dashboards by file name. */
export function dashboards(): Map<string, Dashboard> {
  const folder = resolve(MONITORING, "grafana/dashboards");
  return new Map(
    readdirSync(folder)
      .sort()
      .map((file) => [file, JSON.parse(readFileSync(resolve(folder, file), "utf8")) as Dashboard]),
  );
}

/** All alerting and recording rules, in the order of the files. */
export function rules(): Rule[] {
  const folder = resolve(MONITORING, "prometheus/rules");
  return readdirSync(folder)
    .sort()
    .flatMap((file) => {
      const { groups } = parse(readFileSync(resolve(folder, file), "utf8")) as { groups: { rules: Rule[] }[] };
      return groups.flatMap((group) => group.rules);
    });
}

/** What Grafana would send: its own variables replaced. */
export function substitute(expr: string, variables: readonly string[]): string {
  let text = expr.replaceAll("$__rate_interval", "1m").replaceAll("$__interval", "15s");
  for (const name of variables) text = text.replaceAll(`$${name}`, ".*");
  return text;
}

/** The metrics that an expression asks for: its names without functions, labels, keywords, strings and durations. */
export function metricNames(expr: string): string[] {
  const bare = expr
    .replaceAll(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g, "")
    .replaceAll(/\{[^}]*\}/g, " ")
    .replaceAll(/\[[^\]]*\]/g, " ")
    .replaceAll(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, " ");
  const names = new Set<string>();
  for (const [name, following] of [...bare.matchAll(/(?<![\w.:])([a-zA-Z_:][\w:]*)(\s*\()?/g)].map((m) => [
    m[1],
    m[2],
  ])) {
    if (name === undefined || following !== undefined) continue;
    if (/^(?:and|or|unless|bool|offset|by|without|on|ignoring|group_left|group_right|inf|nan)$/i.test(name)) continue;
    names.add(name);
  }
  return [...names];
}

/** Panels of a dashboard, those inside rows included. */
export function panelsOf(dashboard: Dashboard): Panel[] {
  return dashboard.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
}

function asRuleFile(): string {
  const lines = ["groups:"];
  for (const [file, dashboard] of dashboards()) {
    const variables = dashboard.templating.list.map(({ name }) => name);
    lines.push(`  - name: ${JSON.stringify(file)}`, "    rules:");
    for (const panel of panelsOf(dashboard))
      for (const { refId, expr } of panel.targets ?? [])
        lines.push(
          `      - record: dashboard:panel_${panel.id}:${refId}`,
          `        expr: ${JSON.stringify(substitute(expr, variables))}`,
          `        labels: { dashboard: ${JSON.stringify(dashboard.uid)} }`,
        );
  }
  return `${lines.join("\n")}\n`;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href)
  process.stdout.write(asRuleFile());
