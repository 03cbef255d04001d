// Where whole objects lie, such as pictures and files: the port of media. Every driver passes object-store.case.ts.
// Keeps G7: what can be opened is whole, and is what was announced.

/** What is known of an object: its length, and the SHA-256 of its content in hexadecimal. */
export interface ObjectFacts {
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * What became of a put.
 * - `stored`: durable under its key; an object that was there before is replaced as a whole
 * - `mismatch`: the content is not what was announced; nothing is stored, what was there before stays
 */
export type Put = { readonly outcome: "stored" } | { readonly outcome: "mismatch"; readonly found: ObjectFacts };

/** An object to be read. */
export interface OpenedObject {
  readonly facts: ObjectFacts;
  readonly content: ReadableStream<Uint8Array>;
}

/** Methods reject with the driver's error where the store cannot answer; nothing is half-written then. */
export interface ObjectStore {
  /**
   * Stores an object once its whole content has come and is what was announced. Reading stops one byte past `announced.bytes`.
   * @param key 1–1,024 bytes of any text
   */
  put(key: string, content: AsyncIterable<Uint8Array>, announced: ObjectFacts): Promise<Put>;
  /** Null: there is none. */
  open(key: string): Promise<OpenedObject | null>;
  /** Idempotent. */
  remove(key: string): Promise<void>;
}
