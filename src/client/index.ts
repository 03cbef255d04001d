// What `@parley/client` exports. Browser, Bun and Node; no built-ins, no side effects.
export { createClient } from "./client";
export { ClientError } from "./errors";
export { memoryStorage } from "./storage";
export type { ClientClock } from "./clock";
export type { ClientStorage, StorageChange } from "./storage";
export type * from "./types";
