/** `make smoke`: every client path once, a line each; exits 1 when one does not work. */
import { enter, localSite } from "../lib/topology.ts";
import type { ProbeTarget } from "./paths.ts";
import { type Outcome, walkAll } from "./walk.ts";

const site = localSite();
let passed = 0;
const failures: Outcome[] = [];

function line(outcome: Outcome): string {
  const name = outcome.path.name.padEnd(13);
  if ("error" in outcome) return `FAIL  ${name} ${outcome.error.message || outcome.error.name}`;
  const { seconds, nodes, certificateEnd, note } = outcome.probed;
  const parts = [`${Math.round(seconds * 1000)} ms`.padStart(8), nodes.join(" and ")];
  if (note !== undefined) parts.push(note);
  if (certificateEnd !== undefined) parts.push(`certificate until ${certificateEnd.toISOString().slice(0, 10)}`);
  return `ok    ${name} ${parts.filter((part) => part !== "").join("  ")}`;
}

try {
  enter(site);
  const { domain } = site;
  const target: ProbeTarget = {
    site,
    accounts: [
      { local: "alice", domain, password: site.secret("demo_alice_password") },
      { local: "bob", domain, password: site.secret("demo_bob_password") },
    ],
  };
  await walkAll(target, (outcome) => {
    console.log(line(outcome));
    if ("error" in outcome) failures.push(outcome);
    else passed++;
  });
} catch (error) {
  console.error(`FAIL  ${error instanceof Error ? error.message : String(error)}\n      next: make up`);
  process.exit(1);
}
console.log(`${passed} passed, ${failures.length} failed`);
if (failures.length > 0) {
  const remedies = new Set(failures.flatMap(({ path }) => path.remedy.split("; ")));
  console.log(`next: ${["make status", ...[...remedies].filter((each) => each !== "make status")].join("; ")}`);
}
process.exit(failures.length === 0 ? 0 : 1);
