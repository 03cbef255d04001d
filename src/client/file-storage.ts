// The client's records in one file, for Bun and Node. An append-only journal, replayed when it is opened; a record that a
// crash tore apart is left out with all that follows it. One process at a time uses a file.
import { mkdir, open, readFile, rename } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { decode, encode } from "../protocol/codec";
import type { ClientStorage, StorageChange } from "./storage";

/** The file is written anew once it is this much larger than what it holds. */
const slackBytes = 1024 * 1024;
/** Before each group of changes: its length and a checksum, 4 bytes each, big-endian. */
const headerBytes = 8;

/**
 * Keeps records in the file `path`, made with its folder where missing, readable by its owner alone. Every write is synced
 * to the disk before it resolves. Calls are carried out one after the other.
 */
export function fileStorage(path: string): ClientStorage {
  return new FileStorage(path);
}

class FileStorage implements ClientStorage {
  readonly #path: string;
  readonly #records = new Map<string, unknown>();
  #file: FileHandle | null = null;
  #size = 0;
  /** Size after the last rewrite. */
  #base = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  read(prefix: string): Promise<readonly StorageChange[]> {
    return this.#next(async () => {
      await this.#opened();
      const found = [...this.#records].filter(([key]) => key.startsWith(prefix));
      return found.sort(([a], [b]) => (a < b ? -1 : 1));
    });
  }

  async write(changes: readonly StorageChange[]): Promise<void> {
    // Encoded now: the caller's values may not be touched later, and what cannot be encoded fails alone.
    const group = groupOf(changes);
    return this.#next(async () => {
      const file = await this.#opened();
      await this.#append(file, group);
      apply(this.#records, changes);
      if (this.#size > 2 * this.#base + slackBytes) await this.#rewrite();
    });
  }

  close(): Promise<void> {
    return this.#next(async () => {
      const file = this.#file;
      this.#file = null;
      await file?.close();
    });
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  async #opened(): Promise<FileHandle> {
    if (this.#file) return this.#file;
    await mkdir(dirname(this.#path), { recursive: true });
    const bytes = await readFile(this.#path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return new Uint8Array();
      throw error;
    });
    this.#records.clear();
    const good = replay(bytes, this.#records);
    const file = await open(this.#path, good === 0 ? "w" : "r+", 0o600);
    await file.truncate(good);
    this.#file = file;
    this.#size = this.#base = good;
    return file;
  }

  async #append(file: FileHandle, group: Uint8Array): Promise<void> {
    try {
      await file.write(group, 0, group.length, this.#size);
      await file.datasync();
      this.#size += group.length;
    } catch (error) {
      // Whatever was written of it must not be followed by anything.
      await file.truncate(this.#size).catch(() => {});
      throw error;
    }
  }

  /** A new file beside the old one takes its place in one step. */
  async #rewrite(): Promise<void> {
    const fresh = `${this.#path}.new`;
    const group = groupOf([...this.#records]);
    const file = await open(fresh, "w", 0o600);
    try {
      await file.write(group, 0, group.length, 0);
      await file.sync();
      await rename(fresh, this.#path);
    } catch (error) {
      await file.close();
      throw error;
    }
    await this.#file?.close();
    this.#file = file;
    this.#size = this.#base = group.length;
  }
}

/** Changes as they stand in the file: `[[key, encoded value], [key of what is removed], …]`. Values may nest as deep as on the wire. */
function groupOf(changes: readonly StorageChange[]): Uint8Array {
  const body = encode(changes.map(([key, value]) => (value === undefined ? [key] : [key, encode(value)])));
  const group = new Uint8Array(headerBytes + body.length);
  const view = new DataView(group.buffer);
  view.setUint32(0, body.length);
  view.setUint32(4, checksum(body));
  group.set(body, headerBytes);
  return group;
}

/** Applies every whole group; answers where the last one ends. */
function replay(bytes: Uint8Array, records: Map<string, unknown>): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at + headerBytes <= bytes.length) {
    const end = at + headerBytes + view.getUint32(at);
    if (end > bytes.length) break;
    const body = bytes.subarray(at + headerBytes, end);
    if (checksum(body) !== view.getUint32(at + 4)) break;
    for (const [key, value] of decode(body) as readonly (readonly [string, Uint8Array?])[]) {
      if (value === undefined) records.delete(key);
      else records.set(key, decode(value));
    }
    at = end;
  }
  return at;
}

function apply(records: Map<string, unknown>, changes: readonly StorageChange[]): void {
  for (const [key, value] of changes) {
    if (value === undefined) records.delete(key);
    else records.set(key, value);
  }
}

/** FNV-1a, 32 bits: finds what a crash tore apart; it guards against nothing else. */
function checksum(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
