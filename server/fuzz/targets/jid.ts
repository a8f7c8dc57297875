import assert from "node:assert/strict";
import { isIP } from "node:net";
import { parseJid } from "../../src/xmpp/jid.ts";
import { mutate, type Random } from "../random.ts";
import type { Target } from "../target.ts";

const SAMPLES = [
  "juliet@example.com/balcony",
  "example.com",
  "a@b/c@d/e",
  "\u00e9l\u00e8ve@\u00fcml\u00e4ut.example/\u{1f600} desk",
  "alice@[2001:db8::1]/x",
  "bob@192.0.2.1",
  "xn--caf-dma.example",
  "\u05d0@\u05d1.example/\u05d2",
  "a@b.\u3002example./",
];
const FRAGMENTS = [
  ..."@ / . .. \\20 \\40 & ' \" : < > xn-- - _ %2f ::1 [ ] I \u0130 \u0131 \u00df \u1e9e \u03a3 \u03c2 \uff0f \uff20 \uff0e \u3002".split(
    " ",
  ),
  " ",
  "\u200d",
  "\u00ad",
  "\u0301",
  "\u2025",
  "\u{1d400}",
  "\ud800",
  "\0",
  "\ufffe",
  "\u202e",
  "a",
];
/** What no address may have in it, in whatever part (RFC 7622 3; XML 1.0 2.2). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const NOWHERE = /[\0-\x1f\x7f-\x9f\ufffe\uffff]/;

/** An address is prepared once and for all: what is read from it is itself, and its parts can be told apart in it. */
export const jid: Target = {
  name: "address",

  make(random) {
    if (random.chance(5)) return Buffer.from(long(random));
    return mutate(random, Buffer.from(random.pick(SAMPLES)), FRAGMENTS, 5000);
  },

  check(input) {
    const text = input.toString();
    const read = parseJid(text);
    assert.equal(parseJid(text)?.full, read?.full, "not the same the second time");
    if (read === undefined) return false;
    const { local, domain, resource, bare, full } = read;
    assert.equal(full, `${local === "" ? "" : `${local}@`}${domain}${resource === "" ? "" : `/${resource}`}`);
    const again = parseJid(full);
    assert.deepEqual(
      [again?.local, again?.domain, again?.resource],
      [local, domain, resource],
      "other parts when read again",
    );
    assert.equal(parseJid(bare)?.full, bare, "no bare address");
    for (const part of [local, domain, resource]) {
      assert.ok(Buffer.byteLength(part) <= 1023, "a part too long");
      assert.ok(part.isWellFormed() && !NOWHERE.test(part), "a character that no address has");
    }
    assert.ok(
      domain !== "" && !/[\s@/<>"'&:]/u.test(domain.replace(/^\[.*\]$/, (ip) => (isIP(ip.slice(1, -1)) ? "" : ip))),
      "no domain",
    );
    assert.ok(!/[\s@/<>"'&:]/u.test(local), "no local part");
    return true;
  },
};

function long(random: Random): string {
  const part = () =>
    random.pick(["a", "\u00e9", "\u{1f600}"]).repeat(random.pick([255, 341, 342, 511, 512, 1023, 1024]));
  return `${part()}@${random.chance(50) ? "example.org" : part()}/${part()}`;
}
