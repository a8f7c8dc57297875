import { anonymous } from "./anonymous.ts";
import { external } from "./external.ts";
import type { SaslMechanism } from "./mechanism.ts";
import { oauthBearer } from "./oauthbearer.ts";
import { plain } from "./plain.ts";
import { SCRAM_MECHANISMS } from "./scram.ts";

/** Every mechanism the server has, the one to prefer first (RFC 6120 6.3.3, 6.3.4). */
export const SASL_MECHANISMS: readonly SaslMechanism[] = [external, ...SCRAM_MECHANISMS, oauthBearer, plain, anonymous];
