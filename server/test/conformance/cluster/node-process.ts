/** A node in a process of its own, so that it can be killed and stopped like one. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { SessionEntry } from "../../../src/cluster/cluster.ts";
import { RedisCluster, type RedisClusterOptions } from "../../../src/cluster/redis/redis-cluster.ts";
import { Jid } from "../../../src/xmpp/jid.ts";

/** What the process tells: that it is in, and each event, a session by its id. */
type Told = { event: "ready" | "fenced" | "rejoined" | "lost" | "displaced"; id?: string };

interface Start {
  readonly options: RedisClusterOptions;
  readonly sessions: readonly SessionEntry[];
}

export class NodeProcess {
  readonly #child: ChildProcess;
  readonly told: Told[] = [];

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on("message", (told) => this.told.push(told as Told));
  }

  /** Resolves when the node is in and has claimed its sessions. */
  static async start(options: RedisClusterOptions, sessions: readonly SessionEntry[]): Promise<NodeProcess> {
    const child = fork(import.meta.filename, [], { serialization: "advanced" });
    const node = new NodeProcess(child);
    child.send({ options, sessions } satisfies Start);
    const [first] = (await Promise.race([
      once(child, "message"),
      once(child, "exit").then(() => Promise.reject(new Error("the node's process ended"))),
    ])) as [Told];
    if (first.event !== "ready") throw new Error(`told ${first.event} before it was ready`);
    return node;
  }

  has(event: Told["event"]): boolean {
    return this.told.some((told) => told.event === event);
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(signal);
  }

  /** Stops the cluster; resolves with the exit code, once nothing keeps the process alive any more. */
  async leave(): Promise<number> {
    const exited = once(this.#child, "exit");
    this.#child.send("leave");
    const [code] = await exited;
    return code as number;
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGKILL");
    await once(this.#child, "exit");
  }
}

if (process.send !== undefined && process.argv[1] === import.meta.filename) {
  const tell = (told: Told) => process.send?.(told);
  const [{ options, sessions }] = (await once(process, "message")) as [Start];
  const cluster = new RedisCluster(options);
  cluster.onFenced(() => tell({ event: "fenced" }));
  cluster.onRejoined(() => tell({ event: "rejoined" }));
  cluster.onLost(({ id }) => tell({ event: "lost", id }));
  cluster.onDisplaced(({ id }) => tell({ event: "displaced", id }));
  cluster.bus.receive("echo", (message, from) => void cluster.bus.send(from, "echoed", message));
  await cluster.start();
  for (const entry of sessions) {
    const { local, domain, resource } = entry.jid;
    await cluster.registry.claim({ ...entry, jid: new Jid(local, domain, resource) });
  }
  process.once("message", async () => {
    await cluster.stop();
    process.disconnect();
    // Unref'd, it only strikes when something else is left.
    setTimeout(() => {
      console.error("still held by", process.getActiveResourcesInfo());
      process.exit(1);
    }, 10_000).unref();
  });
  tell({ event: "ready" });
}
