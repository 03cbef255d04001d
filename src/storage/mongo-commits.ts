// A conversation's write, step by step: open, entries, members, marks, totals, head (G1–G3, G5). The entries are what counts:
// whatever follows them can be finished from the log, so a write that breaks off behind them is answered `unknown`.
// Owned by the MongoDB store; one write in flight for each conversation.
import { failpoint, isControlOn } from "../lib/failpoints";
import { entryKinds } from "../protocol/entry";
import type { MongoCommands } from "./mongo-commands";
import type { MongoCursors } from "./mongo-cursors";
import type { HeadRecord, MongoHeads } from "./mongo-heads";
import type { MongoHealth } from "./mongo-health";
import type { MongoLog } from "./mongo-log";
import type { MongoOpening } from "./mongo-opening";
import { memberUpdate, totalUpdate } from "./mongo-participants";
import { bytesOf, clientIdOf, entryDocOf } from "./mongo-schema";
import type { EntryDoc } from "./mongo-schema";
import { Ended, Steps } from "./mongo-steps";
import type { Committed, ConversationWrite, CursorRow, FoundEntry } from "./store";

/** What commits work with. */
export interface CommitParts {
  readonly commands: MongoCommands;
  readonly health: MongoHealth;
  readonly heads: MongoHeads;
  readonly opening: MongoOpening;
  readonly log: MongoLog;
  readonly cursors: MongoCursors;
}

const conflict: Committed = { outcome: "conflict", duplicates: [] };

/** See the head of this file. Rejects only with what is no error of the driver. */
export class MongoCommits {
  readonly #parts: CommitParts;

  constructor(parts: CommitParts) {
    this.#parts = parts;
  }

  /** Makes a write durable; `write` is consistent in itself, and its epoch is no older than this handle knows. */
  async commit(write: ConversationWrite): Promise<Committed> {
    try {
      failpoint("commit.before");
      const cursors = await new Commit(this.#parts, write).run();
      failpoint("commit.after");
      return { outcome: "stored", cursors };
    } catch (error) {
      if (error instanceof Ended) return error.answer as Committed;
      throw error;
    }
  }
}

/** One write under way. */
class Commit {
  readonly #parts: CommitParts;
  readonly #write: ConversationWrite;
  readonly #steps = new Steps();

  constructor(parts: CommitParts, write: ConversationWrite) {
    this.#parts = parts;
    this.#write = write;
  }

  async run(): Promise<readonly CursorRow[]> {
    const record = await this.#record();
    this.#check(record);
    try {
      await this.#entries(record);
      await this.#members();
      const cursors = await this.#cursors();
      await this.#head(record);
      return cursors;
    } catch (error) {
      // What was stored may go further than the record: only a look at the log tells what still has to follow from it.
      if (this.#steps.stored && this.#touchesLog) record.clean = false;
      throw error;
    }
  }

  /** Read marks alone leave the log and its head as they are. */
  get #touchesLog(): boolean {
    const { entries, head, members, totals } = this.#write;
    return entries.length > 0 || head !== null || members.length > 0 || totals.length > 0;
  }

  async #record(): Promise<HeadRecord> {
    const { heads, opening, health } = this.#parts;
    const { conversation, epoch } = this.#write;
    const known = heads.get(conversation, epoch);
    if (known) return known;
    const found = this.#steps.before(await health.decide(true, () => opening.lookUp(conversation, epoch)));
    if (found === "fenced") throw new Ended<Committed>({ outcome: "fenced" });
    // It is left open, by nobody knows whom: whoever writes opens it first.
    if (found === "open") throw new Ended(conflict);
    return found;
  }

