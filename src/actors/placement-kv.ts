// The key-value store of a cluster's placement: the little of JetStream KV that leases and claims need. A port, types only.
// Two buckets: leases (memory, the whole bucket expires after a lease's life) and claims (file, history 1, never expiring).

/** What became of a write: `unknown` may have been done, or may be done yet. */
export type KvWritten =
  | { readonly outcome: "written"; readonly revision: number }
  | { readonly outcome: "conflict" | "unknown" };

/** Told in the order of revisions, on one watch at a time; nothing of an earlier watch comes after `restarted`. */
export interface KvWatcher {
  /** A watch begins, also the first and each after a connection, a consumer or the bucket was lost: all keys follow. */
  restarted(): void;
  /** `value` null: it was deleted by a writer. What expires is not told. */
  entry(key: string, value: string | null, revision: number): void;
  /** All keys that stood when the watch began have been told. */
  current(): void;
}

/**
 * One bucket. Called by the runner of a node's placement. Nothing rejects; every write is answered within about a second.
 * There is no way to read one key: such a read may be old, and nothing is decided by it.
 */
export interface KeyValue {
  /** Writes if the key stands at `revision`; 0: if it does not exist. */
  update(key: string, value: string, revision: number): Promise<KvWritten>;
  /** Writes whatever stands there. */
  put(key: string, value: string): Promise<KvWritten>;
  /** Deletes if the key stands at `revision`; null: whatever stands there. Best effort. */
  delete(key: string, revision: number | null): Promise<void>;
  /** Begins to tell; begins afresh by itself after whatever breaks it. Once for each bucket. */
  watch(watcher: KvWatcher): KvWatch;
}

/** A watch that was begun. */
export interface KvWatch {
  /** Begins afresh at once: it seems to have lost something. */
  restart(): void;
  /** Tells nothing any more. Idempotent. */
  stop(): void;
}
