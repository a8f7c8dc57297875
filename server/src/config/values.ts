/** How values are written in the configuration: durations, sizes, addresses. */
import { z } from "zod";
import { prepareDomain } from "../xmpp/jid.ts";

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const UNITS_BYTES: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** Written as "30s"; read as milliseconds. */
export function duration(fallback: string, { min = "0ms", max = "24h" } = {}) {
  return quantity(fallback, min, max, UNITS_MS, 'a duration such as "30s" (ms, s, m, h, d)');
}

/** Written as "256KiB"; read as bytes. */
export function size(fallback: string, { min = "1B", max = "1GiB" } = {}) {
  return quantity(fallback, min, max, UNITS_BYTES, 'a size such as "256KiB" (B, KiB, MiB, GiB)');
}

function quantity(fallback: string, min: string, max: string, units: Readonly<Record<string, number>>, what: string) {
  const read = (text: string): number | undefined => {
    const [, number, unit] = /^(\d{1,15})\s?([A-Za-z]+)$/.exec(text) ?? [];
    const factor = units[unit ?? ""];
    return factor === undefined ? undefined : Number(number) * factor;
  };
  const lowest = read(min) as number;
  const highest = read(max) as number;
  return z
    .string({ error: `must be ${what}` })
    .transform((text, context) => {
      const value = read(text);
      if (value !== undefined && value >= lowest && value <= highest) return value;
      context.addIssue({ code: "custom", message: `must be ${what}, from ${min} to ${max}`, input: text });
      return z.NEVER;
    })
    .prefault(fallback);
}

export function count(fallback: number, min: number, max: number) {
  const error = `must be a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error }).default(fallback);
}

export const port = z.int({ error: "must be a port, 0 to 65535" }).min(0).max(65_535);

/** A secret: any text that is not empty; most often `{ file = "/run/secrets/x" }`. */
export const secret = z.string({ error: 'must be text, or { file = "/path" }' }).min(1, { error: "must not be empty" });

export const domainName = z.string().transform((text, context) => {
  const domain = prepareDomain(text);
  if (domain !== undefined) return domain;
  context.addIssue({ code: "custom", message: "must be a domain name", input: text });
  return z.NEVER;
});

/** A network in CIDR form, or a single address. */
export const network = z.union([z.cidrv4(), z.cidrv6(), z.ipv4(), z.ipv6()], {
  error: 'must be an address or a network such as "172.28.2.0/24"',
});

/** "host:port". */
export const endpoint = z.string().regex(/^(\[[0-9A-Fa-f:]+\]|[^:\s]+):\d{1,5}$/, { error: 'must be "host:port"' });
