/** Which volumes the compose files give a store. */
import { run } from "../../compose/backup/child.ts";
import { type Site, volume } from "./docker.ts";

interface Model {
  readonly services: Readonly<
    Record<
      string,
      { readonly image?: string; readonly volumes?: readonly { readonly type: string; readonly source?: string }[] }
    >
  >;
}

/** In the order of the services' names, so that the first server's comes first. */
export async function volumesOf(site: Site, store: string): Promise<string[]> {
  const script = '. scripts/lib.sh && load_env && dc --profile "*" config --format json';
  return namedVolumes(JSON.parse((await run("bash", ["-c", script])).stdout) as Model, store).map((name) =>
    volume(site, name),
  );
}

export function namedVolumes({ services }: Model, store: string): string[] {
  const names = Object.keys(services)
    .sort()
    .filter((service) => services[service]?.image?.split(":")[0] === `meerkat/${store}`)
    .flatMap((service) => services[service]?.volumes ?? [])
    .flatMap(({ type, source }) => (type === "volume" && source !== undefined ? [source] : []));
  return [...new Set(names)];
}
