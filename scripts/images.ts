// Reads the merged compose model (`docker compose config --format json`) from stdin and prints one line for each image
// that is built here: image, a service that builds it, and a hash over all that goes into it. Arguments: the base image's
// id, then the services that are asked for (none: all).
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";

interface Build {
  context: string;
  dockerfile?: string;
  target?: string;
  args?: Record<string, string | null>;
}

interface Model {
  services: Record<string, { image?: string; build?: Build }>;
}

const ROOT = resolve(import.meta.dirname, "..");

/** The context's paths that a Dockerfile copies; only they and the Dockerfile decide what the image holds. */
export function copiedPaths(dockerfile: string): string[] {
  const paths: string[] = [];
  for (const line of dockerfile.replaceAll(/\\\r?\n/g, " ").split("\n")) {
    const mount = [...line.matchAll(/--mount=\S*\btype=bind\b\S*/g)].map(
      (m) => /\b(?:source|src)=([^,\s]+)/.exec(m[0])?.[1] ?? ".",
    );
    if (/^\s*RUN\s/i.test(line)) paths.push(...mount);
    const copy = /^\s*(?:COPY|ADD)\s+(.*)$/i.exec(line)?.[1];
    if (copy === undefined || copy.includes("--from=")) continue;
    const words = copy.replaceAll(/--\S+\s+/g, "").trim();
    const list = words.startsWith("[") ? (JSON.parse(words) as string[]) : words.split(/\s+/);
    paths.push(...list.slice(0, -1));
  }
  return paths;
}

function expand(context: string, path: string): string[] {
  if (!/[*?[]/.test(path)) return [join(context, path)];
  const pattern = new RegExp(
    `^${path.split("/").at(-1)?.replaceAll(".", "\\.").replaceAll("*", ".*").replaceAll("?", ".")}$`,
  );
  const folder = join(context, dirname(path));
  return readdirSync(folder)
    .filter((name) => pattern.test(name))
    .map((name) => join(folder, name));
}

function hashPath(path: string, add: (text: string | Buffer) => void): void {
  // A staged context is known by its key; its 100 MB need no reading.
  const staged = /^\.build\/(\w+)(?:\/|$)/.exec(relative(ROOT, path))?.[1];
  if (staged !== undefined && existsSync(join(ROOT, ".build", `${staged}.key`))) {
    add(readFileSync(join(ROOT, ".build", `${staged}.key`)));
    return;
  }
  const stat = statSync(path, { throwIfNoEntry: false });
  add(`${relative(ROOT, path)} ${stat?.mode ?? "absent"}\n`);
  if (stat?.isDirectory()) {
    for (const name of readdirSync(path).sort()) {
      if (name !== "node_modules" && name !== ".git" && name !== ".build" && name !== ".secrets")
        hashPath(join(path, name), add);
    }
  } else if (stat !== undefined) {
    add(readFileSync(path));
  }
}

/** Images with a service that builds each and the hash of their inputs; services that share an image build it once. */
export function images(
  model: Model,
  base: string,
  only: string[] = [],
): { image: string; service: string; hash: string }[] {
  const found = new Map<string, { image: string; service: string; hash: string }>();
  for (const [service, { image, build }] of Object.entries(model.services)) {
    if (build === undefined || image === undefined || found.has(image)) continue;
    if (only.length > 0 && !only.includes(service)) continue;
    const dockerfile = resolve(build.context, build.dockerfile ?? "Dockerfile");
    const text = readFileSync(dockerfile, "utf8");
    const hash = createHash("sha256");
    hash.update(JSON.stringify([base, build.target ?? "", build.args ?? {}, text]));
    for (const path of copiedPaths(text).flatMap((each) => expand(build.context, each)))
      hashPath(path, (part) => hash.update(part));
    found.set(image, { image, service, hash: hash.digest("hex") });
  }
  return [...found.values()];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const model = JSON.parse(readFileSync(0, "utf8")) as Model;
  const [base = "", ...only] = process.argv.slice(2);
  for (const { image, service, hash } of images(model, base, only)) console.log(`${image}\t${service}\t${hash}`);
}
