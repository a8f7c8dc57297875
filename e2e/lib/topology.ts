/** The datacenter's facts as a client on this machine sees them: names, ports, the authority, where passwords are. */
import dns from "node:dns";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import tls from "node:tls";
import { parseEnv } from "node:util";

export interface Account {
  readonly local: string;
  readonly domain: string;
  readonly password: string;
}

/** Where the clients of one datacenter go. */
export interface Site {
  /** The domain whose accounts are in the database. */
  readonly domain: string;
  /** The domain whose accounts are in the directory. */
  readonly company: string;
  readonly opsHost: string;
  /** What all names stand for, an address or another name; the clients themselves only know the names. */
  readonly address: string;
  readonly ports: {
    readonly c2s: number;
    readonly c2sTls: number;
    readonly https: number;
    readonly ops: number;
    readonly turn: number;
  };
  readonly turnAddress: string;
  /** PEM file of the authority that every certificate is checked against. */
  readonly caFile: string;
  /** A secret's content by its name, such as "turn_secret". */
  secret(name: string): string;
}

export const ROOT = resolve(import.meta.dirname, "../..");

/** The datacenter that `make up` started on this machine, by the environment and `.env`. */
export function localSite(): Site {
  const file = [join(ROOT, ".env"), join(ROOT, ".env.example")].find((path) => existsSync(path));
  const env: Record<string, string | undefined> = {
    ...(file === undefined ? {} : parseEnv(readFileSync(file, "utf8"))),
    ...process.env,
  };
  const port = (name: string, otherwise: number) => Number(env[name] || otherwise);
  const secrets = resolve(ROOT, env.SECRETS_DIR || ".secrets");
  const bound = env.BIND_ADDRESS || "127.0.0.1";
  // A wildcard is where to listen, not where to go.
  const address = bound === "0.0.0.0" || bound === "::" ? "127.0.0.1" : bound;
  return {
    domain: "meerkat.localhost",
    company: "corp.meerkat.localhost",
    opsHost: "ops.meerkat.localhost",
    address,
    ports: {
      c2s: port("C2S_PORT", 5222),
      c2sTls: port("C2S_TLS_PORT", 5223),
      https: port("HTTPS_PORT", 443),
      ops: port("OPS_PORT", 8443),
      turn: port("TURN_PORT", 3478),
    },
    turnAddress: address,
    caFile: env.CA_FILE || join(secrets, "tls/ca.pem"),
    secret: (name) => readFileSync(join(secrets, name), "utf8").trim(),
  };
}

/**
 * Makes every client of this process find the site by its names and trust its authority beside the public ones, so that
 * third-party clients are used as they are, with their own certificate checks.
 */
export function enter(site: Site): void {
  tls.setDefaultCACertificates([...tls.getCACertificates("bundled"), readFileSync(site.caFile, "utf8")]);
  const lookup = dns.lookup as (host: string, ...rest: unknown[]) => void;
  // RFC 6761 6.3: names under .localhost are this machine, though not every resolver knows.
  const pointed = (host: string, ...rest: unknown[]): void =>
    lookup(host === site.domain || host.endsWith(`.${site.domain}`) ? site.address : host, ...rest);
  if (site.address !== site.domain) dns.lookup = pointed as unknown as typeof dns.lookup;
}
