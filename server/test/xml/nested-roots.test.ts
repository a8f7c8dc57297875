import assert from "node:assert/strict";
import { test } from "node:test";
import type { Element } from "../../src/xml/element.ts";
import { StreamParser } from "../../src/xml/parser.ts";
import { drip, Recorder } from "./recorder.ts";

/** Goes into every <in/> that stands where a child is handed on. */
class Enterer extends Recorder {
  enter(element: Element): boolean {
    if (element.name !== "in") return false;
    this.heard.push(`enter ${element.toXml()}`);
    return true;
  }

  leave(): void {
    this.heard.push("leave");
  }
}

function heard(text: string, drops: boolean, limits = {}): readonly string[] {
  const recorder = new Enterer();
  const parser = new StreamParser(recorder, limits);
  for (const chunk of drops ? drip(text) : [Buffer.from(text)]) parser.write(chunk);
  return recorder.heard;
}

test("the children of what is entered are handed on one by one, however it is cut", () => {
  const text = "<r xmlns='u'> <a/><in k='v'>\n<b>x</b><in><c xmlns='w'/></in> <in/><d><in>y</in></d></in><e/></r>";
  const expected = [
    "open <r xmlns='u'/>",
    "<a xmlns='u'/>",
    "enter <in xmlns='u' k='v'/>",
    "<b xmlns='u'>x</b>",
    "enter <in xmlns='u'/>",
    "<c xmlns='w'/>",
    "leave",
    "enter <in xmlns='u'/>",
    "leave",
    "<d xmlns='u'><in>y</in></d>",
    "leave",
    "<e xmlns='u'/>",
    "close",
  ];
  assert.deepEqual(heard(text, false), expected);
  assert.deepEqual(heard(text, true), expected);
});

test("what is entered may be larger than a stanza, its children may not", () => {
  const child = `<c>${"x".repeat(90)}</c>`;
  const many = `<r><in>${child.repeat(20)}</in></r>`;
  assert.equal(heard(many, false, { maxStanzaBytes: 100 }).length, 24);
  assert.throws(() => heard(`<r><in><c>${"x".repeat(100)}</c></in></r>`, false, { maxStanzaBytes: 100 }), /too large/);
});

test("text between its children, and an end tag of another name, are refused", () => {
  assert.throws(() => heard("<r><in>text</in></r>", false), /bad-format/);
  assert.throws(() => heard("<r><in></out></r>", false), /not-well-formed/);
  assert.throws(() => heard("<r><in></r></in>", false), /not-well-formed/);
});

test("depth counts what is entered", () => {
  assert.throws(() => heard("<r><in><in><c/></in></in></r>", false, { maxDepth: 3 }), /too deep/);
});
