/** RFC 6120 4.2 to 4.8, and 7395 3: headers, restarts, namespaces, good-byes. */
import assert from "node:assert/strict";
import { after, type TestContext, test } from "node:test";
import { NS } from "../../src/xmpp/namespaces.ts";
import { startServer } from "../support/server.ts";
import { GOODBYE, LISTEN, OPEN, reach, TCP_HEADER, WIRES, type Wire } from "../support/wires.ts";

const server = await startServer({ after } as TestContext, {
  toml: `${LISTEN}\nlimits = { close_timeout = "10s", websocket_ping = "1s" }`,
});
await server.account("alice");
const FEATURES = /<\/stream:features>\n?/;

function header(wire: Wire): string {
  return wire.kind === "tcp" ? TCP_HEADER : OPEN;
}

function goodbye(wire: Wire): string {
  return wire.kind === "tcp" ? "</stream:stream>" : GOODBYE;
}

/** The attributes of the answer to a header with `attrs` in it. */
async function answerTo(wire: Wire, attrs: string): Promise<Record<string, string>> {
  wire.send(header(wire).replace(" to='example.org' version='1.0'", ` ${attrs}`));
  const heard = await wire.until(/<(stream:stream|open) [^>]*>/);
  const [tag = ""] = /<(stream:stream|open) [^>]*>/.exec(heard) ?? [];
  return Object.fromEntries([...tag.matchAll(/([\w:]+)='([^']*)'/g)].map(([, name, value]) => [name, value]));
}

const ANSWERS = {
  "to the bare address it was from": ["from='alice@example.org/desk'", { to: "alice@example.org" }],
  "to the prepared address": ["from='ALICE@EXAMPLE.org'", { to: "alice@example.org" }],
  "to nobody where nobody was named": ["", { to: undefined }],
  "in the server's language": ["xml:lang='de-CH'", { "xml:lang": "en" }],
  "with the lower of two versions": ["version='1.12'", { version: "1.0" }],
  "with the lower of two major versions": ["version='12.3'", { version: "1.0" }],
  "whatever zeros lead the version": ["version='01.01'", { version: "1.0" }],
  "with a version that is lower still": ["version='0.9'", { version: "0.9" }],
  "without a version where there was none": ["version=''", { version: undefined }],
  "from a domain of the server's where none was named": ["to=''", { from: "example.org" }],
  "from a domain of the server's where another was named": ["to='elsewhere.example'", { from: "example.org" }],
  "from the domain as the server writes it": ["to='OTHER.example'", { from: "other.example" }],
} as const;

for (const kind of ["tcp", "websocket"] as const) {
  for (const [what, [given, expected]] of Object.entries(ANSWERS)) {
    test(`the header is answered ${what}, by ${kind}`, async (t) => {
      const wire = await WIRES[kind](t, server);
      const defaults = ["to='example.org'", "version='1.0'"].filter(
        (attr) => !given.startsWith(attr.split("=")[0] ?? ""),
      );
      const attrs = await answerTo(wire, [...defaults, given].join(" ").replace(/\w+='' ?/, ""));
      for (const [name, value] of Object.entries(expected)) assert.equal(attrs[name], value, name);
      assert.match(attrs.id ?? "", /^n1:[\w-]{22}$/);
    });
  }

  test(`an id that the client sends is ignored, by ${kind}`, async (t) => {
    const attrs = await answerTo(await WIRES[kind](t, server), "to='example.org' version='1.0' id='mine'");
    assert.notEqual(attrs.id, "mine");
  });

  test(`a stanza without a language has that of its stream, one with has its own, by ${kind}`, async (t) => {
    const wire = await WIRES[kind](t, server);
    await reach(wire, "bound", "xml:lang='de-CH'");
    const message = "<message xmlns='jabber:client' to='alice@example.org/desk'/>";
    wire.send(message);
    assert.match(await wire.until(/<message [^>]*>/), / xml:lang='de-CH'/);
    wire.send(message.replace("to=", "xml:lang='fr' to="));
    assert.match(await wire.until(/<message [^>]*>/), / xml:lang='fr'/);
  });

  test(`a language that is none is not passed on, by ${kind}`, async (t) => {
    const wire = await WIRES[kind](t, server);
    await reach(wire, "bound", "xml:lang='d e'");
    wire.send("<message xmlns='jabber:client' to='alice@example.org/desk'/>");
    assert.doesNotMatch(await wire.until(/<message [^>]*>/), /xml:lang/);
  });

  test(`a client's stream error is answered with good-bye alone, by ${kind}`, async (t) => {
    for (const stage of ["opened", "bound"] as const) {
      const wire = await WIRES[kind](t, server);
      await reach(wire, stage);
      const error = `<unsupported-feature xmlns='${NS.streamErrors}'/>`;
      wire.send(
        kind === "tcp" ? `<stream:error>${error}</stream:error>` : `<error xmlns='${NS.stream}'>${error}</error>`,
      );
      assert.equal((await wire.rest()).trim(), goodbye(wire));
    }
  });

  test(`a good-bye is answered at every stage, and nothing behind it counts, by ${kind}`, async (t) => {
    for (const stage of ["opened", "authenticated", "bound"] as const) {
      const wire = await WIRES[kind](t, server);
      await reach(wire, stage);
      wire.send(goodbye(wire));
      wire.send("<message xmlns='jabber:client' from='bob@example.org'/>");
      assert.equal((await wire.rest()).trim(), goodbye(wire));
    }
  });

  test(`TLS that was not offered is refused in TLS's own words, by ${kind}`, async (t) => {
    for (const stage of ["opened", "authenticated"] as const) {
      const wire = await WIRES[kind](t, server);
      await reach(wire, stage);
      wire.send(`<starttls xmlns='${NS.tls}'/>`);
      assert.equal((await wire.rest()).replaceAll("\n", ""), `<failure xmlns='${NS.tls}'/>${goodbye(wire)}`);
    }
  });
}

test("any prefix of the stream's namespace will do, and none", async (t) => {
  for (const opening of [
    TCP_HEADER.replaceAll("stream:stream", "foobar:stream").replace("xmlns:stream", "xmlns:foobar"),
    `<stream xmlns='${NS.stream}' to='example.org' version='1.0'>`,
    `<?xml version="1.0" encoding='utf-8' ?>\n${TCP_HEADER}\n`,
  ]) {
    const wire = await WIRES.tcp(t, server);
    wire.send(opening);
    assert.match(
      await wire.until(FEATURES),
      new RegExp(`<stream:stream xmlns='jabber:client' xmlns:stream='${NS.stream}'`),
    );
  }
});

test("what is declared in the header goes with the stanza, and a prefix of the content's namespace does not", async (t) => {
  const wire = await WIRES.tcp(t, server);
  await reach(wire, "bound", "xmlns:x='urn:x' xmlns:c='jabber:client'");
  wire.send("<c:message to='alice@example.org/desk'><c:body>1</c:body><x:y/></c:message>");
  assert.match(
    await wire.until(/<\/message>/),
    /^<message to='[^']+' from='[^']+'><body>1<\/body><y xmlns='urn:x'\/><\/message>$/,
  );
});

test("white space between elements is nothing, before the log-in too", async (t) => {
  const wire = await WIRES.tcp(t, server);
  wire.open();
  await wire.until(FEATURES);
  wire.send(" \n\t\r ");
  wire.send(`<auth xmlns='${NS.sasl}' mechanism='X-NONE'/> \n`);
  assert.match(await wire.until(/<\/failure>/), /<invalid-mechanism\/>/);
});

test("an XML declaration before an element in a message is taken", async (t) => {
  const wire = await WIRES.websocket(t, server);
  wire.send(`<?xml version='1.0' encoding='UTF-8'?>${OPEN}`);
  assert.match(await wire.until(FEATURES), /^<open /);
});

test("TLS is never offered on a WebSocket", async (t) => {
  const wire = await WIRES.websocket(t, server);
  wire.open();
  assert.doesNotMatch(await wire.until(FEATURES), /starttls/);
});

test("a WebSocket that is closed with a word to the stream ends the session", async (t) => {
  const wire = await WIRES.websocket(t, server);
  await reach(wire, "bound");
  wire.hangUp();
  assert.equal(await wire.rest(), "");
  const other = await WIRES.tcp(t, server);
  await reach(other, "bound");
});

test("a client on a WebSocket that never answers a good-bye is let go in time", async (t) => {
  const impatient = await startServer(t, { toml: `${LISTEN}\nlimits = { close_timeout = "100ms" }` });
  const wire = await WIRES.websocket(t, impatient, { isMute: true });
  wire.send(OPEN.replace("example.org", "elsewhere.example"));
  assert.match(await wire.rest(), /<host-unknown [\s\S]*<close /);
  assert.equal(wire.code, 1000);
});

test("a stopping node closes a WebSocket at once, whether its client answers or not", async (t) => {
  const stopping = await startServer(t, { toml: `${LISTEN}\nlimits = { close_timeout = "1m" }` });
  const wire = await WIRES.websocket(t, stopping, { isMute: true });
  await reach(wire, "opened");
  await stopping.stop();
  assert.match(await wire.rest(), /<system-shutdown [\s\S]*<close /);
  assert.equal(wire.code, 1000);
});

test("a client on TCP that shuts its side mid-word is gone, and one that shuts it after its words was heard", async (t) => {
  const half = await WIRES.tcp(t, server);
  await reach(half, "bound");
  const heard = await WIRES.tcp(t, server);
  await reach(heard, "bound", "", "phone");
  half.send("<message to='alice@example.org/phone' id='whole'/><message to='alice@example.org/phone' id='half'");
  half.hangUp();
  assert.match(await heard.until(/<message [^>]*>/), /id='whole'/);
  await half.rest();
  heard.send("<message to='alice@example.org/phone' id='next'/>");
  assert.match(await heard.until(/<message [^>]*>/), /id='next'/);
});

for (const kind of ["tcp", "websocket"] as const) {
  test(`a stranger is read at the listener's rate, who has logged in at that of sessions, by ${kind}`, async (t) => {
    const shaped = await startServer(t, {
      toml: LISTEN.replace(/port = 0/g, 'port = 0, rate = "64KiB", burst = "1KiB"'),
    });
    await shaped.account("alice");
    const wire = await WIRES[kind](t, shaped);
    const began = performance.now();
    // 17 KiB before the next word can be heard: 16 of them wait for their turn, a quarter of a second.
    const padding = "x".repeat(8_500);
    wire.open(`a='${padding}'`);
    wire.send(`<auth xmlns='${NS.sasl}' mechanism='${padding}'/>`);
    await wire.until(/<\/failure>\n?/);
    wire.send(`<auth xmlns='${NS.sasl}' mechanism='X-NONE'/>`);
    await wire.until(/<\/failure>\n?/);
    assert.ok(performance.now() - began >= 200, "it had to wait");

    const other = await WIRES[kind](t, shaped);
    await reach(other, "bound");
    const since = performance.now();
    for (let i = 0; i < 3; i++) {
      other.send(
        `<message xmlns='jabber:client' to='alice@example.org/desk'><body>${"x".repeat(200_000)}</body></message>`,
      );
      await other.until(/<\/message>/);
    }
    assert.ok(performance.now() - since < 6_000, "600 KB need no nine seconds");
  });
}
