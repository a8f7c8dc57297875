/** What one peer's XML may grow to. */
export interface XmlLimits {
  /** Bytes of one child of the root, from its `<` to its last `>`; also bounds what waits while suspended. */
  readonly maxStanzaBytes: number;
  /** Open elements, the root among them. Serialising recurses, so this also bounds the call stack. */
  readonly maxDepth: number;
  /** Attributes and namespace declarations of one tag, and the prefixes bound at any one place. */
  readonly maxAttributes: number;
  /** Bytes of one tag, finished or not. */
  readonly maxTagBytes: number;
}

export const DEFAULT_LIMITS: XmlLimits = {
  maxStanzaBytes: 262_144,
  maxDepth: 64,
  maxAttributes: 64,
  maxTagBytes: 16_384,
};

/** For what was checked when it came in: written anew, a quote for example as `&quot;`, it may be longer than it was. */
export const CHECKED_BEFORE: XmlLimits = {
  maxStanzaBytes: Number.MAX_SAFE_INTEGER,
  maxTagBytes: Number.MAX_SAFE_INTEGER,
  maxDepth: Number.MAX_SAFE_INTEGER,
  maxAttributes: Number.MAX_SAFE_INTEGER,
};
