import type { MaybePromise } from "../util/maybe-promise.ts";
import type { Element } from "../xml/element.ts";

/** What has been established about a stream. Facts are only ever added; a restart keeps them. */
export const FACTS = ["secure", "authenticated", "bound"] as const;
export type Fact = (typeof FACTS)[number];

export interface NegotiatingStream {
  readonly facts: ReadonlySet<Fact>;
  send(element: Element): void;
}

/** What came of a step: facts gained, and whether the peer must open the stream anew (RFC 6120 4.3.3). */
export interface Outcome {
  readonly gained: readonly Fact[];
  readonly restart: boolean;
  /** Whether the features are told again on the stream as it is (XEP-0388 2.6); not told with a restart. */
  readonly features?: boolean;
}

/**
 * One line of the features list. The whole of the negotiation's order lives in `needs` and `until`: no feature knows
 * of another, and the stream knows of none. `S` is the kind of stream that it is written for.
 */
export interface StreamFeature<S extends NegotiatingStream> {
  readonly xmlns: string;
  /** Offered only once all of these hold … */
  readonly needs: readonly Fact[];
  /** … and as long as none of these does. */
  readonly until: readonly Fact[];
  /** Whether an element of the peer is for this feature to take; anything that no offered feature takes ends the stream. */
  takes(element: Element): boolean;
  /** Undefined where there is nothing to tell this peer. */
  advertise(stream: S): Element | undefined;
  /** Undefined asks for another round (a SASL challenge, say). A StreamError thrown here closes the stream. */
  negotiate(element: Element, stream: S): MaybePromise<Outcome | undefined>;
  /** Said before the stream is closed when the peer asks for this although it was not offered; without, a stream error. */
  readonly refusal?: Element;
}

export function offered<S extends NegotiatingStream>(
  features: readonly StreamFeature<S>[],
  facts: ReadonlySet<Fact>,
): readonly StreamFeature<S>[] {
  return features.filter(
    ({ needs, until }) => needs.every((fact) => facts.has(fact)) && !until.some((fact) => facts.has(fact)),
  );
}
