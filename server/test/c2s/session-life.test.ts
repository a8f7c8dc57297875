/** A session between its streams: what the moments do in which it is claimed, resumed, replaced or ended, all at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { StanzaCounters } from "../../src/c2s/counters.ts";
import { Resumptions } from "../../src/c2s/resumptions.ts";
import { ClientSession, type SessionParts } from "../../src/c2s/session.ts";
import type { Envelope } from "../../src/module/api.ts";
import { seal } from "../../src/module/envelope.ts";
import { HookTable } from "../../src/module/hook-table.ts";
import { silentLog } from "../../src/observe/log.ts";
import { createMetrics } from "../../src/observe/metrics.ts";
import { type Element, element } from "../../src/xml/element.ts";
import type { StreamError } from "../../src/xmpp/errors.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import { NS } from "../../src/xmpp/namespaces.ts";

const SM = NS.streamManagement;
const ENABLE = element("enable", SM, { resume: "true" });
const WAIT_MS = 50;
const LIMITS = {
  resumeForMs: 60_000,
  resumeLocation: undefined,
  unackedStanzas: 10,
  unackedBytes: 1_000_000,
  unackedWaitMs: WAIT_MS,
  ackEvery: 1000,
  ackAfterMs: 1,
  ackTimeoutMs: 60_000,
  inactiveStanzas: 10,
};
const alice = new Jid("alice", "example.org", "desk");
const bob = new Jid("bob", "example.org", "desk");

/** A session with no cluster around it; `rerouted` gathers the ids of what it could not pass on. */
function alone(close: () => Promise<void> = async () => {}) {
  const hooks = new HookTable(silentLog);
  const resumptions = new Resumptions(10);
  const rerouted: (string | undefined)[] = [];
  const session = new ClientSession(alice, "s", {
    nodeId: "n1",
    host: { domain: "example.org", type: { name: "default", hooks } },
    router: { reroute: ({ stanza }: Envelope) => void rerouted.push(stanza.attrs.id) },
    sessions: { close },
    resumptions,
    counters: new StanzaCounters(createMetrics()),
    limits: LIMITS,
    expired: (ended: ClientSession) => void ended.end(),
  } as unknown as SessionParts);
  return { session, hooks, resumptions, rerouted };
}

/** A stream that carries it; `asked` settles when the client is asked what it has. */
function stream() {
  const ids: (string | undefined)[] = [];
  const { promise: gone, resolve: end } = Promise.withResolvers<void>();
  const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
  const carrier = {
    closedWith: "",
    gone,
    send: ({ name, attrs }: Element) => void (name === "r" ? ask() : ids.push(attrs.id)),
    close: (error?: StreamError) => {
      carrier.closedWith = error?.condition ?? "good-bye";
    },
  };
  return { carrier, ids, end, asked };
}

function message(id: string): Envelope {
  return seal(element("message", NS.client, { type: "chat", id }), bob, alice);
}

/** Carried by a stream, with as many unacknowledged as may be before senders wait. */
function full(close?: () => Promise<void>) {
  const parts = alone(close);
  const first = stream();
  parts.session.attach(first.carrier);
  const id = parts.session.enable(ENABLE).attrs.id ?? "";
  const given = Array.from({ length: LIMITS.unackedStanzas }, (_, i) => `${i}`);
  for (const each of given) void parts.session.deliver(message(each), true);
  return { ...parts, first, given, id };
}

test("what came before enabling, within the login, comes before what came after", () => {
  const { session } = alone();
  void session.deliver(message("1"), true);
  session.enable(ENABLE);
  void session.deliver(message("2"), true);
  const { carrier, ids } = stream();
  session.attach(carrier);
  assert.deepEqual(ids, ["1", "2"]);
});

test("what came for a session that no stream ever carried goes elsewhere", async () => {
  const { session, rerouted } = alone();
  void session.deliver(message("1"), true);
  await session.end();
  assert.deepEqual(rerouted, ["1"]);
});

test("a stream that comes for a session which has just been replaced is closed with conflict", () => {
  const { session } = alone();
  void session.replaced(Promise.resolve());
  const { carrier, ids } = stream();
  session.attach(carrier);
  assert.equal(carrier.closedWith, "conflict");
  session.send(message("1").stanza);
  assert.deepEqual(ids, []);
});

test("a stream that comes for a session which has just ended is reset", () => {
  const { session } = alone();
  session.close();
  const { carrier } = stream();
  session.attach(carrier);
  assert.equal(carrier.closedWith, "reset");
});

test("a session that is replaced while it is resumed ends, and nothing is lost", async () => {
  const { session, first, given, id, resumptions, rerouted } = full();
  const resumed = session.resume(0);
  void session.replaced(Promise.resolve());
  await session.left(first.carrier, false);
  first.end();
  assert.equal(await resumed, undefined);
  await session.end();
  assert.deepEqual(rerouted, given);
  assert.equal(resumptions.find(id, alice), undefined);
});

test("the client is asked what it has of what came again on resumption", async () => {
  const { session, first, given } = full();
  await session.left(first.carrier, true);
  await session.resume(1);
  const second = stream();
  session.attach(second.carrier);
  await second.asked;
  assert.deepEqual(second.ids, given.slice(1));
});

test("several who wait for room wait no longer together than each may", async () => {
  const { session } = full();
  const begun = performance.now();
  await Promise.all(["a", "b", "c", "d", "e"].map((id) => session.deliver(message(id), true)));
  assert.ok(performance.now() - begun < 3 * WAIT_MS);
});

test("who waits when the session ends is not lost, comes last, and hears nothing of a cluster that did not listen", async () => {
  const { session, first, given, rerouted } = full(() => Promise.reject(new Error("the cluster cannot be reached")));
  const waiting = ["a", "b"].map((id) => session.deliver(message(id), true));
  await assert.rejects(session.left(first.carrier, false));
  await Promise.all(waiting);
  assert.deepEqual(rerouted, [...given, "a", "b"]);
});

test("a good-bye to the session itself, behind those who wait, does not keep it from ending", async () => {
  const { session, first, hooks, given, rerouted } = full();
  void session.deliver(message("a"), true);
  const word = seal(element("presence", NS.client, { type: "unavailable" }), alice, alice);
  hooks.notices.sessionClosed.add(async () => session.deliver(word, true));
  await session.left(first.carrier, false);
  assert.deepEqual(rerouted.slice(0, given.length + 1), [...given, "a"]);
});
