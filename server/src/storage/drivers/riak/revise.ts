/**
 * Reads, decides and writes one object as one step, as well as Riak can. Riak checks a condition before it writes, not
 * while it does, so that two writers may both pass; then the object has siblings, and the later one is answered with
 * them. So it is whoever sees another's write beside its own that concedes: it takes the other's for what was there
 * first, and decides again on top of it. Each change has an id that stays with what it made, so that a writer whose
 * change others built upon finds it there, and does not make it twice.
 */
import { randomInt } from "node:crypto";
import { archiveId } from "../../archive-id.ts";
import { StorageError } from "../../specs.ts";
import type { Found, Indexes, Place, RiakClient } from "./client.ts";
import type { Turns } from "./turns.ts";

/** How objects of one kind are read, written and made one of several. */
export interface Shape<D> {
  parse(body: string): D;
  write(document: D): { readonly body: string; readonly indexes: Indexes };
  /** One of several that nobody saw together, the same whatever their order. */
  merge(documents: readonly D[]): D;
  /** Whether this change is part of it. */
  carries(document: D, change: string): boolean;
}

/** What the object is to become, marked with the id of this change; "as it is" writes nothing. */
export type Change<D> = (present: D | undefined, change: string) => D | "as it is";

export interface Revised<D> {
  readonly document: D | undefined;
  /** Whether this change is part of it. */
  readonly changed: boolean;
}

/** Milliseconds of the first pause before an object that others write to is read again, at most, and of the longest. */
const FIRST_PAUSE = 8;
const LONGEST_PAUSE = 100;
/** How often siblings are read again in the hope that their writers settle it. */
const PATIENCE = 5;
/** How often to concede, only to find that the other has too, before a rule decides that is the same for both. */
const CONCESSIONS = 2;

interface Sibling<D> {
  readonly body: string | undefined;
  /** Undefined for a removal. */
  readonly document: D | undefined;
}

/** Where to go on from, and whether it is decided already. */
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
  #concessions = 0;
  #unsettled = 0;
  #pauses = 0;

  constructor(client: RiakClient, place: Place, shape: Shape<D>, change: Change<D>) {
    this.#client = client;
    this.#place = place;
    this.#shape = shape;
    this.#change = change;
  }

  async run(): Promise<Revised<D>> {
    const until = performance.now() + this.#client.timeout;
    let found: Found | "changed" = await this.#client.fetch(this.#place);
    for (;;) {
      if (found === "changed") {
        if (performance.now() > until) throw this.#tooMany();
        await this.#pause();
        found = await this.#client.fetch(this.#place);
      }
      const [mine, others] = this.#sorted(found);
      if (mine.length > 0 && others.length === 0) return { document: this.#merged(mine), changed: true };
      const base = this.#base(mine, others);
      if (base === undefined) {
        found = "changed";
        continue;
      }
      const next = base.isDecided ? "as it is" : this.#change(base.document, this.#id);
      // What this change has written already, and must not stay, is replaced even so.
      if (next === "as it is" && mine.length === 0) return { document: base.document, changed: false };
      found = await this.#write(next === "as it is" ? base.document : next, found);
      if (mine.length > 0 && found !== "changed") this.#concessions++;
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

  #sorted({ siblings }: Found): [mine: readonly Sibling<D>[], others: readonly Sibling<D>[]] {
    const mine: Sibling<D>[] = [];
    const others: Sibling<D>[] = [];
    for (const body of siblings) {
      const document = body === undefined ? undefined : this.#shape.parse(body);
      const isMine = document !== undefined && this.#shape.carries(document, this.#id);
      (isMine ? mine : others).push({ body, document });
    }
    return [mine, others];
  }

  /** Undefined while others should settle it. */
  #base(mine: readonly Sibling<D>[], others: readonly Sibling<D>[]): Base<D> | undefined {
    if (mine.length > 0 && this.#concessions >= CONCESSIONS) {
      return { document: this.#merged([...mine, ...others]), isDecided: true };
    }
    if (others.length <= 1) {
      const [only] = others;
      if (mine.length > 0) this.#elders.add(only?.body);
      return { document: only?.document };
    }
    // More came since: those see this change beside theirs, and concede to it.
    const elder = others.find(({ body }) => this.#elders.has(body));
    if (elder !== undefined) return { document: elder.document };
    if (++this.#unsettled <= PATIENCE) return undefined;
    return { document: this.#merged(others) };
  }

  #merged(siblings: readonly Sibling<D>[]): D | undefined {
    const documents = siblings.flatMap(({ document }) => (document === undefined ? [] : [document]));
    return documents.length === 0 ? undefined : this.#shape.merge(documents);
  }

  #pause(): Promise<void> {
    const longest = Math.min(FIRST_PAUSE * 2 ** this.#pauses++, LONGEST_PAUSE);
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
