// Opens conversations: the head under the new owner's epoch, the log behind a head that was left open folded, and a fence entry
// at the end of the log, so that nothing of an older owner can follow it (G3, "Fencing" in ARCHITECTURE.md).
// Owned by the MongoDB store. Every step may be repeated, by this owner or by the next one, after a crash between any two.
import type { Clock } from "../lib/clock";
import { failpoint } from "../lib/failpoints";
import { encodeEntry } from "../protocol/codec";
import { entryKinds } from "../protocol/entry";
import type { Role } from "../protocol/entry";
import { reservedUserPrefix } from "../protocol/ids";
import type { ConversationId, Epoch, UserId } from "../protocol/ids";
import { LogFold } from "./log-fold";
import type { PersonBefore } from "./log-fold";
import type { MongoCommands } from "./mongo-commands";
import type { HeadRecord, MongoHeads } from "./mongo-heads";
import type { MongoLog } from "./mongo-log";
import { bytesOf, entryDocOf, entryOf, headOf, memberOf } from "./mongo-schema";
import type { Collections, EntryDoc, HeadDoc } from "./mongo-schema";
import { memberUpdate, totalUpdate } from "./mongo-participants";
import type { EntryRow, HeadRow, OpenedConversation } from "./store";

/** Whose entries the server's own are. */
const systemUser = `${reservedUserPrefix}system` as UserId;
/** Entries read at once with their content, and without. */
const fullPage = 256;
const slimPage = 5000;
/** People looked up at once. */
const peopleBatch = 500;
const roles: Role[] = ["owner", "admin", "member"];
/** Members in one reply. */
const memberPage = 5000;
/** How often a fence gives way to an older owner's entries: each had a batch of 512 at most on its way. */
const fenceTries = 2000;

/** How often a head is taken that appears between two looks: the second time it is there. */
const takeTries = 5;

/** A higher epoch has it. */
export class Fenced extends Error {
  override readonly name = "Fenced";
}

/** What opening works with. */
export interface OpeningParts {
  readonly collections: Collections;
  readonly commands: MongoCommands;
  readonly heads: MongoHeads;
  readonly log: MongoLog;
  readonly clock: Clock;
}

/** Not thread-safe; one opening at a time for each conversation. Rejects with the driver's error, or {@link Fenced}. */
export class MongoOpening {
  readonly #parts: OpeningParts;

  constructor(parts: OpeningParts) {
    this.#parts = parts;
  }

  /** The head as it is, exact, and no older epoch can append any more. Null: there is no such conversation. */
  async open(conversation: ConversationId, epoch: Epoch): Promise<HeadRow | null> {
    const { heads } = this.#parts;
    const known = heads.get(conversation, epoch);
    if (known?.clean && known.open) return known.open;
    heads.forget(conversation);
    const { record, stored } = await this.#take(conversation, epoch);
    if (stored?.open) return this.#complete(record, headOf(stored));
    heads.put(record);
    return stored && stored.seq > 0 ? headOf(stored) : null;
  }

  /** For a write to a conversation that was not opened before it: what is known of it, if it is closed and ours. */
  async lookUp(conversation: ConversationId, epoch: Epoch): Promise<HeadRecord | "fenced" | "open"> {
    try {
      const { record, stored } = await this.#take(conversation, epoch);
      return stored?.open ? "open" : this.#parts.heads.put(record);
    } catch (error) {
      if (error instanceof Fenced) return "fenced";
      throw error;
    }
  }

