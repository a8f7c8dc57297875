import assert from "node:assert/strict";
import { test } from "node:test";
import { directoryMetrics } from "../../compose/backup/directory.ts";

const ldif = (...csns: string[]) =>
  `dn: dc=corp,dc=meerkat,dc=localhost\n${csns.map((csn) => `contextCSN: ${csn}\n`).join("")}\n`;

const samples = (text: string) => text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));

test("each server says what it knows of the latest change at each, and one that does not answer is down", async () => {
  const answers: Record<string, string> = {
    one: ldif("20261127143414.053371Z#000000#002#000000", "20261127143514.872388Z#000001#001#000000"),
    two: ldif("20261127143414.053371Z#000000#002#000000"),
  };
  const text = await directoryMetrics(["one", "two", "three"], async (server) => {
    const answer = answers[server];
    if (answer === undefined) throw new Error("no route");
    return answer;
  });
  assert.deepEqual(samples(text), [
    'directory_up{server="one"} 1',
    'directory_up{server="two"} 1',
    'directory_up{server="three"} 0',
    'directory_change_timestamp_seconds{server="one",origin="2"} 1795790054.053371',
    'directory_change_timestamp_seconds{server="one",origin="1"} 1795790114.872388',
    'directory_change_timestamp_seconds{server="two",origin="2"} 1795790054.053371',
  ]);
});

test("a server without a tree is up, and knows of no change", async () => {
  assert.deepEqual(samples(await directoryMetrics(["one"], async () => ldif())), ['directory_up{server="one"} 1']);
});
