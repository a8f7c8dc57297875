/** XEP-0388 as a client meets it, with what it carries: XEP-0386, XEP-0198's resumption and XEP-0484. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, type TestContext, test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { ClientNegotiation } from "../../src/c2s/client-stream.ts";
import { bind2, bind2Offer } from "../../src/c2s/features/bind2.ts";
import { HookTable } from "../../src/module/hook-table.ts";
import { silentLog } from "../../src/observe/log.ts";
import { type Element, element } from "../../src/xml/element.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import { NS } from "../../src/xmpp/namespaces.ts";
import { scramClient } from "../support/scram-client.ts";
import { PASSWORD, RawClient, startServer, type TestServer } from "../support/server.ts";

const PHONE = "d4565fa7-4d72-4749-b3d3-740edbf87770";
const DESK = "0c4a1d6e-7a5f-4c9b-8e2d-3f6b1a9c5d70";
const SM = NS.streamManagement;
const PING = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>";

/** One for all tests, since a certificate takes its time to make. */
const directory = mkdtempSync(join(tmpdir(), "meerkat-"));
after(() => rmSync(directory, { recursive: true }));

function start(t: TestContext, toml = ""): Promise<TestServer> {
  return startServer(t, {
    toml: `node = { id = "n1", data_dir = "${directory}" }\nlisten = [{ kind = "c2s", port = 0, tls = "direct" }]\n${toml}`,
  });
}

async function secured(server: TestServer): Promise<RawClient> {
  const socket = connectTls({ port: server.port("c2s"), host: "127.0.0.1", rejectUnauthorized: false });
  await once(socket, "secureConnect");
  return new RawClient(socket);
}

/** A client that has opened its stream to a server where alice has an account. */
async function opened(
  t: TestContext,
  toml = "",
): Promise<{ server: TestServer; client: RawClient; features: Element }> {
  const server = await start(t, toml);
  await server.account("alice");
  const client = await secured(server);
  return { server, client, features: await client.open() };
}

const header = (from: string) =>
  `<stream:stream from='${from}' to='example.org' version='1.0' xmlns='jabber:client' xmlns:stream='${NS.stream}'>`;
const base64 = (text: string | Uint8Array) => Buffer.from(text).toString("base64");
const plainText = (local = "alice", password = PASSWORD) => base64(`\0${local}\0${password}`);
const agent = (id: string) => `<user-agent id='${id}'><software>Test</software><device>Bench</device></user-agent>`;

/** `inline` is what the client wants done with the login. */
function authenticate(inline = "", initial = plainText(), mechanism = "PLAIN"): string {
  return `<authenticate xmlns='${NS.sasl2}' mechanism='${mechanism}'><initial-response>${initial}</initial-response>${inline}</authenticate>`;
}

const bindRequest = (inner = "") => `<bind xmlns='${NS.bind2}'>${inner}</bind>`;
const legacyBind = `<iq type='set' id='b'><bind xmlns='${NS.bind}'><resource>x</resource></bind></iq>`;

async function succeeds(client: RawClient): Promise<Element> {
  const success = await client.next();
  assert.equal(success.name, "success", success.toXml());
  return success;
}

const identifier = (success: Element) => success.childText("authorization-identifier");

async function fails(client: RawClient, condition: string): Promise<void> {
  const failure = await client.next();
  assert.equal(failure.name, "failure", failure.toXml());
  assert.equal(failure.xmlns, NS.sasl2);
  assert.ok(failure.child(condition, NS.sasl), failure.toXml());
}

/** Logs in and binds on a new connection; the features that follow are read. */
async function login(server: TestServer, inline: string, initial?: string): Promise<[RawClient, Element]> {
  const client = await secured(server);
  await client.open();
  client.send(authenticate(inline, initial));
  const success = await succeeds(client);
  client.jid = identifier(success);
  if (success.child("resumed", SM) === undefined) assert.equal((await client.next()).name, "features");
  return [client, success];
}

async function names(client: RawClient): Promise<string[]> {
  return (await client.next()).elements().map(({ name }) => name);
}

