import { spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { type Form, formOf, type Reader } from "./form.ts";

type Answer = readonly [string, string, readonly (readonly [string, string])[], readonly (Answer | string)[]];

/** What Prosody, ejabberd, slixmpp and many more read with, through Python; undefined where there is no Python. */
export function expat(): Reader | undefined {
  if (spawnSync("python3", ["-c", "import xml.parsers.expat"]).status !== 0) return undefined;
  const child = spawn("python3", [`${import.meta.dirname}/expat.py`], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    name: "expat",
    outputOnly: false,
    excuses: () => false,
    async read(document) {
      child.stdin.write(`${document.toString("base64")}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error("the expat process has ended");
      const answer = JSON.parse(value) as Answer | string;
      return typeof answer === "string" ? answer : form(answer);
    },
    stop: () => void child.kill(),
  };
}

function form([namespace, name, attributes, children]: Answer): Form {
  return formOf(
    namespace,
    name,
    attributes,
    children.map((child) => (typeof child === "string" ? child : form(child))),
  );
}
