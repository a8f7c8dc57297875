import { PUBLIC_KEY_ALGORITHMS, secretAlgorithms } from "../xmpp/sasl/token-algorithms.ts";
import { nearest } from "./nearest.ts";
import type { Config } from "./schema.ts";

/** What is right key by key, and wrong together. Sections with mistakes of their own are not there. */
export function contradictions(config: Partial<Config>): string[] {
  return [
    ...unknownStores(config),
    ...unknownHostTypes(config),
    ...accountsInMemory(config),
    ...severalSingles(config),
    ...lettingNobodyIn(config),
    ...registeringNowhere(config),
    ...unfitTokens(config),
    ...servedTwice(config),
    ...takenPorts(config),
    ...impatience(config),
    ...secretsApart(config),
    ...unreachableLimits(config),
    ...lateRenewal(config),
    ...doubleTls(config),
    ...impatientDirectories(config),
    ...unfitServices(config),
    ...offeredWithoutKeys(config),
    ...askingInTheClear(config),
  ];
}

function unknownStores({ host_types, storage }: Partial<Config>): string[] {
  if (host_types === undefined || storage === undefined) return [];
  const stores = Object.keys(storage);
  return Object.entries(host_types).flatMap(([type, { accounts, storage: own, stores: tables }]) => {
    const named = [
      ...accounts.map((store, i) => [`accounts.${i}`, store]),
      ["storage", own],
      ...Object.entries(tables).map(([table, store]) => [`stores.${table}`, store]),
    ] as const;
    return named
      .filter(([, store]) => !stores.includes(store as string))
      .map(
        ([key, store]) =>
          `host_types.${type}.${key} = "${store}": there is no such store; ${remedy(store as string, stores, "storage")}`,
      );
  });
}

function accountsInMemory({ host_types = {}, storage = {} }: Partial<Config>): string[] {
  return Object.entries(host_types).flatMap(([type, { accounts }]) =>
    accounts.flatMap((store, i) =>
      storage[store]?.driver === "redis"
        ? [
            `host_types.${type}.accounts.${i} = "${store}": Redis may lose what was written last, and keeps no accounts; name a database`,
          ]
        : [],
    ),
  );
}

function severalSingles({ storage = {} }: Partial<Config>): string[] {
  return Object.entries(storage).flatMap(([name, store]) =>
    store.driver === "redis" && !store.cluster && store.nodes.length > 1
      ? [`storage.${name}.cluster = false: nodes names ${store.nodes.length}; name one, or take cluster out`]
      : [],
  );
}

function unknownHostTypes({ hosts, host_types }: Partial<Config>): string[] {
  if (hosts === undefined || host_types === undefined) return [];
  const types = Object.keys(host_types);
  return hosts.flatMap(({ type }, i) =>
    types.includes(type)
      ? []
      : [`hosts.${i}.type = "${type}": there is no such host type; ${remedy(type, types, "host_types")}`],
  );
}

function lettingNobodyIn({ host_types = {} }: Partial<Config>): string[] {
  return Object.entries(host_types).flatMap(([type, { accounts, jwt, anonymous }]) => {
    if (accounts.length > 0) return [];
    if (jwt?.account === "existing") {
      return [
        `host_types.${type}.jwt.account = "existing": accounts is empty, so there are none; name a store there, or write "any"`,
      ];
    }
    if (jwt !== undefined || anonymous !== undefined) return [];
    return [
      `host_types.${type}.accounts = []: nobody could log in; name a store, or add a table [host_types.${type}.jwt] or [host_types.${type}.anonymous]`,
    ];
  });
}

/** A directory makes no accounts, whoever asks. */
function registeringNowhere({ host_types = {}, storage = {} }: Partial<Config>): string[] {
  return Object.entries(host_types).flatMap(([type, { accounts, modules }]) => {
    const open = modules?.registration?.open;
    const makesNone = accounts.every((name) => {
      const store = storage[name];
      return store?.driver === "ldap" || (store?.driver === "http" && !store.offers.includes("register"));
    });
    if (!makesNone || (open !== true && open !== "true")) return [];
    return [
      `host_types.${type}.modules.registration.open = true: its stores (${accounts.join(", ")}) make no accounts; write false, or add one that does to host_types.${type}.accounts`,
    ];
  });
}

