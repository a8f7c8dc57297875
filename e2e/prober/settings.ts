/** The prober's settings, from its environment; secrets are files. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Account } from "../lib/topology.ts";
import type { ProbeTarget } from "./paths.ts";

export interface ProberSettings {
  readonly target: ProbeTarget;
  readonly intervalMs: number;
  readonly listenPort: number;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Throws with the name of a variable that is missing or makes no sense. */
export function readSettings(env: Env): ProberSettings {
  const domain = text(env, "PROBER_DOMAIN", "meerkat.localhost");
  const host = text(env, "PROBER_HOST", domain);
  const directory = text(env, "PROBER_SECRETS", "/run/secrets");
  const secret = (name: string) => readFileSync(join(directory, name), "utf8").trim();
  const account = (local: string): Account => ({ local, domain, password: secret(`demo_${local}_password`) });
  const [first, second] = text(env, "PROBER_ACCOUNTS", "alice bob").split(/\s+/);
  if (first === undefined || second === undefined) throw new Error("PROBER_ACCOUNTS: two names are needed");
  return {
    target: {
      site: {
        domain,
        company: `corp.${domain}`,
        opsHost: `ops.${domain}`,
        address: host,
        ports: {
          c2s: port(env, "PROBER_C2S_PORT", 5222),
          c2sTls: port(env, "PROBER_C2S_TLS_PORT", 5223),
          https: port(env, "PROBER_HTTPS_PORT", 443),
          ops: 8443,
          turn: port(env, "PROBER_TURN_PORT", 3478),
        },
        turnAddress: text(env, "PROBER_TURN_HOST", `turn.${domain}`),
        caFile: text(env, "NODE_EXTRA_CA_CERTS", join(directory, "ca")),
        secret,
      },
      accounts: [account(first), account(second)],
    },
    intervalMs: seconds(text(env, "PROBER_INTERVAL", "15s")) * 1000,
    listenPort: port(env, "PROBER_LISTEN_PORT", 9464),
  };
}

function text(env: Env, name: string, otherwise: string): string {
  return env[name]?.trim() || otherwise;
}

function port(env: Env, name: string, otherwise: number): number {
  const value = Number(env[name] || otherwise);
  if (!Number.isInteger(value) || value < 1 || value > 65_535) throw new Error(`${name}: "${env[name]}" is no port`);
  return value;
}

function seconds(value: string): number {
  const [, number, unit] = /^(\d+)(s|m)$/.exec(value) ?? [];
  const result = Number(number) * (unit === "m" ? 60 : 1);
  if (!(result >= 1 && result <= 3600)) throw new Error(`PROBER_INTERVAL: "${value}" is not 1s to 60m`);
  return result;
}
