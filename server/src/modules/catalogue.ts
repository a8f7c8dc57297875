import type { AnyModule } from "../module/api.ts";
import { accountCommands } from "./account-commands.ts";
import { adhoc } from "./adhoc.ts";
import { adminCommands } from "./admin-commands.ts";
import { caps } from "./caps.ts";
import { contactAddresses } from "./contact-addresses.ts";
import { disco } from "./disco.ts";
import { lastActivity } from "./last-activity.ts";
import { mam } from "./mam.ts";
import { ping } from "./ping.ts";
import { presence } from "./presence.ts";
import { privateXml } from "./private-xml.ts";
import { registration } from "./registration.ts";
import { roster } from "./roster.ts";
import { sharedRoster } from "./shared-roster.ts";
import { time } from "./time.ts";
import { vcard } from "./vcard.ts";
import { version } from "./version.ts";

/** Every module there is, by the name that the configuration knows it under. */
export const MODULES: ReadonlyMap<string, AnyModule> = new Map(
  [
    roster,
    sharedRoster,
    presence,
    disco,
    contactAddresses,
    caps,
    adhoc,
    accountCommands,
    adminCommands,
    registration,
    lastActivity,
    time,
    version,
    vcard,
    privateXml,
    mam,
    ping,
  ].map((module: AnyModule) => [module.name, module]),
);
