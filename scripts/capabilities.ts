// What a run of the conformance suites has proved: a table of driver x capability x tests passed, as text.

/** The columns: what a driver may offer, and how it takes it when its database fails. */
const CAPABILITIES = ["keyValue", "map", "archive", "queue", "expiring", "accounts", "contents", "faults"] as const;
/** The rows that are always there: how the suites name the driver, how the table does, and what it says when no test ran. */
const DRIVERS: readonly (readonly [name: string, label: string, absent: string])[] = [
  ["memory", "memory", "not run"],
  ["sqlite", "sqlite", "not run"],
  ["postgres", "postgres", "not run"],
  ["mysql", "mysql (MariaDB)", "not run"],
  ["redis", "redis", "not run"],
  ["ldap", "ldap", "not run"],
  ["http", "http", "not run"],
  ["riak (double)", "riak (double)", "not run"],
  ["riak (cluster)", "riak (cluster)", "RIAK_URL not set"],
];

export interface Cell {
  passed: number;
  failed: number;
}
/** By driver, then by capability. */
export type Table = Map<string, Map<string, Cell>>;

/** The driver and the capability that a suite is about, from its name. */
export function subjectOf(suite: string): { driver: string; capability: string } | undefined {
  const [, capability, driver] = /^(\w+) over (.+)$/.exec(suite) ?? [];
  if (capability === undefined || driver === undefined) return undefined;
  return (CAPABILITIES as readonly string[]).includes(capability) ? { driver, capability } : undefined;
}

export function count(table: Table, suite: string, outcome: "passed" | "failed"): void {
  const subject = subjectOf(suite);
  if (subject === undefined) return;
  const row = table.get(subject.driver) ?? new Map<string, Cell>();
  table.set(subject.driver, row);
  const cell = row.get(subject.capability) ?? { passed: 0, failed: 0 };
  row.set(subject.capability, cell);
  cell[outcome]++;
}

/** Tests passed in each cell, those that failed beside them, and a dash where there are none. */
export function render(table: Table): string {
  const head = ["driver", ...CAPABILITIES];
  const rows = driversOf(table).map(([name, label, absent]) => {
    const cells = table.get(name);
    return cells === undefined ? [label, absent] : [label, ...CAPABILITIES.map((each) => cellText(cells.get(each)))];
  });
  // What is said of a driver without tests is under no column.
  const full = [head, ...rows.filter((row) => row.length === head.length)];
  const widths = head.map((_, i) => Math.max(...(i === 0 ? [head, ...rows] : full).map((row) => row[i]?.length ?? 0)));
  return [head, ...rows]
    .map(([first = "", ...rest]) => {
      const cells = rest.map((text, i) => (rest.length === 1 ? text : text.padStart(widths[i + 1] ?? 0)));
      return `${[first.padEnd(widths[0] ?? 0), ...cells].join("  ")}\n`;
    })
    .join("");
}

function cellText(cell: Cell | undefined): string {
  if (cell === undefined) return "-";
  return cell.failed === 0 ? String(cell.passed) : `${cell.passed}, ${cell.failed} failed`;
}

/** Those that are always there, each followed by others whose names begin like it, and then the rest. */
function driversOf(table: Table): (readonly [name: string, label: string, absent: string])[] {
  const known = DRIVERS.map(([name]) => name);
  const others = [...table.keys()].filter((name) => !known.includes(name)).sort();
  const behind = (driver: string) =>
    others.filter((name) => /^[ ,]/.test(name.slice(driver.length)) && name.startsWith(driver));
  const placed = known.flatMap(behind);
  const own = (name: string) => [name, name, ""] as const;
  return [
    ...DRIVERS.flatMap((row) => [row, ...behind(row[0]).map(own)]),
    ...others.filter((name) => !placed.includes(name)).map(own),
  ];
}
