import assert from "node:assert/strict";
import { test } from "node:test";
import { ScramSha256 } from "../lib/scram.ts";

test("SCRAM-SHA-256 answers as the example of RFC 7677 3 does", () => {
  const scram = new ScramSha256("rOprNGfwEbeRWgbNEkqO");
  const credentials = { username: "user", password: "pencil" };
  assert.equal(scram.response(credentials), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  scram.challenge("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
  assert.equal(
    scram.response(credentials),
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
  );
});

test("a challenge with a nonce that is not ours, or with few iterations, is not answered", () => {
  for (const challenge of [
    "r=theirs,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    "r=oursandtheirs,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1",
  ]) {
    const scram = new ScramSha256("ours");
    scram.response({ username: "user", password: "pencil" });
    scram.challenge(challenge);
    assert.throws(() => scram.response({ username: "user", password: "pencil" }), /^Error: SCRAM/);
  }
});
