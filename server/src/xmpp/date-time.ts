/** XEP-0082 3.2: an instant, to a part of a second if it says so, in any zone. */
const DATE_TIME = /^-?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

/** Milliseconds since 1970; undefined for what is no instant. */
export function parseDateTime(text: string): number | undefined {
  if (!DATE_TIME.test(text)) return undefined;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : at;
}

export function formatDateTime(at: number): string {
  return new Date(at).toISOString();
}
