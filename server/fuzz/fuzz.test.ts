import { test } from "node:test";
import { fuzz } from "./target.ts";
import { accountsFile } from "./targets/accounts-file.ts";
import { element } from "./targets/element.ts";
import { jid } from "./targets/jid.ts";
import { proxyProtocol } from "./targets/proxy-protocol.ts";
import { readers } from "./targets/readers.ts";
import { sasl } from "./targets/sasl.ts";
import { stream } from "./targets/stream.ts";
import { websocket } from "./targets/websocket.ts";

// FUZZ_SECONDS are shared among the targets. SEED repeats a run, and TARGET leaves one of them only.

const TARGETS = [stream, element, readers(), websocket, jid, sasl, proxyProtocol, accountsFile];

const seed = Number(process.env.SEED || Date.now() % 2 ** 32) >>> 0;
const wanted = TARGETS.filter(({ name }) => !process.env.TARGET || name === process.env.TARGET);
const ms = (Number(process.env.FUZZ_SECONDS || 10) * 1000) / wanted.length;

for (const target of wanted) {
  test(`${target.name}, from seed ${seed}`, async (t) => {
    target.start?.();
    try {
      const { cases, taken } = await fuzz(target, seed, ms);
      t.diagnostic(`${cases} cases, ${taken} taken${target.remarks === undefined ? "" : `; ${target.remarks()}`}`);
    } finally {
      target.stop?.();
    }
  });
}
