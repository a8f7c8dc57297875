import { accountsSuite } from "../conformance/storage/accounts.ts";
import { contentsSuite } from "../conformance/storage/contents.ts";
import { keyValueSuite } from "../conformance/storage/key-value.ts";
import { mapSuite } from "../conformance/storage/map.ts";
import { migrated } from "../conformance/storage/suite.ts";

const open = (bounds = {}) => migrated({ driver: "memory", ...bounds });
accountsSuite("memory", open);
contentsSuite("memory", open);
keyValueSuite("memory", open);
mapSuite("memory", open);
