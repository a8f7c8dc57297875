/** Writes docs/configuration.md from the schemas, so that keys, defaults and meanings are written down once. */
import { type core, globalRegistry, type ZodNumber, type ZodString } from "zod";
import { schema } from "../src/config/schema.ts";
import { MODULES } from "../src/modules/catalogue.ts";

const INTRODUCTION = `# Configuration

A node reads one file, [TOML](https://toml.io) 1.0, named by the environment variable \`MEERKAT_CONFIG\`. Every key has a default
or says that it is required; with no file at all a node is a complete server for \`localhost\`. The one of the datacenter is
[../compose/meerkat/meerkat.toml](../compose/meerkat/meerkat.toml).

The file is read at start. Whatever is wrong with it stops the start, all of it at once, each mistake with its key, its value and
what is allowed; entries of lists are counted from 0:

\`\`\`
the configuration has 3 mistakes:
  limits.stanza_size = "10": must be a size such as "256KiB" (B, KiB, MiB, GiB), from 10000B to 16MiB
  limits.inbx: there is no such key; did you mean "inbox"?
  storage.main.password: /run/secrets/postgres_password cannot be read (ENOENT); mend the path, or the file's permissions
\`\`\`

- Durations are a number with \`ms\`, \`s\`, \`m\`, \`h\` or \`d\`: \`"30s"\`. Sizes are a number with \`B\`, \`KiB\`, \`MiB\` or \`GiB\`: \`"256KiB"\`.
- \`\${VAR}\` within a text is that variable of the environment, which must be set. Numbers, true and false may be given so too:
  \`max_connections = "\${MAX}"\`.
- \`{ file = "/run/secrets/x" }\` in place of a text is what that file contains, without white space at its end. Secrets
  are best given so; they are never shown in a message.
`;

type Schema = core.$ZodType;
/** What the kinds of schema that the configuration is made of have in their definitions. */
interface Definition {
  readonly type: string;
  readonly innerType?: Schema;
  readonly in?: Schema;
  readonly out?: Schema;
  readonly element?: Schema;
  readonly valueType?: Schema;
  readonly defaultValue?: unknown;
  readonly options?: readonly Schema[];
  readonly discriminator?: string;
  readonly shape?: Readonly<Record<string, Schema>>;
  readonly values?: readonly unknown[];
  readonly entries?: Readonly<Record<string, string>>;
}

/** A schema without what is wrapped around it. */
interface Bare {
  readonly inner: Schema;
  readonly allowed: string | undefined;
  readonly meaning: string;
  /** As it would be written, in Markdown. */
  readonly fallback: string;
}

export function configReference(): string {
  const sections = Object.entries(schema.shape).map(([key, section]) => sectionText(key, section));
  return `${INTRODUCTION}\n${sections.join("\n")}`;
}

function sectionText(key: string, section: Schema): string {
  const { inner, meaning, fallback } = bare(section);
  const definition = define(inner);
  const item = definition.element ?? definition.valueType;
  const header = definition.element ? `[[${key}]]` : definition.valueType ? `[${key}.<name>]` : `[${key}]`;
  const isPlain = fallback === "`{}`";
  const lines = [
    `## ${key}`,
    "",
    `\`${header}\`: ${lowerFirst(meaning)}${isPlain ? "" : ` Default: ${fallback}.`}`,
    "",
  ];
  lines.push(...tables(key, item ?? inner), ...innerTables(header.slice(1, -1), item ?? inner));
  if (key === "host_types") lines.push(...modules());
  return lines.join("\n");
}

/** One table, or one for each kind. */
function tables(key: string, table: Schema): string[] {
  const { options, discriminator = "", shape = {} } = define(table);
  if (options === undefined) return keyTable(shape);
  return options.flatMap((option) => {
    const { [discriminator]: kind, ...others } = define(option).shape ?? {};
    const [value] = kind === undefined ? [] : (define(kind).values ?? []);
    const title = `### ${key}: ${discriminator} = "${value}"`;
    return [title, "", bare(option).meaning, "", ...keyTable(others), ...innerTables(`${key}.<name>`, option)];
  });
}

