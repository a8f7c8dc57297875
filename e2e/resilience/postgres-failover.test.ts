import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { archived } from "../lib/archive.ts";
import { Chatter } from "../lib/chatter.ts";
import { compose, freshAccounts, run } from "../lib/datacenter.ts";
import { eventually } from "../lib/eventually.ts";
import { online, site } from "../lib/story.ts";
import type { Account } from "../lib/topology.ts";

const SERVERS = ["postgres-1", "postgres-2"] as const;
/** How long a person looks at the keys between two messages. */
const PAUSE_MS = 100;
const storage = process.env.MEERKAT_STORAGE || "postgres";
const skip = storage === "postgres" ? false : `the nodes keep their data in ${storage}`;

// Before the accounts are made, as they can only be taken away again when there is a primary.
after(async () => {
  if (!skip) await compose(["start", ...SERVERS]);
});
const people = skip ? [] : await freshAccounts(site.domain, "alice", "bob", "carol");

interface Member {
  readonly name: string;
  readonly role: string;
  readonly state: string;
}

/** What the Patroni of a server says of both. */
async function members(server: string): Promise<Member[]> {
  const ask = ["curl", "-fsS", "-m", "3", "--cacert", "/run/secrets/ca", "https://localhost:8008/cluster"];
  return (JSON.parse(await compose(["exec", "-T", server, ...ask])) as { members: Member[] }).members;
}

/** The two servers as soon as one leads and the other has all that is committed. */
function inStep(withinMs: number): Promise<{ primary: string; replica: string }> {
  return eventually(
    async () => {
      const all = await members(SERVERS[0]);
      const primary = all.find(({ role, state }) => role === "leader" && state === "running")?.name;
      const replica = all.find(({ role, state }) => role === "sync_standby" && state === "streaming")?.name;
      if (primary === undefined || replica === undefined) throw new Error(JSON.stringify(all));
      return { primary, replica };
    },
    { withinMs, everyMs: 1000, what: "a primary and a replica in step" },
  );
}

test("PostgreSQL's primary is killed while clients chat: what was acknowledged is in the archive", {
  skip,
}, async (t) => {
  const [alice, bob, carol] = people as [Account, Account, Account];
  const to = `${bob.local}@${site.domain}`;
  const { primary, replica } = await inStep(60_000);
  const bobs = await online(t, bob);
  await using alices = await Chatter.open(site, alice);
  await using carols = await Chatter.open(site, carol);
  let killed = Number.POSITIVE_INFINITY;
  let over = false;
  /** Until some messages in a row have been taken after the kill. */
  const chat = async (chatter: Chatter) => {
    for (let taken = 0; taken < 10 && !over; await delay(PAUSE_MS)) {
      const sent = performance.now();
      taken = (await chatter.say(to)) && sent > killed ? taken + 1 : 0;
    }
  };
  const chats = Promise.all([chat(alices), chat(carols)]).finally(() => {
    over = true;
  });
  // Whatever fails first is what is told.
  chats.catch(() => {});
  try {
    await eventually(() => [alices, carols].every(({ acknowledged }) => acknowledged.length >= 10));
    const container = (await compose(["ps", "--quiet", "--no-trunc", primary])).trim();
    await run("docker", ["kill", container]);
    killed = performance.now();
    await chats;
    await run("docker", ["start", container]);
  } finally {
    over = true;
  }

  const outage = Math.max(alices.longestGap, carols.longestGap);
  const refused = alices.refused.length + carols.refused.length;
  t.diagnostic(
    `${primary} killed: ${Math.round(outage)} ms without an acknowledged message, ${refused} refused meanwhile`,
  );
  // The lease of a dead primary, 20 s, and what comes after it.
  assert.ok(outage < 40_000, `the outage took ${outage} ms`);
  for (const { local, chatter } of [
    { local: alice.local, chatter: alices },
    { local: carol.local, chatter: carols },
  ]) {
    const kept = (await archived(bobs, { party: `${local}@${site.domain}` })).map(({ body }) => body);
    assert.deepEqual(
      chatter.acknowledged.filter((text) => kept.filter((each) => each === text).length !== 1),
      [],
      `acknowledged to ${local}, and not in the archive once`,
    );
  }

  // Each node's pool is bounded, and no connection was left behind.
  const count = "select count(*) from pg_stat_activity where usename = 'meerkat'";
  const connections = Number(await compose(["exec", "-T", replica, "psql", "-AtXc", count, "meerkat"]));
  assert.ok(
    connections > 0 && connections <= 10 * Number(process.env.MEERKAT_NODES ?? 2),
    `${connections} connections`,
  );

  assert.deepEqual(await inStep(60_000), { primary: replica, replica: primary });
  await eventually(() => run("scripts/status", []), { withinMs: 60_000, everyMs: 1000, what: "all services are well" });
});
