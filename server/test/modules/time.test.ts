/** XEP-0202. */
import { test } from "node:test";
import { WoundClock } from "../support/clock.ts";
import { startServer } from "../support/server.ts";
import { isRefused } from "./contacts.ts";

test("the server tells the time in UTC, and an account tells none", async (t) => {
  const clock = new WoundClock();
  const server = await startServer(t, { clock });
  const alice = await server.login("alice", "desk");
  const ask = (to: string) => alice.send(`<iq type='get' id='1' to='${to}'><time xmlns='urn:xmpp:time'/></iq>`);
  const told = (utc: string) =>
    `<iq type='result' id='1' from='example.org' to='${alice.jid}'><time xmlns='urn:xmpp:time'><tzo>+00:00</tzo><utc>${utc}</utc></time></iq>`;
  ask("example.org");
  await alice.receives(told("2023-11-14T22:13:20Z"));
  await clock.wind(100);
  ask("example.org");
  await alice.receives(told("2023-11-14T22:15:00Z"));
  ask("alice@example.org");
  await isRefused(alice, "service-unavailable", "cancel");
});
