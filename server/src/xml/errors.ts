/** The stream conditions that XML alone can cause (RFC 6120 4.9.3). */
export type XmlCondition =
  | "not-well-formed"
  | "restricted-xml"
  | "bad-format"
  | "policy-violation"
  | "unsupported-encoding"
  | "bad-namespace-prefix";

/** The peer's XML cannot be taken; `condition` is what the stream error names. */
export class XmlError extends Error {
  override readonly name = "XmlError";
  readonly condition: XmlCondition;

  constructor(condition: XmlCondition, text: string) {
    super(`${condition}: ${text}`);
    this.condition = condition;
  }
}

export function notWellFormed(text: string): XmlError {
  return new XmlError("not-well-formed", text);
}
