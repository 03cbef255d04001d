// The write commands as they go over the wire, with their concerns in them and their replies as they came.
// The driver's own bulk methods hide which documents were taken when an error comes in the middle; here nothing is hidden (G1).
import type { Db, Document } from "mongodb";
import { isControlOn } from "../lib/failpoints";
import type { MongoCausality } from "./mongo-causality";
import { duplicateKey, PartlyApplied, WriteRefused } from "./mongo-failures";
import { sizeOf } from "./mongo-schema";
import type { Bytes, CollectionName, Documents } from "./mongo-schema";

/** How often an upsert is repeated that found its document inserted meanwhile: the second time it is there. */
const upsertTries = 5;
/** Statements in one command, at most. */
const statementsMax = 1000;
/** Bytes of documents in one insert, about, at most: a command is bounded by 16 MiB. */
const insertBytesMax = 8 * 1024 * 1024;
/** What a document takes beside its large fields, about. */
const documentBytes = 512;

/** One conditional change of one document, or of all that match (`multi`). */
export interface Update {
  readonly q: Document;
  readonly u: Document;
  readonly upsert?: boolean;
  readonly multi?: boolean;
}

/** What an update command did. */
export interface Updated {
  /** Documents that matched, inserted ones included. */
  readonly matched: number;
  /** Positions whose unique key was taken: another writer inserted the document meanwhile, or the condition does not hold. */
  readonly duplicates: readonly number[];
}

/**
 * Not thread-safe. Every method rejects with the driver's error, or {@link WriteRefused}, where the outcome is not its answer;
 * with {@link PartlyApplied} around it where something was applied by then.
 */
export class MongoCommands {
  readonly #db: Db;
  readonly #writeConcern: Document;
  readonly #causality: MongoCausality | null;

  /**
   * @param wtimeoutMs after which the server stops waiting for the majority, with an error
   * @param causality is told of every write that was acknowledged
   */
  constructor(db: Db, wtimeoutMs: number, causality: MongoCausality | null = null) {
    this.#db = db;
    this.#causality = causality;
    // A negative control: the tail of what was acknowledged may be lost.
    const weak = isControlOn("negative.writeConcernOne");
    this.#writeConcern = weak ? { w: 1 } : { w: "majority", j: true, wtimeout: wtimeoutMs };
  }

  /**
   * Inserts in order and stops at the first document whose unique key is taken: answers how many are in by then.
   * All of them were acknowledged by a majority.
   */
  async insert<N extends CollectionName>(name: N, documents: readonly Documents[N][]): Promise<number> {
    let inserted = 0;
    for (const chunk of chunksOf(documents)) {
      const reply = await behind(inserted, this.#run({ insert: name, documents: chunk, ordered: true }));
      const [error] = errorsOf(reply);
      inserted += error ? error.index : chunk.length;
      if (!error) continue;
      if (error.code === duplicateKey) return inserted;
      throw partly(inserted, new WriteRefused(error.code, error.message));
    }
    return inserted;
  }

  /** Applies conditional changes, each by itself, in no order. */
  async update(name: CollectionName, updates: readonly Update[]): Promise<Updated> {
    let matched = 0;
    const duplicates: number[] = [];
    for (let at = 0; at < updates.length; at += statementsMax) {
      const some = updates.slice(at, at + statementsMax).map((each) => ({ ...each, upsert: each.upsert ?? false }));
      const reply = await behind(matched, this.#run({ update: name, updates: some, ordered: false }));
      matched += Number(reply["n"] ?? 0);
      for (const { index, code, message } of errorsOf(reply)) {
        if (code !== duplicateKey) throw partly(matched, new WriteRefused(code, message));
        duplicates.push(at + index);
      }
    }
    return { matched, duplicates };
  }

  /** Applies upserts that may be repeated; where another writer inserted the same document meanwhile, once more. */
  async upsert(name: CollectionName, updates: readonly Update[]): Promise<void> {
    let left = updates;
    for (let tries = 0; left.length > 0; tries++) {
      const { duplicates } = await behind(updates.length - left.length, this.update(name, left));
      if (duplicates.length > 0 && tries >= upsertTries) {
        const refused = new WriteRefused(duplicateKey, `documents of ${name} are inserted by others again and again`);
        throw partly(updates.length - duplicates.length, refused);
      }
      left = duplicates.map((at) => left[at] as Update);
    }
  }

  /** Deletes what each filter finds. */
  async remove(name: CollectionName, filters: readonly Document[]): Promise<void> {
    if (filters.length === 0) return;
    const deletes = filters.map((q) => ({ q, limit: 0 }));
    const [error] = errorsOf(await this.#run({ delete: name, deletes, ordered: false }));
    if (error) throw new WriteRefused(error.code, error.message);
  }

  /** A command that makes collections or indexes. */
  async define(command: Document): Promise<void> {
    await this.#run(command);
  }

  async #run(command: Document): Promise<Document> {
    const reply = await this.#db.command({ ...command, writeConcern: this.#writeConcern });
    this.#causality?.noted(reply["operationTime"]);
    return reply;
  }
}

/** What `error` is behind so many documents that were applied. */
function partly(applied: number, error: unknown): unknown {
  return applied > 0 ? new PartlyApplied(error) : error;
}

function behind<T>(applied: number, command: Promise<T>): Promise<T> {
  return applied > 0 ? command.catch((error: unknown) => Promise.reject(partly(applied, error))) : command;
}

interface WriteError {
  readonly index: number;
  readonly code: number;
  readonly message: string;
}

function errorsOf(reply: Document): readonly WriteError[] {
  const errors: unknown = reply["writeErrors"];
  if (!Array.isArray(errors)) return [];
  return errors.map(({ index, code, errmsg }: Document) => ({
    index: Number(index),
    code: Number(code),
    message: String(errmsg),
  }));
}

/** Documents in runs that one command takes, in order. */
function* chunksOf<D>(documents: readonly D[]): Generator<readonly D[]> {
  let start = 0;
  let bytes = 0;
  for (const [at, document] of documents.entries()) {
    const size = documentBytes + largeBytes(document);
    const full = at > start && (bytes + size > insertBytesMax || at - start >= statementsMax);
    if (full) {
      yield documents.slice(start, at);
      start = at;
      bytes = 0;
    }
    bytes += size;
  }
  if (start < documents.length) yield documents.slice(start);
}

function largeBytes(document: unknown): number {
  const { bytes, changes } = document as { bytes?: Bytes; changes?: Bytes };
  return (bytes ? sizeOf(bytes) : 0) + (changes ? sizeOf(changes) : 0);
}
