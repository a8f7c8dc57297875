import type { SaslMechanism } from "./mechanism.ts";
import { plain } from "./plain.ts";
import { scramSha1, scramSha256, scramSha512 } from "./scram.ts";

/** Every mechanism the server has, the one to prefer first (RFC 6120 6.3.3). */
export const SASL_MECHANISMS: readonly SaslMechanism[] = [scramSha512, scramSha256, scramSha1, plain];
