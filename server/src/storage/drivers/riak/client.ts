/** Objects, siblings and secondary indexes of Riak KV over HTTP, as of Riak 3. */
import { StorageError } from "../../specs.ts";
import { siblingsOf } from "./multipart.ts";
import type { NodeAnswer } from "./node.ts";
import { type NodesOptions, RiakNodes } from "./nodes.ts";
import { type EntryPage, type Found, type Indexes, type Place, refusal } from "./wire.ts";

export interface ClientOptions extends NodesOptions {
  readonly bucketType: string;
  /** Bytes of one object, which must be below what Riak takes. */
  readonly objectBytes: number;
}

const JSON_TYPE = "application/json";
/** All siblings at once where there are any, else the object as it is. */
const ACCEPT = "multipart/mixed, */*;q=0.5";

export class RiakClient {
  readonly #nodes: RiakNodes;
  readonly #options: ClientOptions;
  readonly #where: string;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#nodes = new RiakNodes(options);
    this.#where = `riak at ${options.origins.join(", ")}`;
  }

  get where(): string {
    return this.#where;
  }

  get timeout(): number {
    return this.#options.timeout;
  }

  get bucketType(): string {
    return this.#options.bucketType;
  }

  async fetch(place: Place): Promise<Found> {
    const answer = await this.#nodes.send({ method: "GET", path: this.#path(place), headers: { accept: ACCEPT } });
    return this.#found(place, answer);
  }

  /** The vclock alone. */
  async vclock(place: Place): Promise<string | undefined> {
    const answer = await this.#nodes.send({ method: "HEAD", path: this.#path(place) });
    if (answer.status !== 200 && answer.status !== 300 && answer.status !== 404) throw this.#refusal(answer);
    return answer.header("x-riak-vclock");
  }

  /** Writes after what the vclock stands for; what came meanwhile stays beside it. */
  async put(place: Place, body: string, indexes: Indexes, vclock: string | undefined): Promise<void> {
    const answer = await this.#put(place, body, indexes, vclock, {});
    if (answer.status !== 204) throw this.#refusal(answer);
  }

  /** Writes where nothing is, as far as one node of Riak can tell; "there" when something is. */
  async putNew(place: Place, body: string, indexes: Indexes): Promise<"stored" | "there"> {
    const answer = await this.#put(place, body, indexes, undefined, { "if-none-match": "*" });
    if (answer.status === 412) return "there";
    if (answer.status !== 204) throw this.#refusal(answer);
    return "stored";
  }

  /**
   * Writes if nothing has changed since `vclock`, as far as one node of Riak can tell, and answers with all that is there
   * afterwards, so that a writer who came in between is seen; "changed" when something has.
   */
  async putIfSame(place: Place, body: string, indexes: Indexes, same: Found): Promise<Found | "changed"> {
    // A removal leaves a vclock, and is nothing that a condition could name.
    const isThere = same.siblings.length > 0 && same.vclock !== undefined;
    const condition = isThere ? { "x-riak-if-not-modified": same.vclock as string } : { "if-none-match": "*" };
    const answer = await this.#put(place, body, indexes, same.vclock, condition, "?returnbody=true");
    // Riak before 3.4 says 409 where later ones say 412; too many siblings are resolved by reading them anew.
    if (answer.status === 409 || answer.status === 412) return "changed";
    if (answer.status === 500 && answer.text.includes("too_many_siblings")) return "changed";
    if (answer.status !== 200 && answer.status !== 300) throw this.#refusal(answer);
    return this.#found(place, answer);
  }

  /** Removes what is there; with a vclock, what that stands for. */
  async remove(place: Place, vclock?: string): Promise<void> {
    const answer = await this.#nodes.send({
      method: "DELETE",
      path: this.#path(place),
      ...(vclock !== undefined && { headers: { "x-riak-vclock": vclock } }),
    });
    if (answer.status !== 204 && answer.status !== 404) throw this.#refusal(answer);
  }

  /** So many entries of an index from one term to another, both in, in order. */
  async query(
    bucket: string,
    index: string,
    [from, to]: readonly [string, string],
    max: number,
    continuation?: string,
  ): Promise<EntryPage> {
    const range = `${encodeURIComponent(from)}/${encodeURIComponent(to)}`;
    const more = continuation === undefined ? "" : `&continuation=${encodeURIComponent(continuation)}`;
    const path = `${this.#bucketPath(bucket)}/index/${index}_bin/${range}?return_terms=true&max_results=${max}${more}`;
    const answer = await this.#nodes.send({ method: "GET", path });
    if (answer.status !== 200) throw this.#refusal(answer);
    return this.#page(answer.text);
  }

  /** The properties of the bucket type; undefined when there is no such type. */
  async typeProperties(): Promise<Readonly<Record<string, unknown>> | undefined> {
    const answer = await this.#nodes.send({
      method: "GET",
      path: `/types/${encodeURIComponent(this.bucketType)}/props`,
    });
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw this.#refusal(answer);
    return (this.#json(answer.text) as { props: Readonly<Record<string, unknown>> }).props;
  }

  async ping(): Promise<void> {
    const answer = await this.#nodes.send({ method: "GET", path: "/ping" });
    if (answer.status !== 200) throw this.#refusal(answer);
  }

  close(): Promise<void> {
    return this.#nodes.close();
  }

  #put(
    place: Place,
    body: string,
    indexes: Indexes,
    vclock: string | undefined,
    condition: Readonly<Record<string, string>>,
    query = "",
  ): Promise<NodeAnswer> {
    const { objectBytes } = this.#options;
    const bytes = Buffer.byteLength(body);
    if (bytes > objectBytes) {
      throw new StorageError(
        `${this.#where}: an object of ${place.bucket} is ${bytes} bytes; at most ${objectBytes} are kept`,
      );
    }
    // All entries are named at each write: those that are not are gone.
    const entries = Object.entries(indexes).map(([name, terms]) => [`x-riak-index-${name}_bin`, terms.join(", ")]);
    return this.#nodes.send({
      method: "PUT",
      path: this.#path(place) + query,
      headers: {
        accept: ACCEPT,
        "content-type": JSON_TYPE,
        ...(vclock !== undefined && { "x-riak-vclock": vclock }),
        ...condition,
        ...Object.fromEntries(entries),
      },
      body,
    });
  }

  async #found(place: Place, answer: NodeAnswer): Promise<Found> {
    const vclock = answer.header("x-riak-vclock");
    if (answer.status === 200) return { vclock, siblings: [answer.text] };
    if (answer.status === 404 && !answer.text.startsWith("Unknown bucket type")) return { vclock, siblings: [] };
    if (answer.status !== 300) throw this.#refusal(answer);
    const type = answer.header("content-type") ?? "";
    // An answer to a write may name the siblings and leave out what they are.
    if (!type.startsWith("multipart/mixed")) return this.fetch(place);
    return { vclock, siblings: siblingsOf(type, answer.text) };
  }

  #page(text: string): EntryPage {
    const { results = [], continuation } = this.#json(text) as {
      results?: readonly Readonly<Record<string, string>>[];
      continuation?: string;
    };
    const entries = results.flatMap((result) => Object.entries(result).map(([term, key]) => ({ term, key })));
    return { entries, continuation };
  }

  #json(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new StorageError(`${this.#where}: answered what is no JSON`, { cause: error });
    }
  }

  #refusal(answer: NodeAnswer): StorageError {
    return new StorageError(`${this.#where}: ${refusal(answer)}`);
  }

  #bucketPath(bucket: string): string {
    return `/types/${encodeURIComponent(this.bucketType)}/buckets/${bucket}`;
  }

  #path({ bucket, key }: Place): string {
    return `${this.#bucketPath(bucket)}/keys/${encodeURIComponent(key)}`;
  }
}