/** The tables that stand in a table as the value of one of its keys. */
function innerTables(header: string, table: Schema): string[] {
  return Object.entries(define(table).shape ?? {}).flatMap(([key, value]) => {
    const { inner, meaning } = bare(value);
    const { type, shape = {} } = define(inner);
    if (type !== "object") return [];
    return [`### ${key}`, "", `\`[${header}.${key}]\`: ${lowerFirst(meaning)}`, "", ...keyTable(shape)];
  });
}

function modules(): string[] {
  const lines = [
    "### Modules",
    "",
    "`[host_types.<name>.modules.<module>]`: a table for each module that is to run, empty for its defaults. Without any such table",
    "every module runs. What each does is in [modules/README.md](modules/README.md).",
    "",
  ];
  for (const [name, { config }] of [...MODULES].sort(([a], [b]) => (a < b ? -1 : 1))) {
    lines.push(`#### modules.${name}`, "");
    if (config === undefined) lines.push("No settings.", "");
    else lines.push(...keyTable(define(bare(config).inner).shape ?? {}, `see [${name}.md](modules/${name}.md)`));
  }
  return lines;
}

function keyTable(shape: Readonly<Record<string, Schema>>, elsewhere = ""): string[] {
  if (Object.keys(shape).length === 0) return [];
  const rows = Object.entries(shape).map(([key, value]) => {
    const { inner, allowed = typeText(inner), meaning, fallback } = bare(value);
    return `| \`${key}\` | ${cell(allowed)} | ${cell(fallback)} | ${cell(meaning || elsewhere)} |`;
  });
  return ["| key | value | default | meaning |", "|---|---|---|---|", ...rows, ""];
}

function bare(schema: Schema): Bare {
  const { description: meaning = "", allowed, fallback } = globalRegistry.get(schema) ?? {};
  const definition = define(schema);
  const within = definition.innerType ?? (definition.type === "pipe" ? pipeEnd(definition) : undefined);
  const below = within === undefined ? undefined : bare(within);
  return {
    inner: below?.inner ?? schema,
    allowed: allowed === undefined ? below?.allowed : String(allowed),
    meaning: meaning === "" ? (below?.meaning ?? "") : meaning,
    fallback: fallback === undefined ? (ownFallback(definition) ?? below?.fallback ?? "required") : String(fallback),
  };
}

/** The end that says how the value is written: a transformation comes before what checks it, or after. */
function pipeEnd(definition: Definition): Schema | undefined {
  return definition.in !== undefined && define(definition.in).type !== "transform" ? definition.in : definition.out;
}

function ownFallback(definition: Definition): string | undefined {
  if ("defaultValue" in definition) return `\`${toml(definition.defaultValue)}\``;
  return definition.type === "optional" ? "none" : undefined;
}

function typeText(schema: Schema): string {
  const { type, entries = {}, element } = define(schema);
  switch (type) {
    case "enum":
      return Object.values(entries)
        .map((value) => `"${value}"`)
        .join(", ");
    case "array": {
      const { inner, allowed } = bare(element as Schema);
      return `list: ${allowed ?? typeText(inner)}`;
    }
    case "boolean":
      return "true or false";
    case "number": {
      const { minValue, maxValue } = schema as ZodNumber;
      return `${minValue} to ${maxValue}`;
    }
    case "string": {
      const { maxLength } = schema as ZodString;
      return maxLength === null ? "text" : `text, ${maxLength} characters at most`;
    }
    default:
      throw new Error(`a ${type} has no words in the reference; give it some with .meta({ allowed })`);
  }
}

function define(schema: Schema): Definition {
  return schema._zod.def as Definition;
}

function toml(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toml).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).map(([key, item]) => `${key} = ${toml(item)}`);
  return entries.length === 0 ? "{}" : `{ ${entries.join(", ")} }`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

if (import.meta.main) process.stdout.write(configReference());
