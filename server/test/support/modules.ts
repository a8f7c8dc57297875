/** For modules that are started without a node around them. */
import type { AccountDirectory } from "../../src/module/api.ts";

/** No accounts at all. */
export const nobody: AccountDirectory = {
  exists: () => false,
  serves: () => false,
  create: async () => "exists",
  setPassword: async () => "missing",
  remove: async () => {},
  count: async () => 0,
  list: async () => [],
};
