/** The keys of a store that is a company's directory. */
import { z } from "zod";
import { ACCOUNT_FILTER, GROUPS, VCARD_ATTRIBUTES, type VcardField } from "../storage/drivers/ldap/defaults.ts";
import { cacheEntries } from "./cache.ts";
import { count, duration, flag, secret, size, text } from "./values.ts";

const WRITTEN = '"ldap://host:port" or "ldaps://host:port"';
const address = z.string().regex(/^ldaps?:\/\/[^/]+\/?$/, { error: "must be ldap://host:port or ldaps://host:port" });
const attribute = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9.;-]{0,63}$/, { error: "must be the name of an attribute" });

/** Attributes, the first of which that an entry has counts. */
function attributes(fallback: readonly string[], meaning: string) {
  return z
    .array(attribute)
    .max(20)
    .default([...fallback])
    .meta({ allowed: "list: attributes" })
    .describe(meaning);
}

const MEANINGS: Readonly<Record<VcardField, string>> = {
  full_name: "FN: the name as it is shown.",
  family_name: "FAMILY of N.",
  given_name: "GIVEN of N.",
  middle_name: "MIDDLE of N.",
  nickname: "NICKNAME.",
  photo: "PHOTO: a JPEG, PNG, GIF or WebP, told by its first bytes.",
  birthday: "BDAY: a date, or a generalized time.",
  email: "EMAIL: all values.",
  work_phone: "TEL, WORK VOICE: all values.",
  mobile_phone: "TEL, WORK CELL: all values.",
  home_phone: "TEL, HOME VOICE: all values.",
  fax: "TEL, WORK FAX: all values.",
  title: "TITLE.",
  role: "ROLE.",
  organization: "ORGNAME of ORG.",
  units: "ORGUNIT of ORG: the values of all of these.",
  street: "STREET of ADR.",
  locality: "LOCALITY of ADR.",
  region: "REGION of ADR.",
  postal_code: "PCODE of ADR.",
  country: "CTRY of ADR.",
  url: "URL: the address without the label behind it.",
  description: "DESC.",
};
const fields = Object.fromEntries(
  Object.entries(MEANINGS).map(([field, meaning]) => [
    field,
    attributes(VCARD_ATTRIBUTES[field as VcardField], meaning),
  ]),
) as Record<VcardField, ReturnType<typeof attributes>>;

const vcard = z.strictObject({
  photo_size: size("128KiB", { min: "1KiB", max: "1MiB" }).describe("The largest picture; a larger one is left out."),
  field_size: size("4KiB", { min: "16B", max: "64KiB" }).describe("The longest other value; a longer one is left out."),
  ...fields,
});

const roster = z.strictObject({
  base: text.optional().meta({ fallback: "that of the accounts" }).describe("Where the groups are looked for."),
  filter: text.default(GROUPS.filter).describe("Which entries are groups."),
  group_name: attributes(GROUPS.groupNames, "What a group is called."),
  member: attributes(
    GROUPS.members,
    "Where it names its members, by their entries or by their account names: the values of all of these.",
  ),
  department: attribute
    .optional()
    .meta({ allowed: "an attribute" })
    .describe("Those whose entries have the same value here are a group of that name as well, such as `ou`."),
  name: attributes(GROUPS.names, "What a colleague is called."),
  only: text
    .optional()
    .describe(
      "A filter that an account's entry must answer to as well to be a colleague, such as `(!(employeeType=disabled))`.",
    ),
  shows: z
    .enum(["own", "all"])
    .default("own")
    .describe("Whether one sees those of the groups that one is in, or, being in any, all groups."),
  max_groups: count(1000, 1, 100_000).describe("Groups that are looked at."),
  max_members: count(1000, 1, 100_000).describe("Members of a group; a larger one is left out as a whole."),
  name_size: size("1KiB", { min: "16B", max: "64KiB" }).describe("The longest name; a longer one counts as none."),
  cache_for: duration("5m", { min: "1s", max: "24h" }).describe(
    "How long the groups, once read, are used before they are read again.",
  ),
});

export const ldapStorage = z
  .strictObject({
    driver: z.literal("ldap"),
    url: z
      .union([address, z.array(address).min(1).max(10)], {
        error: "must be ldap://host:port or ldaps://host:port, or a list of those",
      })
      .meta({ allowed: `${WRITTEN}, or a list` })
      .describe("Where the directory is; of servers that have the same tree, each."),
    order: z
      .enum(["named", "turns"])
      .default("named")
      .describe("Of several servers, the first that answers is asked, or each in its turn."),
    start_tls: flag(false).describe("Whether to encrypt an ldap:// connection before anything else."),
    ca: text
      .optional()
      .describe("The file of the authority that signed the directory's certificate; else the system's are asked."),
    bind_dn: text.describe("The entry that may search."),
    bind_password: secret.describe("Its password."),
    base: text.describe("Where accounts are looked for."),
    scope: z.enum(["sub", "one"]).default("sub").describe("At any depth below the base, or right below it only."),
    filter: text
      .default(ACCOUNT_FILTER)
      .describe(
        "Which entry is an account's (RFC 4515): `%u` is its local part, `%d` its domain, `%%` a percent sign. The first attribute that is compared with `%u` is where names are read from.",
      ),
    cache_entries: cacheEntries,
    connections: count(5, 1, 100).describe("Connections for searches, and as many again to check passwords."),
    queue: count(500, 1, 100_000).describe("Requests that may wait for a connection; more are refused."),
    connect_timeout: duration("2s", { min: "100ms", max: "1m" }).describe(
      "For connecting to one server and logging in.",
    ),
    timeout: duration("5s", { min: "100ms", max: "1m" }).describe(
      "For each request, and for waiting for a connection.",
    ),
    idle_timeout: duration("1m", { min: "1s", max: "1h" }).describe("An unused connection is replaced after so long."),
    lifetime: duration("5m", { min: "1s", max: "24h" }).describe(
      "And any after so long, so that a server that was away is used again.",
    ),
    pause: duration("1s", { min: "100ms", max: "1m" }).describe(
      "How long one of several servers is not asked once it failed; each failure after it doubles that.",
    ),
    longest_pause: duration("1m", { min: "100ms", max: "1h" }).describe("The most that it is doubled to."),
    page_size: count(500, 1, 10_000).describe("Entries asked for at a time where there may be many (RFC 2696)."),
    max_entries: count(10_000, 1, 1_000_000).describe(
      "Entries that are looked at to list and count accounts, or to know who is in which group; further ones are left out.",
    ),
    vcard: vcard
      .prefault({})
      .meta({ allowed: "a table" })
      .describe(
        "The table `vcards`: which attributes a vCard is made of, the first that there is. `[]` leaves a field out.",
      ),
    roster: roster.prefault({}).meta({ allowed: "a table" }).describe("The table `shared_roster`: who are colleagues."),
  })
  .describe("A company's directory: accounts (search, then bind), vCards and colleagues. It is never written to.");
