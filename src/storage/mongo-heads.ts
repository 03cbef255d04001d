// The heads of the conversations this handle writes: what is stored of each, and what the log has beyond it ("open or closed").
// Owned by the MongoDB store. An append writes no head: the newest is kept here and stored after 1,000 entries or 5 s, so a
// stored head that says closed is exact, and one that says open is completed from the log by whoever opens it next.
import type { Cancel, Clock } from "../lib/clock";
import { failpoint } from "../lib/failpoints";
import type { ConversationId, Epoch, Seq } from "../protocol/ids";
import type { MongoCommands, Update } from "./mongo-commands";
import { isOfDriver } from "./mongo-failures";
import { headDocOf } from "./mongo-schema";
import type { Collections, HeadDoc } from "./mongo-schema";
import type { HeadRow } from "./store";

/** Entries behind a stored head, and its age in milliseconds, at which it is stored again. */
const flushEntries = 1000;
const flushMs = 5000;
/** Heads stored by one command. */
const flushBatch = 100;
/** Conversations remembered, about: past it the closed ones are forgotten, and looked up again when they are needed. */
const recordsMax = 50_000;
/** How many come until it is looked again what may be forgotten. */
const sweepEvery = 1000;

/** What this handle knows of one conversation. Not shared with other handles: only conditions in the store are. */
export interface HeadRecord {
  readonly conversation: ConversationId;
  readonly epoch: Epoch;
  /** Drawn at the opening; see {@link HeadDoc}. */
  readonly lease: string;
  /** Whether there is a document. */
  exists: boolean;
  /** Of the stored document, as far as it is known; the next writing takes the next one. */
  revision: number;
  /** The last entry of the log. */
  seq: Seq;
  /** The newest head while it is marked open by this handle; null while it is closed. */
  open: HeadRow | null;
  /** False once an outcome was not known: the log must be looked at before anything is built on `seq`. */
  clean: boolean;
  /** Entries behind the stored head. */
  unflushed: number;
  /** Its writing that is under way beside commits; null: none. */
  flushing: Promise<void> | null;
}

/** What became of a conditional writing of a head. */
export type HeadWritten = "written" | "fenced" | "conflict";

/** Not thread-safe. What reaches the store rejects with the driver's error; repeating is the caller's. */
export class MongoHeads {
  readonly #collections: Collections;
  readonly #commands: MongoCommands;
  readonly #clock: Clock;
  readonly #records = new Map<ConversationId, HeadRecord>();
  readonly #dirty = new Set<HeadRecord>();
  #sweepAt = recordsMax;
  #timer: Cancel | null = null;
  #flushing: Promise<void> | null = null;
  #closed = false;

  constructor(collections: Collections, commands: MongoCommands, clock: Clock) {
    this.#collections = collections;
    this.#commands = commands;
    this.#clock = clock;
  }

  /** What is known under this epoch; null: nothing. */
  get(conversation: ConversationId, epoch: Epoch): HeadRecord | null {
    const record = this.#records.get(conversation);
    return record?.epoch === epoch ? record : null;
  }

