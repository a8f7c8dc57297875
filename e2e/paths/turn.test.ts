import assert from "node:assert/strict";
import { test } from "node:test";
import { network, run } from "../lib/datacenter.ts";
import { site } from "../lib/story.ts";
import { allocate, turnCredentials } from "../lib/turn.ts";

const server = { address: site.turnAddress, port: site.ports.turn };
const inAMinute = () => new Date(Date.now() + 60_000);
const secret = site.secret("turn_secret");

/** coturn's own client, in a container on the edge network; the secret is one that this machine's process list may see. */
function uclient(...options: string[]): Promise<string> {
  const image = `meerkat/coturn:${process.env.MEERKAT_TAG || "dev"}`;
  return run("docker", [
    ...["run", "--rm", "--network", network("edge"), "--read-only", "--cap-drop", "ALL", "--tmpfs", "/tmp"],
    ...[
      "--entrypoint",
      "turnutils_uclient",
      image,
      "-y",
      "-c",
      "-n",
      "4",
      "-m",
      "1",
      ...options,
      "turn.meerkat.localhost",
    ],
  ]);
}

test("a relay is allocated through the published port with credentials of the shared secret", async () => {
  const { relayed, mapped, lifetime } = await allocate(
    server,
    turnCredentials(secret, "alice", inAMinute()),
    AbortSignal.timeout(10_000),
  );
  const port = Number(relayed.split(":").at(-1));
  assert.ok(port >= 49_160 && port <= 49_199, `the relay's port is ${port}`);
  assert.match(mapped, /^[\d.]+:\d+$/);
  assert.ok(lifetime >= 60, `it lives ${lifetime} s`);
});

test("credentials that another secret made, that have expired, or of another name are refused with 401", async () => {
  const good = turnCredentials(secret, "alice", inAMinute());
  for (const credentials of [
    turnCredentials("another secret", "alice", inAMinute()),
    turnCredentials(secret, "alice", new Date(Date.now() - 60_000)),
    { ...good, username: good.username.replace("alice", "mallory") },
  ]) {
    await assert.rejects(allocate(server, credentials, AbortSignal.timeout(10_000)), { name: "TurnError", code: 401 });
  }
});

test("coturn's own client relays messages with the shared secret, and nothing with a wrong one", async () => {
  const [right, wrong] = await Promise.allSettled([
    uclient("-u", "alice", "-W", secret),
    uclient("-u", "alice", "-W", "another-secret"),
  ]);
  assert.equal(right.status, "fulfilled", String((right as PromiseRejectedResult).reason));
  const said = (right as PromiseFulfilledResult<string>).value;
  const [, sent, received] = /tot_send_msgs=(\d+), tot_recv_msgs=(\d+)(?![\s\S]*tot_send_msgs)/.exec(said) ?? [];
  assert.ok(Number(sent) > 0 && sent === received, `of ${sent} messages ${received} came back:\n${said}`);
  assert.ok(wrong.status === "rejected" || !/tot_recv_msgs=[1-9]/.test(wrong.value), "a wrong secret relays");
});
