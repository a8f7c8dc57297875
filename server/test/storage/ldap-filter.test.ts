import assert from "node:assert/strict";
import { test } from "node:test";
import { filterTemplate } from "../../src/storage/drivers/ldap/filter.ts";
import { Jid } from "../../src/xmpp/jid.ts";

const FILLED: [template: string, local: string, filter: string][] = [
  ["(uid=%u)", "alice", "(uid=alice)"],
  ["(&(objectClass=inetOrgPerson)(uid=%u))", "alice", "(&(objectClass=inetOrgPerson)(uid=alice))"],
  ["(|(mail=%u@%d)(!(cn=100%%%u)))", "bob", "(|(mail=bob@example.org)(!(cn=100%bob)))"],
  ["(uid=%u)", "*", "(uid=\\2a)"],
  ["(uid=%u)", "x)(uid=*", "(uid=x\\29\\28uid=\\2a)"],
  ["(uid=%u)", "\\2a", "(uid=\\5c2a)"],
  ["(uid=%u)", "%d", "(uid=%d)"],
  ["(mail=%u@*)", "a*b", "(mail=a\\2ab@*)"],
  ["(cn:caseExactMatch:=%u)", "a*", "(cn:caseExactMatch:=a\\2a)"],
  ["(cn~=%u)", "a)", "(cn~=a\\29)"],
];
for (const [template, local, filter] of FILLED) {
  test(`${template} for ${local} asks for ${filter}`, () => {
    assert.equal(filterTemplate(template)(new Jid(local, "example.org")).toString(), filter);
  });
}
