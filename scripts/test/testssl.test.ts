import assert from "node:assert/strict";
import { it } from "node:test";
import { read, verdictOf } from "../interop/testssl-findings.ts";

const TEXT = `[ { "id" : "TLS1_3", "ip" : "localhost/127.0.0.1", "port" : "5223", "severity" : "OK",
 "finding" : "offered with final" }
,{ "id" : "BEAST", "severity" : "MEDIUM", "cve" : "CVE-2011-3389", "finding" : "uses \\"CBC\\"" }`;

it("reads what testssl.sh wrote, also when it was cut short", () => {
  assert.deepEqual(read(TEXT), [
    { id: "TLS1_3", severity: "OK", finding: "offered with final" },
    { id: "BEAST", severity: "MEDIUM", finding: 'uses \\"CBC\\"' },
  ]);
});

for (const [severity, id, verdict] of [
  ["OK", "TLS1_3", "passed"],
  ["INFO", "cert_serialNumber", "passed"],
  ["LOW", "BREACH", "passed"],
  ["MEDIUM", "BREACH", "failed"],
  ["HIGH", "cert_revocation", "passed"],
  ["HIGH", "cert_revocation <hostCert#1>", "passed"],
  ["CRITICAL", "cert_chain_of_trust", "failed"],
  ["CRITICAL", "cert_expirationStatus", "failed"],
  ["CRITICAL", "heartbleed", "failed"],
  ["FATAL", "scanProblem", "failed"],
  ["WARN", "SSLv2", "skipped"],
  ["WARN", "secure_renego", "failed"],
  ["UNHEARD", "of", "failed"],
] as const) {
  it(`${id} of severity ${severity} is ${verdict}`, () => {
    assert.equal(verdictOf({ id, severity, finding: "" }).verdict, verdict);
  });
}

it("a scan that was interrupted fails", () => {
  assert.equal(verdictOf({ id: "scanTime", severity: "WARN", finding: "Scan interrupted" }).verdict, "failed");
});
