/** XEP-0050: commands that other modules bring, listed and run step by step. */
import { z } from "zod";
import { duration } from "../config/values.ts";
import { defineModule, type IqRequest } from "../module/api.ts";
import { randomId } from "../util/ids.ts";
import { type Element, element } from "../xml/element.ts";
import { type StanzaCondition, StanzaError, type StanzaErrorType } from "../xmpp/errors.ts";
import { type Answers, checkForm, type Form, formElement, readForm } from "../xmpp/forms.ts";
import { type Jid, parseJid } from "../xmpp/jid.ts";
import { NS } from "../xmpp/namespaces.ts";
import { disco } from "./disco.ts";

const account = z
  .string()
  .transform((text) => parseJid(text))
  .refine((jid) => jid?.isBare === true && jid.local !== "", {
    error: 'must be an account such as "alice@example.org"',
  })
  .transform((jid) => (jid as Jid).bare);

const config = z.strictObject({
  /** Who may run the commands that are for administrators. */
  admins: z.array(account).max(1000).default([]),
  /** Commands that one account may have begun and not ended; a new one ends the oldest. */
  max_sessions: z.int().min(1).max(1000).default(10),
  /** The same for all accounts, on one node. */
  max_total: z.int().min(1).max(1_000_000).default(1000),
  session_timeout: duration("10m", { min: "10s", max: "24h" }),
});

/** Where a command stands: it asks for something and goes on with the answers, or it is done. */
export type Step =
  | {
      readonly ask: Form;
      /** Whether there is nothing to ask after this, as far as can be told. */
      readonly last: boolean;
      next(answers: Answers): Promise<Step>;
    }
  | { readonly done: readonly Element[] };

export interface Command {
  readonly node: string;
  readonly name: string;
  readonly for: "admins" | "everyone";
  /** Throws a StanzaError to refuse, which also ends the command. */
  run(requester: Jid, host: Jid): Promise<Step>;
}

export interface AdhocApi {
  /** To be called while modules start; a node is a command's own. */
  add(command: Command): void;
  isAdmin(jid: Jid): boolean;
}

type Asking = Extract<Step, { ask: Form }>;

/** A command that someone is running. */
interface Run {
  readonly id: string;
  readonly command: Command;
  readonly requester: Jid;
  readonly host: Jid;
  /** All that was asked so far, the present step last: the way back. */
  readonly steps: Asking[];
  /** Seconds since 1970. */
  expires: number;
}

const ACTIONS = ["execute", "next", "prev", "complete", "cancel"] as const;
type Action = (typeof ACTIONS)[number];

