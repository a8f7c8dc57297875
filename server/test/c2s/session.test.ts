/** A bound session: what is stamped, what is refused, and who else may have its address. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryDriver } from "../../src/storage/drivers/memory.ts";
import { NS } from "../../src/xmpp/namespaces.ts";
import { Neighbourhood } from "../support/nodes.ts";
import { startServer } from "../support/server.ts";

test("the sender is stamped, whatever it wrote", async (t) => {
  const server = await startServer(t);
  const bob = await server.online("bob", "desk");
  const alice = await server.login("alice", "desk");
  for (const from of [
    "",
    " from='alice@example.org'",
    " from='alice@example.org/desk'",
    " from='ALICE@example.org/desk'",
  ]) {
    alice.send(`<message to='bob@example.org'${from}><body>x</body></message>`);
    await bob.receives("<message to='bob@example.org' from='alice@example.org/desk'><body>x</body></message>");
  }
});

test("who claims to be another is cut off", async (t) => {
  const server = await startServer(t);
  for (const from of ["bob@example.org", "alice@example.org/phone", "example.org", "@"]) {
    const alice = await server.login("alice", "desk");
    alice.send(`<message to='bob@example.org' from='${from}'><body>x</body></message>`);
    await alice.endsWith("invalid-from");
  }
});

test("an element that is no stanza ends the stream", async (t) => {
  const server = await startServer(t);
  for (const xml of ["<foo/>", "<message xmlns='urn:x'/>", `<auth xmlns='${NS.sasl}' mechanism='PLAIN'/>`]) {
    const alice = await server.login("alice", "desk");
    alice.send(xml);
    await alice.endsWith("unsupported-stanza-type");
  }
});

const REFUSED = {
  "an address that is none": ["<message to='@x' id='1'><body>x</body></message>", "jid-malformed", "modify"],
  "a domain that is not served": [
    "<message to='a@elsewhere.example' id='1'><body>x</body></message>",
    "remote-server-not-found",
    "cancel",
  ],
  "a message to the server": [
    "<message to='example.org' id='1'><body>x</body></message>",
    "service-unavailable",
    "cancel",
  ],
  "an iq of no type": ["<iq to='example.org' id='1'><ping xmlns='urn:xmpp:ping'/></iq>", "bad-request", "modify"],
  "an iq without a question": ["<iq to='example.org' type='get' id='1'/>", "bad-request", "modify"],
  "an iq with two": [
    "<iq to='example.org' type='get' id='1'><a xmlns='x'/><b xmlns='x'/></iq>",
    "bad-request",
    "modify",
  ],
  "an iq nobody answers": [
    "<iq to='example.org' type='get' id='1'><a xmlns='x'/></iq>",
    "service-unavailable",
    "cancel",
  ],
  "a set where only a get is answered": [
    "<iq to='example.org' type='set' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
    "not-allowed",
    "cancel",
  ],
  "an iq to a session that is not there": [
    "<iq to='bob@example.org/gone' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
    "service-unavailable",
    "cancel",
  ],
} as const;

test("every refusal goes back to its sender with condition, type, id and what was sent", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  for (const [what, [xml, condition, type]] of Object.entries(REFUSED)) {
    alice.send(xml);
    const reply = await alice.next();
    const error = reply.child("error");
    assert.equal(reply.attrs.type, "error", what);
    assert.equal(reply.attrs.id, "1", what);
    assert.equal(error?.attrs.type, type, what);
    assert.ok(error?.child(condition, NS.stanzaErrors), `${what}: ${reply.toXml()}`);
  }
});

test("an iq without an id has no way to be answered but an error", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  alice.send("<iq to='example.org' type='get'><ping xmlns='urn:xmpp:ping'/></iq>");
  assert.ok((await alice.next()).child("error")?.child("bad-request", NS.stanzaErrors));
});

test("errors and results are never answered", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  for (const to of ["example.org", "bob@example.org", "bob@example.org/gone", "a@elsewhere.example", "@x"]) {
    alice.send(
      `<iq to='${to}' type='result' id='1'/><iq to='${to}' type='error' id='2'/><message to='${to}' type='error' id='3'/>`,
    );
  }
  await alice.receivesNothing();
});

test("an iq reaches the session it names and its answer comes back", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  const bob = await server.login("bob", "desk");
  alice.send("<iq to='bob@example.org/desk' type='get' id='q'><q xmlns='x'/></iq>");
  await bob.receives(
    "<iq to='bob@example.org/desk' from='alice@example.org/desk' type='get' id='q'><q xmlns='x'/></iq>",
  );
  bob.send("<iq to='alice@example.org/desk' type='result' id='q'/>");
  await alice.receives("<iq to='alice@example.org/desk' from='bob@example.org/desk' type='result' id='q'/>");
});

test("domains of one node write to each other", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  const bob = await server.login("bob", "desk", "other.example");
  alice.send("<message to='bob@other.example/desk'><body>x</body></message>");
  assert.equal((await bob.next()).attrs.from, "alice@example.org/desk");
});

test("XML in a message arrives as it was meant, attributes of other namespaces and language included", async (t) => {
  const server = await startServer(t);
  const bob = await server.online("bob", "desk");
  const alice = await server.login("alice", "desk");
  alice.send(
    "<message to='bob@example.org' xml:lang='de' xmlns:y='urn:y'><body>a &lt;b&gt; &amp;amp; c</body>" +
      "<p:x xmlns:p='urn:p' y:k='v&quot;&apos;'><p:y/>&#x1F98A;</p:x></message>",
  );
  const message = await bob.next();
  assert.equal(message.attrs["xml:lang"], "de");
  assert.equal(message.childText("body"), "a <b> &amp; c");
  const x = message.child("x", "urn:p");
  assert.equal(x?.attrs["y:k"], "v\"'");
  assert.equal(x?.attrs["xmlns:y"], "urn:y");
  assert.equal(x?.text(), "🦊");
  assert.ok(x?.child("y"));
});

for (const where of ["the same node", "another node"]) {
  test(`a new session takes over the address of an older one on ${where}`, async (t) => {
    const neighbourhood = new Neighbourhood();
    const store = memoryDriver();
    const one = await startServer(t, { cluster: neighbourhood.join("n1"), store });
    const two = await startServer(t, { cluster: neighbourhood.join("n2"), store, toml: 'node = { id = "n2" }' });
    const bob = await two.online("bob", "desk");
    const older = await one.online("alice", "desk");
    const newer = await (where === "the same node" ? one : two).online("alice", "desk");
    await older.endsWith("conflict");
    bob.send("<message to='alice@example.org/desk' id='1'><body>x</body></message>");
    assert.equal((await newer.next()).attrs.id, "1");
    // The older one's end must not take the newer one's place away.
    bob.send("<message to='alice@example.org' id='2'><body>x</body></message>");
    assert.equal((await newer.next()).attrs.id, "2");
  });
}

test("fifty at once for one address leave exactly one", async (t) => {
  const neighbourhood = new Neighbourhood();
  const store = memoryDriver();
  const servers = [
    await startServer(t, { cluster: neighbourhood.join("n1"), store }),
    await startServer(t, { cluster: neighbourhood.join("n2"), store, toml: 'node = { id = "n2" }' }),
  ];
  await servers[0]?.account("alice");
  const bob = await servers[0]?.login("bob", "desk");
  const clients = await Promise.all(
    Array.from({ length: 50 }, async (_, i) => {
      const client = await (servers[i % 2] as (typeof servers)[0]).connect();
      await client.open();
      await client.scram("alice");
      await client.open();
      client.send(`<iq type='set' id='b'><bind xmlns='${NS.bind}'><resource>desk</resource></bind></iq>`);
      return client;
    }),
  );
  const fates = clients.map(async (client) => {
    for (;;) {
      const heard = await client.take();
      if (heard === "close" || heard === "end") return "replaced";
      if (typeof heard !== "string" && heard.name === "message") return "survived";
    }
  });
  const count = { replaced: 0, survived: 0 };
  const replaced = new Promise<void>((resolve) => {
    for (const fate of fates) {
      void fate.then((outcome) => {
        count[outcome]++;
        if (count.replaced === 49) resolve();
      });
    }
  });
  await replaced;
  bob?.send("<message to='alice@example.org/desk'><body>x</body></message>");
  await Promise.all(fates);
  assert.deepEqual(count, { replaced: 49, survived: 1 });
});

test("a stream that is silent gets a space now and then, and the client gets on with it", async (t) => {
  const server = await startServer(t, { toml: 'limits = { keepalive = "1s" }' });
  const alice = await server.login("alice", "desk");
  await new Promise<void>((resolve) => {
    alice.socket.on("data", (chunk: Buffer) => {
      if (String(chunk) === " ") resolve();
    });
  });
  await alice.receivesNothing();
});

for (const [what, broken] of [
  ["XML that is none", "</wrong>"],
  ["an acknowledgement without a number", `<a xmlns='${NS.streamManagement}'/>`],
]) {
  test(`what came before ${what}, and still waits, is handled all the same`, async (t) => {
    const server = await startServer(t, { cluster: new Neighbourhood().join("n1") });
    const bob = await server.online("bob", "desk");
    const alice = await server.login("alice", "desk");
    const said = ["1", "2", "3"].map((id) => `<message to='bob@example.org' type='chat' id='${id}'/>`);
    alice.send(said.join("") + broken);
    for (const id of ["1", "2", "3"]) assert.equal((await bob.next()).attrs.id, id);
  });
}

test("what was asked before the good-bye is answered before it", async (t) => {
  const server = await startServer(t);
  const alice = await server.login("alice", "desk");
  alice.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq></stream:stream>");
  assert.deepEqual([(await alice.next()).attrs.id, await alice.take(), await alice.take()], ["r", "close", "end"]);
});
