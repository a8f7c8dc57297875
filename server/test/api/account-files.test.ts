/** Accounts from and to other servers (XEP-0227), with files that ejabberd 24.12 and Prosody 13.0 have written. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { exportAccounts, importAccounts } from "../../src/api/account-files.ts";
import type { Options } from "../../src/api/command.ts";
import { openPlaces } from "../../src/api/places.ts";
import { contactElements } from "../../src/api/xep0227/contacts.ts";
import { readPie } from "../../src/api/xep0227/reader.ts";
import { type Tables, tablesOf } from "../../src/api/xep0227/tables.ts";
import { parseConfig } from "../../src/config/load.ts";
import { itemsOf } from "../../src/modules/roster/book.ts";
import type { AccountStore } from "../../src/storage/specs.ts";
import { Jid } from "../../src/xmpp/jid.ts";
import { deriveKeys } from "../../src/xmpp/sasl/scram-keys.ts";

const FIXTURES = join(import.meta.dirname, "xep0227");
const EJABBERD = join(FIXTURES, "ejabberd/20261127-142413.xml");
const ALICE = new Jid("alice", "example.org");
const BOB = new Jid("bob", "example.org");

function place(t: TestContext, more = "") {
  const directory = mkdtempSync(join(tmpdir(), "meerkat-files-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const toml = `node = { data_dir = "${directory}/data" }\nauth = { scram_iterations = 4096 }\n${more || 'hosts = [{ domain = "example.org" }]'}`;
  const config = parseConfig(toml);
  const { signal } = new AbortController();

  /** What the command says, the error that ends it last, in an order of its own: accounts are made several at a time. */
  async function bring(file: string, options: Options = {}): Promise<string[]> {
    const said: string[] = [];
    const voice = { say: (line: string) => void said.push(line.replace(/ +/g, " ")), write: async () => {} };
    await importAccounts(file, options, config, voice, signal).catch((error) => said.push(error.message));
    return said;
  }

  async function take(subjects: readonly string[] = [], options: Options = {}): Promise<string> {
    let text = "";
    const voice = {
      say: (line: string) => {
        text += line;
      },
      write: async (part: string) => {
        text += part;
      },
    };
    await exportAccounts(subjects, options, config, voice, signal);
    return text;
  }

  function file(name: string, text: string): string {
    const path = join(directory, name);
    writeFileSync(path, text);
    return path;
  }

  async function look<T>(run: (tables: Tables, accounts: AccountStore) => Promise<T>): Promise<T> {
    const places = await openPlaces(config);
    try {
      const there = await places.place("example.org");
      return await run(tablesOf(there), there.accountStores[0] as AccountStore);
    } finally {
      await places.close();
    }
  }
  return { directory, bring, take, file, look };
}

const pie = (users: string, host = "example.org") =>
  `<?xml version='1.0'?>\n<server-data xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude'>\n<host jid='${host}'>\n${users}\n</host>\n</server-data>\n`;

async function logsIn(accounts: AccountStore, account: Jid, password: string): Promise<void> {
  const keys = await accounts.scram?.(account, "sha-1");
  assert.ok(keys, `${account.bare} has no keys`);
  assert.deepEqual(keys, { ...(await deriveKeys(password, "sha-1", keys.iterations, keys.salt)), ...bytesOf(keys) });
  const own = await deriveKeys(password, "sha-1", keys.iterations, keys.salt);
  assert.deepEqual(Buffer.from(keys.storedKey), own.storedKey);
  assert.deepEqual(Buffer.from(keys.serverKey), own.serverKey);
}

function bytesOf({ salt, storedKey, serverKey }: { salt: Uint8Array; storedKey: Uint8Array; serverKey: Uint8Array }) {
  return { salt, storedKey, serverKey };
}

const rosterOf = async (tables: Tables, account: Jid) =>
  contactElements(account, itemsOf((await tables.roster?.list(account)) ?? new Map())).map((each) => each.toXml());

const ROSTER =
  "<query xmlns='jabber:iq:roster'><item jid='bob@example.org' subscription='both' name='Bob &amp; Co'><group>Friends</group><group>Work &lt;1&gt;</group></item>" +
  "<item jid='dora@example.net' subscription='none' name='Dora' ask='subscribe'/></query>";