  /** Begins to know a conversation, or to know it anew. */
  put(record: HeadRecord): HeadRecord {
    this.forget(record.conversation);
    this.#records.set(record.conversation, record);
    if (this.#records.size > this.#sweepAt) this.#sweep();
    return record;
  }

  forget(conversation: ConversationId): void {
    const record = this.#records.get(conversation);
    if (record) this.#dirty.delete(record);
    this.#records.delete(conversation);
  }

  /**
   * Marks it open, durably, before its first entry: no entry is appended to a log whose head says closed. Creates the
   * document where there is none. `conflict`: it is not as this handle left it.
   */
  async markOpen(record: HeadRecord): Promise<HeadWritten> {
    const { conversation, epoch, lease } = record;
    const revision = record.revision + 1;
    const done = record.exists
      ? await this.#setOpen(record, revision)
      : await this.#create(headDocOf(blankHead(conversation, epoch), { epoch, lease, revision }));
    if (!done) {
      // An attempt before this one may have been applied without an answer.
      const stored = await this.#collections.newest.heads.findOne({ _id: conversation });
      const mine = stored?.lease === lease && stored.revision === revision && stored.open;
      if (!mine) return stored !== null && stored.epoch > epoch ? "fenced" : "conflict";
    }
    record.exists = true;
    record.revision = revision;
    return "written";
  }

  /** Takes a mark back under which nothing was appended. What another owner did meanwhile stays. */
  async unmark({ conversation, lease, revision }: HeadRecord, existed: boolean): Promise<void> {
    const q = { _id: conversation, lease, revision };
    if (existed) await this.#commands.update("heads", [{ q, u: { $set: { open: false, openEpoch: 0 } } }]);
    else await this.#commands.remove("heads", [q]);
  }

  /** Stores this head now. */
  async write(record: HeadRecord, head: HeadRow): Promise<HeadWritten> {
    // One at a time: their order is kept by the revision all the same.
    await record.flushing;
    const revision = ++record.revision;
    const wasDirty = this.#dirty.delete(record);
    try {
      const { matched } = await this.#commands.update("heads", [updateOf(record, head, revision)]);
      if (matched === 0) return await this.#whyNot(record);
    } catch (error) {
      if (wasDirty) this.#dirty.add(record);
      throw error;
    }
    record.unflushed = 0;
    record.open = head.openEpoch === 0 ? null : head;
    return "written";
  }

  /** Notes the newest head of an open conversation; it is stored later. */
  advance(record: HeadRecord, head: HeadRow, entries: number): void {
    record.open = head;
    record.unflushed += entries;
    this.#dirty.add(record);
    if (record.unflushed >= flushEntries) void this.#flush([record]);
    this.#timer ??= this.#closed ? null : this.#clock.after(flushMs, () => this.#flushDue());
  }

  /** Stores every newest head and takes no more. They stay open: whoever opens them next completes them. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.();
    await this.#flushing;
    await this.#flush([...this.#dirty]);
  }

  async #setOpen({ conversation, epoch, lease }: HeadRecord, revision: number): Promise<boolean> {
    const q = { _id: conversation, epoch, lease, revision: { $lt: revision } };
    const u = { $set: { open: true, openEpoch: epoch, revision } };
    return (await this.#commands.update("heads", [{ q, u }])).matched > 0;
  }

  async #create(doc: HeadDoc): Promise<boolean> {
    return (await this.#commands.insert("heads", [doc])) > 0;
  }

  /** Why a condition did not hold: an owner with a higher epoch, or something that this handle does not know of. */
  async #whyNot({ conversation, epoch }: HeadRecord): Promise<"fenced" | "conflict"> {
    const stored = await this.#collections.newest.heads.findOne({ _id: conversation });
    return stored !== null && stored.epoch > epoch ? "fenced" : "conflict";
  }

  #sweep(): void {
    for (const [conversation, { open }] of this.#records) {
      if (this.#records.size <= recordsMax) break;
      if (open === null) this.#records.delete(conversation);
    }
    this.#sweepAt = Math.max(recordsMax, this.#records.size) + sweepEvery;
  }

  #flushDue(): void {
    this.#timer = null;
    this.#flushing = this.#flush([...this.#dirty]).finally(() => {
      this.#flushing = null;
      if (this.#dirty.size > 0 && !this.#closed) this.#timer ??= this.#clock.after(flushMs, () => this.#flushDue());
    });
  }

  /** What fails is tried again later: a stored head that lags is only more work for whoever opens it next. */
  async #flush(records: readonly HeadRecord[]): Promise<void> {
    for (let at = 0; at < records.length; at += flushBatch) {
      const some = records.slice(at, at + flushBatch).filter(({ open, clean }) => open !== null && clean);
      for (const record of records.slice(at, at + flushBatch)) this.#dirty.delete(record);
      await this.#flushSome(some);
    }
  }

  async #flushSome(records: readonly HeadRecord[]): Promise<void> {
    if (records.length === 0) return;
    const updates = records.map((record) => {
      record.unflushed = 0;
      return updateOf(record, record.open as HeadRow, ++record.revision);
    });
    const flushed = this.#send(records, updates);
    for (const record of records) record.flushing = flushed;
    await flushed;
    for (const record of records) if (record.flushing === flushed) record.flushing = null;
  }

  async #send(records: readonly HeadRecord[], updates: readonly Update[]): Promise<void> {
    try {
      await this.#commands.update("heads", updates);
      failpoint("mongo.head.flushed");
    } catch (error) {
      if (!isOfDriver(error)) throw error;
      for (const record of records) if (this.#records.get(record.conversation) === record) this.#dirty.add(record);
    }
  }
}

/** The head of a conversation of which nothing is known but that it is about to begin. */
export function blankHead(conversation: ConversationId, openEpoch: Epoch): HeadRow {
  return {
    conversation,
    type: "",
    seq: 0,
    ordinal: 0,
    time: 0,
    name: null,
    picture: null,
    fields: null,
    memberCount: 0,
    lastMessage: null,
    lastMessageSeq: 0,
    openEpoch,
    fedThrough: 0,
    totalsThrough: 0,
  };
}

/** Conditional on owner and order: neither an older owner's writing nor an earlier one of this owner takes place late. */
function updateOf({ conversation, epoch, lease }: HeadRecord, head: HeadRow, revision: number): Update {
  const { _id, ...fields } = headDocOf(head, { epoch, lease, revision });
  return { q: { _id: conversation, epoch, lease, revision: { $lt: revision } }, u: { $set: fields } };
}
