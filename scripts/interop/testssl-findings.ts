// Reads what testssl.sh wrote: a table of what is not in order, and last a line "passed N failed N skipped N".
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

export interface Finding {
  readonly id: string;
  readonly severity: string;
  readonly finding: string;
}

/** Findings that are known, and why they are none of the server's. */
const ACCEPTED: Readonly<Record<string, string>> = {
  cert_revocation: "the test's own authority publishes no list; a public one does",
  DNS_CAArecord: "a test's domain is in no DNS; docs/operations.md says to set one",
  service: "XMPP is no HTTP",
  engine_problem: "about the scanner's own OpenSSL: GOST ciphers are not looked for",
};

/** Not answered because the scanner's own OpenSSL has no such protocol or cipher. */
const UNTESTABLE = new Set(["SSLv2", "SSLv3", "CRIME_TLS", "fallback_SCSV", "scanTime"]);

const RANK: Readonly<Record<string, number>> = {
  OK: 0,
  INFO: 0,
  DEBUG: 0,
  LOW: 1,
  WARN: 2,
  MEDIUM: 3,
  HIGH: 4,
  CRITICAL: 5,
  FATAL: 6,
};

export type Verdict = "passed" | "failed" | "skipped";

export function verdictOf({ id, severity, finding }: Finding): { readonly verdict: Verdict; readonly why: string } {
  const rank = RANK[severity] ?? 6;
  if (rank === 0) return { verdict: "passed", why: "" };
  const key = id.replace(/ .*/, "");
  const explained = ACCEPTED[key];
  // Half a scan says nothing about the other half.
  if (key === "scanTime" && /interrupted/i.test(finding)) return { verdict: "failed", why: "the scan was cut short" };
  if (explained !== undefined) return { verdict: "passed", why: explained };
  if (severity === "WARN" && UNTESTABLE.has(key)) return { verdict: "skipped", why: "the scanner cannot look" };
  return { verdict: rank <= 1 ? "passed" : "failed", why: "" };
}

/** Also what testssl.sh leaves when it is cut short, which is no JSON. */
export function read(text: string): Finding[] {
  const field = (name: string) => `"${name}"\\s*:\\s*"((?:[^"\\\\]|\\\\.)*)"`;
  const pattern = new RegExp(`${field("id")}[^}]*?${field("severity")}[^}]*?${field("finding")}`, "g");
  return [...text.matchAll(pattern)].map(([, id = "", severity = "", finding = ""]) => ({ id, severity, finding }));
}

function main(directory: string): void {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const files = readdirSync(directory).filter((name) => name.endsWith(".json"));
  for (const file of files) {
    const door = basename(file, ".json");
    const findings = read(readFileSync(join(directory, file), "utf8"));
    // A scan that found no protocol has seen nothing.
    if (!findings.some(({ id, severity }) => id === "TLS1_3" && severity === "OK")) {
      counts.failed++;
      console.log(`${door.padEnd(9)} failed   FATAL    TLS1_3: not seen; look into ${join(directory, `${door}.log`)}`);
    }
    for (const found of findings) {
      const { verdict, why } = verdictOf(found);
      counts[verdict]++;
      if (verdict === "passed" && RANK[found.severity] === 0) continue;
      const reason = why === "" ? "" : ` (${why})`;
      console.log(
        `${door.padEnd(9)} ${verdict.padEnd(8)} ${found.severity.padEnd(8)} ${found.id}: ${found.finding.slice(0, 100)}${reason}`,
      );
    }
  }
  if (files.length === 0) {
    counts.failed++;
    console.log("testssl.sh wrote nothing");
  }
  console.log(`passed ${counts.passed} failed ${counts.failed} skipped ${counts.skipped}`);
  process.exitCode = counts.failed === 0 ? 0 : 1;
}

if (import.meta.main) main(process.argv[2] ?? ".");
