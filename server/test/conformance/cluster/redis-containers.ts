/** A real Redis Cluster of six nodes in a container, whose nodes can be killed, hung and emptied one by one. */
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Cluster } from "ioredis";

// The reaper's image is not ours to pull; each test file stops what it started.
process.env.TESTCONTAINERS_RYUK_DISABLED = "true";

const { GenericContainer, Wait } = await import("testcontainers");

const PORTS = [7001, 7002, 7003, 7004, 7005, 7006];
/** A node that belongs to no cluster, once `startStray` was called. */
export const STRAY = 7007;
const PASSWORD = "only-for-tests";

export type TestRedis = Awaited<ReturnType<typeof startRedis>>;

export async function startRedis() {
  const image = await GenericContainer.fromDockerfile(join(import.meta.dirname, "../images/redis")).build(
    "meerkat-test-redis",
    { deleteOnExit: false },
  );
  const container = await image
    .withEnvironment({ REDIS_PASSWORD: PASSWORD, REDISCLI_AUTH: PASSWORD })
    .withExposedPorts(...PORTS, STRAY)
    .withWaitStrategy(Wait.forLogMessage("cluster ready"))
    .withStartupTimeout(60_000)
    .start();

  const run = async (...command: string[]): Promise<string> => {
    const { output, exitCode } = await container.exec(command);
    if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${output}`);
    return output.trim();
  };
  const cli = (port: number, ...command: string[]) =>
    run("redis-cli", "-p", String(port), "--no-auth-warning", ...command);
  const address = await run("hostname", "-i");
  const reach = (port: number) => ({ host: container.getHost(), port: container.getMappedPort(port) });
  const natMap = Object.fromEntries(PORTS.map((port) => [`${address}:${port}`, reach(port)]));
  const client = new Cluster(PORTS.map(reach), {
    natMap,
    slotsRefreshInterval: 0,
    redisOptions: { password: PASSWORD },
  });
  client.on("error", () => {});

  /** The port of the master that serves a key or sharded channel. */
  const masterOf = async (key: string): Promise<number> => {
    const answers = await Promise.all(PORTS.map((port) => cli(port, "ping").catch(() => "")));
    const alive = PORTS[answers.indexOf("PONG")] ?? 7001;
    const slot = Number(await cli(alive, "cluster", "keyslot", key));
    for (const line of (await cli(alive, "cluster", "nodes")).split("\n")) {
      const [, endpoint, flags, , , , , , ...ranges] = line.split(" ");
      const serves = ranges.some((range) => {
        const [from, to = from] = range.split("-").map(Number);
        return from !== undefined && to !== undefined && from <= slot && slot <= to;
      });
      if (flags?.includes("master") && !flags.includes("fail") && serves)
        return Number(/:(\d+)@/.exec(endpoint ?? "")?.[1]);
    }
    throw new Error(`no master serves ${key}`);
  };

  /** Starts a node that belongs to no cluster, unless it runs; resolves with its host:port. */
  const alone = async (...settings: string[]): Promise<string> => {
    if ((await cli(STRAY, "ping").catch(() => "")) !== "PONG") await run("redis-node", String(STRAY), ...settings);
    await until("the stray node answers", 10_000, async () => (await cli(STRAY, "ping").catch(() => "")) === "PONG");
    return `${reach(STRAY).host}:${reach(STRAY).port}`;
  };

  return {
    /** What a node of the server needs to connect from here. */
    options: {
      kind: "redis" as const,
      nodes: PORTS.map((port) => `${reach(port).host}:${reach(port).port}`),
      password: PASSWORD,
      natMap,
    },
    cli,

    async signal(signal: "KILL" | "STOP" | "CONT", ...ports: number[]): Promise<void> {
      const pids = ports.map((port) => `$(cat /var/lib/redis/${port}/pid)`);
      await run("sh", "-c", `kill -${signal} ${pids.join(" ")}`);
    },

    /** Answers no client on any node for so many milliseconds, while the nodes themselves stay in touch. */
    async pause(milliseconds: number): Promise<void> {
      const one = `redis-cli -p "$port" --no-auth-warning client pause ${milliseconds} all`;
      await run("sh", "-c", `for port in ${PORTS.join(" ")}; do ${one} & done; wait`);
    },

    masterOf,

    /** Empties the memory of every master; that of the leases last, so that no node joins again while others are emptied. */
    async flushAll(): Promise<void> {
      const last = await masterOf("meerkat:{leases}");
      for (const port of [...PORTS.filter((port) => port !== last), last]) {
        if ((await cli(port, "role")).startsWith("master")) await cli(port, "flushall");
      }
    },

    /** Starts a killed node again. */
    restart: (port: number) => run("redis-node", String(port)),

    /** Starts a node that belongs to no cluster and has no slots; resolves with its host:port. */
    startStray: () => alone(),

    /** Starts that node as a Redis that knows of no clusters. */
    startSingle: () => alone("--cluster-enabled", "no"),

    /** Waits until each master has a replica in touch again. */
    healed: () =>
      until("Redis Cluster has three masters and three replicas", 60_000, async () => {
        const views = await Promise.all(PORTS.map((port) => cli(port, "cluster", "nodes").catch(() => "fail")));
        return views.every((view) => {
          const lines = view.split("\n");
          return (
            lines.length === 6 && !view.includes("fail") && lines.filter((line) => line.includes("slave")).length === 3
          );
        });
      }),

    /** A plain client, for looking at what stands in Redis. */
    client,

    stop: async () => {
      client.disconnect();
      await container.stop({ remove: true, timeout: 0 });
    },
  };
}

/** Waits for a condition, looking again every little while. Resolves with the milliseconds it took. */
export async function until(what: string, within: number, condition: () => unknown): Promise<number> {
  const startedAt = performance.now();
  for (;;) {
    if (await condition()) return performance.now() - startedAt;
    if (performance.now() - startedAt > within) throw new Error(`not within ${within} ms: ${what}`);
    await pause(20);
  }
}
