/** The files of an import: the one that was named, and what it includes from its own folder. */
import { createReadStream, realpathSync, statSync } from "node:fs";
import { dirname, isAbsolute, join, relative, sep } from "node:path";
import { FileError, type Files } from "./reader.ts";

/** "-" is standard input, which can include nothing. */
export function filesAt(path: string): Files {
  const folder = path === "-" ? undefined : dirname(real(path));
  return {
    async open(href, from) {
      if (href === undefined)
        return path === "-" ? { name: "standard input", bytes: process.stdin } : stream(real(path), path);
      if (folder === undefined || from === undefined)
        throw new FileError(`"${href}": standard input can include no files`);
      // XEP-0227 3: a relative URI.
      if (/^[a-z][a-z0-9+.-]*:/i.test(href) || href.startsWith("/"))
        throw new FileError(`"${href}" is no relative path`);
      const found = real(join(dirname(from === path ? real(path) : from), decoded(href)));
      const inside = relative(folder, found);
      if (inside === "" || inside.split(sep)[0] === ".." || isAbsolute(inside)) {
        throw new FileError(`"${href}" is outside of the folder of the file`);
      }
      return stream(found, found);
    },
  };
}

function decoded(href: string): string {
  try {
    return decodeURIComponent(href);
  } catch {
    throw new FileError(`"${href}" is no relative path`);
  }
}

/** Without links, so that none leads out of the folder. */
function real(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    throw new FileError((error as Error).message);
  }
}

function stream(path: string, name: string) {
  if (!statSync(path).isFile()) throw new FileError(`${path} is no file`);
  return { name, bytes: createReadStream(path) };
}
