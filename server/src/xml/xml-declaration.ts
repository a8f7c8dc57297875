import { notWellFormed, XmlError } from "./errors.ts";

// XML 1.0 2.8.
const XML_DECLARATION =
  /^<\?xml[ \t\n]+version[ \t\n]*=[ \t\n]*(?:'1\.0'|"1\.0")(?:[ \t\n]+encoding[ \t\n]*=[ \t\n]*(?:'([A-Za-z][-\w.]*)'|"([A-Za-z][-\w.]*)"))?(?:[ \t\n]+standalone[ \t\n]*=[ \t\n]*(?:'(?:yes|no)'|"(?:yes|no)"))?[ \t\n]*\?>$/;

/** Takes `<?xml ...?>` for version 1.0 and UTF-8; any other `<?...>` is a processing instruction (RFC 6120 11.1). */
export function checkXmlDeclaration(text: string): void {
  if (!/^<\?xml[ \t\n?]/.test(text)) throw new XmlError("restricted-xml", "a processing instruction");
  const match = XML_DECLARATION.exec(text);
  if (match === null) throw notWellFormed("the XML declaration");
  const encoding = match[1] ?? match[2] ?? "UTF-8";
  // RFC 6120 11.6.
  if (encoding.toUpperCase() !== "UTF-8") throw new XmlError("unsupported-encoding", "an encoding other than UTF-8");
}