const TOKEN_KEYS = ["secret", "public_keys", "jwks_file", "jwks_url"] as const;

function unfitTokens({ host_types = {} }: Partial<Config>): string[] {
  return Object.entries(host_types).flatMap(([type, { jwt }]) => {
    if (jwt === undefined) return [];
    const at = `host_types.${type}.jwt`;
    const [given, ...more] = TOKEN_KEYS.filter((key) => jwt[key] !== undefined);
    if (given === undefined) return [`${at}: no key to check tokens with; add one of ${TOKEN_KEYS.join(", ")}`];
    if (more.length > 0) return [`${at}.${more[0]}: there is ${given} already; take one of them out`];
    if (jwt.ca !== undefined && given !== "jwks_url") return [`${at}.ca: nothing is fetched; take it out`];
    const bytes = Buffer.byteLength(jwt.secret ?? "");
    const fitting = given === "secret" ? secretAlgorithms(bytes) : PUBLIC_KEY_ALGORITHMS;
    if (fitting.length === 0) {
      return [
        `${at}.secret = (hidden): has ${bytes} bytes; RFC 7518 3.2 wants 32 at least, such as of openssl rand -hex 32`,
      ];
    }
    return (jwt.algorithms ?? []).flatMap((algorithm, i) =>
      fitting.includes(algorithm)
        ? []
        : [`${at}.algorithms.${i} = "${algorithm}": does not go with ${given}; there are ${fitting.join(", ")}`],
    );
  });
}

function remedy(unknown: string, known: readonly string[], section: string): string {
  const meant = nearest(unknown, known);
  if (meant !== undefined) return `did you mean "${meant}"?`;
  const there = known.map((name) => `"${name}"`).join(", ");
  return `${known.length === 0 ? "" : `name one of ${there}, or `}add a table [${section}.${unknown}]`;
}

function servedTwice({ hosts = [] }: Partial<Config>): string[] {
  const first = new Map<string, number>();
  return hosts.flatMap(({ domain }, i) => {
    const earlier = first.get(domain);
    if (earlier !== undefined) return [`hosts.${i}.domain = "${domain}": hosts.${earlier} is the same; take one out`];
    first.set(domain, i);
    return [];
  });
}

function takenPorts({ listen = [] }: Partial<Config>): string[] {
  return listen.flatMap(({ host, port }, i) => {
    const other = listen.slice(0, i).findIndex((earlier) => earlier.port === port && overlap(earlier.host, host));
    return port === 0 || other === -1
      ? []
      : [`listen.${i}.port = ${port}: listen.${other} has this port already; give one of them another`];
  });
}

function overlap(one: string, other: string): boolean {
  const everywhere = ["0.0.0.0", "::", ""];
  return one === other || everywhere.includes(one) || everywhere.includes(other);
}

function impatience({ cluster }: Partial<Config>): string[] {
  if (cluster?.kind !== "redis") return [];
  const tooShort = (
    longer: "lease_for" | "heartbeat_within" | "unhealthy_after" | "entry_for",
    shorter: keyof typeof cluster,
    why: string,
  ) =>
    Number(cluster[longer]) >= 2 * Number(cluster[shorter])
      ? []
      : [
          `cluster.${longer} = "${cluster[longer]}ms": must be at least twice cluster.${shorter} ("${cluster[shorter]}ms"), or ${why}`,
        ];
  return [
    ...tooShort("lease_for", "renew_every", "living nodes are taken for dead"),
    ...tooShort("heartbeat_within", "heartbeat_every", "a sound connection is taken for broken"),
    ...tooShort("unhealthy_after", "heartbeat_every", "a sound node is taken for ill"),
    ...tooShort("entry_for", "refresh_every", "living sessions are forgotten"),
  ];
}

