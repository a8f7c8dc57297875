import { createServer } from "node:net";
import { join } from "node:path";
import { GenericContainer, getContainerRuntimeClient, type StartedTestContainer, Wait } from "testcontainers";

// The reaper's image is not among those this project can build.
process.env.TESTCONTAINERS_RYUK_DISABLED = "true";

/** A database in a container, whose ports on this machine stay the same when it is stopped and started again. */
export interface TestDatabase {
  /** By the port inside the container. */
  readonly ports: ReadonlyMap<number, number>;
  /** Ends it as a power cut would. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Lets it hang: connections stay open and nothing answers. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** The output of a command inside the container. */
  run(...command: string[]): Promise<string>;
  /** The same as the container's root, whose a small disk is once it was stopped. */
  asRoot(...command: string[]): Promise<string>;
  remove(): Promise<void>;
}

/** Builds (or finds in the cache) the image of a folder in `conformance/images`, and starts it. */
export async function startDatabase(
  image: string,
  ports: readonly number[],
  /** Folders that are small disks of their own, with their mount options; what they hold is gone when the container stops. */
  disks: Readonly<Record<string, string>> = {},
): Promise<TestDatabase> {
  const folder = join(import.meta.dirname, "../images", image);
  const built = await GenericContainer.fromDockerfile(folder).build(`meerkat-conformance-${image}:latest`, {
    deleteOnExit: false,
  });
  const published = new Map<number, number>();
  for (const port of ports) published.set(port, await freePort());
  const started = await built
    .withExposedPorts(...[...published].map(([container, host]) => ({ container, host })))
    .withTmpFs({ ...disks })
    .withWaitStrategy(Wait.forListeningPorts())
    .start();
  return controls(started, published);
}

async function controls(started: StartedTestContainer, ports: ReadonlyMap<number, number>): Promise<TestDatabase> {
  const { container: runtime } = await getContainerRuntimeClient();
  const container = runtime.getById(started.getId());
  async function run(command: string[], user?: string): Promise<string> {
    const { output, exitCode } = await started.exec(command, user === undefined ? {} : { user });
    if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${output}`);
    return output;
  }

  return {
    ports,
    kill: async () => void (await container.kill()),
    start: async () => void (await container.start()),
    pause: async () => void (await container.pause()),
    resume: async () => void (await container.unpause()),
    run: (...command) => run(command),
    asRoot: (...command) => run(command, "root"),
    remove: async () => void (await started.stop({ timeout: 0 })),
  };
}

/** A port that nothing listens on at the moment. */
export function freePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const server = createServer();
  server.once("error", reject);
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
  });
  return promise;
}