  /** What does not follow the log ends the write before anything of it is stored. */
  #check(record: HeadRecord): void {
    const { entries, head } = this.#write;
    const follows = head === null ? record.seq > 0 : head.seq - entries.length === record.seq;
    if (!record.clean || !follows) throw new Ended(conflict);
  }

  async #entries(record: HeadRecord): Promise<void> {
    const { conversation, epoch, entries } = this.#write;
    if (entries.length === 0) return;
    const rows = entries.map((row) => entryDocOf(conversation, epoch, row));
    await this.#refuseDuplicates(rows);
    if (record.open === null) await this.#open(record);
    failpoint("mongo.commit.opened");
    await this.#append(record, rows);
    record.seq += rows.length;
    failpoint("mongo.commit.entries");
  }

  /**
   * A client id that is taken would stop the insert behind those before it, and a conflict stores nothing. The first entry's
   * needs no look: it stops the insert before anything.
   */
  async #refuseDuplicates(rows: readonly EntryDoc[]): Promise<void> {
    if (isControlOn("negative.noUniqueIndex")) return;
    const named = rows.filter(({ key }) => clientIdOf(key) !== null);
    const keys = new Set(named.map(({ key }) => Buffer.from(bytesOf(key)).toString("latin1")));
    if (keys.size < named.length) throw new Ended(conflict);
    if (!named.some((row) => row !== rows[0])) return;
    const { health, log } = this.#parts;
    const look = await health.decide(true, () => log.duplicates(this.#write.conversation, rows));
    const found = this.#steps.before(look);
    if (found.length > 0) throw new Ended(conflictWith(found));
  }

  /** Marks it open, and makes sure that nobody had claimed the partition by then: who claims later looks for what is open. */
  async #open(record: HeadRecord): Promise<void> {
    const { health, heads, log } = this.#parts;
    const { conversation, epoch } = this.#write;
    const existed = record.exists;
    const marked = this.#steps.before(await health.decide(true, () => heads.markOpen(record)));
    if (marked !== "written") {
      heads.forget(conversation);
      throw new Ended(marked === "fenced" ? fenced : conflict);
    }
    failpoint("mongo.commit.marked");
    const check = await health.decide(true, () => log.isFenced("conversation", conversation, epoch));
    if (!this.#steps.before(check)) return;
    // Nothing was appended under the mark. Where taking it back fails, whoever opens it next finds that out.
    await health.decide(true, () => heads.unmark(record, existed));
    heads.forget(conversation);
    throw new Ended(fenced);
  }

  async #append(record: HeadRecord, rows: readonly EntryDoc[]): Promise<void> {
    const { health, log } = this.#parts;
    const appended = this.#steps.storing(await log.append(rows));
    if (appended.outcome === "stored") return;
    // A conflict stores nothing; the record may go on after it.
    if (appended.outcome === "duplicate") {
      this.#steps.stored = false;
      throw new Ended(conflictWith(appended.found));
    }
    record.clean = false;
    if (appended.outcome === "partly") throw new Ended<Committed>(late);
    const { conversation, epoch } = this.#write;
    const check = await health.decide(true, () => log.isFenced("conversation", conversation, epoch));
    throw new Ended(check.decided && check.value ? fenced : conflict);
  }

  async #members(): Promise<void> {
    const { conversation, members } = this.#write;
    if (members.length === 0) return;
    await this.#upsert(members.map((row) => memberUpdate(conversation, row)));
    failpoint("mongo.commit.members");
  }

  async #cursors(): Promise<readonly CursorRow[]> {
    const { conversation, cursors } = this.#write;
    if (cursors.length === 0) return [];
    const rows = this.#steps.storing(await this.#parts.cursors.move(conversation, cursors));
    failpoint("mongo.commit.cursors");
    return rows;
  }

  /** Totals, and the head: now, where totals or a closing depend on it, or the log says what it is called; else later. */
  async #head(record: HeadRecord): Promise<void> {
    const { conversation, entries, head, totals } = this.#write;
    if (totals.length > 0) {
      const through = (head ?? record.open)?.totalsThrough ?? 0;
      await this.#upsert(totals.map((row) => totalUpdate(conversation, row, through)));
      failpoint("mongo.commit.totals");
    }
    if (!head) return;
    const { heads, health } = this.#parts;
    const named = head.seq === entries.length || entries.some(({ kind }) => kind === entryKinds.conversation);
    const now = entries.length === 0 || totals.length > 0 || head.openEpoch === 0 || named;
    if (!now) return heads.advance(record, head, entries.length);
    const written = this.#steps.storing(await health.decide(true, () => heads.write(record, head)));
    if (written === "written") return;
    record.clean = false;
    throw new Ended<Committed>(written === "fenced" ? fenced : { outcome: "unknown", reason: "the head has changed" });
  }

  async #upsert(updates: Parameters<MongoCommands["upsert"]>[1]): Promise<void> {
    const { health, commands } = this.#parts;
    this.#steps.storing(await health.decide(false, () => commands.upsert("participants", updates)));
  }
}

const fenced: Committed = { outcome: "fenced" };
const late: Committed = { outcome: "unknown", reason: "an earlier write arrived late" };

function conflictWith(duplicates: readonly FoundEntry[]): Committed {
  return { outcome: "conflict", duplicates };
}
