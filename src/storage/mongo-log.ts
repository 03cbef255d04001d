// Appends to logs: one ordered insert, repeated with identical rows until it is known what is stored (G1, G2, G3).
// Unique (conversation, seq) keeps one order and is the fence; unique (conversation, key) keeps a client id from standing twice.
import { isControlOn } from "../lib/failpoints";
import { partitionOf } from "../lib/hash";
import type { ConversationId, Epoch } from "../protocol/ids";
import type { MongoCommands } from "./mongo-commands";
import { duplicateKey, WriteRefused } from "./mongo-failures";
import type { Attempt, Decided, MongoHealth } from "./mongo-health";
import { clientIdOf, foundOf } from "./mongo-schema";
import type { Collections, EntryDoc } from "./mongo-schema";
import { auditMsMax } from "./store";
import type { FoundEntry } from "./store";

/**
 * What became of an append.
 * - `stored`: all of it, acknowledged by a majority
 * - `duplicate`: the log holds client ids of it, and nothing of it was stored
 * - `taken`: another owner's entry stands at one of its seqs
 * - `partly`: a client id of it stands in the log by an insert that arrived late, and what stood before it in this append is stored
 */
export type Appended =
  | { readonly outcome: "stored" | "taken" | "partly" }
  | { readonly outcome: "duplicate"; readonly found: readonly FoundEntry[] };

/** Not thread-safe; one append in flight for each conversation. */
export class MongoLog {
  readonly #collections: Collections;
  readonly #commands: MongoCommands;
  readonly #health: MongoHealth;

  constructor(collections: Collections, commands: MongoCommands, health: MongoHealth) {
    this.#collections = collections;
    this.#commands = commands;
    this.#health = health;
  }

  /** Inserts these rows, which follow each other and what is stored. */
  append(rows: readonly EntryDoc[]): Promise<Decided<Appended>> {
    let stored = 0;
    return this.#health.decide<Appended>(rows.length === 1, async (attempt) => {
      while (stored < rows.length) {
        const inserted = await this.#commands.insert("entries", rows.slice(stored));
        stored += inserted;
        if (inserted > 0) attempt.landed();
        if (stored === rows.length) break;
        const mine = await this.#minePast(rows, stored, attempt);
        if (mine === 0) return this.#obstacle(rows, stored);
        stored += mine;
      }
      return { outcome: "stored" };
    });
  }

  /** Entries that hold client ids of these rows already, as a majority has them. */
  async duplicates(conversation: ConversationId, rows: readonly EntryDoc[]): Promise<readonly FoundEntry[]> {
    return (await this.#holders(conversation, rows)).map(foundOf);
  }

  /** Whether an epoch above this one has claimed the conversation's partition, read linearizably. */
  async isFenced(kind: "conversation" | "user", key: string, epoch: Epoch): Promise<boolean> {
    return !(await this.isNewest(partitionOf(kind, key), epoch));
  }

  /** Whether this epoch is the partition's newest, read linearizably. */
  async isNewest(partition: number, epoch: Epoch): Promise<boolean> {
    return (await this.#collections.newest.partitions.findOne({ _id: partition }))?.epoch === epoch;
  }

  /** Partitions of `held` whose epoch is not the newest, read linearizably in one command; with none, one is looked at all the same. */
  async lostOf(held: readonly (readonly [partition: number, epoch: Epoch])[]): Promise<readonly number[]> {
    const partitions = held.length > 0 ? held.map(([partition]) => partition) : [0];
    const found = await this.#collections.newest.partitions.findEach(partitions, auditMsMax);
    const newest = new Map(found.map(({ _id, epoch }) => [_id, epoch]));
    return held.filter(([partition, epoch]) => newest.get(partition) !== epoch).map(([partition]) => partition);
  }

  /** How many of the rows from `at` on an earlier attempt has stored, as a majority has them. */
  async #minePast(rows: readonly EntryDoc[], at: number, attempt: Attempt): Promise<number> {
    const { conversation, seq: first } = rows[at] as EntryDoc;
    const last = (rows.at(-1) as EntryDoc).seq;
    const filter = { conversation, seq: { $gte: first, $lte: last } };
    const found = await this.#collections.entries.find(filter, { projection: { _id: 1, seq: 1 } }).toArray();
    const bySeq = new Map(found.map(({ seq, _id }) => [seq, _id.toHexString()]));
    let mine = 0;
    for (const row of rows.slice(at)) {
      if (bySeq.get(row.seq) !== row._id.toHexString()) break;
      mine++;
    }
    if (mine > 0) attempt.landed();
    return mine;
  }

  /** Why the row at `at` cannot be inserted. Throws, to be asked again, while a majority does not show it yet. */
  async #obstacle(rows: readonly EntryDoc[], at: number): Promise<Appended> {
    const { conversation, seq } = rows[at] as EntryDoc;
    const mine = new Set(rows.map(({ _id }) => _id.toHexString()));
    const there = await this.#collections.entries.findOne({ conversation, seq });
    if (there && !mine.has(there._id.toHexString())) return { outcome: "taken" };
    const found = await this.#holders(conversation, rows);
    // A row of this append may have become visible between two looks: then it is no obstacle.
    if (there || found.length === 0 || found.some(({ _id }) => mine.has(_id.toHexString()))) {
      throw new WriteRefused(duplicateKey, "an entry is on its way that a majority does not have");
    }
    return at === 0 ? { outcome: "duplicate", found: found.map(foundOf) } : { outcome: "partly" };
  }

  /** Entries that hold the client ids of these rows. */
  async #holders(conversation: ConversationId, rows: readonly EntryDoc[]): Promise<readonly EntryDoc[]> {
    if (isControlOn("negative.noUniqueIndex")) return [];
    const keys = rows.filter(({ key }) => clientIdOf(key) !== null).map(({ key }) => key);
    if (keys.length === 0) return [];
    return this.#collections.entries.find({ conversation, key: { $in: keys } }).toArray();
  }
}
