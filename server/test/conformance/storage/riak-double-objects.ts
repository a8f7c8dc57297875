/**
 * What one Riak node keeps: objects whose siblings carry the count of the write that made them, so that a vclock, which
 * is such a count, covers those that its reader had seen (dotted version vectors of one actor).
 */

export interface Sibling {
  readonly dot: number;
  /** Undefined for a removal. */
  readonly content: Content | undefined;
  readonly etag: string;
  readonly modified: Date;
}

export interface Content {
  readonly body: string;
  readonly type: string;
  /** x-riak-meta-… and x-riak-index-… as they came. */
  readonly headers: ReadonlyMap<string, string>;
}

export interface StoredObject {
  /** Tells this object from one of the same name that was forgotten meanwhile. */
  readonly birth: number;
  count: number;
  siblings: Sibling[];
}

export interface DoubleEntry {
  readonly term: string;
  readonly key: string;
}

/** More siblings than this, and a write is refused. */
const MAX_SIBLINGS = 100;
/** Milliseconds after which a removed object is forgotten, its vclock with it (`delete_mode`). */
const FORGOTTEN_AFTER = 3000;

export class TooManySiblings extends Error {}

export class DoubleObjects {
  /** Milliseconds, for tests to wind. */
  now = () => Date.now();
  /** Index entries of removed objects stay while this is set, as those of another replica may. */
  indexesLag = false;
  readonly #buckets = new Map<string, Map<string, StoredObject>>();
  readonly #stale = new Map<string, DoubleEntry[]>();
  #births = 0;
  #tags = 0;

  get(bucket: string, key: string): StoredObject | undefined {
    const objects = this.#buckets.get(bucket);
    const found = objects?.get(key);
    const removed = found?.siblings.every(({ content }) => content === undefined);
    if (found !== undefined && removed) {
      const last = Math.max(...found.siblings.map(({ modified }) => modified.getTime()));
      if (this.now() - last >= FORGOTTEN_AFTER) {
        objects?.delete(key);
        return undefined;
      }
    }
    return found;
  }

  /** Writes, or removes, after what the vclock covers; what it does not cover stays beside it. */
  put(bucket: string, key: string, content: Content | undefined, vclock: string | undefined): StoredObject {
    const objects = this.#buckets.get(bucket) ?? new Map<string, StoredObject>();
    this.#buckets.set(bucket, objects);
    const object = this.get(bucket, key) ?? { birth: ++this.#births, count: 0, siblings: [] };
    const covered = vclock === undefined ? 0 : coveredBy(vclock, object);
    const kept = object.siblings.filter(({ dot }) => dot > covered);
    if (kept.length >= MAX_SIBLINGS) throw new TooManySiblings();
    if (content === undefined && this.indexesLag) this.#remember(bucket, key, object);
    object.count++;
    object.siblings = [
      ...kept,
      { dot: object.count, content, etag: `tag${++this.#tags}`, modified: new Date(this.now()) },
    ];
    objects.set(key, object);
    return object;
  }

  /** All entries of an index in a range, in order. */
  entries(bucket: string, index: string, isIn: (term: string) => boolean, order: (a: string, b: string) => number) {
    const found: DoubleEntry[] = [...(this.#stale.get(`${bucket} ${index}`) ?? [])];
    for (const key of this.#buckets.get(bucket)?.keys() ?? []) {
      const object = this.get(bucket, key);
      if (object !== undefined) for (const term of termsOf(object, index)) found.push({ term, key });
    }
    const distinct = new Map(found.filter(({ term }) => isIn(term)).map((entry) => [JSON.stringify(entry), entry]));
    return [...distinct.values()].sort((a, b) => order(a.term, b.term) || (a.key < b.key ? -1 : 1));
  }

  #remember(bucket: string, key: string, object: StoredObject): void {
    const names = new Set(object.siblings.flatMap(({ content }) => [...(content?.headers.keys() ?? [])]));
    for (const name of names) {
      const index = INDEX.exec(name)?.[1];
      if (index === undefined) continue;
      const stale = this.#stale.get(`${bucket} ${index}`) ?? [];
      this.#stale.set(`${bucket} ${index}`, [...stale, ...termsOf(object, index).map((term) => ({ term, key }))]);
    }
  }
}

const INDEX = /^x-riak-index-(.+)$/;

/** Of all siblings together. */
function termsOf({ siblings }: StoredObject, index: string): string[] {
  const values = siblings.flatMap(({ content }) => content?.headers.get(`x-riak-index-${index}`)?.split(", ") ?? []);
  return [...new Set(values.map((value) => value.trim()))];
}

export function vclockOf({ birth, count }: StoredObject): string {
  return Buffer.from(`vclock ${birth} ${count}`).toString("base64");
}

function coveredBy(vclock: string, object: StoredObject): number {
  const [, birth, count] = Buffer.from(vclock, "base64").toString().split(" ");
  return Number(birth) === object.birth ? Number(count) : 0;
}
