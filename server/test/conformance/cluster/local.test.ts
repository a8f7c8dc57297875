import { before } from "node:test";
import { openCluster } from "../../../src/cluster/open.ts";
import { testCluster } from "./suite.ts";

const alone = await openCluster({ kind: "local", nodeId: "alone" });
before(() => alone.start());
testCluster("local", () => [alone, alone]);
