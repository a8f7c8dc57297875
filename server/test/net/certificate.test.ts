import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { endPointHash, xmppAddresses } from "../../src/net/certificate.ts";
import { DerError, readDer, readOid } from "../../src/net/der.ts";
import { Authority, der, dnsName, oid, sequence, utf8, xmppAddr } from "../support/authority.ts";

const authority = new Authority();
const addressesOf = (...altNames: Uint8Array[]) => xmppAddresses(authority.sign({ altNames }).der);

describe("DER", () => {
  test("reads back what was written, whatever its length", () => {
    const value = fc.record({ tag: fc.constantFrom(0x04, 0x30, 0xa3), content: fc.uint8Array({ maxLength: 400 }) });
    fc.assert(
      fc.property(fc.array(value, { maxLength: 4 }), (values) => {
        const read = readDer(Buffer.concat(values.map(({ tag, content }) => der(tag, content))));
        assert.deepEqual(
          read.map(({ tag, content }) => ({ tag, content: Uint8Array.from(content) })),
          values.map(({ tag, content }) => ({ tag, content: Uint8Array.from(content) })),
        );
      }),
    );
  });

  test("refuses a length that is indefinite, longer than needed, absurd or beyond the end", () => {
    for (const bytes of [
      [0x30],
      [0x30, 0x01],
      [0x30, 0x80, 0, 0],
      [0x30, 0x81, 0x7f, ...Buffer.alloc(0x7f)],
      [0x30, 0x82, 0x00, 0x80, ...Buffer.alloc(0x80)],
      [0x30, 0x82, 0x01],
      [0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
      [0x30, 0x85, 0, 0, 0, 0, 1, 0],
      [0x3f, 0x01, 0x00],
      [0x30, 0x00, 0x30],
    ]) {
      assert.throws(() => readDer(Uint8Array.from(bytes)), DerError, Buffer.from(bytes).toString("hex").slice(0, 20));
    }
    assert.equal(readDer(Uint8Array.from([0x30, 0x81, 0x80, ...Buffer.alloc(0x80)]))[0]?.content.length, 0x80);
  });

  test("reads object identifiers, and refuses one that is cut off or absurd", () => {
    for (const text of ["1.3.6.1.5.5.7.8.5", "2.5.29.17", "2.16.840.1.101.3.4.2.1", "0.9.2342", "2.999.1"]) {
      assert.equal(readOid(readDer(oid(text))[0]), text);
    }
    for (const bytes of [[], [0x2a, 0x86], [0x2a, ...Buffer.alloc(12, 0xff), 0x7f]]) {
      assert.throws(() => readOid({ tag: 0x06, content: Uint8Array.from(bytes) }), DerError);
    }
    assert.throws(() => readOid({ tag: 0x04, content: Uint8Array.from([0x2a]) }), DerError);
  });
});

describe("the addresses of a certificate", () => {
  test("are its id-on-xmppAddr names, and nothing else that stands beside them", () => {
    const other = der(0xa0, oid("1.3.6.1.4.1.311.20.2.3"), der(0xa0, utf8("upn@example.org")));
    assert.deepEqual(
      addressesOf(dnsName("alice.example"), xmppAddr("alice@example.org"), other, xmppAddr("\u00e9va@example.org")),
      ["alice@example.org", "\u00e9va@example.org"],
    );
    assert.deepEqual(addressesOf(dnsName("example.org")), []);
    assert.deepEqual(addressesOf(), []);
  });

  test("keep a NUL, so that what follows is not forgotten", () => {
    assert.deepEqual(addressesOf(xmppAddr("alice@example.org\0.evil.example")), ["alice@example.org\0.evil.example"]);
  });

  test("are refused in another string type, or where they are not UTF-8", () => {
    const named = (value: Uint8Array) => der(0xa0, oid("1.3.6.1.5.5.7.8.5"), der(0xa0, value));
    assert.throws(() => addressesOf(named(der(0x16, Buffer.from("alice@example.org")))), DerError);
    assert.throws(() => addressesOf(named(der(0x0c, Buffer.from([0xff])))), TypeError);
    assert.throws(() => addressesOf(named(new Uint8Array())), DerError);
  });

  test("are never read past the end, whatever the bytes", () => {
    const whole = authority.sign({ altNames: [xmppAddr("alice@example.org")] }).der;
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, byte, end) => {
        for (const read of [xmppAddresses, endPointHash]) {
          const damaged = Buffer.from(whole)
            .fill(byte, at, at + 1)
            .subarray(0, end);
          try {
            read(damaged);
          } catch (error) {
            assert.ok(error instanceof DerError || error instanceof TypeError, String(error));
          }
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe("the hash that a login is bound to a certificate by (RFC 5929 4.1)", () => {
  test("is that of its signature, and SHA-256 in place of SHA-1", () => {
    for (const [signature, hash] of [
      ["ecdsa-sha256", "sha256"],
      ["ecdsa-sha384", "sha384"],
      ["ecdsa-sha512", "sha512"],
      ["ecdsa-sha1", "sha256"],
    ] as const) {
      assert.equal(endPointHash(new Authority("a", signature).sign({}).der), hash);
    }
  });

  const signedBy = (...algorithm: Uint8Array[]) =>
    sequence(sequence(), sequence(...algorithm), der(0x03, Buffer.from([0])));
  const RSASSA_PSS = oid("1.2.840.113549.1.1.10");

  test("is none where the signature has none of its own, or one that nobody knows", () => {
    assert.equal(endPointHash(signedBy(oid("1.3.101.112"))), undefined);
    assert.equal(endPointHash(signedBy(oid("1.2.3.4"))), undefined);
  });

  test("is that of RSASSA-PSS's parameters, unless they name two", () => {
    const sha = (last: number) => sequence(oid(`2.16.840.1.101.3.4.2.${last}`));
    const mask = (hash: Uint8Array) => der(0xa1, sequence(oid("1.2.840.113549.1.1.8"), hash));
    assert.equal(endPointHash(signedBy(RSASSA_PSS, sequence(der(0xa0, sha(1)), mask(sha(1))))), "sha256");
    assert.equal(endPointHash(signedBy(RSASSA_PSS, sequence(der(0xa0, sha(3)), mask(sha(3))))), "sha512");
    assert.equal(endPointHash(signedBy(RSASSA_PSS, sequence())), "sha256");
    assert.equal(endPointHash(signedBy(RSASSA_PSS, sequence(der(0xa0, sha(1)), mask(sha(2))))), undefined);
    assert.throws(() => endPointHash(signedBy(RSASSA_PSS)), DerError);
  });

  test("is found for the signatures of RSA", () => {
    assert.equal(endPointHash(signedBy(oid("1.2.840.113549.1.1.11"), der(0x05))), "sha256");
    assert.equal(endPointHash(signedBy(oid("1.2.840.113549.1.1.5"), der(0x05))), "sha256");
    assert.equal(endPointHash(signedBy(oid("1.2.840.113549.1.1.13"), der(0x05))), "sha512");
  });
});
