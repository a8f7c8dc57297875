import type { Logger } from "../observe/log.ts";
import type { Element } from "../xml/element.ts";
import type { Addressee, BindFeature, Collections, Filters, IqHandler, Notices, Registrar } from "./api.ts";
import { FilterChain, Gathering, NoticeBoard } from "./hooks.ts";

/** All that modules registered for one host type, in the shape that a stanza's path reads. */
export class HookTable {
  readonly filters: { readonly [P in keyof Filters]: FilterChain<Filters[P]> };
  readonly notices: { readonly [P in keyof Notices]: NoticeBoard<Notices[P]> };
  readonly collections: { readonly [P in keyof Collections]: Gathering<Collections[P]> };
  /** By `xmlns name` of the payload. */
  readonly iqs = new Map<string, IqHandler>();
  /** How many registrations stand behind each advertised feature. */
  readonly features: Readonly<Record<Addressee, Map<string, number>>> = { host: new Map(), account: new Map() };
  readonly streamFeatures = new Set<() => Element>();
  /** What clients can ask for while they bind (XEP-0386), by namespace. */
  readonly bindFeatures = new Map<string, BindFeature>();

  registrar: Registrar | undefined = undefined;

  constructor(log: Logger) {
    const failed = (point: string) => (error: unknown) => log.error("hook.failed", { point, error });
    this.filters = {
      userSend: new FilterChain(failed("userSend")),
      localDelivery: new FilterChain(failed("localDelivery")),
      userReceive: new FilterChain(failed("userReceive")),
      offlineMessage: new FilterChain(failed("offlineMessage")),
    };
    this.notices = {
      sessionOpened: new NoticeBoard(failed("sessionOpened")),
      sessionClosed: new NoticeBoard(failed("sessionClosed")),
      sessionDetached: new NoticeBoard(failed("sessionDetached")),
      sessionResumed: new NoticeBoard(failed("sessionResumed")),
      sessionLost: new NoticeBoard(failed("sessionLost")),
      accountRemoved: new NoticeBoard(failed("accountRemoved")),
    };
    this.collections = { discoItems: new Gathering() };
  }

  iqHandler(payload: Element): IqHandler | undefined {
    return this.iqs.get(iqKey(payload.xmlns, payload.name));
  }
}

export function iqKey(xmlns: string, name: string): string {
  return `${xmlns} ${name}`;
}
