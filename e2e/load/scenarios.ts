/** What is measured, what the generator is told for it, and what Meerkat aims at. */

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** What one of them is: the unit of the CPU time. */
  readonly unit: "message" | "presence" | "login" | "session";
  /** Options of the generator. */
  readonly options: readonly string[];
  /** At most: us of CPU for each, or KiB of memory for each session. */
  readonly goal?: number;
  /** A server just started, so that what it kept from earlier loads is not there to be used again. */
  readonly fresh?: boolean;
  /** Run only when it is asked for by LONG=1. */
  readonly long?: boolean;
}

const SCRAM = ["--mechanism", "SCRAM-SHA-1"];
const TLS = ["--tls", "1"];
const chat = (...options: string[]) => ["--scenario", "chat", ...SCRAM, ...options];
const login = (...options: string[]) => ["--scenario", "login", "--count", "160", ...options];
const idle = (count: number, ...options: string[]) => [
  "--scenario",
  "idle",
  "--count",
  `${count}`,
  ...SCRAM,
  ...options,
];

export const SCENARIOS: readonly Scenario[] = [
  { name: "idle", title: "memory, 1,000 idle sessions", unit: "session", options: idle(1000), fresh: true },
  {
    name: "idle-tls",
    title: "memory, 1,000 idle sessions, TLS",
    unit: "session",
    options: idle(1000, ...TLS),
    fresh: true,
  },
  {
    name: "idle-10k",
    title: "memory, 10,000 idle sessions",
    unit: "session",
    options: idle(10_000),
    goal: 12,
    fresh: true,
    long: true,
  },
  {
    name: "idle-10k-tls",
    title: "memory, 10,000 idle sessions, TLS",
    unit: "session",
    options: idle(10_000, ...TLS),
    goal: 45,
    fresh: true,
    long: true,
  },
  { name: "chat-w1", title: "chat, 50 pairs, 1 under way", unit: "message", options: chat(), goal: 40 },
  {
    name: "chat-w10",
    title: "chat, 50 pairs, 10 under way",
    unit: "message",
    options: chat("--window", "10"),
    goal: 25,
  },
  {
    name: "chat-p1000",
    title: "chat, 1,000 pairs, 1 under way",
    unit: "message",
    options: chat("--pairs", "1000"),
    goal: 45,
  },
  { name: "chat-tls", title: "chat, 50 pairs, TLS", unit: "message", options: chat(...TLS), goal: 60 },
  {
    name: "chat-sm",
    title: "chat, 50 pairs, stream management",
    unit: "message",
    options: chat("--sm", "1"),
    goal: 45,
  },
  {
    name: "presence",
    title: "presence, 25 who see each other",
    unit: "presence",
    options: ["--scenario", "presence", "--group", "25", ...SCRAM],
    goal: 10,
  },
  { name: "login-scram", title: "login, SCRAM-SHA-1, no TLS", unit: "login", options: login(...SCRAM), goal: 1000 },
  // Without TLS Meerkat takes no plain passwords at all (RFC 6120 13.8.3).
  {
    name: "login-tls-plain",
    title: "login, STARTTLS and PLAIN",
    unit: "login",
    options: login(...TLS, "--mechanism", "PLAIN"),
  },
  {
    name: "login-tls-scram",
    title: "login, STARTTLS and SCRAM-SHA-1",
    unit: "login",
    options: login(...TLS, ...SCRAM),
    goal: 3000,
  },
];

/** What the generator says at the end. */
export interface Measured {
  readonly count: number;
  readonly seconds: number;
  /** CPU for each: the median of eight slices of the time, the best of them, and all of it together. */
  readonly cost_us: number;
  readonly best_us: number;
  readonly cpu_us: number;
  readonly own_cpu_us: number;
  readonly p50_us: number;
  readonly p95_us: number;
  readonly p99_us: number;
  readonly missing: number;
  readonly disordered: number;
  readonly errors: number;
  readonly memory_bytes: number;
  readonly sessions: number;
}

/** One server in one scenario; a failure instead when it could not be measured. */
export type Result = Measured | { readonly failure: string };

/** The figure that scenarios are compared by: us of CPU, or KiB of memory, for each. */
export function costOf(scenario: Scenario, measured: Measured): number {
  return scenario.unit === "session" ? measured.memory_bytes / 1024 / measured.sessions : measured.cost_us;
}