describe("the offer", () => {
  test("has the mechanisms of RFC 6120's, and all that can be had with the login", async (t) => {
    const { features } = await opened(t);
    const offer = features.child("authentication", NS.sasl2);
    const texts = (parent: Element | undefined) =>
      parent
        ?.elements()
        .filter(({ name }) => name === "mechanism")
        .map((each) => each.text());
    assert.deepEqual(texts(offer), texts(features.child("mechanisms", NS.sasl)));
    const inline = offer?.child("inline", NS.sasl2);
    assert.deepEqual(texts(inline?.child("fast", NS.fast)), ["HT-SHA-256-EXPR", "HT-SHA-256-ENDP", "HT-SHA-256-NONE"]);
    assert.equal(inline?.child("fast", NS.fast)?.attrs["tls-0rtt"], undefined);
    assert.ok(inline?.child("sm", SM));
    const bind = inline?.child("bind", NS.bind2)?.child("inline", NS.bind2);
    const features2 = bind?.elements().map(({ attrs }) => attrs.var);
    assert.ok(features2?.includes(SM) && features2.includes(NS.clientState));
  });

  test("is not made without TLS, and not taken up there", async (t) => {
    const server = await startServer(t);
    await server.account("alice");
    const client = await server.connect();
    assert.equal((await client.open()).child("authentication", NS.sasl2), undefined);
    client.send(authenticate());
    await client.endsWith("policy-violation");
  });

  test("has no tokens where the operator wants none", async (t) => {
    const { features, client } = await opened(t, "[auth]\ntokens_per_account = 0");
    assert.ok(!features.toXml().includes(NS.fast));
    client.send(authenticate(`${agent(PHONE)}<request-token xmlns='${NS.fast}' mechanism='HT-SHA-256-NONE'/>`));
    assert.equal((await succeeds(client)).child("token", NS.fast), undefined);
  });
});