  /**
   * Writes the epoch and a new lease into the head: from here on neither an older owner nor an earlier opening of this one can
   * change it. Answers what stood there before.
   */
  async #take(conversation: ConversationId, epoch: Epoch): Promise<{ record: HeadRecord; stored: HeadDoc | null }> {
    const { collections } = this.#parts;
    const lease = crypto.randomUUID();
    for (let tries = 0; tries < takeTries; tries++) {
      const stored = await collections.heads.findOneAndUpdate(
        { _id: conversation, epoch: { $lte: epoch } },
        { $set: { epoch, lease } },
        { returnDocument: "before" },
      );
      // Linearizable: whoever is told that there is none must not overlook one that another owner was told is stored.
      const there = stored ?? (await collections.newest.heads.findOne({ _id: conversation }));
      if (there !== null && there.epoch > epoch) throw overtaken(conversation);
      failpoint("mongo.open.epoch");
      if (there === stored) return { record: recordOf(conversation, epoch, lease, stored), stored };
      // An older owner has created it between the two looks.
    }
    throw new Unfenced(`${conversation} comes and goes`);
  }

  /** Finishes what the owner before left: everything that follows from the log, then the head. */
  async #complete(record: HeadRecord, stored: HeadRow): Promise<HeadRow> {
    const { conversation, epoch } = record;
    const fold = new LogFold(stored);
    await this.#fence(conversation, epoch, fold);
    failpoint("mongo.open.fenced");
    const { head, members, totals } = fold.result(await this.#peopleOf(conversation, fold.people));
    const updates = [
      ...members.map((row) => memberUpdate(conversation, row)),
      ...totals.map((row) => totalUpdate(conversation, row, head.seq)),
    ];
    await this.#parts.commands.upsert("participants", updates);
    failpoint("mongo.open.participants");
    const open = { ...head, openEpoch: epoch };
    record.seq = head.seq;
    const written = await this.#parts.heads.write(record, open);
    if (written === "fenced") throw overtaken(conversation);
    if (written === "conflict") throw new Unfenced(`${conversation} is being opened twice`);
    failpoint("mongo.open.head");
    this.#parts.heads.put(record);
    return open;
  }

  /** What an activation starts from, beside the head: the present members and the last entries. */
  async surroundings(head: HeadRow, tail: number): Promise<Omit<OpenedConversation, "head">> {
    const { collections } = this.#parts;
    const { conversation, seq } = head;
    const present = { conversation, "member.role": { $in: roles } };
    const projection = { _id: 0, user: 1, member: 1 };
    const last = { conversation, seq: { $gt: seq - tail, $lte: seq } };
    const [people, rows] = await Promise.all([
      collections.participants.find(present, { projection, batchSize: memberPage }).toArray(),
      tail < 1
        ? []
        : collections.entries
            .find(last, { batchSize: tail + 1 })
            .sort({ seq: 1 })
            .toArray(),
    ]);
    return { members: people.flatMap((doc) => memberOf(doc) ?? []), tail: rows.map(entryOf) };
  }

  /** Feeds the log to the fold, its end a fence of this owner. */
  async #fence(conversation: ConversationId, epoch: Epoch, fold: LogFold): Promise<void> {
    for (let tries = 0; tries < fenceTries; tries++) {
      await this.#read(conversation, epoch, fold);
      const row = this.#fenceRow(fold, epoch);
      const appended = await this.#parts.log.append([entryDocOf(conversation, epoch, row)]);
      if (!appended.decided) throw new Unfenced(appended.reason);
      if (appended.value.outcome === "stored") return fold.add(row);
    }
    throw new Unfenced("an older owner's entries kept arriving");
  }

  #fenceRow({ head }: LogFold, epoch: Epoch): EntryRow {
    const seq = head.seq + 1;
    const { ordinal } = head;
    const time = Math.max(this.#parts.clock.now(), head.time);
    const kind = entryKinds.fence;
    const bytes = encodeEntry([seq, ordinal, kind, false, time, systemUser, null, null, null, [epoch]]);
    return { seq, ordinal, kind, counts: false, sender: systemUser, clientId: null, bytes };
  }

  /** Reads on to the end. Rejects where a newer owner has entries there: a fence behind them would be one of the wrong owner. */
  async #read(conversation: ConversationId, epoch: Epoch, fold: LogFold): Promise<void> {
    for (;;) {
      const full = fold.needsBytes;
      const limit = full ? fullPage : Math.min(slimPage, fold.head.seq - fold.next + 1);
      const rows = await this.#page(conversation, fold.next, limit, full);
      if (rows.some((row) => row.epoch > epoch)) throw overtaken(conversation);
      for (const { seq, ordinal, kind, counts, sender, bytes } of rows)
        fold.add({ seq, ordinal, kind, counts, sender, bytes: full ? bytesOf(bytes) : noBytes });
      if (full && rows.length < limit) return;
      if (rows.length === 0) throw new Error(`${conversation}: the log ends before its head`);
    }
  }

  #page(conversation: ConversationId, from: number, limit: number, full: boolean): Promise<EntryDoc[]> {
    return this.#parts.collections.entries
      .find({ conversation, seq: { $gte: from } }, full ? {} : { projection: { bytes: 0, key: 0 } })
      .sort({ seq: 1 })
      .limit(limit)
      .toArray();
  }

  async #peopleOf(conversation: ConversationId, users: readonly UserId[]): Promise<ReadonlyMap<UserId, PersonBefore>> {
    const found = new Map<UserId, PersonBefore>();
    for (let at = 0; at < users.length; at += peopleBatch) {
      const some = users.slice(at, at + peopleBatch);
      const filter = { conversation, user: { $in: some } };
      for (const doc of await this.#parts.collections.participants.find(filter).toArray())
        found.set(doc.user, { member: memberOf(doc), total: doc.total ?? { through: 0, count: 0 } });
    }
    return found;
  }
}

function overtaken(conversation: ConversationId): Fenced {
  return new Fenced(`${conversation} has an owner of a higher epoch`);
}

/** The fence could not be put up in time; the conversation is still open, and can be opened again. */
export class Unfenced extends Error {
  override readonly name = "Unfenced";
}

const noBytes = new Uint8Array(0);

/** What is known of a conversation from its document; null: there is none. */
function recordOf(conversation: ConversationId, epoch: Epoch, lease: string, stored: HeadDoc | null): HeadRecord {
  const exists = stored !== null;
  const { revision = 0, seq = 0 } = stored ?? {};
  return { conversation, epoch, lease, exists, revision, seq, open: null, clean: true, unflushed: 0, flushing: null };
}
