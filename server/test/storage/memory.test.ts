import { accountsSuite } from "../conformance/storage/accounts.ts";
import { archiveSuite } from "../conformance/storage/archive.ts";
import { contentsSuite } from "../conformance/storage/contents.ts";
import { expiringSuite } from "../conformance/storage/expiring.ts";
import { keyValueSuite } from "../conformance/storage/key-value.ts";
import { mapSuite } from "../conformance/storage/map.ts";
import { queueSuite } from "../conformance/storage/queue.ts";
import { migrated } from "../conformance/storage/suite.ts";

const open = (bounds = {}) => migrated({ driver: "memory", ...bounds });
accountsSuite("memory", open);
contentsSuite("memory", open);
keyValueSuite("memory", open);
mapSuite("memory", open);

let now = 1_700_000_000_000;
archiveSuite("memory", open, { alone: true });
queueSuite("memory", open, { alone: true });
expiringSuite("memory", (bounds = {}) => migrated({ driver: "memory", now: () => now, ...bounds }), {
  alone: true,
  pass: (milliseconds) => {
    now += milliseconds;
  },
});