export const adhoc = defineModule({
  name: "adhoc",
  implements: [{ xep: 50, version: "1.3.0" }],
  config,
  requires: [disco],

  start({ config: limits, clock, iq, on, use }): AdhocApi {
    const admins = new Set(limits.admins);
    const commands = new Map<string, Command>();
    /** By id, the one begun first first. */
    const runs = new Map<string, Run>();

    const isAdmin = (jid: Jid) => admins.has(jid.bare);
    const mayRun = (command: Command, from: Jid) => command.for === "everyone" || isAdmin(from);

    use(disco).serve("host", {
      info({ node, from }) {
        if (node === NS.commands) return [identity("command-list", "Commands")];
        const command = commands.get(node);
        if (command === undefined) return undefined;
        if (!mayRun(command, from)) throw new StanzaError("forbidden");
        const known = [NS.commands, NS.data].map((one) => element("feature", NS.discoInfo, { var: one }));
        return [identity("command-node", command.name), ...known];
      },
      items({ node, from, to }) {
        if (node !== NS.commands) return commands.has(node) ? [] : undefined;
        return [...commands.values()]
          .filter((command) => mayRun(command, from))
          .map(({ node, name }) => element("item", NS.discoItems, { jid: to.full, node, name }));
      },
    });

    iq(NS.commands, "command", {
      host: {
        set(request) {
          const action = actionOf(request.payload);
          const { node = "", sessionid } = request.payload.attrs;
          const command = commands.get(node);
          if (command === undefined) throw new StanzaError("item-not-found");
          // Asked at every step: who has ceased to be an administrator does not go on as one.
          if (!mayRun(command, request.from)) throw new StanzaError("forbidden", "", "cancel");
          return sessionid === undefined ? begin(command, request, action) : goOn(command, request, sessionid, action);
        },
      },
    });

    on("sessionClosed", ({ session }) => {
      for (const { id, requester } of runs.values()) if (requester.full === session.jid.full) runs.delete(id);
    });

    async function begin(command: Command, { from, to }: IqRequest, action: Action): Promise<Element> {
      if (action !== "execute") throw badRequest("bad-action", "this command has not begun");
      const run: Run = { id: randomId(), command, requester: from, host: to, steps: [], expires: 0 };
      return proceed(run, await command.run(from, to));
    }

    async function goOn(command: Command, request: IqRequest, sessionId: string, action: Action): Promise<Element> {
      dropExpired();
      const run = runs.get(sessionId);
      const { from, to, payload } = request;
      if (run === undefined) throw refusal("not-allowed", "cancel", "session-expired", "this session has ended");
      // Ids are not to be guessed, and whoever has another's is told as little as whoever has none.
      if (run.command !== command || run.requester.full !== from.full || run.host.full !== to.full) {
        throw badRequest("bad-sessionid", "this session is another one's");
      }
      if (action === "cancel") {
        runs.delete(run.id);
        return answer(run, "canceled");
      }
      const step = run.steps.at(-1) as Asking;
      if (action === "prev") {
        if (run.steps.length < 2) throw badRequest("bad-action", "there is no step before this one");
        run.steps.pop();
        return show(run, run.steps.at(-1) as Asking);
      }
      if (action !== "execute" && action !== (step.last ? "complete" : "next")) {
        throw badRequest("bad-action", "not at this step");
      }
      const answers = answersTo(step, payload);
      // Only one answer goes on from a step: the same sent twice must not do a thing twice.
      runs.delete(run.id);
      return proceed(run, await step.next(answers));
    }

    function proceed(run: Run, step: Step): Element {
      if ("done" in step) return answer(run, "completed", ...step.done);
      run.steps.push(step);
      return show(run, step);
    }

    /** Keeps the run until the next answer comes. */
    function show(run: Run, step: Asking): Element {
      runs.delete(run.id);
      makeRoom(run.requester);
      run.expires = clock.seconds() + limits.session_timeout / 1000;
      runs.set(run.id, run);
      const way = step.last ? "complete" : "next";
      const back = run.steps.length > 1 ? element("prev", NS.commands) : "";
      const actions = element("actions", NS.commands, { execute: way }, back, element(way, NS.commands));
      return answer(run, "executing", actions, formElement("form", step.ask));
    }

    function makeRoom(requester: Jid): void {
      dropExpired();
      const own = [...runs.values()].filter((run) => run.requester.bare === requester.bare);
      if (own.length >= limits.max_sessions) runs.delete(own[0]?.id ?? "");
      if (runs.size >= limits.max_total) runs.delete(runs.keys().next().value ?? "");
    }

    /** The one that was shown longest ago expires first. */
    function dropExpired(): void {
      for (const { id, expires } of runs.values()) {
        if (expires > clock.seconds()) return;
        runs.delete(id);
      }
    }

    return {
      add(command) {
        if (commands.has(command.node)) throw new Error(`two commands have the node ${command.node}`);
        commands.set(command.node, command);
      },
      isAdmin,
    };
  },
});

/** XEP-0050 4.2: a message to the user; when a command fails, of type error. */
export function note(type: "info" | "warn" | "error", text: string): Element {
  return element("note", NS.commands, { type }, text);
}

function actionOf({ attrs }: Element): Action {
  const action = ACTIONS.find((each) => each === (attrs.action ?? "execute"));
  if (action === undefined) throw badRequest("malformed-action", "there is no such action");
  return action;
}

/** XEP-0050 3.5: a form of type cancel is as good as one of type submit. */
function answersTo(step: Asking, payload: Element): Answers {
  const x = payload.child("x", NS.data);
  if (x === undefined) throw badRequest("bad-payload", "the form is missing");
  try {
    return checkForm(step.ask, readForm(x));
  } catch (error) {
    if (error instanceof StanzaError) throw badRequest("bad-payload", error.text);
    throw error;
  }
}

function answer({ id, command }: Run, status: string, ...children: Element[]): Element {
  return element("command", NS.commands, { node: command.node, sessionid: id, status }, ...children);
}

function identity(type: string, name: string): Element {
  return element("identity", NS.discoInfo, { category: "automation", type, name });
}

function badRequest(condition: string, text: string): StanzaError {
  return refusal("bad-request", "modify", condition, text);
}

function refusal(condition: StanzaCondition, type: StanzaErrorType, detail: string, text: string): StanzaError {
  return new StanzaError(condition, text, type, element(detail, NS.commands));
}
