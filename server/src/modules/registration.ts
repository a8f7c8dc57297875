/** XEP-0077: accounts are made by clients that have none, and changed and cancelled by those that do. */
import { z } from "zod";
import { Throttle } from "../auth/throttle.ts";
import { count, duration, flag, network } from "../config/values.ts";
import { defineModule, type IqMethods, type IqRequest, type Visitor } from "../module/api.ts";
import { Networks } from "../net/address.ts";
import { type Element, element } from "../xml/element.ts";
import { StanzaError, UnquotedError } from "../xmpp/errors.ts";
import { checkForm, type Form, formElement, readForm } from "../xmpp/forms.ts";
import { type Jid, makeJid, parseJid } from "../xmpp/jid.ts";
import { NS } from "../xmpp/namespaces.ts";
import { iqResult } from "../xmpp/stanza.ts";

/** RFC 2142's, and others by which people could be taken in. */
const RESERVED = "abuse admin administrator hostmaster info postmaster root security support webmaster xmpp";

const config = z.strictObject({
  /** Whether clients that have no account can make one. */
  open: flag(false),
  /** Whether only over TLS, as also passwords are then changed. */
  secure_only: flag(true),
  /** From where; empty for everywhere. */
  allow: z.array(network).max(1000).default([]),
  /** From where not, whatever is allowed. */
  deny: z.array(network).max(1000).default([]),
  /** Attempts from one client address (IPv6: of its /64) in a period; 0 for any number. */
  per_address: count(5, 0, 1_000_000),
  /** The same from everywhere, for this node and host type. */
  per_node: count(500, 0, 1_000_000),
  period: duration("1h", { min: "1s", max: "24h" }),
  /** Addresses that are remembered; beyond it the oldest are forgotten. */
  addresses_remembered: count(10_000, 1, 1_000_000),
  /** Characters of a name at least. */
  name_length: count(1, 1, 100),
  reserved_names: z.array(z.string().min(1).max(1023)).max(10_000).default(RESERVED.split(" ")),
  /** Shown to the user above the fields, or in their place when registration is closed and there is a `redirect`. */
  instructions: z.string().min(1).max(1000).default("Choose a name and a password."),
  /** Where accounts are made instead, shown while registration is closed. */
  redirect: z.url({ error: 'must be a URL such as "https://example.org/join"' }).max(1000).optional(),
  /** Whether those who are logged in can change their password, and remove their account. */
  change_password: flag(true),
  cancel: flag(true),
});

