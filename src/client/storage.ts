// Where a client keeps its outbox and cache: a port of two methods, and the driver in memory.
// Called by Journal only. Drivers: memory, indexeddb-storage.ts, file-storage.ts (Bun and Node, its own entry point).

/** Plain data that nobody changes: what structured clone and MessagePack both carry. `undefined` as a value removes the key. */
export type StorageChange = readonly [key: string, value: unknown];

/** Keeps records by key. One storage may serve several clients (tabs). */
export interface ClientStorage {
  /** The records whose key begins with `prefix`, in key order. */
  read(prefix: string): Promise<readonly StorageChange[]>;
  /** All of the changes or none, in call order; they survive a crash once this resolves. Rejects when it cannot. */
  write(changes: readonly StorageChange[]): Promise<void>;
  /** Releases files and connections; called by a client that ends. The next call opens them again. */
  close(): Promise<void>;
}

/** Keeps records as long as the object lives: for tests, bots without a disk, and clients handed one after the other. */
export function memoryStorage(): ClientStorage {
  const records = new Map<string, unknown>();
  return {
    async read(prefix) {
      const found: StorageChange[] = [];
      for (const [key, value] of records) if (key.startsWith(prefix)) found.push([key, value]);
      return found.sort(([a], [b]) => (a < b ? -1 : 1));
    },
    async write(changes) {
      for (const [key, value] of changes) {
        if (value === undefined) records.delete(key);
        else records.set(key, value);
      }
    },
    async close() {},
  };
}
