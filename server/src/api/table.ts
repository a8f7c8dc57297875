/** Text in columns, the first to the left and numbers to the right. */
export function columns(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [head, ...rows];
  const widths = head.map((_, index) => Math.max(...all.map((row) => (row[index] ?? "").length)));
  const isNumber = head.map(
    (_, index) => rows.length > 0 && rows.every((row) => /^[\d,]*$|^-$/.test(row[index] ?? "")),
  );
  const line = (row: readonly string[]) =>
    row
      .map((text, index) => (isNumber[index] ? text.padStart(widths[index] ?? 0) : text.padEnd(widths[index] ?? 0)))
      .join("  ")
      .trimEnd();
  return all.map(line);
}

/** A count as people read it: 12,345. */
export function grouped(count: number): string {
  return count.toLocaleString("en-US");
}
