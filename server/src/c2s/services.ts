import type { Accounts } from "../auth/accounts.ts";
import type { Logger } from "../observe/log.ts";
import type { CounterFamily } from "../observe/metrics.ts";
import type { Host, Hosts } from "../router/hosts.ts";
import type { Sessions } from "../router/sessions.ts";
import type { StreamFeature } from "../stream/feature.ts";
import type { StreamLimits } from "../stream/stream.ts";
import type { ClientNegotiation, ClientStream } from "./client-stream.ts";
import type { Resumptions } from "./resumptions.ts";
import type { SessionParts } from "./session.ts";

/** What every client stream of a node shares. */
export interface ClientServices {
  readonly nodeId: string;
  readonly hosts: Hosts;
  readonly sessions: Sessions;
  /** What each session is made of, but for its host. */
  readonly sessionParts: Omit<SessionParts, "host">;
  readonly resumptions: Resumptions;
  readonly log: Logger;
  /** Streams that are open, for the good-bye when the node stops. */
  readonly streams: Set<ClientStream>;
  readonly streamErrors: CounterFamily;
  readonly logins: CounterFamily;
  /** Sessions taken up again, or not. */
  readonly resumed: CounterFamily;
  accountsOf(host: Host): Accounts;
}

/** What one listener asks of its clients. */
export interface ListenerPolicy {
  readonly limits: StreamLimits;
  readonly features: readonly StreamFeature<ClientNegotiation>[];
}