function unreachableLimits({ limits }: Partial<Config>): string[] {
  if (limits === undefined) return [];
  const beyond = (["unauthenticated_stanza_size", "start_tag_size"] as const).filter(
    (key) => limits[key] > limits.stanza_size,
  );
  return beyond.map(
    (key) => `limits.${key} = "${limits[key]}B": must not be more than limits.stanza_size ("${limits.stanza_size}B")`,
  );
}

function lateRenewal({ auth }: Partial<Config>): string[] {
  if (auth === undefined || auth.token_renewal < auth.token_lifetime) return [];
  return [
    `auth.token_renewal = "${auth.token_renewal}ms": must be less than auth.token_lifetime ("${auth.token_lifetime}ms"), or tokens expire before they are replaced`,
  ];
}

function doubleTls({ storage = {} }: Partial<Config>): string[] {
  return Object.entries(storage).flatMap(([name, store]) => {
    if (store.driver !== "ldap" || !store.start_tls) return [];
    const encrypted = [store.url].flat().find((url) => url.startsWith("ldaps:"));
    if (encrypted === undefined) return [];
    return [
      `storage.${name}.start_tls = true: "${encrypted}" is encrypted from the start; take start_tls out, or write ldap://`,
    ];
  });
}

function impatientDirectories({ storage = {} }: Partial<Config>): string[] {
  return Object.entries(storage).flatMap(([name, store]) =>
    store.driver === "ldap" && store.longest_pause < store.pause
      ? [
          `storage.${name}.longest_pause = "${store.longest_pause}ms": must not be less than storage.${name}.pause ("${store.pause}ms")`,
        ]
      : [],
  );
}

function offeredWithoutKeys({ auth }: Partial<Config>): string[] {
  if (auth === undefined) return [];
  const { scram_offered, scram_hashes } = auth;
  return scram_offered.flatMap((hash, i) =>
    scram_hashes.includes(hash)
      ? []
      : [
          `auth.scram_offered.${i} = "${hash}": no keys are made for it, so new accounts could not log in by it; take it out, or add it to auth.scram_hashes`,
        ],
  );
}

function askingInTheClear({ listen = [] }: Partial<Config>): string[] {
  return listen.flatMap((each, i) =>
    each.kind === "c2s" && each.tls === "none" && each.client_authorities !== undefined
      ? [
          `listen.${i}.client_authorities = "${each.client_authorities}": without TLS no client shows a certificate; take it out, or write tls = "starttls"`,
        ]
      : [],
  );
}

function unfitServices({ storage = {} }: Partial<Config>): string[] {
  return Object.entries(storage).flatMap(([name, store]) => {
    if (store.driver !== "http") return [];
    const { username, password, token, offers, pause, longest_pause } = store;
    const at = `storage.${name}`;
    const mistakes: string[] = [];
    if (token !== undefined && (username ?? password) !== undefined) {
      mistakes.push(`${at}.token = (hidden): there is a username or a password already; take them out, or this`);
    } else if (username !== undefined && password === undefined) {
      mistakes.push(`${at}.username = "${username}": there is no password; add one, or take the username out`);
    } else if (username === undefined && password !== undefined) {
      mistakes.push(`${at}.password = (hidden): there is no username; add one, or take the password out`);
    }
    // RFC 7617 2.
    if (username?.includes(":")) mistakes.push(`${at}.username = "${username}": must have no colon`);
    if (!offers.includes("check_password") && !offers.includes("get_keys")) {
      mistakes.push(
        `${at}.offers = ${JSON.stringify(offers)}: nobody could log in; add "check_password" or "get_keys"`,
      );
    }
    if (longest_pause < pause) {
      mistakes.push(`${at}.longest_pause = "${longest_pause}ms": must not be less than ${at}.pause ("${pause}ms")`);
    }
    return mistakes;
  });
}

function secretsApart({ cluster, auth }: Partial<Config>): string[] {
  if (cluster?.kind !== "redis" || auth === undefined || auth.decoy_secret !== undefined) return [];
  return [
    'auth.decoy_secret: missing, and cluster.kind = "redis": each node would have its own, and take no token of another; write the same one for all nodes',
  ];
}
