/** Colleagues: the contacts that a company's directory says an account has, in its roster without its asking. */
import { defineModule } from "../module/api.ts";
import { json, type MapStore, type StoreSpec } from "../storage/specs.ts";
import type { Jid } from "../xmpp/jid.ts";
import { roster, type SharedContact } from "./roster.ts";

/** By the account and the contact's bare JID. Only a store that others fill can say who is whose colleague. */
const colleagues: StoreSpec<MapStore<SharedContact>> = {
  capability: "map",
  table: "shared_roster",
  open: (driver) => (driver.readOnly === true ? driver.map?.("shared_roster", json<SharedContact>()) : undefined),
};

export const sharedRoster = defineModule({
  name: "shared-roster",
  implements: [{ rfc: 6121 }],
  stores: { colleagues },
  optional: true,
  requires: [roster],

  start({ stores, accounts, use, onStop }) {
    const isHere = ({ local, domain }: Jid) => local !== "" && accounts.serves(domain);
    onStop(
      use(roster).share({
        list: (account) => (isHere(account) ? stores.colleagues.list(account.toBare()) : new Map()),
        getEach: (owners, contact) => (isHere(contact) ? stores.colleagues.getEach(owners, contact.bare) : new Map()),
      }),
    );
  },
});
