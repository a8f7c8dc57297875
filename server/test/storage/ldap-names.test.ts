/** Names of entries, and filters for all accounts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { plainDn } from "../../src/storage/drivers/ldap/dn.ts";
import { everybody } from "../../src/storage/drivers/ldap/everybody.ts";

for (const [one, other] of [
  ["uid=ada,ou=people,dc=x", "UID=Ada, OU=People, DC=X"],
  ["cn=Smith\\, John,dc=x", "cn=Smith\\2C John,dc=x"],
  ["cn=Smith\\, John,dc=x", 'cn="Smith, John",dc=x'],
  ["cn=M\\C3\\BCller,dc=x", "cn=Müller,dc=x"],
  ["cn=Mu\u0308ller,dc=x", "cn=müller,dc=x"],
  ["cn=a+uid=b,dc=x", "uid=b+cn=a,dc=x"],
  ["cn=a  b ,dc=x", "cn=a b,dc=x"],
  ["cn=\\e6\\b0\\b4 😀,dc=x", "cn=水 😀,dc=x"],
] as const) {
  test(`${one} and ${other} are one entry`, () => assert.equal(plainDn(one), plainDn(other)));
}

for (const [one, other] of [
  ["cn=Smith\\, dc=x", "cn=Smith,dc=x"],
  ["cn=a\\+uid=b", "cn=a+uid=b"],
  ["cn=a\\ ,dc=x", "cn=a,dc=x"],
  ["cn=a,dc=x", "cn=b,dc=x"],
  ["cn=a\\\\,dc=x", "cn=a,dc=x"],
] as const) {
  test(`${one} and ${other} are two`, () => assert.notEqual(plainDn(one), plainDn(other)));
}

for (const [template, filter, attribute, value, local] of [
  ["(uid=%u)", "(uid=*)", "uid", "Ada", "Ada"],
  ["(&(objectClass=person)(uid=%u))", "(&(objectClass=person)(uid=*))", "uid", "ada", "ada"],
  ["(mail=%u@%d)", "(mail=*@example.org)", "mail", "Ada@Example.org", "Ada"],
  ["(mail=%u@%d)", "(mail=*@example.org)", "mail", "ada@example.com", undefined],
  ["(mail=%u@%d)", "(mail=*@example.org)", "mail", "@example.org", undefined],
  ["(|(uid=%u)(mail=%u@*))", "(|(uid=*)(mail=*@*))", "uid", "ada", "ada"],
  ["(&(cn~=%u)(uid=x-%u))", "(&(cn=*)(uid=x-*))", "uid", "x-ada", "ada"],
  ["(&(memberOf=cn=100%%,dc=%d)(uid=%u))", "(&(memberOf=cn=100%,dc=example.org)(uid=*))", "uid", "ada", "ada"],
] as const) {
  test(`${template} for everybody is ${filter}, and ${value} is ${local}`, () => {
    const all = everybody(template);
    assert.equal(all?.filter("example.org").toString(), filter);
    assert.equal(all?.place.attribute, attribute);
    assert.equal(all?.place.localIn(value, "example.org"), local);
  });
}

test("a filter that compares no attribute with the name does not say where names are", () => {
  assert.equal(everybody("(cn:caseExactMatch:=%u)"), undefined);
  assert.equal(everybody("(cn=%u*)"), undefined);
});
