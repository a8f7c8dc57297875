/** XEP-0004 and XEP-0068. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { StanzaError } from "../../src/xmpp/errors.ts";
import { checkForm, type FieldType, type Form, formElement, readForm, tableElement } from "../../src/xmpp/forms.ts";
import { normal, parse } from "../support/server.ts";

const CONFIG: Form = {
  formType: "jabber:bot",
  title: "Bot Configuration",
  instructions: "Fill out this form to configure your new bot!",
  fields: [
    { name: "", type: "fixed", values: ["Section 1: Bot Info"] },
    { name: "botname", type: "text-single", label: "The name of your bot", required: true },
    { name: "public", type: "boolean", label: "Public bot?", values: ["1"] },
    { name: "features", type: "list-multi", options: { news: "News", polls: "Polls" }, values: ["news"] },
    { name: "maxsubs", type: "list-single", options: { 10: "10", none: "None" } },
    { name: "description", type: "text-multi", desc: "In some lines" },
    { name: "invitelist", type: "jid-multi", label: "People to invite" },
    { name: "owner", type: "jid-single" },
  ],
};

function submit(...fields: string[]) {
  return readForm(parse(`<x xmlns='jabber:x:data' type='submit'>${fields.join("")}</x>`));
}
function field(name: string, ...values: string[]): string {
  return `<field var='${name}'>${values.map((value) => `<value>${value}</value>`).join("")}</field>`;
}
const refused = (condition: string, text: RegExp) => (error: unknown) =>
  error instanceof StanzaError && error.condition === condition && text.test(error.text);

test("a form is laid out as the specification shows it", () => {
  assert.equal(
    normal(formElement("form", CONFIG)),
    normal(
      parse(
        `<x xmlns='jabber:x:data' type='form'><title>Bot Configuration</title><instructions>Fill out this form to configure your new bot!</instructions><field type='hidden' var='FORM_TYPE'><value>jabber:bot</value></field><field type='fixed'><value>Section 1: Bot Info</value></field><field type='text-single' label='The name of your bot' var='botname'><required/></field><field type='boolean' label='Public bot?' var='public'><value>1</value></field><field type='list-multi' var='features'><value>news</value><option label='News'><value>news</value></option><option label='Polls'><value>polls</value></option></field><field type='list-single' var='maxsubs'><option label='10'><value>10</value></option><option label='None'><value>none</value></option></field><field type='text-multi' var='description'><desc>In some lines</desc></field><field type='jid-multi' label='People to invite' var='invitelist'/><field type='jid-single' var='owner'/></x>`,
      ),
    ),
  );
});

test("a table has the heads of its columns first, and each of them in every row", () => {
  const columns = [
    { name: "who", type: "jid-single", label: "Who" },
    { name: "status", label: "Status" },
  ] as const;
  assert.equal(
    normal(tableElement(columns, [{ who: "bob@example.org", status: "away" }, { who: "eve@example.org" }])),
    normal(
      parse(
        "<x xmlns='jabber:x:data' type='result'><reported><field type='jid-single' label='Who' var='who'/><field label='Status' var='status'/></reported><item><field var='who'><value>bob@example.org</value></field><field var='status'><value>away</value></field></item><item><field var='who'><value>eve@example.org</value></field><field var='status'><value/></field></item></x>",
      ),
    ),
  );
});

test("what is filled in is read, and what is left out keeps its value", () => {
  const answers = checkForm(
    CONFIG,
    submit(
      field("FORM_TYPE", "jabber:bot"),
      field("botname", "The Bot"),
      field("description", "one", "", "three"),
      field("invitelist", "Bob@example.org", "bob@example.org", "eve@example.org"),
      field("no-such-field", "ignored"),
    ),
  );
  assert.equal(answers.text("botname"), "The Bot");
  assert.equal(answers.text("description"), "one\n\nthree");
  assert.equal(answers.flag("public"), true);
  assert.deepEqual(answers.all("features"), ["news"]);
  assert.deepEqual(
    answers.jids("invitelist").map(({ full }) => full),
    ["bob@example.org", "eve@example.org"],
  );
  assert.equal(answers.text("no-such-field"), "");
  assert.equal(answers.text("owner"), "");
});

test("a field that is sent without a value is emptied", () => {
  const answers = checkForm(CONFIG, submit(field("botname", "b"), field("features"), "<field var='public'/>"));
  assert.deepEqual(answers.all("features"), []);
  assert.equal(answers.flag("public"), false);
});

for (const [what, fields, text] of [
  ["without a required field", [], /"The name of your bot" is missing/],
  ["with a required field that is empty", [field("botname", "")], /"The name of your bot" is missing/],
  ["of another FORM_TYPE", [field("FORM_TYPE", "other"), field("botname", "b")], /jabber:bot/],
  ["with two values for one", [field("botname", "b", "c")], /more than one/],
  ["with a boolean that is none", [field("botname", "b"), field("public", "yes")], /"Public bot\?" is neither/],
  ["with a choice that there is not", [field("botname", "b"), field("maxsubs", "20")], /"maxsubs" has no such choice/],
  ["with a choice named like what every object has", [field("botname", "b"), field("maxsubs", "toString")], /choice/],
  ["with one bad choice of several", [field("botname", "b"), field("features", "news", "x")], /choice/],
  ["with an address that is none", [field("botname", "b"), field("owner", "@")], /"owner" has no valid address/],
  ["with one bad address of several", [field("botname", "b"), field("invitelist", "bob@example.org", "@")], /address/],
] as const) {
  test(`a form ${what} is not acceptable`, () => {
    assert.throws(() => checkForm(CONFIG, submit(...fields)), refused("not-acceptable", text));
  });
}

test("true and false are written in two ways each", () => {
  const flag = (value: string) =>
    checkForm(CONFIG, submit(field("botname", "b"), field("public", value))).flag("public");
  assert.deepEqual(["true", "1", "false", "0"].map(flag), [true, true, false, false]);
});

for (const [what, xml] of [
  ["a form without a type", "<x xmlns='jabber:x:data'/>"],
  ["a form of a type that there is not", "<x xmlns='jabber:x:data' type='error'/>"],
  ["another element", "<y xmlns='jabber:x:data' type='submit'/>"],
  ["an element of another namespace", "<x xmlns='jabber:x:other' type='submit'/>"],
  ["a field without a name", "<x xmlns='jabber:x:data' type='submit'><field><value>1</value></field></x>"],
  ["a field that is there twice", "<x xmlns='jabber:x:data' type='submit'><field var='a'/><field var='a'/></x>"],
] as const) {
  test(`${what} is no form`, () => {
    assert.throws(() => readForm(parse(xml)), refused("bad-request", /./));
  });
}

test("FORM_TYPE counts where it is hidden, and in a filled form also where its type is not said", () => {
  const read = (type: string, attrs: string) =>
    readForm(
      parse(`<x xmlns='jabber:x:data' type='${type}'><field var='FORM_TYPE' ${attrs}><value>f</value></field></x>`),
    ).formType;
  assert.equal(read("submit", ""), "f");
  assert.equal(read("submit", "type='hidden'"), "f");
  assert.equal(read("result", "type='hidden'"), "f");
  assert.equal(read("submit", "type='text-single'"), "");
  assert.equal(read("result", ""), "");
});

test("each type of field takes its own kind of value back from what it was laid out with", () => {
  const types: [FieldType, string][] = [
    ["boolean", "true"],
    ["hidden", "h"],
    ["jid-single", "bob@example.org"],
    ["list-single", "a"],
    ["text-private", "secret"],
    ["text-single", "<&>"],
  ];
  for (const [type, value] of types) {
    const form: Form = {
      formType: "",
      fields: [{ name: "f", type, options: type === "list-single" ? { a: "A" } : {} }],
    };
    const sent = formElement("form", { ...form, fields: [{ ...form.fields[0], name: "f", values: [value] }] });
    const answers = checkForm(form, readForm(parse(sent.with({ type: "submit" }).toXml())));
    assert.equal(answers.text("f"), value);
  }
});
