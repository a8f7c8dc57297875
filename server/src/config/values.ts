/** How values are written in the configuration. Each says in its metadata what is allowed, for the reference. */
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
    const factor = Object.hasOwn(units, unit ?? "") ? units[unit ?? ""] : undefined;
    return factor === undefined ? undefined : Number(number) * factor;
  };
  const lowest = read(min) as number;
  const highest = read(max) as number;
  const error = `must be ${what}, from ${min} to ${max}`;
  return z
    .string({ error })
    .transform((text, context) => {
      const value = read(text);
      if (value !== undefined && value >= lowest && value <= highest) return value;
      context.addIssue({ code: "custom", message: error, input: text });
      return z.NEVER;
    })
    .prefault(fallback)
    .meta({ allowed: `"${min}" to "${max}"` });
}

/** A whole number; in quotes too, for that is what `${VAR}` gives. */
export function count(fallback: number, min: number, max: number) {
  return whole(min, max, `a whole number from ${min} to ${max}`).default(fallback);
}

export const port = whole(0, 65_535, "a port, 0 to 65535 (0: any free one)");

function whole(min: number, max: number, what: string) {
  const error = `must be ${what}`;
  return z
    .preprocess(
      (value) => (typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value),
      z.int({ error }).min(min, { error }).max(max, { error }),
    )
    .meta({ allowed: `${min} to ${max}` });
}

/** True or false; in quotes too, for that is what `${VAR}` gives. */
export function flag(fallback: boolean) {
  return z
    .preprocess(
      (value) => (value === "true" ? true : value === "false" ? false : value),
      z.boolean({ error: "must be true or false" }),
    )
    .meta({ allowed: "true or false" })
    .default(fallback);
}

export const text = z.string().min(1, { error: "must not be empty" }).meta({ allowed: "text" });

/** Most often `{ file = "/run/secrets/x" }`. */
export const secret = z
  .string({ error: 'must be text, or { file = "/path" }' })
  .min(1, { error: "must not be empty" })
  .meta({ allowed: "a secret" });

/** What a section is called by others. */
export const name = z
  .string()
  .regex(/^[a-z][a-z0-9_-]{0,31}$/, { error: "must be a name: a letter, then a-z, 0-9, _ and -, 32 at most" })
  .meta({ allowed: "a name" });

export const domainName = z
  .string()
  .transform((text, context) => {
    const domain = prepareDomain(text);
    if (domain !== undefined) return domain;
    context.addIssue({ code: "custom", message: 'must be a domain such as "example.org"', input: text });
    return z.NEVER;
  })
  .meta({ allowed: "a domain" });

/** A network in CIDR form, or a single address. */
export const network = z
  .union([z.cidrv4(), z.cidrv6(), z.ipv4(), z.ipv6()], {
    error: 'must be an address or a network such as "172.28.2.0/24"',
  })
  .meta({ allowed: "networks or addresses" });

/** http:// or https://, without what could hide a mistake or a secret in it. */
export const webUrl = z
  .string()
  .refine(
    (text) => {
      const url = URL.canParse(text) ? new URL(text) : undefined;
      return /^https?:\/\//.test(text) && url?.username === "" && url.search === "" && url.hash === "";
    },
    { error: 'must be an address such as "https://example.org/path", without a name, a query or a fragment' },
  )
  .meta({ allowed: "a URL" });

export const endpoint = z
  .string()
  .refine(
    (text) => {
      const [, port] = /^(?:\[[0-9A-Fa-f:.]+\]|[^:\s]+):(\d{1,5})$/.exec(text) ?? [];
      return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535;
    },
    { error: 'must be "host:port"' },
  )
  .meta({ allowed: '"host:port"' });
