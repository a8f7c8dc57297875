import assert from "node:assert/strict";
import { test } from "node:test";
import { StreamParser, XmlError } from "../../src/xml/parser.ts";
import { drip, HEADER, Recorder } from "./recorder.ts";

const AUTH = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>eA==</auth>";

function opened(limits = {}): { recorder: Recorder; parser: StreamParser; write: (text: string) => void } {
  const recorder = new Recorder();
  const parser = new StreamParser(recorder, limits);
  const write = (text: string) => parser.write(Buffer.from(text));
  write(HEADER);
  recorder.heard.length = 0;
  return { recorder, parser, write };
}

test("nothing is handed on while suspended, and all of it in order afterwards", () => {
  const { recorder, parser, write } = opened();
  parser.suspend();
  write("<a/><b/>");
  write("<c/><d");
  assert.deepEqual(recorder.heard, []);
  assert.equal(parser.kept, 14);
  parser.resume();
  assert.deepEqual(recorder.heard, ["<a/>", "<b/>", "<c/>"]);
  assert.equal(parser.kept, 0);
  write("/>");
  assert.deepEqual(recorder.heard.slice(3), ["<d/>"]);
});

test("suspending inside of a call holds the rest of the chunk back", () => {
  const { recorder, parser, write } = opened();
  recorder.onElement = () => parser.suspend();
  write("<a/><b>\u00e9</b><c/></stream:stream>");
  assert.deepEqual(recorder.heard, ["<a/>"]);
  assert.equal(parser.kept, Buffer.byteLength("<b>\u00e9</b><c/></stream:stream>"));
  parser.resume();
  parser.resume();
  assert.deepEqual(recorder.heard, ["<a/>", "<b>\u00e9</b>", "<c/>"]);
  parser.resume();
  assert.deepEqual(recorder.heard.slice(3), ["close"]);
});

test("suspending and resuming inside of one call changes nothing", () => {
  const { recorder, parser, write } = opened();
  recorder.onElement = () => {
    parser.suspend();
    parser.resume();
  };
  write("<a/><b/>");
  assert.deepEqual(recorder.heard, ["<a/>", "<b/>"]);
});

test("a large chunk that is taken one stanza at a time comes out whole", () => {
  const { recorder, parser, write } = opened();
  recorder.onElement = () => parser.suspend();
  const stanzas = Array.from({ length: 2000 }, (_, n) => `<message id='${n}'/>`);
  write(stanzas.join(""));
  for (let n = 1; n < stanzas.length; n++) {
    assert.equal(recorder.heard.length, n);
    parser.resume();
  }
  assert.deepEqual(recorder.heard, stanzas);
});

test("what is kept while suspended is bounded by maxStanzaBytes and a chunk", () => {
  const { parser, write } = opened({ maxStanzaBytes: 200 });
  parser.suspend();
  write(" ".repeat(199));
  write(" ".repeat(500));
  assert.equal(parser.kept, 699);
  assert.throws(
    () => write(" "),
    (error) => error instanceof XmlError && error.condition === "policy-violation",
  );
  assert.equal(parser.kept, 0);
});

test("an error in what was kept comes out of resume", () => {
  const { recorder, parser, write } = opened();
  parser.suspend();
  write("<a/></b>");
  assert.throws(() => parser.resume(), XmlError);
  assert.deepEqual(recorder.heard, ["<a/>"]);
});

test("after a refusal the parser refuses everything, with the same error", () => {
  const { recorder, parser, write } = opened();
  let first: unknown;
  assert.throws(
    () => write("</a>"),
    (error) => {
      first = error;
      return error instanceof XmlError;
    },
  );
  assert.throws(
    () => write("<a/>"),
    (error) => error === first,
  );
  assert.throws(
    () => parser.resume(),
    (error) => error === first,
  );
  assert.deepEqual(recorder.heard, []);
});

test("an error of the sink passes through and ends the parser", () => {
  const { recorder, write } = opened();
  const bug = new RangeError("a bug");
  recorder.onElement = () => {
    throw bug;
  };
  assert.throws(() => write("<a/><b/>"), bug);
  assert.throws(() => write("<c/>"), bug);
  assert.deepEqual(recorder.heard, ["<a/>"]);
});

test("a header pipelined behind <auth/> begins a new document", () => {
  for (const between of ["", " \r\n", "<?xml version='1.0'?>", "\n<?xml version='1.0'?>\n"]) {
    for (const cut of [(text: string) => [Buffer.from(text)], drip]) {
      const { recorder, parser } = opened();
      recorder.onElement = (element) => {
        if (element.name === "auth") parser.restart();
      };
      for (const chunk of cut(`${AUTH}${between}<s xmlns='urn:new'><a/></s>`)) parser.write(chunk);
      assert.deepEqual(recorder.heard, [AUTH, "open <s xmlns='urn:new'/>", "<a xmlns='urn:new'/>", "close"]);
    }
  }
});

test("a restart decided while suspended applies to what was kept", () => {
  const { recorder, parser, write } = opened();
  recorder.onElement = (element) => {
    if (element.name === "auth") parser.suspend();
  };
  write(`${AUTH}<?xml version='1.0'?>`);
  write("<s xmlns='urn:new'><a/>");
  assert.deepEqual(recorder.heard, [AUTH]);
  parser.restart();
  parser.resume();
  assert.deepEqual(recorder.heard.slice(1), ["open <s xmlns='urn:new'/>", "<a xmlns='urn:new'/>"]);
});

test("nothing of the old document reaches into the new one", () => {
  const { recorder, parser, write } = opened();
  recorder.onElement = () => parser.restart();
  write(AUTH);
  assert.throws(() => write("<stream:stream>"), XmlError);
});

test("after halt nothing is taken, neither of this chunk nor of later ones", () => {
  const { recorder, parser, write } = opened();
  recorder.onElement = () => parser.halt();
  write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><a/></mismatch>");
  write("<b/>");
  parser.resume();
  assert.equal(recorder.heard.length, 1);
  assert.equal(parser.kept, 0);
});

test("halting drops what was kept", () => {
  const { recorder, parser, write } = opened();
  parser.suspend();
  write("<a/>");
  parser.halt();
  assert.equal(parser.kept, 0);
  parser.resume();
  write("<b/>");
  assert.deepEqual(recorder.heard, []);
});

test("bytes written from inside of a call wait their turn", () => {
  const { recorder, parser, write } = opened();
  recorder.onElement = (element) => {
    if (element.name === "a") parser.write(Buffer.from("<c/>"));
  };
  write("<a/><b/>");
  assert.deepEqual(recorder.heard, ["<a/>", "<b/>", "<c/>"]);
});

test("a chunk may be reused once write has returned", () => {
  const { recorder, parser } = opened();
  const chunk = Buffer.alloc(4);
  parser.suspend();
  for (const text of ["<a>\u00e9", "</a>", "<b/>"]) {
    for (const part of text.match(/.{1,2}/gs) ?? []) {
      const length = chunk.write(part);
      parser.write(chunk.subarray(0, length));
      if (text === "</a>") parser.resume();
    }
  }
  assert.deepEqual(recorder.heard, ["<a>\u00e9</a>", "<b/>"]);
});
