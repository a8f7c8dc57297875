/**
 * Writes src/xmpp/joining-types.ts from DerivedJoiningType.txt of the Unicode Character Database, of the version that this
 * Node has (`node -p process.versions.unicode`): https://www.unicode.org/Public/17.0.0/ucd/extracted/DerivedJoiningType.txt
 *
 *     node scripts/joining-types.ts DerivedJoiningType.txt
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const OUT = join(import.meta.dirname, "../src/xmpp/joining-types.ts");
const USUALLY_TRANSPARENT = /^[\p{Mn}\p{Me}\p{Cf}]$/u;

/** The type of each code point that the file names; all others are non-joining. */
function read(text: string): ReadonlyMap<number, string> {
  const types = new Map<number, string>();
  for (const line of text.split("\n")) {
    const [, from, to = from, type] = /^([0-9A-F]+)(?:\.\.([0-9A-F]+))?\s*;\s*([A-Z])\b/.exec(line) ?? [];
    if (from === undefined || type === undefined) continue;
    for (let point = Number.parseInt(from, 16); point <= Number.parseInt(to as string, 16); point++)
      types.set(point, type);
  }
  return types;
}

/** Code points as the inside of a character class. */
function ranges(points: readonly number[]): string {
  const runs: [from: number, to: number][] = [];
  for (const point of points) {
    const last = runs.at(-1);
    if (last?.[1] === point - 1) last[1] = point;
    else runs.push([point, point]);
  }
  const written = (point: number) => `\\u{${point.toString(16)}}`;
  return runs.map(([from, to]) => (from === to ? written(from) : `${written(from)}-${written(to)}`)).join("");
}

function table(types: ReadonlyMap<number, string>): string {
  const all = Array.from({ length: 0x110000 }, (_, point) => point).filter((point) => point < 0xd800 || point > 0xdfff);
  const those = (is: (type: string, usual: boolean) => boolean) =>
    ranges(all.filter((point) => is(types.get(point) ?? "U", USUALLY_TRANSPARENT.test(String.fromCodePoint(point)))));
  const more = those((type, usual) => type === "T" && !usual);
  const fewer = those((type, usual) => type !== "T" && usual);
  return `// Written by scripts/joining-types.ts from the Unicode Character Database, version ${process.versions.unicode}.

/** Code points that join what comes after them: Joining_Type L and D. */
export const JOINS_NEXT = /^[${those((type) => type === "L" || type === "D")}]$/u;

/** Code points that join what comes before them: Joining_Type R and D. */
export const JOINS_PREVIOUS = /^[${those((type) => type === "R" || type === "D")}]$/u;

/** Code points that joining passes over: Joining_Type T. */
export const JOINING_PASSES = /^[[\\p{Mn}\\p{Me}\\p{Cf}${more}]--[${fewer}]]$/v;
`;
}

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error("usage: node scripts/joining-types.ts DerivedJoiningType.txt");
writeFileSync(OUT, table(read(readFileSync(path, "utf8"))));
