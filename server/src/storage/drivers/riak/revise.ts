/**
 * Reads, decides and writes one object as one step, as well as Riak can. Riak checks a condition before it writes, not
 * while it does, so that two writers may both pass; then the object has siblings, and the later one is answered with
 * them. So it is whoever sees another's write beside its own that concedes: it takes the other's for what was there
 * first, and decides again on top of it. A document counts the changes that it is built of, so that a sibling with
 * fewer is known for one whose writer came late and will concede. And each change has an id that stays with what it
 * made, so that a writer whose change others built upon finds it there, and does not make it twice.
 */
import { randomInt } from "node:crypto";
import { archiveId, archiveTime } from "../../archive-id.ts";
import { StorageError } from "../../specs.ts";
import type { RiakClient } from "./client.ts";
import type { Turns } from "./turns.ts";
import type { Found, Indexes, Place } from "./wire.ts";

/** How objects of one kind are read, written and made one of several. */
export interface Shape<D> {
  parse(body: string): D;
  write(document: D): { readonly body: string; readonly indexes: Indexes };
  /** One of several that nobody saw together, the same whatever their order. */
  merge(documents: readonly D[]): D;
  /** Whether this change is part of it. */
  carries(document: D, change: string): boolean;
  /** How many changes it is built of. */
  version(document: D): number;
  /** The id of its latest change; ids tell the time. */
  latest(document: D): string;
}

/** What the object is to become, marked with the id of this change; "as it is" writes nothing. */
export type Change<D> = (present: D | undefined, change: string) => D | "as it is";

export interface Revised<D> {
  readonly document: D | undefined;
  /** Whether this change is part of it. */
  readonly changed: boolean;
}

/** Milliseconds of the first pause before an object that others write to is read again, at most, and of the longest. */
const FIRST_PAUSE = 4;
const LONGEST_PAUSE = 32;
/** How often to take this change back, only to find that the other has put it there in place of its own, before a rule decides. */
const MOST_YIELDED = 2;

interface Sibling<D> {
  readonly body: string | undefined;
  readonly version: number;
  /** Undefined for a removal. */
  readonly document: D | undefined;
}

/** Where to go on from, and whether there is nothing more to decide. */
interface Base<D> {
  readonly document: D | undefined;
  readonly isDecided?: boolean;
}

export interface Writing {
  readonly client: RiakClient;
  readonly turns: Turns;
}

export function revise<D>(
  { client, turns }: Writing,
  place: Place,
  shape: Shape<D>,
  change: Change<D>,
): Promise<Revised<D>> {
  return turns.take(`${place.bucket}/${place.key}`, () => new Revision(client, place, shape, change).run());
}

class Revision<D> {
  readonly #client: RiakClient;
  readonly #place: Place;
  readonly #shape: Shape<D>;
  readonly #change: Change<D>;
  readonly #id = archiveId();
  /** Bodies that stood beside this change alone: they were there first. */
  readonly #elders = new Set<string | undefined>();
  readonly #begun = performance.now();
  /** The siblings that were last waited for, and since when. */
  #tie = "";
  #tied = 0;
  #yielded = 0;
  #pauses = 0;

  constructor(client: RiakClient, place: Place, shape: Shape<D>, change: Change<D>) {
    this.#client = client;
    this.#place = place;
    this.#shape = shape;
    this.#change = change;
  }

