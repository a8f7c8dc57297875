/** What every cluster must do, be it one process or many. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cluster, SessionEntry } from "../../../src/cluster/cluster.ts";
import { Jid } from "../../../src/xmpp/jid.ts";

let accounts = 0;
let sessions = 0;

/** An account that no other test has used. */
export function freshAccount(name: string): Jid {
  return new Jid(`${name}-${process.pid}-${++accounts}`, "example.org");
}

export function session(account: Jid, resource: string, node: string, rest: Partial<SessionEntry> = {}): SessionEntry {
  return {
    jid: account.withResource(resource),
    node,
    id: `${process.pid}-${++sessions}`,
    priority: undefined,
    marks: [],
    ...rest,
  };
}

/** `nodes` gives one or two nodes of a started cluster; with one, both are the same. */
export function testCluster(kind: string, nodes: () => readonly [Cluster, Cluster]): void {
  test(`${kind}: a session is found from every node as its owner described it`, async () => {
    const [a, b] = nodes();
    const alice = freshAccount("alice");
    const entry = session(alice, "balcony", a.bus.nodeId, { priority: -3, marks: ["carbons", "roster"] });
    assert.equal(await a.registry.claim(entry), undefined);
    assert.deepEqual(await a.registry.locate(alice), [entry]);
    assert.deepEqual(await b.registry.locate(alice), [entry]);
    assert.deepEqual(await b.registry.locate(entry.jid), [entry]);
    assert.deepEqual(await b.registry.locate(freshAccount("alice")), []);
    const nobody = Array.from({ length: 250 }, (_, i) => freshAccount(`nobody${i}`));
    const each = await b.registry.locateEach([...nobody, alice]);
    assert.equal(each.size, 251);
    for (const [bare, entries] of each) assert.deepEqual(entries, bare === alice.bare ? [entry] : [], bare);
    assert.deepEqual(await b.registry.locateEach([]), new Map());
  });

  test(`${kind}: sessions are listed in order of resource`, async () => {
    const [a, b] = nodes();
    const alice = freshAccount("alice");
    const resources = ["garden", "Balcony", "balcony", "}{", "élan", "a/b", "1"];
    for (const [i, resource] of resources.entries()) {
      const node = i % 2 === 0 ? a : b;
      await node.registry.claim(session(alice, resource, node.bus.nodeId));
    }
    const found = await a.registry.locate(alice);
    assert.deepEqual(
      found.map(({ jid }) => jid.resource),
      resources.toSorted(),
    );
  });

  test(`${kind}: a claim replaces the session of the same full JID and returns it`, async () => {
    const [a, b] = nodes();
    const alice = freshAccount("alice");
    const first = session(alice, "balcony", a.bus.nodeId, { priority: 1 });
    const second = session(alice, "balcony", b.bus.nodeId);
    await a.registry.claim(first);
    assert.deepEqual(await b.registry.claim(second), first);
    assert.deepEqual(await a.registry.locate(alice), [second]);
  });

  test(`${kind}: a session that has been replaced can neither be updated nor take the other out`, async () => {
    const [a, b] = nodes();
    const alice = freshAccount("alice");
    const first = session(alice, "balcony", a.bus.nodeId);
    const second = session(alice, "balcony", b.bus.nodeId);
    await a.registry.claim(first);
    await b.registry.claim(second);
    await a.registry.update({ ...first, priority: 9 });
    assert.deepEqual(await a.registry.locate(alice), [second]);
    await a.registry.release(first);
    assert.deepEqual(await a.registry.locate(alice), [second]);
    await b.registry.release(second);
    assert.deepEqual(await a.registry.locate(alice), []);
  });

  test(`${kind}: an update is seen everywhere, and does nothing after the release`, async () => {
    const [a, b] = nodes();
    const alice = freshAccount("alice");
    const entry = session(alice, "balcony", a.bus.nodeId);
    await a.registry.claim(entry);
    const available = { ...entry, priority: 0, marks: ["roster"] };
    await a.registry.update(available);
    assert.deepEqual(await b.registry.locate(alice), [available]);
    await a.registry.release(available);
    await a.registry.update(entry);
    assert.deepEqual(await b.registry.locate(alice), []);
  });

  test(`${kind}: claiming again what one holds replaces nothing`, async () => {
    const [a] = nodes();
    const entry = session(freshAccount("alice"), "balcony", a.bus.nodeId);
    await a.registry.claim(entry);
    assert.equal(await a.registry.claim(entry), undefined);
  });

  test(`${kind}: the count goes up with a claim and down with a release`, async () => {
    const [a] = nodes();
    const before = await a.registry.count();
    const entries = ["1", "2", "3"].map((resource) => session(freshAccount("alice"), resource, a.bus.nodeId));
    for (const entry of entries) await a.registry.claim(entry);
    assert.equal(await a.registry.count(), before + 3);
    for (const entry of entries) await a.registry.release(entry);
    assert.equal(await a.registry.count(), before);
  });

  test(`${kind}: only a full JID can be claimed`, async () => {
    const [a] = nodes();
    await assert.rejects(async () => a.registry.claim(session(freshAccount("alice"), "", a.bus.nodeId)), TypeError);
  });

  test(`${kind}: a message reaches its node and channel; a handler that throws stops nothing`, async () => {
    const [a, b] = nodes();
    const heard: string[] = [];
    const second = Promise.withResolvers<void>();
    b.bus.receive("conformance", (message, from) => {
      heard.push(`${from} ${message}`);
      if (heard.length === 1) throw new Error("on purpose");
      second.resolve();
    });
    await a.bus.send(b.bus.nodeId, "conformance", "<message>é\n😀</message>");
    await a.bus.send(b.bus.nodeId, "conformance", "");
    await second.promise;
    assert.deepEqual(heard, [`${a.bus.nodeId} <message>é\n😀</message>`, `${a.bus.nodeId} `]);
    assert.throws(() => b.bus.receive("conformance", () => {}));
  });

  test(`${kind}: both nodes are healthy and know each other, in order`, () => {
    const [a, b] = nodes();
    assert.ok(a.healthy() && b.healthy());
    assert.deepEqual(a.nodes(), [...new Set([a.bus.nodeId, b.bus.nodeId])].sort());
    assert.deepEqual(b.nodes(), a.nodes());
  });
}
