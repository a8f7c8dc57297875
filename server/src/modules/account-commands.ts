/** XEP-0050 commands for everyone: whether the server is there, and which other sessions of the account to end. */
import { defineModule } from "../module/api.ts";
import type { Field } from "../xmpp/forms.ts";
import { adhoc, note, type Step } from "./adhoc.ts";

const DONE: Step = { done: [] };

export const accountCommands = defineModule({
  name: "account-commands",
  implements: [{ xep: 50, version: "1.3.0" }],
  requires: [adhoc],

  start({ sessions, log, use }) {
    const commands = use(adhoc);

    commands.add({
      node: "ping",
      name: "Ask whether the server is there",
      for: "everyone",
      run: async () => ({ done: [note("info", "It is.")] }),
    });

    commands.add({
      node: "end-sessions",
      name: "End other sessions of this account",
      for: "everyone",
      async run(requester) {
        const others = async () => (await sessions.locate(requester)).filter(({ jid }) => jid.full !== requester.full);
        const found = await others();
        if (found.length === 0) return DONE;
        const which: Field = {
          name: "resources",
          type: "list-multi",
          label: "Which",
          required: true,
          options: Object.fromEntries(found.map(({ jid }) => [jid.resource, jid.resource])),
        };
        return {
          ask: { formType: "", title: "End other sessions of this account", fields: [which] },
          last: true,
          async next(answers) {
            const chosen = new Set(answers.all(which.name));
            for (const entry of await others()) {
              if (chosen.has(entry.jid.resource)) await sessions.end(entry, "policy-violation", "ended by its account");
            }
            log.info("account.sessions_ended", { by: requester.full, resources: [...chosen] });
            return DONE;
          },
        };
      },
    });
  },
});
