/**
 * Throughput and round trip of the bus between two nodes in this process, over a Redis Cluster: the one given, or else one of
 * six nodes in a container of its own.
 *
 *   node bench/bus.ts [redis-1:6379,redis-2:6379]     or REDIS_NODES, and REDIS_PASSWORD
 */
import { RedisCluster } from "../src/cluster/redis/redis-cluster.ts";

const ROUND_TRIPS = 2000;
const MESSAGES = 200_000;
const AT_ONCE = 2000;
/** What has not been done by then is not waited for. */
const WITHIN = 120_000;

const deadline = setTimeout(() => {
  console.error(`not done within ${WITHIN} ms`);
  process.exit(1);
}, WITHIN);

const nodes = (process.argv[2] ?? process.env.REDIS_NODES ?? "").split(",").filter((node) => node !== "");
const password = process.env.REDIS_PASSWORD;
const own =
  nodes.length > 0 ? undefined : await (await import("../test/conformance/cluster/redis-containers.ts")).startRedis();
const options = own?.options ?? { kind: "redis" as const, nodes, ...(password === undefined ? {} : { password }) };
const open = (nodeId: string) => new RedisCluster({ ...options, nodeId, startWithin: 30_000 });
const a = open(`bench-a-${process.pid}`);
const b = open(`bench-b-${process.pid}`);
await Promise.all([a.start(), b.start()]);

let answered = () => {};
a.bus.receive("answer", () => answered());
b.bus.receive("ask", (message, from) => void b.bus.send(from, "answer", message));
let heard = 0;
let expected = Number.POSITIVE_INFINITY;
let all = () => {};
b.bus.receive("flood", () => {
  if (++heard === expected) all();
});

const stanza = "x".repeat(400);
const trips: number[] = [];
for (let i = 0; i < ROUND_TRIPS; i++) {
  const sentAt = performance.now();
  const back = new Promise<void>((resolve) => {
    answered = resolve;
  });
  await a.bus.send(b.bus.nodeId, "ask", stanza);
  await back;
  trips.push(performance.now() - sentAt);
}
trips.sort((x, y) => x - y);
const microseconds = (part: number) => Math.round((trips[Math.floor(trips.length * part)] ?? 0) * 1000);
console.log(`round trip of 400 B: p50 ${microseconds(0.5)} us, p99 ${microseconds(0.99)} us`);

expected = MESSAGES;
const done = new Promise<void>((resolve) => {
  all = resolve;
});
const startedAt = performance.now();
const cpuBefore = process.cpuUsage();
const framesBefore = a.stats().frames ?? 0;
for (let i = 0; i < MESSAGES; i += AT_ONCE) {
  await Promise.all(Array.from({ length: AT_ONCE }, () => a.bus.send(b.bus.nodeId, "flood", stanza)));
}
await done;
const seconds = (performance.now() - startedAt) / 1000;
const cpu = process.cpuUsage(cpuBefore);
const frames = (a.stats().frames ?? 0) - framesBefore;
console.log(
  `one way: ${Math.round(MESSAGES / seconds)} messages/s, ${Math.round(MESSAGES / frames)} a frame, ` +
    `${((cpu.user + cpu.system) / MESSAGES).toFixed(1)} us CPU a message, both ends together`,
);
await Promise.all([a.stop(), b.stop()]);
await own?.stop();
clearTimeout(deadline);