test("what ejabberd has exported comes in, and the passwords are right", async (t) => {
  const { bring, look } = place(t);
  const said = await bring(EJABBERD);
  assert.deepEqual(said.slice(0, 3).sort(), [
    "made alice@example.org 2 contacts, 2 private elements, vCard",
    "made bob@example.org 1 contact, 2 messages",
    "made carol@example.org 1 contact",
  ]);
  assert.match(
    said[3] ?? "",
    /^3 accounts have no keys for some of the mechanisms .* \(auth.scram_offered = \["sha-1", "sha-256"\]\)/,
  );
  assert.equal(said[4], "3 made");
  await look(async (tables, accounts) => {
    for (const local of ["alice", "bob", "carol"])
      await logsIn(accounts, new Jid(local, "example.org"), `pass-word-${local}`);
    assert.deepEqual(await rosterOf(tables, ALICE), [
      ROSTER,
      "<presence xmlns='jabber:client' to='alice@example.org' from='carol@example.org' type='subscribe'><status xml:lang='en'>It is me</status></presence>",
    ]);
    const item = (await tables.roster?.get(ALICE, "carol@example.org")) as { from: string };
    assert.equal(item.from, "pending");
    assert.equal(
      await tables.privateXml?.get(ALICE, "exodus exodus:prefs"),
      "<exodus xmlns='exodus:prefs'><defaultnick>Älice ☃</defaultnick></exodus>",
    );
    assert.equal((await tables.vcards?.get(ALICE))?.childText("NOTE"), "two\nlines");
    const waiting = await tables.messages?.page(BOB, { from: "oldest", max: 10 });
    assert.deepEqual(
      waiting?.items.map(({ id, with: party, value }) => [
        party.bare,
        /<body>(.*)<\/body>/.exec(value)?.[1],
        value.includes(`by='bob@example.org' id='${id}'`),
      ]),
      [
        ["alice@example.org", "Are you there?", true],
        ["alice@example.org", "Then later.", true],
      ],
    );
    assert.ok(
      !waiting?.items.some(({ value }) => value.includes("1795789451122653")),
      "an id of the former archive is left",
    );
  });
});

test("what Prosody has exported comes in, its archive too", async (t) => {
  const { bring, look } = place(t);
  for (const local of ["alice", "bob", "carol"]) await bring(join(FIXTURES, `prosody/${local}@example.org.xml`));
  await look(async (tables, accounts) => {
    for (const local of ["alice", "bob", "carol"])
      await logsIn(accounts, new Jid(local, "example.org"), `pass-word-${local}`);
    assert.deepEqual(await rosterOf(tables, ALICE), [
      ROSTER,
      "<presence xmlns='jabber:client' from='carol@example.org' type='subscribe' to='alice@example.org'/>",
    ]);
    assert.equal((await tables.privateXml?.list(ALICE))?.size, 2);
    const page = await tables.messages?.page(ALICE, { from: "oldest", max: 10, with: BOB });
    assert.deepEqual(
      page?.items.map(({ with: party, value }) => [party.full, /<body>(.*)<\/body>/.exec(value)?.[1]]),
      [
        ["bob@example.org", "Hello Bob"],
        ["bob@example.org/VW8k_0WhEF2q", "Hello Alice &lt;&amp;&gt; 😀"],
        ["bob@example.org", "Are you there?"],
        ["bob@example.org", "Then later."],
      ],
    );
    const since = Date.parse("2026-11-27T14:24:59.900Z");
    assert.equal((await tables.messages?.page(ALICE, { from: "oldest", max: 10, start: since }))?.items.length, 2);
  });
});

