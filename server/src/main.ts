import { ConfigError, loadConfig } from "./config/load.ts";
import { type RunningNode, startNode } from "./node.ts";
import { createLog } from "./observe/log.ts";

/** Reads the configuration, starts a node, obeys signals. */
async function main(): Promise<void> {
  const config = loadConfig();
  const log = createLog(config.log.level).with({ node: config.node.id });
  const aborted = new AbortController();
  let node: RunningNode | undefined;

  async function stop(signal: string): Promise<void> {
    log.info("node.signalled", { signal });
    if (aborted.signal.aborted) process.exit(1);
    aborted.abort();
    await node?.stop();
    process.exit(0);
  }
  process.on("SIGTERM", (signal) => void stop(signal));
  process.on("SIGINT", (signal) => void stop(signal));
  process.on("SIGHUP", () => {
    try {
      node?.reload();
      log.info("files.reloaded");
    } catch (error) {
      log.error("files.not_reloaded", { error });
    }
  });
  // A bug in one place must not take every client down; what it broke is in the log.
  process.on("unhandledRejection", (error) => log.error("node.failed", { error }));

  node = await startNode(config, log, aborted.signal);
  log.info("node.started", { hosts: config.hosts.map(({ domain }) => domain) });
}

try {
  await main();
} catch (error) {
  if (error instanceof ConfigError) process.stderr.write(`${error.message}\n`);
  else process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(1);
}
