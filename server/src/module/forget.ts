import type { ArchiveStore, DriverOf, KeyValueStore, MapStore, QueueStore, StoreSpecs } from "../storage/specs.ts";
import type { Jid } from "../xmpp/jid.ts";
import type { AnyModule } from "./api.ts";

/** Takes away all that the modules keep under an account, so that whoever gets the name next finds nothing. */
export async function forgetAccount(modules: Iterable<AnyModule>, driverOf: DriverOf, account: Jid): Promise<void> {
  for (const { stores } of modules) {
    for (const spec of Object.values((stores ?? {}) as StoreSpecs)) {
      const driver = driverOf(spec.table);
      // What others fill is theirs to empty.
      if (driver.readOnly === true) continue;
      const store = spec.open(driver);
      // Where it cannot be kept, the module does not run.
      if (store === undefined) continue;
      if (spec.capability === "map") await (store as MapStore<unknown>).clear(account);
      if (spec.capability === "archive") await (store as ArchiveStore<unknown>).purge(account);
      if (spec.capability === "queue") await (store as QueueStore<unknown>).clear(account);
      if (spec.capability === "keyValue") await (store as KeyValueStore<unknown>).remove(account);
    }
  }
}
