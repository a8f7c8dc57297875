/** XEP-0054 from the attributes of an entry. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { vcardReader } from "../../src/storage/drivers/ldap/vcard.ts";
import { normal, parse } from "../support/server.ts";

const JPEG = Buffer.from([0xff, 0xd8, 0xff, 0xe0, 1, 2, 3]);
const PNG = Buffer.from("\x89PNG\r\n\x1a\nx", "latin1");
const WEBP = Buffer.from("RIFF\x01\x02\x03\x04WEBPVP8 ", "latin1");

const ADA = {
  dn: "uid=ada,dc=x",
  displayName: "Ada & Söhne",
  cn: "Ada Byron",
  sn: "Byron",
  givenName: ["Ada", "Augusta"],
  mail: ["ada@x.example", "byron@x.example"],
  telephoneNumber: "+44 1",
  mobile: "+44 2",
  title: "Engineer",
  o: "Meerkat",
  ou: "Engineering",
  departmentNumber: ["42", "Engineering"],
  street: "Dorset St 1",
  l: "London",
  st: "Middlesex",
  postalCode: "W1",
  c: "GB",
  jpegPhoto: JPEG,
  labeledURI: "https://x.example/~ada the page of Ada",
  description: "analyst",
  birthDate: "18151210000000Z",
};

const inner = (xml: string) => parse(`<vCard xmlns='vcard-temp'>${xml}</vCard>`);

test("a whole entry is a whole vCard", () => {
  const read = vcardReader().read(ADA);
  assert.equal(
    normal(read),
    normal(
      inner(
        `<FN>Ada &amp; Söhne</FN><N><FAMILY>Byron</FAMILY><GIVEN>Ada</GIVEN></N>
        <PHOTO><TYPE>image/jpeg</TYPE><BINVAL>${JPEG.toString("base64")}</BINVAL></PHOTO><BDAY>1815-12-10</BDAY>
        <ADR><WORK/><STREET>Dorset St 1</STREET><LOCALITY>London</LOCALITY><REGION>Middlesex</REGION><PCODE>W1</PCODE><CTRY>GB</CTRY></ADR>
        <TEL><WORK/><VOICE/><NUMBER>+44 1</NUMBER></TEL><TEL><WORK/><CELL/><NUMBER>+44 2</NUMBER></TEL>
        <EMAIL><WORK/><INTERNET/><USERID>ada@x.example</USERID></EMAIL><EMAIL><WORK/><INTERNET/><USERID>byron@x.example</USERID></EMAIL>
        <TITLE>Engineer</TITLE><ORG><ORGNAME>Meerkat</ORGNAME><ORGUNIT>Engineering</ORGUNIT><ORGUNIT>42</ORGUNIT></ORG>
        <URL>https://x.example/~ada</URL><DESC>analyst</DESC>`.replaceAll(/>\s+</g, "><"),
      ),
    ),
  );
});

test("an entry that says next to nothing is a vCard all the same", () => {
  assert.equal(
    normal(vcardReader().read({ dn: "x", sn: [], cn: "Bob" })),
    normal(inner("<FN>Bob</FN><N><FAMILY/><GIVEN/></N>")),
  );
});

test("attributes are those of the configuration, whatever their case, and the first that has a value counts", () => {
  const { attributes, read } = vcardReader({ attributes: { full_name: ["Nick", "CN"], email: [] } });
  assert.ok(attributes.includes("Nick") && !attributes.includes("mail"));
  const card = read({ dn: "x", cn: "Bob", mail: "b@x" });
  assert.equal(card.childText("FN"), "Bob");
  assert.equal(card.child("EMAIL"), undefined);
});

for (const [what, bytes, type] of [
  ["a JPEG", JPEG, "image/jpeg"],
  ["a PNG", PNG, "image/png"],
  ["a GIF", Buffer.from("GIF89a\xff", "latin1"), "image/gif"],
  ["a WebP", WEBP, "image/webp"],
  ["a script", Buffer.from("<svg onload='x'>\xff", "latin1"), undefined],
  ["nothing", Buffer.alloc(0), undefined],
] as const) {
  test(`${what} as a picture is ${type ?? "none"}, whatever its attribute is called`, () => {
    const photo = vcardReader().read({ dn: "x", jpegPhoto: bytes }).child("PHOTO");
    assert.equal(photo?.childText("TYPE"), type);
  });
}

test("a picture, and a text, may be as large as they are allowed to be and no larger", () => {
  for (const [photoBytes, found] of [
    [JPEG.length, true],
    [JPEG.length - 1, false],
  ] as const) {
    assert.equal(vcardReader({ photoBytes }).read(ADA).child("PHOTO") !== undefined, found);
  }
  for (const [fieldBytes, title] of [
    [8, "Engineer"],
    [7, ""],
  ] as const) {
    assert.equal(vcardReader({ fieldBytes }).read(ADA).childText("TITLE"), title);
  }
});

test("of many addresses ten are told, and what XML cannot carry is taken out", () => {
  const mail = Array.from({ length: 12 }, (_, index) => `a${index}@x`);
  const card = vcardReader().read({ dn: "x", mail, title: "\u0000 a\u0007b \ud800" });
  assert.equal(card.elements().filter(({ name }) => name === "EMAIL").length, 10);
  assert.equal(card.childText("TITLE"), "ab \ufffd");
});

for (const [written, day] of [
  ["1815-12-10", "1815-12-10"],
  ["18151210", "1815-12-10"],
  ["181512100000Z", "1815-12-10"],
  ["10.12.1815", ""],
  ["1815", ""],
]) {
  test(`a birthday of ${written} is ${day === "" ? "left out" : day}`, () => {
    assert.equal(
      vcardReader()
        .read({ dn: "x", birthDate: written as string })
        .childText("BDAY"),
      day,
    );
  });
}