test("what is exported comes back the same", async (t) => {
  const [here, there] = [place(t), place(t)];
  await here.bring(EJABBERD);
  await here.bring(join(FIXTURES, "prosody/alice@example.org.xml"), { merge: true });
  await here.bring(
    here.file(
      "erin.xml",
      pie(
        "<user name='erin' password='correct horse'><query xmlns='jabber:iq:roster'><item jid='x.example' approved='true' subscription='to'/></query></user>",
      ),
    ),
  );
  const text = await here.take();
  const said = await there.bring(there.file("all.xml", text));
  assert.equal(said.at(-1), "4 made");
  assert.equal(await there.take(), text);
  assert.match(text, /<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-512'>/);
  assert.match(text, /<item jid='x.example' subscription='to' approved='true'\/>/);
});

test("an import that is repeated changes nothing", async (t) => {
  const { bring, take } = place(t);
  await bring(EJABBERD);
  const before = await take();
  const said = await bring(EJABBERD);
  assert.deepEqual(said.sort(), [
    "3 there already",
    "there already alice@example.org",
    "there already bob@example.org",
    "there already carol@example.org",
  ]);
  assert.deepEqual((await bring(EJABBERD, { merge: true })).at(-1), "3 added to");
  assert.equal(await take(), before);
});

test("with --merge an account gets what it does not have, and keeps what it has", async (t) => {
  const { bring, file, look } = place(t);
  const mine =
    "<user name='alice' password='my own words'><query xmlns='jabber:iq:roster'><item jid='bob@example.org' name='Bobby'/></query>" +
    "<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'/></query></user>";
  await bring(file("mine.xml", pie(mine)));
  const said = await bring(EJABBERD, { merge: true });
  assert.ok(said.includes("added to alice@example.org 2 contacts, 2 private elements, vCard"));
  assert.equal(said.at(-1), "2 made, 1 added to");
  await look(async (tables, accounts) => {
    await logsIn(accounts, ALICE, "my own words");
    const [roster = ""] = await rosterOf(tables, ALICE);
    assert.match(roster, /<item jid='bob@example.org' subscription='none' name='Bobby'\/>/);
    assert.match(roster, /<item jid='dora@example.net'/);
    assert.equal(await tables.privateXml?.get(ALICE, "exodus exodus:prefs"), "<exodus xmlns='exodus:prefs'/>");
    assert.ok(await tables.privateXml?.get(ALICE, "storage storage:bookmarks"));
  });
});

test("a rehearsal says what would be done, and does nothing", async (t) => {
  const { bring, file, take } = place(t);
  assert.equal((await bring(EJABBERD, { "dry-run": true })).at(-1), "3 would be made");
  assert.doesNotMatch(await take(), /<user/);
  await bring(file("bob.xml", pie("<user name='bob' password='correct horse'/>")));
  const before = await take();
  assert.equal(
    (await bring(EJABBERD, { "dry-run": true, merge: true })).at(-1),
    "2 would be made, 1 would be added to",
  );
  assert.equal(await take(), before);
});

test("a password has keys for every hash, and an account without one is told", async (t) => {
  const { bring, file, look } = place(t);
  const said = await bring(file("two.xml", pie("<user name='alice' password='pw'/><user name='bob'/>")));
  assert.ok(said.includes("bob@example.org: it has no password: give it one, or nobody can log in"));
  await look(async (_, accounts) => {
    for (const hash of ["sha-1", "sha-256", "sha-512"] as const) assert.ok(await accounts.scram?.(ALICE, hash), hash);
    assert.equal(await accounts.exists(BOB), true);
  });
});

const SCRAM = (stored: string, more = "<iter-count>4096</iter-count>", mechanism = "SCRAM-SHA-1") =>
  `<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='${mechanism}'>${more}<salt>c2FsdA==</salt><server-key>0pXWGK0GZJ6TR73AIUN3ITYtA1g=</server-key><stored-key>${stored}</stored-key></scram-credentials>`;

test("what is wrong with one account is said with its place, and leaves the others alone", async (t) => {
  const { bring, file, take } = place(t);
  const said = await bring(
    file(
      "bad.xml",
      pie(
        [
          "<user name='a b' password='x'/>",
          `<user name='short'>${SCRAM("AAAA")}</user>`,
          `<user name='none'>${SCRAM("no base64!")}</user>`,
          `<user name='zero'>${SCRAM("Q6qT/SbybblGCZz8e8eSfCJOQic=", "<iter-count>0</iter-count>")}</user>`,
          "<user name='control' password=''/>",
          "<user name='friend' password='correct'><query xmlns='jabber:iq:roster'><item jid='@'/><item jid='ok@example.net' subscription='all'/><item jid='fine@example.net'/></query></user>",
          `<user name='other'>${SCRAM("x", "", "SCRAM-SHA3-512")}${SCRAM("Q6qT/SbybblGCZz8e8eSfCJOQic=")}<query xmlns='jabber:iq:privacy'/></user>`,
          "<user name='timeless' password='correct'><archive xmlns='urn:xmpp:pie:0#mam'><result xmlns='urn:xmpp:mam:2' id='1'/></archive></user>",
          "<user name='twice' password='one'/><user name='twice' password='two'/>",
        ].join("\n"),
      ),
    ),
  );
  const about = (text: string) =>
    said.filter((line) => line.includes(text)).map((line) => line.replace(/\S*\/bad.xml/, "bad.xml"));
  assert.deepEqual(about("a b"), ['bad.xml, line 4: "a b" is no account\'s name']);
  assert.deepEqual(about("short@"), ["failed short@example.org bad.xml, line 5: SCRAM-SHA-1: a key has not 20 bytes"]);
  assert.deepEqual(about("none@"), [
    "failed none@example.org bad.xml, line 6: SCRAM-SHA-1: the stored-key is not base64",
  ]);
  assert.deepEqual(about("zero@"), [
    "failed zero@example.org bad.xml, line 7: SCRAM-SHA-1: the iter-count is no count",
  ]);
  assert.match(
    about("control@")[0] ?? "",
    /^failed control@example.org bad.xml, line 8: the password has a forbidden character, or none$/,
  );
  assert.deepEqual(about("friend@"), [
    'friend@example.org: a contact\'s address is none: "@"',
    'friend@example.org: contact ok@example.net: there is no subscription "all"',
    "made friend@example.org 1 contact",
  ]);
  assert.deepEqual(about("left out, as nobody"), [
    "left out, as nobody here understands it: credentials of SCRAM-SHA3-512 (1 times)",
    'left out, as nobody here understands it: <query/> of "jabber:iq:privacy" (1 times)',
  ]);
  assert.deepEqual(about("timeless@"), [
    "timeless@example.org: a result of the archive has no message",
    "made timeless@example.org",
  ]);
  assert.deepEqual(about("twice@"), ["made twice@example.org", "there already twice@example.org"]);
  assert.equal(said.at(-1), "4 made, 1 there already, 4 failed, 1 faults in the files");
  assert.deepEqual(
    [...(await take()).matchAll(/<user name='(\w+)'/g)].map(([, name]) => name),
    ["friend", "other", "timeless", "twice"],
  );
});

test("a file that breaks off leaves nothing of the account that it breaks off in", async (t) => {
  const { bring, file, take, look } = place(t);
  const results = Array.from(
    { length: 250 },
    (_, i) =>
      `<result xmlns='urn:xmpp:mam:2' id='${i}'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/><message xmlns='jabber:client' from='alice@example.org'><body>${i}</body></message></forwarded></result>`,
  ).join("\n");
  const whole = pie(
    `<user name='alice' password='correct'/>\n<user name='bob' password='correct'><archive xmlns='urn:xmpp:pie:0#mam'>${results}</archive></user>`,
  );
  const said = await bring(file("half.xml", whole.slice(0, whole.indexOf("<body>240"))));
  assert.match(
    said.find((line) => line.startsWith("failed")) ?? "",
    /^failed bob@example.org \S+half.xml, line 245: not-well-formed: the file ends too soon$/,
  );
  assert.deepEqual(
    [...(await take()).matchAll(/<user name='(\w+)'/g)].map(([, name]) => name),
    ["alice"],
  );
  await look(async ({ messages }) =>
    assert.equal((await messages?.page(BOB, { from: "oldest", max: 9 }))?.items.length, 0),
  );
  assert.equal((await bring(file("whole.xml", whole))).at(-1), "1 made, 1 there already");
  await look(async ({ messages }) => {
    const items = (await messages?.page(BOB, { from: "oldest", max: 300 }))?.items ?? [];
    // All of one second, and yet in the order of the file.
    assert.deepEqual(
      items.map(({ value }) => Number(/<body>(\d+)/.exec(value)?.[1])),
      Array.from({ length: 250 }, (_, i) => i),
    );
  });
});

test("files include others from their own folder, and from nowhere else", async (t) => {
  const { directory, bring, file, take } = place(t);
  const xi = "xmlns:xi='http://www.w3.org/2001/XInclude' xmlns='urn:xmpp:pie:0'";
  mkdirSync(join(directory, "in/example.org"), { recursive: true });
  file("in/main.xml", `<server-data ${xi}><xi:include href='example.org.xml'/></server-data>`);
  file(
    "in/example.org.xml",
    `<host ${xi} jid='example.org'><xi:include href='example.org/alice.xml'/><xi:include href='example.org/broken.xml'/>
     <xi:include href='example.org/missing.xml'/><xi:include href='../outside.xml'/><xi:include href='link.xml'/>
     <xi:include href='/etc/passwd'/><xi:include href='file:///etc/passwd'/><xi:include href='%2e%2e/outside.xml'/>
     <xi:include href='example.org/alice.xml' parse='text'/><xi:include href='example.org.xml'/><xi:include href='example.org/bob.xml'/></host>`,
  );
  file(
    "in/example.org/alice.xml",
    `<user ${xi} name='alice' password='correct'><xi:include href='roster.xml'/><query xmlns='jabber:iq:private'><notes xmlns='n'><xi:include href='/etc/passwd'/></notes></query></user>`,
  );
  file(
    "in/example.org/roster.xml",
    "<query xmlns='jabber:iq:roster'>\n  <item jid='x.example'><group>G</group></item>\n</query>",
  );
  file("in/example.org/broken.xml", `<user ${xi} name='broken' password='correct'>\n<vCard`);
  file("in/example.org/bob.xml", `<user ${xi} name='bob' password='correct'/>`);
  file("outside.xml", `<user ${xi} name='outside' password='correct'/>`);
  symlinkSync(join(directory, "outside.xml"), join(directory, "in/link.xml"));
  const said = (await bring(join(directory, "in/main.xml"))).join("\n");
  assert.match(said, /^made +alice@example.org 1 contact, 1 private element$/m);
  assert.match(said, /^made +bob@example.org$/m);
  assert.match(said, /^failed broken@example.org \S+broken.xml, line 2: not-well-formed/m);
  assert.match(said, /missing.xml/);
  assert.equal(said.match(/is outside of the folder of the file/g)?.length, 3);
  assert.equal(said.match(/is no relative path/g)?.length, 2);
  assert.match(said, /an include has an href, and neither parse nor xpointer/);
  assert.match(said, /<host\/> of "urn:xmpp:pie:0" is not what belongs here/);
  assert.deepEqual(
    [...(await take()).matchAll(/<user name='(\w+)'/g)].map(([, name]) => name),
    ["alice", "bob"],
  );
  assert.match(
    await take(),
    /<notes xmlns='n'><include xmlns='http:\/\/www.w3.org\/2001\/XInclude' href='\/etc\/passwd'\/><\/notes>/,
    "an include in somebody's own data is data",
  );
  file("deep.xml", `<server-data ${xi}><xi:include href='deep.xml'/></server-data>`);
  assert.match((await bring(join(directory, "deep.xml"))).join("\n"), /is outside of the folder|not what belongs here/);
});

test("hosts that are not served are left out, and said", async (t) => {
  const { bring, file } = place(t);
  const text = pie("<user name='alice' password='correct'/>").replace(
    "</server-data>",
    "<host jid='elsewhere.example'><user name='bob' password='x'/></host><host jid='exa mple'/></server-data>",
  );
  const said = await bring(file("hosts.xml", text));
  assert.match(
    said[0] ?? "",
    /line 6: "elsewhere.example" is not served here; there are example.org; its accounts are left out$/,
  );
  assert.match(said[1] ?? "", /line 6: "exa mple" is no domain; its accounts are left out$/);
  assert.equal(said.at(-1), "1 made, 2 faults in the files");
});

test("what is no such file at all is refused", async (t) => {
  const { bring, file, directory } = place(t);
  assert.match((await bring(join(directory, "nothing.xml")))[0] ?? "", /^ENOENT/);
  assert.match((await bring(directory))[0] ?? "", /is no file$/);
  for (const [text, said] of [
    ["", /line 1: not-well-formed: the file ends too soon/],
    ["<html/>", /line 1: bad-format: <html\/> of "" is not what belongs here/],
    ["<!DOCTYPE x [<!ENTITY a 'b'>]><server-data xmlns='urn:xmpp:pie:0'/>", /restricted-xml/],
    [
      pie(`<user name='a'><vCard xmlns='vcard-temp'><PHOTO>${"x".repeat(17_000_000)}</PHOTO></vCard></user>`),
      /policy-violation: a stanza too large/,
    ],
  ] as const) {
    assert.match((await bring(file("bad.xml", text))).join("\n"), said);
  }
});

test("an export goes to new files that nobody else may read, as the other server wants them", async (t) => {
  const { bring, take, directory } = place(t);
  await bring(EJABBERD);
  const [all, each] = [join(directory, "all.xml"), join(directory, "each")];
  assert.equal(await take([], { output: all, domain: "example.org" }), `3 accounts exported to ${all}`);
  assert.equal(statSync(all).mode & 0o777, 0o600);
  assert.equal(readFileSync(all, "utf8"), await take());
  await assert.rejects(take([], { output: all }), { message: /^nothing is exported: EEXIST/ });
  assert.equal(await take([], { "per-account": each }), `3 accounts exported to ${each}`);
  assert.deepEqual(readdirSync(each).sort(), ["alice@example.org.xml", "bob@example.org.xml", "carol@example.org.xml"]);
  assert.equal(readFileSync(join(each, "bob@example.org.xml"), "utf8"), await take(["bob@example.org"]));
  assert.equal(statSync(join(each, "bob@example.org.xml")).mode & 0o777, 0o600);
  const theirs = readFileSync(join(FIXTURES, "ejabberd/20261127-142413_example_org.xml"), "utf8");
  const ours = await take(["alice@example.org"], { for: "ejabberd" });
  const stored = /<stored-key>.*?<\/stored-key>/;
  assert.equal(stored.exec(ours)?.[0], stored.exec(theirs)?.[0]);
  for (const [subjects, options, message] of [
    [["nobody@example.org"], {}, /there is no account nobody@example.org/],
    [["example.org"], {}, /is not an account's JID/],
    [[], { domain: "elsewhere.example" }, /is not served here/],
    [["alice@example.org"], { domain: "example.org" }, /either --domain or addresses/],
    [[], { for: "other" }, /--for takes ejabberd/],
    [[], { output: "a", "per-account": "b" }, /either --output or --per-account/],
  ] as const) {
    await assert.rejects(take(subjects, options), { message });
  }
});

test("what a domain does not keep is left out, and said", async (t) => {
  const { bring, file, look } = place(
    t,
    `[host_types.small.modules]
     roster = {}
     presence = {}
     disco = {}
     [[hosts]]
     domain = "example.org"
     type = "small"`,
  );
  const said = await bring(join(FIXTURES, "prosody/alice@example.org.xml"));
  assert.ok(said.includes("alice@example.org: no archive is kept here: the messages are left out"));
  assert.ok(said.includes("alice@example.org: no vCards are kept here: it is left out"));
  assert.ok(said.includes("alice@example.org: no private data is kept here: it is left out"));
  assert.ok(said.includes("made alice@example.org 2 contacts, 2 private elements"));
  await look(async (tables) => assert.equal(tables.messages, undefined));
  assert.ok(file);
});

test("as a command it reads standard input and files, writes standard output, and tells by its exit", (t) => {
  const { directory, file } = place(t);
  const config = file(
    "meerkat.toml",
    `node = { data_dir = "${directory}/data" }\nauth = { scram_offered = ["sha-1"] }\nhosts = [{ domain = "example.org" }]`,
  );
  const run = (input: string, ...words: string[]) => {
    const ctl = join(import.meta.dirname, "../../src/api/ctl.ts");
    const env = { ...process.env, MEERKAT_CONFIG: config };
    const { status, stdout, stderr } = spawnSync(process.execPath, [ctl, "account", ...words], {
      input,
      env,
      encoding: "utf8",
    });
    return { status, stdout, stderr };
  };
  const theirs = readFileSync(join(FIXTURES, "prosody/alice@example.org.xml"), "utf8");
  const made = run(theirs, "import", "-");
  assert.equal(made.status, 0, made.stderr);
  assert.equal(
    made.stdout,
    "made               alice@example.org  2 contacts, 2 private elements, vCard, 4 messages\n1 made\n",
  );
  const written = run("", "export");
  assert.equal(written.status, 0, written.stderr);
  assert.match(written.stdout, /<user name='alice'>/);
  const again = run("", "import", file("again.xml", written.stdout.replace("</server-data>", "")), "--merge");
  assert.equal(again.status, 1);
  assert.match(again.stderr, /^1 added to, 1 faults in the files$/m);
  const wrong = run("", "import", "a.xml", "b.xml");
  assert.equal(wrong.status, 1);
  assert.match(wrong.stderr, /^usage: meerkatctl account/);
  assert.match(run("", "export", "--outptu", "x").stderr, /Unknown option '--outptu'[\s\S]*usage: meerkatctl account/);
});

test("a message that waited, in another namespace than a client's, is left out (found by fuzzing)", async (t) => {
  const { bring, file } = place(t);
  const message = (xmlns: string) =>
    `<message xmlns='${xmlns}' from='x.example' to='alice@example.org'><delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/><body>hi</body></message>`;
  const user = `<user name='alice' password='correct'><offline-messages>${message("urn:x")}${message("jabber:client")}</offline-messages></user>`;
  const said = await bring(file("offline.xml", pie(user)));
  assert.deepEqual(said, [
    "alice@example.org: one of the offline messages is none",
    "made alice@example.org 1 message",
    "1 made",
  ]);
});

test("a module that is not wanted gets nothing", async (t) => {
  const { bring, look } = place(
    t,
    `[host_types.default]
     without = ["mam"]
     [[hosts]]
     domain = "example.org"`,
  );
  const said = await bring(join(FIXTURES, "prosody/alice@example.org.xml"));
  assert.ok(said.includes("alice@example.org: no archive is kept here: the messages are left out"), said.join("\n"));
  await look(async (tables) => assert.equal(tables.messages, undefined));
});

test("an account with very many faults is told of some of them", async (t) => {
  const { bring, file } = place(t);
  const contacts = "<item jid='@'/>".repeat(1000);
  const path = file("faults.xml", pie(`<user name='alice'><query xmlns='jabber:iq:roster'>${contacts}</query></user>`));
  const said = (await bring(path)).filter((line) => line.startsWith("alice@example.org: "));
  assert.ok(said.length < 150, `${said.length} lines`);
  assert.ok(said.includes("alice@example.org: and 900 more of the kind"), said.slice(-2).join("\n"));
});

test("a message that waited and is in the archive comes in once, whichever is first in the file", async (t) => {
  const { bring, file, look } = place(t);
  const message =
    "<message xmlns='jabber:client' from='bob@example.org/a' to='alice@example.org' id='m'><body>once</body>";
  const delay = "<delay xmlns='urn:xmpp:delay' stamp='2026-01-02T03:04:05Z'/>";
  const waited = `<offline-messages>${message}${delay}</message></offline-messages>`;
  const archived =
    "<archive xmlns='urn:xmpp:pie:0#mam'><result xmlns='urn:xmpp:mam:2' id='1'><forwarded xmlns='urn:xmpp:forward:0'>" +
    `${delay}${message}</message></forwarded></result></archive>`;
  await bring(file("first.xml", pie(`<user name='alice'>${waited}${archived}</user>`)));
  await bring(file("second.xml", pie(`<user name='bob'>${archived}${waited}</user>`)));
  await look(async (tables) => {
    for (const account of [ALICE, BOB]) assert.equal(await tables.messages?.count(account, {}, 10), 1, account.bare);
  });
});

async function* inParts(text: string): AsyncGenerator<Uint8Array> {
  for (const [part] of text.matchAll(/.{1,100}/gs)) yield Buffer.from(part);
}

test("an included child of an account is no larger than one in the file itself", async () => {
  const texts: Readonly<Record<string, string>> = {
    main: pie("<user name='alice'><xi:include href='roster'/></user>"),
    roster: `<query xmlns='jabber:iq:roster'>${"<item jid='a@example'/>".repeat(100)}</query>`,
  };
  const open = async (name = "main") => ({ name, bytes: inParts(texts[name] ?? "") });
  for (const [maxStanzaBytes, wanted] of [
    [4096, ["host", "user", "data", "end"]],
    [1024, ["host", "user", "broken", "end"]],
  ] as const) {
    const kinds: string[] = [];
    for await (const { kind } of readPie({ open }, { maxStanzaBytes })) kinds.push(kind);
    assert.deepEqual(kinds, wanted);
  }
});

test("where accounts cannot be made, what is kept under their names stays as it is", async (t) => {
  const { bring, file, look } = place(
    t,
    `[host_types.default]
     accounts = []
     anonymous = {}
     [[hosts]]
     domain = "example.org"`,
  );
  await look(async (tables) => tables.privateXml?.set(ALICE, "kept n", "<kept xmlns='n'/>"));
  const theirs = "<query xmlns='jabber:iq:private'><brought xmlns='n'/></query>";
  const said = await bring(file("elsewhere.xml", pie(`<user name='alice'>${theirs}</user>`)));
  assert.match(said.join("\n"), /^failed alice@example.org .*kept elsewhere, and cannot be made here/m);
  await look(async (tables) => assert.deepEqual([...((await tables.privateXml?.list(ALICE)) ?? [])].length, 1));
});
