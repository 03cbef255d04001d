// What `@parley/client` exports. Browser, Bun and Node; no built-ins, no side effects.
export { createClient } from "./client";
export { ClientError } from "./errors";
export type { LocalCode } from "./errors";
export { indexedDbStorage } from "./indexeddb-storage";
export { memoryStorage } from "./storage";
export type { ClientClock } from "./clock";
export type { ClientStorage, StorageChange } from "./storage";
export type { Locks } from "./queue-lock";
export type * from "./types";
