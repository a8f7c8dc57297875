/** One table of what was measured: what each costs each server, against ejabberd and against the goal. */
import { costOf, type Measured, type Result, type Scenario } from "./scenarios.ts";

export interface Outcome {
  readonly scenario: Scenario;
  readonly peer: string;
  readonly result: Result;
}

/** `peers` in the order of the columns; the first is the one that has goals. */
export function report(
  outcomes: readonly Outcome[],
  peers: readonly string[],
  versions: Readonly<Record<string, string>>,
): string {
  const of = (scenario: Scenario, peer: string): Result | undefined =>
    outcomes.find((one) => one.scenario === scenario && one.peer === peer)?.result;
  const scenarios = [...new Set(outcomes.map(({ scenario }) => scenario))];

  const cost = (scenario: Scenario, peer: string): number | undefined => {
    const result = of(scenario, peer);
    return result === undefined || "failure" in result ? undefined : costOf(scenario, result);
  };
  const costs = scenarios.map((scenario) => {
    const ours = cost(scenario, "meerkat");
    const theirs = cost(scenario, "ejabberd");
    return [
      scenario.title,
      scenario.unit === "session" ? "KiB a session" : `us a ${scenario.unit}`,
      ...peers.map((peer) => figure(cost(scenario, peer))),
      ours === undefined || theirs === undefined ? "-" : `${(ours / theirs).toFixed(2)}x`,
      scenario.goal === undefined ? "-" : `<= ${scenario.goal}`,
      verdict(ours, scenario.goal),
    ];
  });
  const rates = scenarios
    .filter(({ unit }) => unit !== "session")
    .flatMap((scenario) =>
      peers.flatMap((peer) => {
        const result = of(scenario, peer);
        return result === undefined || "failure" in result ? [] : [rateRow(scenario, peer, result)];
      }),
    );
  const complaints = outcomes.flatMap(complaint);
  return [
    "What each costs the server: CPU time of its container (the median of eight slices), or memory of its own.",
    "",
    table([["scenario", "unit", ...peers, "of ejabberd", "goal", ""], ...costs]),
    "What the clients saw. Other work on the machine slows these down, which the table above does not show.",
    "",
    table([
      ["scenario", "server", "per second", "p50 ms", "p95 ms", "p99 ms", "server's core", "generator's core"],
      ...rates,
    ]),
    complaints.length === 0 ? "Nothing was lost, doubled or out of order." : complaints.join("\n"),
    `Versions: ${Object.entries(versions)
      .map(([peer, version]) => `${peer} ${version}`)
      .join(", ")}.`,
    "",
  ].join("\n");
}

function rateRow(scenario: Scenario, peer: string, result: Measured): string[] {
  const share = (us: number) => `${(us / result.seconds / 1e4).toFixed(0)}%`;
  // A presence goes to many at once, and its way is not timed.
  const ms = (us: number) => (scenario.unit === "presence" ? "-" : (us / 1000).toFixed(1));
  return [
    scenario.title,
    peer,
    Math.round(result.count / result.seconds).toLocaleString("en"),
    ms(result.p50_us),
    ms(result.p95_us),
    ms(result.p99_us),
    share(result.cpu_us),
    share(result.own_cpu_us),
  ];
}

function complaint({ scenario, peer, result }: Outcome): string[] {
  if ("failure" in result) return [`${scenario.name}, ${peer}: not measured: ${result.failure}`];
  const { missing, disordered, errors } = result;
  if (missing === 0 && disordered === 0 && errors === 0) return [];
  return [`${scenario.name}, ${peer}: ${missing} missing, ${disordered} doubled or out of order, ${errors} refused.`];
}

function figure(value: number | undefined): string {
  if (value === undefined) return "-";
  return value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
}

function verdict(value: number | undefined, goal: number | undefined): string {
  if (value === undefined || goal === undefined) return "";
  return value <= goal ? "met" : `missed by ${Math.round((value / goal - 1) * 100)}%`;
}

/** Rows of Markdown, so that a table can be put into the docs as it is. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(3, ...rows.map((row) => (row[column] ?? "").length)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(" | ")} |\n`;
  const [head = [], ...body] = rows;
  const rule = `| ${widths.map((width, column) => (column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |\n`;
  return line(head) + rule + body.map(line).join("");
}