  async run(): Promise<Revised<D>> {
    let found: Found | "changed" = await this.#client.fetch(this.#place);
    for (;;) {
      if (found === "changed") {
        if (this.#elapsed > this.#client.timeout) throw this.#tooMany();
        await this.#pause();
        found = await this.#client.fetch(this.#place);
      }
      const [mine, others] = this.#sorted(found);
      if (mine.length > 0 && others.length === 0) return { document: this.#merged(mine), changed: true };
      const base = mine.length > 0 ? this.#conceded(mine, others) : this.#base(others);
      if (base === undefined) {
        found = "changed";
        continue;
      }
      const next = base.isDecided ? "as it is" : this.#change(base.document, this.#id);
      // What this change has written already, and must not stay, is replaced even so.
      if (next === "as it is" && mine.length === 0) return { document: base.document, changed: false };
      found = await this.#write(next === "as it is" ? base.document : next, found);
      if (next === "as it is" && found !== "changed") this.#yielded++;
    }
  }

  /** Without a document, what is there is removed. */
  async #write(document: D | undefined, found: Found): Promise<Found | "changed"> {
    if (document === undefined) {
      await this.#client.remove(this.#place, found.vclock);
      return { vclock: undefined, siblings: [] };
    }
    const { body, indexes } = this.#shape.write(document);
    return this.#client.putIfSame(this.#place, body, indexes, found);
  }

  /** Those that have this change, and the others; of the latter, those that have fewer changes than one of them are left out. */
  #sorted({ siblings }: Found): [mine: readonly Sibling<D>[], others: readonly Sibling<D>[]] {
    const read = siblings.map((body): Sibling<D> => {
      if (body === undefined) return { body, document: undefined, version: Number.POSITIVE_INFINITY };
      const document = this.#shape.parse(body);
      return { body, document, version: this.#shape.version(document) };
    });
    const highest = Math.max(...read.map(({ version }) => version));
    const { mine = [], others = [] } = Object.groupBy(read, ({ document }) =>
      document !== undefined && this.#shape.carries(document, this.#id) ? "mine" : "others",
    );
    return [mine, others.filter(({ version }) => version === highest)];
  }

  /** What others have written, undefined while they should settle it. */
  #base(others: readonly Sibling<D>[]): Base<D> | undefined {
    if (others.length <= 1) return { document: others[0]?.document };
    return this.#mayBeSettled(others) ? undefined : { document: this.#merged(others) };
  }

  /** What was there before this change, though it was not seen. */
  #conceded(mine: readonly Sibling<D>[], others: readonly Sibling<D>[]): Base<D> | undefined {
    if (this.#yielded >= MOST_YIELDED) return { document: this.#merged([...mine, ...others]), isDecided: true };
    if (others.length === 1) this.#elders.add(others[0]?.body);
    // Those that came after this change see it beside theirs, and concede to it.
    const elder = others.find(({ body }) => this.#elders.has(body));
    return elder === undefined ? this.#base(others) : { document: elder.document };
  }

  /** Whether one of the writers may still be about to concede; this one has to wait, for it cannot tell who was first. */
  #mayBeSettled(siblings: readonly Sibling<D>[]): boolean {
    const { timeout } = this.#client;
    const tie = siblings.map(({ body }) => body).join();
    if (tie !== this.#tie) {
      this.#tie = tie;
      this.#tied = performance.now();
    }
    // Nobody has done anything about it: its writers are gone, or it is older than any of them would be.
    if (performance.now() - this.#tied > timeout / 4) return false;
    const since = Date.now() - 2 * timeout;
    return siblings.some(
      ({ document }) => document !== undefined && (archiveTime(this.#shape.latest(document)) ?? 0) > since,
    );
  }

  get #elapsed(): number {
    return performance.now() - this.#begun;
  }

  #merged(siblings: readonly Sibling<D>[]): D | undefined {
    const documents = siblings.flatMap(({ document }) => (document === undefined ? [] : [document]));
    return documents.length === 0 ? undefined : this.#shape.merge(documents);
  }

  #pause(): Promise<void> {
    // Who has waited for long goes first.
    const isLate = this.#elapsed > this.#client.timeout / 5;
    const longest = isLate ? 1 : Math.min(FIRST_PAUSE * 2 ** this.#pauses++, LONGEST_PAUSE);
    return new Promise((resolve) => setTimeout(resolve, randomInt(longest) + 1));
  }

  #tooMany(): StorageError {
    const { where, timeout } = this.#client;
    const what = `an object of ${this.#place.bucket}`;
    return new StorageError(`${where}: others changed ${what} again and again for ${timeout} ms`);
  }
}

/** What readers see of an object with siblings. */
export function seen<D>(shape: Shape<D>, { siblings }: Found): D | undefined {
  const documents = siblings.flatMap((body) => (body === undefined ? [] : [shape.parse(body)]));
  return documents.length === 0 ? undefined : shape.merge(documents);
}
