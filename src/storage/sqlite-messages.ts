// What the main thread and the store's threads say to each other. Plain data; bytes are handed over, not copied.
import type { Sharing } from "./sqlite-sharing";

/** A database file, and how it is used. */
export interface StoreFile {
  readonly file: string;
  /** Null: no other process has it open. */
  readonly sharing: Sharing | null;
}

/** The first message to a worker. */
export interface WorkerStart extends StoreFile {
  readonly role: "writer" | "reader" | "checkpointer" | "copier";
  /** See lib/failpoints.ts. */
  readonly failpoints: string;
}

/** `[id, operation, argument]`; the answer is a {@link WorkerAnswer} with the same id. */
export type WorkerRequest = readonly [id: number, operation: string, argument: unknown];

/** `[id, bytes, failure]`: packed bytes, or why not. Id 0 answers the start. */
export type WorkerAnswer = readonly [id: number, answer: Uint8Array | null, failure: string | null];

/** What a writer answers its start with. */
export interface WriterStarted {
  readonly generation: string;
  readonly schema: number;
  /** `PRAGMA synchronous` as in force: 2 is FULL. */
  readonly synchronous: number;
}