describe("a login", () => {
  test("is answered with the bare JID and, on the same stream, with what is offered then", async (t) => {
    const { client } = await opened(t);
    client.send(authenticate());
    const success = await succeeds(client);
    assert.equal(
      success.toXml(),
      `<success xmlns='${NS.sasl2}'><authorization-identifier>alice@example.org</authorization-identifier></success>`,
    );
    assert.ok((await names(client)).includes("bind"));
    client.send(legacyBind);
    assert.equal((await client.next()).child("bind", NS.bind)?.childText("jid"), "alice@example.org/x");
  });

  test("goes through challenge and response, and carries what the mechanism has to say at its end", async (t) => {
    const { client } = await opened(t);
    const scram = scramClient("alice", PASSWORD);
    client.send(authenticate(agent(PHONE), `\n  ${scram.first()}\n`, "SCRAM-SHA-256"));
    const challenge = await client.next();
    assert.equal(challenge.name, "challenge", challenge.toXml());
    client.send(`<response xmlns='${NS.sasl2}'>${scram.final(challenge.text())}</response>`);
    const success = await succeeds(client);
    scram.check(success.childText("additional-data"));
  });

  test("without an initial response is asked for it", async (t) => {
    const { client } = await opened(t);
    client.send(`<authenticate xmlns='${NS.sasl2}' mechanism='PLAIN'/>`);
    assert.equal((await client.next()).toXml(), `<challenge xmlns='${NS.sasl2}'/>`);
    client.send(`<response xmlns='${NS.sasl2}'>${plainText()}</response>`);
    await succeeds(client);
  });

  test("that fails does nothing of what was to come with it, and may be tried again", async (t) => {
    const { client } = await opened(t);
    client.send(authenticate(bindRequest(), plainText("alice", "wrong")));
    await fails(client, "not-authorized");
    client.send(authenticate());
    assert.equal(identifier(await succeeds(client)), "alice@example.org");
  });

  test("is refused for what it is not", async (t) => {
    for (const [request, condition] of [
      [authenticate("", plainText(), "BLURDYBLOOP"), "invalid-mechanism"],
      [`<authenticate xmlns='${NS.sasl2}'/>`, "invalid-mechanism"],
      [authenticate(agent("phone")), "malformed-request"],
      [authenticate(agent("d4565fa7-4d72-1749-b3d3-740edbf87770")), "malformed-request"],
      [authenticate("", ""), "malformed-request"],
      [authenticate("", "!"), "incorrect-encoding"],
      [`<response xmlns='${NS.sasl2}'/>`, "malformed-request"],
      [`<next xmlns='${NS.sasl2}' task='TOTP'/>`, "malformed-request"],
      [`<task-data xmlns='${NS.sasl2}'/>`, "malformed-request"],
      [`<abort xmlns='${NS.sasl2}'/>`, "aborted"],
    ] as const) {
      const { client, server } = await opened(t);
      client.send(request);
      await fails(client, condition);
      client.send(authenticate(agent(PHONE.toUpperCase())));
      await succeeds(client);
      await server.stop();
    }
  });

  test("that is aborted between challenge and response is over", async (t) => {
    const { client } = await opened(t);
    const scram = scramClient("alice", PASSWORD);
    client.send(authenticate("", scram.first(), "SCRAM-SHA-256"));
    const challenge = await client.next();
    client.send(
      `<abort xmlns='${NS.sasl2}'/><response xmlns='${NS.sasl2}'>${scram.final(challenge.text())}</response>`,
    );
    await fails(client, "aborted");
    await fails(client, "malformed-request");
  });

  test("can be refused so often, and the stream ends", async (t) => {
    const { client } = await opened(t, "[limits]\nsasl_refusals = 2");
    client.send(authenticate("", plainText("alice", "wrong")));
    await fails(client, "not-authorized");
    client.send(`<next xmlns='${NS.sasl2}' task='TOTP'/>`);
    await fails(client, "malformed-request");
    await client.endsWith("policy-violation");
  });

  test("under way bears nothing between challenge and response", async (t) => {
    for (const [words, condition] of [
      [authenticate(), "policy-violation"],
      ["<message to='bob@example.org'/>", "not-authorized"],
      [`<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${plainText()}</auth>`, "policy-violation"],
    ] as const) {
      const { client, server } = await opened(t);
      client.send(authenticate("", scramClient("alice", PASSWORD).first(), "SCRAM-SHA-256"));
      assert.equal((await client.next()).name, "challenge");
      client.send(words);
      await client.endsWith(condition);
      await server.stop();
    }
  });

  test("in one profile shuts the other out", async (t) => {
    const { client, server } = await opened(t);
    client.send(authenticate("", plainText("alice", "wrong")));
    await fails(client, "not-authorized");
    client.send(`<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${plainText()}</auth>`);
    await client.endsWith("policy-violation");
    const other = await secured(server);
    await other.open();
    other.send(`<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${plainText("alice", "wrong")}</auth>`);
    assert.equal((await other.next()).name, "failure");
    other.send(authenticate());
    await other.endsWith("policy-violation");
  });

  test("comes once: another ends the stream", async (t) => {
    const { client, server } = await opened(t);
    client.send(authenticate() + authenticate());
    await succeeds(client);
    await client.next();
    await client.endsWith("policy-violation");
    const [bound] = await login(server, bindRequest());
    bound.send(authenticate());
    await bound.endsWith("unsupported-stanza-type");
  });

  test("as somebody else than the stream's from is refused", async (t) => {
    const server = await start(t);
    await server.account("alice");
    for (const [from, expected] of [
      ["alice@example.org", "success"],
      ["Alice@Example.org/phone", "success"],
      ["bob@example.org", "failure"],
      ["alice@other.example", "failure"],
    ] as const) {
      const client = await secured(server);
      client.send(header(from));
      assert.equal(await client.take(), "open");
      await client.next();
      client.send(authenticate());
      const answer = await client.next();
      assert.equal(answer.name, expected, from);
      if (expected === "failure") assert.ok(answer.child("invalid-authzid", NS.sasl));
    }
  });
});