export const registration = defineModule({
  name: "registration",
  implements: [{ xep: 77, version: "2.4" }],
  config,

  start({ config: rules, accounts, clock, log, metrics, iq, registrar }) {
    const allowed = new Networks(rules.allow);
    const denied = new Networks(rules.deny);
    const reserved = new Set(rules.reserved_names.map((name) => makeJid(name, "reserved")?.local ?? name));
    const counted = metrics.counters("xmpp_registrations_total", "Accounts that clients tried to make.", ["result"]);
    // Every attempt counts, also one that finds a name taken: else the names could be tried out.
    const rate = new Throttle(() => clock.seconds() * 1000, {
      failuresPerAddress: rules.per_address,
      failuresPerAccount: rules.per_node,
      period: rules.period,
      entries: rules.addresses_remembered,
    });

    registrar({
      serves({ address, secure }) {
        if (rules.secure_only && !secure) return false;
        if (denied.has(address) || (rules.allow.length > 0 && !allowed.has(address))) return false;
        return rules.open || rules.redirect !== undefined;
      },
      answer(type, query, visitor) {
        if (type === "get") return rules.open ? fields() : redirect();
        if (!rules.open) throw new StanzaError("not-allowed", "accounts are not made here");
        return create(query, visitor);
      },
    });

    async function create(query: Element, { address, domain }: Visitor): Promise<undefined> {
      const { username, password } = readQuery(query);
      if (username === "" || password === "") {
        throw new StanzaError("not-acceptable", "a name and a password are needed");
      }
      const account = nameOf(username, domain);
      const settle = rate.attempt(address, "everyone");
      if (settle === undefined) {
        counted("too-many").inc();
        throw new StanzaError("resource-constraint", "too many accounts are being made, try again later");
      }
      settle("wrong");
      const outcome = await accounts.create(account, password);
      counted(outcome).inc();
      if (outcome === "exists") throw new StanzaError("conflict");
      log.info("account.registered", { account: account.bare, address });
    }

    function nameOf(username: string, domain: string): Jid {
      const account = makeJid(username, domain);
      if (account === undefined || account.local === "") {
        throw new StanzaError("not-acceptable", "this cannot be an account's name");
      }
      if (Array.from(account.local).length < rules.name_length) {
        throw new StanzaError("not-acceptable", `a name has at least ${rules.name_length} characters`);
      }
      if (reserved.has(account.local)) throw new StanzaError("not-acceptable", "this name is reserved");
      return account;
    }

    /** XEP-0077 5: the form for those who understand it, and the fields for those who do not. */
    function fields(): Element {
      return element(
        "query",
        NS.register,
        {},
        element("instructions", NS.register, {}, rules.instructions),
        element("username", NS.register),
        element("password", NS.register),
        formElement("form", { ...FORM, instructions: rules.instructions }),
      );
    }

    /** XEP-0077 4. */
    function redirect(): Element {
      const url = element("x", NS.oob, {}, element("url", NS.oob, {}, rules.redirect ?? ""));
      return element("query", NS.register, {}, element("instructions", NS.register, {}, rules.instructions), url);
    }

    async function change({ from, payload, origin }: IqRequest): Promise<undefined> {
      const isSecure = origin.kind === "client" && origin.session.secure;
      if (rules.secure_only && !isSecure)
        throw new StanzaError("not-authorized", "passwords are changed over TLS only");
      if (!rules.change_password) throw new StanzaError("not-allowed", "passwords are not changed here");
      const { username, password } = readQuery(payload);
      if (username === "" || password === "") {
        throw new StanzaError("bad-request", "the name and the new password are needed");
      }
      const named = username.includes("@") ? parseJid(username) : makeJid(username, from.domain);
      if (named?.bare !== from.bare) throw new StanzaError("not-allowed", "only one's own password can be changed");
      if ((await accounts.setPassword(from.toBare(), password)) === "missing") {
        throw new StanzaError("registration-required");
      }
      log.info("account.password_changed", { account: from.bare });
    }

    async function cancel({ from, to, id, payload, origin }: IqRequest): Promise<undefined> {
      if (payload.elements().length > 1) throw new StanzaError("bad-request", "nothing goes along with <remove/>");
      if (!rules.cancel) throw new StanzaError("not-allowed", "accounts are not removed here");
      // XEP-0077 3.2: the client hears that it is done, and then the end of its stream.
      await accounts.remove(from, () => {
        const request = element("iq", NS.client, { id });
        if (origin.kind === "client") origin.session.send(iqResult(request, to.full, from.full, undefined));
      });
      log.info("account.cancelled", { account: from.bare });
    }

    const methods: IqMethods = {
      get({ from, to }) {
        checkOwn(from, to);
        return element(
          "query",
          NS.register,
          {},
          element("registered", NS.register),
          element("username", NS.register, {}, from.local),
          element("password", NS.register),
        );
      },
      async set(request) {
        checkOwn(request.from, request.to);
        try {
          const isCancel = request.payload.child("remove") !== undefined;
          return await (isCancel ? cancel(request) : change(request));
        } catch (error) {
          // XEP-0077 3.3: the password is not sent back.
          if (!(error instanceof StanzaError)) throw error;
          throw new UnquotedError(error.condition, error.text, error.type, error.detail);
        }
      },
    };
    iq(NS.register, "query", { host: methods, account: methods });
  },
});

const FORM: Form = {
  formType: NS.register,
  title: "New account",
  fields: [
    { name: "username", type: "text-single", label: "Name", required: true },
    { name: "password", type: "text-private", label: "Password", required: true },
  ],
};

/** XEP-0077 5: the form takes precedence. */
function readQuery(query: Element): { readonly username: string; readonly password: string } {
  const x = query.child("x", NS.data);
  if (x === undefined) return { username: query.childText("username"), password: query.childText("password") };
  const filled = readForm(x);
  // Such as jabber:iq:register:changepassword, which has the same fields.
  const answers = checkForm(FORM, {
    ...filled,
    formType: filled.formType.startsWith(NS.register) ? NS.register : filled.formType,
  });
  return { username: answers.text("username"), password: answers.text("password") };
}

/** At the home server alone, and about oneself alone, is one registered. */
function checkOwn(from: Jid, to: Jid): void {
  if (to.local !== "" && to.bare !== from.bare) throw new StanzaError("service-unavailable");
  if (to.domain !== from.domain) throw new StanzaError("registration-required", "this is not your server");
}
