import assert from "node:assert/strict";
import { test } from "node:test";
import { type Element, xml } from "@xmpp/client";
import { changePassword, DIRECTORY_SERVERS, person, progress } from "../lib/company.ts";
import { eventually } from "../lib/eventually.ts";
import { online, onTwoNodes, site } from "../lib/story.ts";
import type { XmppClient } from "../lib/xmpp.ts";

const ROSTER = "jabber:iq:roster";
const VCARD = "vcard-temp";

/** Of each contact its name, subscription and groups. */
async function roster(client: XmppClient): Promise<Record<string, string>> {
  const result = await client.iq("get", xml("query", { xmlns: ROSTER }));
  const items = result.getChild("query", ROSTER)?.getChildren("item") ?? [];
  return Object.fromEntries(
    items.map((item) => {
      const groups = item.getChildren("group").map((group) => group.text());
      return [
        (item.attrs.jid ?? "").split("@")[0],
        `${item.attrs.name}, ${item.attrs.subscription}, ${groups.sort().join("+")}`,
      ];
    }),
  );
}

async function vcard(client: XmppClient, local: string): Promise<Element> {
  const result = await client.iq("get", xml("vCard", { xmlns: VCARD }), `${local}@${site.company}`);
  const card = result.getChild("vCard", VCARD);
  assert.ok(card, result.toString());
  return card;
}

test("Ada finds her colleagues in her roster, as the directory has them, and nobody else", async (t) => {
  const ada = await online(t, person("ada"));
  assert.deepEqual(await roster(ada), {
    grace: 'Grace "Amazing" Murray, both, Engineering',
    linus: "Linus Fenwick, both, Engineering",
    juergen: "Jürgen Größmann, both, On call",
    rosa: "Rosa Delgado, both, On call",
  });
});

test("those whose names have commas and accents are there, and who has left is not", async (t) => {
  const amelia = await online(t, person("amelia"));
  assert.deepEqual(await roster(amelia), {
    marcus: "Marcus Adeyemi, both, Sales",
    emile: "Émile Delacroix, both, Sales",
  });
  const conor = await online(t, person("conor"));
  assert.equal((await roster(conor)).åsa, "Åsa Björk, both, Operations");
});

test("colleagues on two nodes see each other come and go without having asked", async (t) => {
  const [yuki, rosa] = await onTwoNodes(t, person("yuki"), person("rosa"));
  await yuki.send(xml("presence"));
  await yuki.presence(yuki.jid);
  await rosa.send(xml("presence", {}, xml("show", {}, "dnd")));
  assert.equal((await yuki.presence(rosa.jid)).getChildText("show"), "dnd");
  await rosa.presence(yuki.jid);
  await rosa.close();
  await yuki.presence(rosa.jid, "unavailable");
});

test("a vCard is what the directory says, with a picture, and is changed there alone", async (t) => {
  const grace = await online(t, person("grace"));
  const card = await vcard(grace, "juergen");
  assert.equal(card.getChildText("FN"), "Jürgen Größmann");
  assert.equal(card.getChild("ADR")?.getChildText("LOCALITY"), "München");
  assert.equal(card.getChild("ORG")?.getChildText("ORGUNIT"), "Operations");
  assert.equal(card.getChild("PHOTO")?.getChildText("TYPE"), "image/jpeg");
  const picture = Buffer.from(card.getChild("PHOTO")?.getChildText("BINVAL") ?? "", "base64");
  assert.equal(picture.toString("latin1", 6, 10), "JFIF");
  await assert.rejects(grace.iq("set", xml("vCard", { xmlns: VCARD }, xml("FN", {}, "Queen"))), {
    condition: "not-allowed",
  });
  await assert.rejects(vcard(grace, "nobody"), { condition: "service-unavailable" });
});

test("what is changed at one directory server is at the other a moment later", async () => {
  for (const server of DIRECTORY_SERVERS) {
    const before = await progress(server);
    await changePassword(server, "marcus");
    await eventually(
      async () => {
        const [one, two] = [await progress("openldap-1"), await progress("openldap-2")];
        return one === two && one !== before;
      },
      { withinMs: 30_000, what: `both have the change that was made at ${server}` },
    );
  }
});