describe("binding with the login", () => {
  test("gives a resource of the client's tag and a part that nobody can guess", async (t) => {
    const { server } = await opened(t);
    const [one, success] = await login(server, bindRequest("<tag>Balcony</tag>"));
    const [other] = await login(server, bindRequest("<tag>Balcony</tag>"));
    const [bare] = await login(server, bindRequest());
    assert.match(one.jid, /^alice@example\.org\/Balcony\/[\w-]{16}$/);
    assert.notEqual(one.jid, other.jid);
    assert.match(bare.jid, /^alice@example\.org\/[\w-]{16}$/);
    assert.equal(success.child("bound", NS.bind2)?.toXml(), `<bound xmlns='${NS.bind2}'/>`);
    await one.receivesNothing();
  });

  test("is the same for one client each time, and its older session gives way", async (t) => {
    const { server } = await opened(t);
    const request = agent(PHONE) + bindRequest("<tag>Balcony</tag>");
    const [older] = await login(server, request);
    const [newer] = await login(server, agent(PHONE.toUpperCase()) + bindRequest("<tag>Balcony</tag>"));
    assert.equal(newer.jid, older.jid);
    await older.endsWith("conflict");
    await newer.receivesNothing();
    const [desk] = await login(server, agent(DESK) + bindRequest("<tag>Balcony</tag>"));
    assert.notEqual(desk.jid, newer.jid);
    assert.ok(!newer.jid.includes(PHONE.slice(0, 8)));
    await newer.receivesNothing();
  });

  test("leaves out a tag that cannot be in a resource", async (t) => {
    const { server } = await opened(t);
    for (const tag of ["a&#x9;b", "x".repeat(1020)]) {
      const [client] = await login(server, bindRequest(`<tag>${tag}</tag>`));
      assert.match(client.jid, /^alice@example\.org\/[\w-]{16}$/);
    }
  });

  test("begins the session as the client wants it, before it hears anything", async (t) => {
    const { server } = await opened(t);
    const wishes = `<tag>t</tag><enable xmlns='${SM}' resume='true'/><inactive xmlns='${NS.clientState}'/><x xmlns='urn:x'/>`;
    const [client, success] = await login(server, bindRequest(wishes));
    const enabled = success.child("bound", NS.bind2)?.elements() ?? [];
    assert.deepEqual(
      enabled.map(({ name, xmlns }) => [name, xmlns]),
      [["enabled", SM]],
    );
    client.send(`${PING}<r xmlns='${SM}'/>`);
    const heard = [await client.next(), await client.next()];
    assert.deepEqual(heard.map(({ name }) => name).sort(), ["a", "iq"]);
    assert.equal(heard.find(({ name }) => name === "a")?.attrs.h, "1");
  });

  test("with as many sessions as there may be logs in without one, and RFC 6120's bind says why", async (t) => {
    const { server } = await opened(t, "[sessions]\nmax_per_account = 1");
    await login(server, bindRequest());
    const [client, success] = await login(server, bindRequest());
    assert.equal(client.jid, "alice@example.org");
    assert.equal(success.child("bound", NS.bind2), undefined);
    client.send(legacyBind);
    assert.ok((await client.next()).child("error", NS.client)?.child("resource-constraint", NS.stanzaErrors));
  });

  test("tells afterwards what RFC 6120's bind would have told before", async (t) => {
    const { client } = await opened(t);
    client.send(authenticate(bindRequest()));
    await succeeds(client);
    const offered = await names(client);
    assert.ok(!offered.includes("bind") && offered.includes("ver"), offered.join());
  });

  test("takes words that were sent before it was answered, in their order", async (t) => {
    const server = await start(t);
    await server.account("alice");
    const client = await secured(server);
    const initial = authenticate(bindRequest("<tag>t</tag>"));
    client.send(`${header("alice@example.org")}${initial}${PING}${PING.replace("'p'", "'q'")}`);
    const heard: string[] = [];
    while (heard.at(-1) !== "q") {
      const next = await client.take();
      heard.push(typeof next === "string" ? next : (next.attrs.id ?? next.name));
    }
    assert.deepEqual(heard, ["open", "features", "success", "features", "p", "q"]);
  });

  test("lets nobody speak who has sent words ahead of a login that fails", async (t) => {
    const { client } = await opened(t);
    client.send(`${authenticate(bindRequest(), plainText("alice", "wrong"))}${PING}`);
    await fails(client, "not-authorized");
    await client.endsWith("not-authorized");
  });

  test("does what modules add to it, and goes on where one fails", async () => {
    const hooks = new HookTable(silentLog);
    hooks.bindFeatures.set("urn:b", (_session, request) => element("done", "urn:b", { with: request.name }));
    hooks.bindFeatures.set("urn:a", () => Promise.reject(new Error("a bug")));
    const host = { domain: "example.org", jid: new Jid("", "example.org"), type: { hooks } } as never;
    const vars = bind2Offer(host)
      .child("inline", NS.bind2)
      ?.elements()
      .map(({ attrs }) => attrs.var);
    assert.deepEqual(vars, ["urn:a", "urn:b", NS.clientState, SM]);
    const stream = { host, account: new Jid("alice", "example.org"), session: {}, bind: async () => {} };
    const wishes = ["urn:a", "urn:b", "urn:c"].map((xmlns) => element("enable", xmlns));
    const request = element("bind", NS.bind2, {}, ...wishes);
    const bound = await bind2(request, undefined, stream as unknown as ClientNegotiation, silentLog);
    assert.equal(bound.toXml(), `<bound xmlns='${NS.bind2}'><done xmlns='urn:b' with='enable'/></bound>`);
  });
});

