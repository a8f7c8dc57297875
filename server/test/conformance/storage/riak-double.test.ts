/** Holds the double against what a real Riak said: a double that is wrong proves nothing. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { request } from "undici";
import { RiakDouble } from "./riak-double.ts";
import recordings from "./riak-recordings.json" with { type: "json" };

type Headers = Readonly<Record<string, string | undefined>>;
interface Exchange {
  readonly name: string;
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly headers: Headers;
    readonly body: string;
  };
  readonly response: { readonly status: number; readonly headers: Headers; readonly body: string };
}

const EXCHANGES = recordings.exchanges as unknown as readonly Exchange[];
/** What Riak makes up itself: that it is there counts, not what it is. */
const OPAQUE = new Set(["x-riak-vclock", "etag", "last-modified"]);

let double: RiakDouble;
/** What the double made up in place of what Riak did, by the latter. */
const translated = new Map<string, string>();

before(async () => {
  const recorded = EXCHANGES.find(({ name }) => name === "bucket-type-props") as Exchange;
  double = await RiakDouble.start({ types: { kv: JSON.parse(recorded.response.body).props } });
});
after(() => double.stop());

for (const exchange of EXCHANGES) {
  test(`answers as Riak did: ${exchange.name}`, async () => {
    const { method, path, headers, body } = exchange.request;
    const answer = await request(`http://${double.node}${translate(path)}`, {
      method: method as "GET",
      headers: Object.entries(headers).flatMap(([name, value]) => [name, translate(value ?? "")]),
      ...(method === "PUT" && { body }),
    });
    const text = await answer.body.text();
    const recorded = exchange.response;
    assert.equal(answer.statusCode, recorded.status);
    for (const [name, value] of Object.entries(recorded.headers)) {
      const own = answer.headers[name];
      if (OPAQUE.has(name)) {
        assert.equal(typeof own, "string", name);
        translated.set(value ?? "", String(own));
      } else assert.equal(plain(String(own)), plain(value ?? ""), name);
    }
    for (const name of ["x-riak-vclock", "x-riak-deleted"]) {
      assert.equal(answer.headers[name] !== undefined, recorded.headers[name] !== undefined, name);
    }
    if (recorded.body !== "") sameBody(text, exchange);
  });
}

/** Vclocks and continuations that Riak made, in the double's words. */
function translate(text: string): string {
  let result = text;
  for (const [theirs, ours] of translated) {
    result = result.replaceAll(encodeURIComponent(theirs), encodeURIComponent(ours)).replaceAll(theirs, ours);
  }
  return result;
}

function sameBody(text: string, { request: { path }, response: { headers, body } }: Exchange): void {
  const type = headers["content-type"] ?? "";
  if (type.startsWith("multipart/mixed")) assert.deepEqual(parts(text), parts(body));
  else if (body.startsWith("Siblings:")) assert.equal(text.split("\n").length, body.split("\n").length);
  else if (body.startsWith('{"keys"') || body.startsWith('{"results"'))
    sameEntries(text, body, /max_results|pagination_sort/.test(path));
  else assert.equal(text, body);
}

function sameEntries(text: string, recorded: string, isSorted: boolean): void {
  const [ours, theirs] = [JSON.parse(text), JSON.parse(recorded)];
  if (theirs.continuation !== undefined) translated.set(theirs.continuation, ours.continuation);
  assert.equal(typeof ours.continuation, typeof theirs.continuation);
  // Without a page's size the order is nobody's.
  const entries = ({ keys, results }: { keys?: unknown[]; results?: unknown[] }) =>
    isSorted
      ? { keys, results }
      : { keys: keys?.toSorted(), results: results?.map((each) => JSON.stringify(each)).sort() };
  assert.deepEqual(entries(ours), entries(theirs));
}

/** Names of headers, and bodies, in order. */
function parts(body: string) {
  const [, boundary = ""] = /--(\S+)/.exec(body) ?? [];
  return body
    .split(`--${boundary}`)
    .slice(1, -1)
    .map((part) => {
      const [head = "", content] = part.split("\r\n\r\n");
      const names = head
        .trim()
        .split("\r\n")
        .map((line) => line.split(":")[0]?.toLowerCase());
      return { names: names.filter((name) => name !== "link"), content };
    });
}

function plain(value: string): string {
  return value.replace(/boundary=.*/, "boundary=…");
}
