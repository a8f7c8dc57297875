/** What Riak answers for an object with siblings: multipart/mixed (RFC 2046 5.1), a part for each. */

/** The bodies of the parts in order; undefined for a part that says the object was deleted. */
export function siblingsOf(contentType: string, body: string): (string | undefined)[] {
  const boundary = /boundary="?([^";]+)"?/.exec(contentType)?.[1];
  if (boundary === undefined) throw new Error(`no boundary in "${contentType}"`);
  const parts = `\r\n${body}`.split(`\r\n--${boundary}`);
  // Before the first boundary, and behind the last one, there is nothing of interest.
  return parts.slice(1, -1).map(bodyOf);
}

function bodyOf(part: string): string | undefined {
  const end = part.indexOf("\r\n\r\n");
  const headers = end === -1 ? part : part.slice(0, end);
  if (/^x-riak-deleted: *true$/im.test(headers)) return undefined;
  return end === -1 ? "" : part.slice(end + 4);
}