describe("resuming with the login", () => {
  const resume = (id: string, h: number) => `<resume xmlns='${SM}' previd='${id}' h='${h}'/>`;
  const enable = bindRequest(`<enable xmlns='${SM}' resume='true'/>`);

  async function left(server: TestServer): Promise<{ readonly id: string; readonly jid: string }> {
    const [client, success] = await login(server, enable);
    const id = success.child("bound", NS.bind2)?.child("enabled", SM)?.attrs.id ?? "";
    client.socket.destroy();
    assert.equal(await client.take(), "end");
    return { id, jid: client.jid };
  }

  test("brings the session back, with what it missed right behind; nothing is bound and nothing offered", async (t) => {
    const { server } = await opened(t);
    const { id, jid } = await left(server);
    const [bob] = await login(server, bindRequest());
    bob.send(`<message type='chat' to='${jid}' id='missed'><body>hi</body></message>`);
    await bob.receivesNothing();
    const [client, success] = await login(server, resume(id, 0) + bindRequest("<tag>new</tag>"));
    assert.equal(client.jid, jid);
    assert.deepEqual(
      success.elements().map(({ name }) => name),
      ["authorization-identifier", "resumed"],
    );
    assert.equal((await client.next()).attrs.id, "missed");
  });

  test("that cannot be is said, and binding goes on", async (t) => {
    const { server } = await opened(t);
    const [client, success] = await login(server, resume("unknown", 0) + enable);
    assert.deepEqual(
      success.elements().map(({ name }) => name),
      ["authorization-identifier", "failed", "bound"],
    );
    assert.ok(success.child("failed", SM)?.child("item-not-found", NS.stanzaErrors));
    assert.match(client.jid, /\//);
    await client.receivesNothing();
  });

  test("that cannot be, and no wish to bind, leaves the login as it is", async (t) => {
    const { server } = await opened(t);
    const [client, success] = await login(server, resume("unknown", 0));
    assert.ok(success.child("failed", SM));
    client.send(legacyBind);
    assert.equal((await client.next()).attrs.type, "result");
  });
});

describe("a login by token", () => {
  const want = (mechanism = "HT-SHA-256-NONE") => `<request-token xmlns='${NS.fast}' mechanism='${mechanism}'/>`;
  const fast = (attrs = "") => `<fast xmlns='${NS.fast}'${attrs}/>`;
  const initial = (token: string, binding: Uint8Array = Buffer.alloc(0)) => {
    const proof = createHmac("sha256", token).update("Initiator").update(binding).digest();
    return base64(Buffer.concat([Buffer.from("alice\0"), proof]));
  };

  /** Logs in by password and is given a token. */
  async function issued(server: TestServer, mechanism?: string, id = PHONE): Promise<string> {
    const [client, success] = await login(server, agent(id) + want(mechanism));
    client.socket.destroy();
    const token = success.child("token", NS.fast);
    assert.match(token?.attrs.expiry ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    return token?.attrs.token as string;
  }

  async function byToken(server: TestServer, token: string, inline: string, mechanism = "HT-SHA-256-NONE") {
    const client = await secured(server);
    await client.open();
    client.send(authenticate(inline, initial(token), mechanism));
    const answer = await client.next();
    return { client, answer };
  }

  test("takes one step, with the session and all", async (t) => {
    const { server } = await opened(t);
    const token = await issued(server);
    const { client, answer } = await byToken(server, token, agent(PHONE) + fast() + bindRequest("<tag>t</tag>"));
    const proof = createHmac("sha256", token).update("Responder").digest("base64");
    assert.equal(answer.childText("additional-data"), proof);
    client.jid = identifier(answer);
    assert.match(client.jid, /^alice@example\.org\/t\//);
    assert.equal(answer.child("token", NS.fast), undefined);
    await client.next();
    await client.receivesNothing();
  });

  test("is bound to the TLS that it comes through", async (t) => {
    const { server } = await opened(t);
    const token = await issued(server, "HT-SHA-256-EXPR");
    const attempt = async (context: string) => {
      const client = await secured(server);
      await client.open();
      const exporter = (client.socket as TLSSocket).exportKeyingMaterial(32, context, Buffer.alloc(0));
      client.send(authenticate(agent(PHONE) + fast(), initial(token, exporter), "HT-SHA-256-EXPR"));
      return (await client.next()).name;
    };
    assert.equal(await attempt("EXPORTER-Channel-Binding"), "success");
    assert.equal(await attempt("EXPORTER-Another-Channel"), "failure");
    const { answer } = await byToken(server, token, agent(PHONE) + fast());
    assert.equal(answer.name, "failure");
  });

  test("is refused without <fast/>, without who the client is, and with a count that is none", async (t) => {
    const { server } = await opened(t);
    const token = await issued(server);
    for (const inline of [
      agent(PHONE),
      fast(),
      `<user-agent/>${fast()}`,
      agent(PHONE) + fast(" count='0'"),
      agent(PHONE) + fast(" count='-1'"),
      agent(PHONE) + fast(" count='x'"),
    ]) {
      const { answer } = await byToken(server, token, inline);
      assert.ok(answer.child("malformed-request", NS.sasl), `${inline}: ${answer.toXml()}`);
    }
  });

  test("of another client, or said again with the same count, is refused", async (t) => {
    const { server } = await opened(t);
    const token = await issued(server);
    const outcome = async (inline: string) => (await byToken(server, token, inline)).answer.name;
    assert.equal(await outcome(agent(DESK) + fast()), "failure");
    assert.equal(await outcome(agent(PHONE) + fast(" count='3'")), "success");
    assert.equal(await outcome(agent(PHONE) + fast(" count='3'")), "failure");
    assert.equal(await outcome(agent(PHONE) + fast(" count='4'")), "success");
  });

  test("can be the last: the token is then void, and a new one comes only if it is asked for", async (t) => {
    const { server } = await opened(t);
    for (const invalidate of ["true", "1"]) {
      const token = await issued(server);
      const { answer } = await byToken(server, token, agent(PHONE) + fast(` invalidate='${invalidate}'`));
      assert.equal(answer.name, "success");
      assert.equal(answer.child("token", NS.fast), undefined);
      assert.equal((await byToken(server, token, agent(PHONE) + fast())).answer.name, "failure");
    }
    const token = await issued(server);
    const { answer } = await byToken(server, token, agent(PHONE) + fast(" invalidate='1'") + want());
    const next = answer.child("token", NS.fast)?.attrs.token as string;
    assert.equal((await byToken(server, next, agent(PHONE) + fast())).answer.name, "success");
  });

  test("is not for RFC 6120's profile", async (t) => {
    const { server } = await opened(t);
    const token = await issued(server);
    const client = await secured(server);
    await client.open();
    client.send(`<auth xmlns='${NS.sasl}' mechanism='HT-SHA-256-NONE'>${initial(token)}</auth>`);
    assert.ok((await client.next()).child("invalid-mechanism", NS.sasl));
  });

  test("needs a token that was asked for by a client that says who it is, with a mechanism that is offered", async (t) => {
    const { server } = await opened(t);
    for (const inline of [agent(PHONE), want(), agent(PHONE) + want("HT-SHA-256-UNIQ"), agent(PHONE) + want("PLAIN")]) {
      const [, success] = await login(server, inline);
      assert.equal(success.child("token", NS.fast), undefined, inline);
    }
  });
});
