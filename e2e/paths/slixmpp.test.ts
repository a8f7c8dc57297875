import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { GenericContainer, type StartedTestContainer, Wait } from "testcontainers";
import { freshAccounts, network } from "../lib/datacenter.ts";
import { Inbox } from "../lib/inbox.ts";
import { online, site } from "../lib/story.ts";
import type { Account } from "../lib/topology.ts";

// Nothing of ours that would have to be cleared up after a crash: the containers are removed below.
process.env.TESTCONTAINERS_RYUK_DISABLED = "true";

const [alice, bob] = (await freshAccounts(site.domain, "alice", "bob")) as [Account, Account];
let image: GenericContainer;

before(async () => {
  const context = join(import.meta.dirname, "../clients/slixmpp");
  image = await GenericContainer.fromDockerfile(context).build("meerkat-e2e-slixmpp", { deleteOnExit: false });
});

const started: StartedTestContainer[] = [];
after(async () => {
  await Promise.all(started.map((container) => container.stop({ timeout: 0 })));
});

/** Runs the client in the edge network, where the load balancer has the domain's name. */
async function slixmpp(
  peer: string,
  options: { password?: string; trusting?: boolean; waitFor: RegExp },
): Promise<Inbox<string>> {
  const { password = bob.password, trusting = true, waitFor } = options;
  const lines = new Inbox<string>((line) => line);
  const container = await image
    .withNetworkMode(network("edge"))
    .withEnvironment({
      JID: `${bob.local}@${site.domain}`,
      HOST: "haproxy",
      PASSWORD: password,
      PEER: peer,
      // The image remembers what it was given last, so every variable is said each time.
      CA: trusting ? "/ca.pem" : "",
    })
    .withCopyContentToContainer([{ content: readFileSync(site.caFile, "utf8"), target: "/ca.pem", mode: 0o444 }])
    .withLogConsumer((stream) => {
      stream.on("data", (text: Buffer | string) => {
        for (const line of text.toString().split("\n")) if (line.trim() !== "") lines.push(line.trim());
      });
    })
    .withWaitStrategy(Wait.forLogMessage(waitFor))
    .withStartupTimeout(30_000)
    .start();
  started.push(container);
  return lines;
}

test("Bob with slixmpp, by STARTTLS and with the certificate verified, and Alice write to each other", async (t) => {
  const alices = await online(t, alice, { via: "websocket" });
  const lines = await slixmpp(alices.jid, { waitFor: /^online/m });
  const hello = await alices.inbox.next(
    ({ name, attrs }) => name === "message" && (attrs.from ?? "").startsWith(`${bob.local}@${site.domain}/`),
    { what: "message from slixmpp" },
  );
  assert.equal(hello.getChildText("body"), "hello from slixmpp");
  await alices.say(hello.attrs.from as string, "grüße & <tags>");
  assert.equal(await lines.next((line) => line.startsWith("received"), { what: "line" }), "received grüße & <tags>");
  const echo = await alices.inbox.next(({ name, attrs }) => name === "message" && attrs.from === hello.attrs.from);
  assert.equal(echo.getChildText("body"), "echo: grüße & <tags>");
});

test("slixmpp with a wrong password is told so", async () => {
  await slixmpp(`${alice.local}@${site.domain}`, { password: "not his", waitFor: /^failed not authorized/m });
});

test("slixmpp that does not know the site's authority does not log in", async () => {
  await slixmpp(`${alice.local}@${site.domain}`, { trusting: false, waitFor: /^failed no trust/m });
});
