import { readFileSync } from "node:fs";
import { after, before } from "node:test";
import { type RiakOptions, riakDriver } from "../../../src/storage/drivers/riak/riak.ts";
import { TIME_DIGITS } from "../../../src/storage/shims/expiring.ts";
import { completed } from "../../../src/storage/shims.ts";
import type { StorageDriver } from "../../../src/storage/specs.ts";
import { accountsSuite } from "./accounts.ts";
import { archiveSuite } from "./archive.ts";
import { contentsSuite } from "./contents.ts";
import { expiringSuite } from "./expiring.ts";
import { keyValueSuite } from "./key-value.ts";
import { mapSuite } from "./map.ts";
import { queueSuite } from "./queue.ts";
import { raceSuite } from "./race.ts";
import { RiakDouble } from "./riak-double.ts";
import { migrated } from "./suite.ts";

type Options = RiakOptions & { driver: "riak" };
let now = Date.now();
const LARGEST = 512 * 1024;

let double: RiakDouble;
before(async () => {
  double = await RiakDouble.start();
});
after(() => double.stop());
suites("riak (double)", () => ({ driver: "riak", nodes: [double.node] }));

const { RIAK_URL, RIAK_CA } = process.env;
if (RIAK_URL !== undefined) suites("riak (cluster)", () => real(RIAK_URL));

function suites(name: string, options: () => Options): void {
  // The suites put thousands of items in at once, and eight that write to one object without a pause take turns by chance.
  const patient = () => ({ ...options(), timeout: 60_000 });
  const open = (bounds = {}) => migrated({ ...patient(), ...bounds });
  accountsSuite(name, open);
  keyValueSuite(name, open, { largest: LARGEST });
  mapSuite(name, open, { runs: 15 });
  archiveSuite(name, open, { runs: 10 });
  // Other nodes may come in between the count of a queue and what is pushed.
  queueSuite(name, open, { runs: 10, exactLimit: false });
  // By the shim over the map, where each value has its time before it; by a clock that is wound, for an update may be slow.
  async function shimmed({ maxValueBytes }: { maxValueBytes?: number } = {}): Promise<StorageDriver> {
    const bounds = maxValueBytes === undefined ? {} : { maxValueBytes: maxValueBytes + TIME_DIGITS };
    const driver = riakDriver({ ...options(), ...bounds });
    await driver.migrate();
    return completed(driver, { now: () => now });
  }
  expiringSuite(name, shimmed, {
    runs: 10,
    pass: (milliseconds) => {
      now += milliseconds;
    },
  });
  contentsSuite(name, open);
  raceSuite(name, patient);
}

/** "http://host:8098,http://other:8098", or "https://user:password@host:8443" with RIAK_CA for a private authority. */
function real(addresses: string): Options {
  const urls = addresses.split(",").map((address) => new URL(address));
  const [{ protocol, username, password } = new URL("http://none")] = urls;
  const ca = RIAK_CA === undefined ? undefined : readFileSync(RIAK_CA, "utf8");
  return {
    driver: "riak",
    nodes: urls.map(({ host }) => host),
    ...(protocol === "https:" && { tls: { ca } }),
    ...(username !== "" && { username: decodeURIComponent(username), password: decodeURIComponent(password) }),
  };
}
