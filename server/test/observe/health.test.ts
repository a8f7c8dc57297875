import assert from "node:assert/strict";
import { test } from "node:test";
import { Health } from "../../src/observe/health.ts";

test("a node that starts is not ready, however well its parts are", () => {
  const health = new Health();
  health.add("cluster", () => true);
  assert.deepEqual(health.readiness(), { status: 503, text: "starting" });
});

test("a node that serves is ready as long as all its parts are well, and names those that are not", () => {
  const health = new Health();
  const well = { cluster: true, store: true };
  health.add("cluster", () => well.cluster);
  health.add("storage.main", () => well.store);
  health.serving();
  assert.deepEqual(health.readiness(), { status: 200, text: "ready" });
  well.store = false;
  assert.deepEqual(health.readiness(), { status: 503, text: "broken: storage.main" });
  well.cluster = false;
  assert.deepEqual(health.readiness(), { status: 503, text: "broken: cluster, storage.main" });
  well.cluster = true;
  well.store = true;
  assert.deepEqual(health.readiness(), { status: 200, text: "ready" });
});

test("a node that drains takes no new clients, whether its parts are well or not", () => {
  const health = new Health();
  let well = true;
  health.add("cluster", () => well);
  health.serving();
  health.draining();
  assert.deepEqual(health.readiness(), { status: 404, text: "draining" });
  well = false;
  assert.deepEqual(health.readiness(), { status: 404, text: "draining" });
});

test("a node may drain before it has ever served", () => {
  const health = new Health();
  health.draining();
  assert.deepEqual(health.readiness(), { status: 404, text: "draining" });
});

test("a part is asked at each look, and not before the first", () => {
  const health = new Health();
  let asked = 0;
  health.add("cluster", () => {
    asked++;
    return true;
  });
  health.serving();
  assert.equal(asked, 0);
  health.readiness();
  health.readiness();
  assert.equal(asked, 2);
});

test("a part that some can do without is named, and takes nobody out", () => {
  const health = new Health();
  const well = { store: true, directory: false };
  health.add("storage", () => well.store);
  health.note("storage.directory", () => well.directory);
  health.serving();
  assert.deepEqual(health.readiness(), { status: 200, text: "ready, without storage.directory" });
  well.store = false;
  assert.deepEqual(health.readiness(), { status: 503, text: "broken: storage, storage.directory" });
  well.store = true;
  well.directory = true;
  assert.deepEqual(health.readiness(), { status: 200, text: "ready" });
});
