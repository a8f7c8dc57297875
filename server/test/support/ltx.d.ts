/** The part of ltx that the bench and the fuzzers use; the package has no types. */
declare module "ltx" {
  import { EventEmitter } from "node:events";

  export class Element {
    readonly name: string;
    readonly attrs: Record<string, string>;
    readonly parent: Element | null | undefined;
    readonly children: readonly (Element | string)[];
    constructor(name: string, attrs: Record<string, string>);
    cnode(child: Element): Element;
    t(text: string): this;
    getNS(): string | undefined;
    getName(): string;
    findNS(prefix?: string): string | undefined;
    toString(): string;
  }

  export interface Tokenizer extends EventEmitter {
    write(text: string): void;
  }

  export class Parser extends EventEmitter {
    readonly DefaultParser: new () => Tokenizer;
    end(text: string): void;
  }

  export function clone(element: Element): Element;
}
