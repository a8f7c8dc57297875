import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics } from "../../src/observe/metrics.ts";

test("a counter shows its help, its type and its total", async () => {
  const metrics = createMetrics({ process: false });
  const counter = metrics.counter("xmpp_things_total", "Things seen.");
  counter.inc();
  counter.inc(4);
  assert.equal(
    await metrics.render(),
    "# HELP xmpp_things_total Things seen.\n# TYPE xmpp_things_total counter\nxmpp_things_total 5\n",
  );
});

test("a counter that was asked for and has counted nothing shows nought", async () => {
  const metrics = createMetrics({ process: false });
  metrics.counter("xmpp_things_total", "Things seen.");
  assert.match(await metrics.render(), /^xmpp_things_total 0$/m);
});

test("a family has a counter for each value of its labels, and the same values are the same counter", async () => {
  const metrics = createMetrics({ process: false });
  const family = metrics.counters("xmpp_auth_total", "Logins tried.", ["mechanism", "result"]);
  const right = family("PLAIN", "right");
  right.inc();
  family("PLAIN", "right").inc();
  family("PLAIN", "wrong").inc();
  family("SCRAM-SHA-1", 'a "quoted"\nline').inc(7);
  const lines = (await metrics.render()).split("\n").filter((line) => !line.startsWith("#") && line !== "");
  assert.deepEqual(lines, [
    'xmpp_auth_total{mechanism="PLAIN",result="right"} 2',
    'xmpp_auth_total{mechanism="PLAIN",result="wrong"} 1',
    'xmpp_auth_total{mechanism="SCRAM-SHA-1",result="a \\"quoted\\"\\nline"} 7',
  ]);
});

test("label values that only run together when joined are told apart", async () => {
  const metrics = createMetrics({ process: false });
  const family = metrics.counters("xmpp_x_total", "X.", ["a", "b"]);
  family("ab", "c").inc();
  family("a", "bc").inc();
  const text = await metrics.render();
  assert.match(text, /a="ab",b="c"\} 1/);
  assert.match(text, /a="a",b="bc"\} 1/);
});

test("asked for twice, a name is one metric", async () => {
  const metrics = createMetrics({ process: false });
  metrics.counter("xmpp_things_total", "Things seen.").inc();
  metrics.counter("xmpp_things_total", "Things seen.").inc();
  assert.match(await metrics.render(), /^xmpp_things_total 2$/m);
});

test("a scrape does not count again what the one before it told", async () => {
  const metrics = createMetrics({ process: false });
  const counter = metrics.counter("xmpp_things_total", "Things seen.");
  counter.inc();
  await metrics.render();
  counter.inc();
  assert.match(await metrics.render(), /^xmpp_things_total 2$/m);
});

test("a gauge is read when it is scraped", async () => {
  const metrics = createMetrics({ process: false });
  let sessions = 0;
  metrics.gauge("xmpp_sessions", "Bound resources on this node.", () => sessions);
  sessions = 3;
  assert.match(await metrics.render(), /^xmpp_sessions 3$/m);
  sessions = 2;
  assert.equal(
    await metrics.render(),
    "# HELP xmpp_sessions Bound resources on this node.\n# TYPE xmpp_sessions gauge\nxmpp_sessions 2\n",
  );
});

test("gauges show a value for each label, and forget those that are gone", async () => {
  const metrics = createMetrics({ process: false });
  let streams = new Map([
    ["tcp", 2],
    ["websocket", 0],
  ]);
  metrics.gauges("xmpp_streams", "Open client streams.", "transport", () => streams);
  const first = await metrics.render();
  assert.match(first, /^xmpp_streams\{transport="tcp"\} 2$/m);
  assert.match(first, /^xmpp_streams\{transport="websocket"\} 0$/m);
  streams = new Map([["websocket", 1]]);
  const second = await metrics.render();
  assert.doesNotMatch(second, /tcp/);
  assert.match(second, /^xmpp_streams\{transport="websocket"\} 1$/m);
});

test("two nodes in one process count apart", async () => {
  const [one, other] = [createMetrics({ process: false }), createMetrics({ process: false })];
  one.counter("xmpp_things_total", "Things seen.").inc();
  other.counter("xmpp_things_total", "Things seen.");
  assert.match(await other.render(), /^xmpp_things_total 0$/m);
});

test("the process's own metrics are there unless they are left out", async () => {
  assert.match(await createMetrics().render(), /^process_cpu_seconds_total \d/m);
  assert.equal((await createMetrics({ process: false }).render()).trim(), "");
});

test("a histogram counts what is not above the end of each bucket, and adds up", async () => {
  const metrics = createMetrics({ process: false });
  const family = metrics.histograms("xmpp_wait_seconds", "Waits.", ["what"], [0.1, 1]);
  for (const seconds of [0.1, 0.5, 1, 8]) family("tea").observe(seconds);
  family("nothing");
  metrics.histograms("xmpp_wait_seconds", "Waits.", ["what"], [0.1, 1])("tea").observe(0.025);
  assert.equal(
    await metrics.render(),
    `# HELP xmpp_wait_seconds Waits.
# TYPE xmpp_wait_seconds histogram
xmpp_wait_seconds_bucket{le="0.1",what="tea"} 2
xmpp_wait_seconds_bucket{le="1",what="tea"} 4
xmpp_wait_seconds_bucket{le="+Inf",what="tea"} 5
xmpp_wait_seconds_sum{what="tea"} 9.625
xmpp_wait_seconds_count{what="tea"} 5
xmpp_wait_seconds_bucket{le="0.1",what="nothing"} 0
xmpp_wait_seconds_bucket{le="1",what="nothing"} 0
xmpp_wait_seconds_bucket{le="+Inf",what="nothing"} 0
xmpp_wait_seconds_sum{what="nothing"} 0
xmpp_wait_seconds_count{what="nothing"} 0
`,
  );
});
