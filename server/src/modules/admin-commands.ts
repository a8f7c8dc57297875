/** XEP-0133: what an administrator does to the accounts of a host, as commands. */
import { defineModule } from "../module/api.ts";
import { type Element, element } from "../xml/element.ts";
import { StanzaError } from "../xmpp/errors.ts";
import { Answers, type Field, formElement } from "../xmpp/forms.ts";
import type { Jid } from "../xmpp/jid.ts";
import { NS } from "../xmpp/namespaces.ts";
import { adhoc, type Step } from "./adhoc.ts";
import { isShown, itemElement, roster } from "./roster.ts";

/** What a list may be cut to; one answer never holds more. */
const SIZES = ["25", "50", "75", "100", "150", "200"];
const MOST_AT_ONCE = 100;

const who: Field = { name: "accountjid", type: "jid-single", label: "The JID of the account", required: true };
const whom: Field = { name: "accountjids", type: "jid-multi", label: "The JIDs of the accounts", required: true };
const newPassword: Field = { name: "password", type: "text-private", label: "The password", required: true };
const again: Field = { name: "password-verify", type: "text-private", label: "The password again", required: true };
const most: Field = {
  name: "max_items",
  type: "list-single",
  label: "How many at most",
  values: ["100"],
  options: Object.fromEntries(SIZES.map((size) => [size, size])),
};
const after: Field = { name: "after", label: "Those after this name" };

export const adminCommands = defineModule({
  name: "admin-commands",
  implements: [{ xep: 133, version: "1.3.1" }],
  requires: [adhoc, roster],

  start({ accounts, sessions, log, use }) {
    const contacts = use(roster);

    /** A command that asks one form of the administrator, or none, and is then done with what `act` returns. */
    function command(
      action: string,
      name: string,
      fields: readonly Field[],
      act: (answers: Answers, host: Jid) => Promise<Element | undefined>,
    ): void {
      use(adhoc).add({
        node: `${NS.adminCommands}#${action}`,
        name,
        for: "admins",
        async run(requester, host) {
          const run = async (answers: Answers): Promise<Step> => {
            const payload = await act(answers, host);
            const to = [...answers.all(who.name), ...answers.all(whom.name)];
            log.info("admin.command", { action, by: requester.bare, host: host.domain, accounts: to });
            return { done: payload === undefined ? [] : [payload] };
          };
          if (fields.length === 0) return run(new Answers(new Map()));
          return { ask: { formType: NS.adminCommands, title: name, fields }, last: true, next: run };
        },
      });
    }

    /** Addresses that are of accounts, all of them, and of this host. */
    async function existing(answers: Answers, field: Field, host: Jid): Promise<readonly Jid[]> {
      const jids = answers.jids(field.name);
      if (jids.length > MOST_AT_ONCE) throw new StanzaError("not-acceptable", `no more than ${MOST_AT_ONCE} at once`);
      for (const jid of jids) {
        const isThere = jid.domain === host.domain && jid.local !== "" && (await accounts.exists(jid));
        if (!isThere) throw new StanzaError("item-not-found", `there is no account ${jid.bare} at ${host.domain}`);
      }
      return jids;
    }

    command("add-user", "Add an account", [who, newPassword, again], async (answers, host) => {
      const [jid] = answers.jids(who.name) as [Jid];
      if (jid.domain !== host.domain || jid.local === "" || !jid.isBare) {
        throw new StanzaError("not-acceptable", `${jid.full} is no account of ${host.domain}`);
      }
      if (answers.text(newPassword.name) !== answers.text(again.name)) {
        throw new StanzaError("not-acceptable", "the two passwords differ");
      }
      if ((await accounts.create(jid, answers.text(newPassword.name))) === "exists") throw new StanzaError("conflict");
      return undefined;
    });

    command("delete-user", "Delete accounts", [whom], async (answers, host) => {
      for (const jid of await existing(answers, whom, host)) await accounts.remove(jid);
      return undefined;
    });

    command("change-user-password", "Change a password", [who, newPassword], async (answers, host) => {
      const [jid] = (await existing(answers, who, host)) as [Jid];
      await accounts.setPassword(jid, answers.text(newPassword.name));
      return undefined;
    });

    // XEP-0133 4.5: of a bare JID all sessions, of a full one just that.
    command("end-user-session", "End sessions", [whom], async (answers, host) => {
      for (const jid of await existing(answers, whom, host)) {
        for (const entry of await sessions.locate(jid)) {
          if (!jid.isBare && jid.full !== entry.jid.full) continue;
          await sessions.end(entry, "policy-violation", "ended by an administrator");
        }
      }
      return undefined;
    });

    command("get-user-roster", "Show a roster", [whom], async (answers, host) => {
      const jids = await existing(answers, whom, host);
      const [jid] = jids as [Jid];
      if (jids.length > 1) throw new StanzaError("not-acceptable", "one at a time");
      const shown = [...(await contacts.list(jid))].filter(([, item]) => isShown(item));
      const query = element("query", NS.roster, {}, ...shown.map(([contact, item]) => itemElement(contact, item)));
      const form = told({ ...whom, required: false, values: [jid.bare] });
      return form.withChildren([...form.children, query]);
    });

    command("get-registered-users-num", "Count the accounts", [], async (_answers, host) =>
      told({ name: "registeredusersnum", label: "Accounts", values: [`${await accounts.count(host.domain)}`] }),
    );

    command("get-online-users-num", "Count the sessions", [], async () =>
      told({ name: "onlineusersnum", label: "Sessions of all domains", values: [`${await sessions.total()}`] }),
    );

    command("get-registered-users-list", "List the accounts", [most, after], async (answers, host) => {
      const locals = await accounts.list(host.domain, answers.text(after.name), Number(answers.text(most.name)));
      const jids = locals.map((local) => `${local}@${host.domain}`);
      return told({ name: "registereduserjids", type: "jid-multi", label: "Accounts", values: jids });
    });
  },
});

function told(field: Field): Element {
  return formElement("result", { formType: NS.adminCommands, fields: [field] });
}
