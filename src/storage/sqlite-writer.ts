// The one writing connection: a batch of writes becomes one transaction, each write with an outcome of its own (G1–G3, G5).
// Lives in a worker thread (sqlite-worker.ts). Epochs are checked inside the transaction, so nothing can be claimed in between.
import type { Database } from "bun:sqlite";
import { failpoint } from "../lib/failpoints";
import { partitionOf } from "../lib/hash";
import type { Epoch } from "../protocol/ids";
import { ConversationWriter } from "./sqlite-conversations";
import { reasonOf, sqliteCode } from "./sqlite-errors";
import { FeedWriter } from "./sqlite-feeds";
import { beginImmediate, isBusy } from "./sqlite-lock";
import type { PackedOutcome, PackedWrite } from "./sqlite-packing";
import { LogLimit, logBytesOf, logBytesRestart, restartBytesOf } from "./sqlite-sharing";
import type { Sharing } from "./sqlite-sharing";

/** What became of a batch. `failure`: why nothing of it could be written, for the health of the store. */
export interface BatchResult {
  readonly outcomes: readonly PackedOutcome[];
  readonly failure: string | null;
  /** Whether another process was writing when this commit began. */
  readonly hadToWait: boolean;
}

/** How long a batch waits for the lock of another process before it is refused, milliseconds. */
export const lockWaitMs = 1000;
/** As {@link lockWaitMs} in a shared file: with nodes that want more processors than there are, a turn may take that long. */
const sharedLockWaitMs = 2000;
/** As {@link lockWaitMs}, for a probe of a store that cannot write at present. */
const probeWaitMs = 50;

/** Not thread-safe: one connection's, and the only one of its process that writes rows. */
export class Writer {
  readonly #db: Database;
  readonly #conversations: ConversationWriter;
  readonly #feeds: FeedWriter;
  readonly #epochs = new Map<number, Epoch>();
  readonly #limit: LogLimit | null;
  readonly #waitMs: number;
  #dataVersion = -1;
  #counter = -1;

  /** @param sharing how other processes use the file; null: none does */
  constructor(db: Database, sharing: Sharing | null = null) {
    this.#db = db;
    this.#limit = sharing && new LogLimit(db.filename, sharing);
    this.#waitMs = sharing ? sharedLockWaitMs : lockWaitMs;
    this.#conversations = new ConversationWriter(db);
    this.#feeds = new FeedWriter(db);
    // Waiting is done here, with jitter: SQLite's own timeout starves one of several processes.
    db.run("PRAGMA busy_timeout = 0");
    db.run(`PRAGMA journal_size_limit = ${sharing ? restartBytesOf(sharing) : logBytesRestart}`);
  }

  /** Makes what can be stored of `writes` durable in one commit. Never throws. */
  commit(writes: readonly PackedWrite[]): BatchResult {
    const reason = this.refusal();
    if (reason !== null) return { ...refused(writes, reason), hadToWait: false };
    const suspects = new Set<number>();
    for (;;) {
      const result = this.#tryCommit(writes, suspects);
      if (typeof result !== "number") return result;
      suspects.add(result);
    }
  }

  /** Takes the next epoch for these partitions. Throws SQLite's error where it cannot. */
  claim(partitions: readonly number[]): Epoch {
    beginImmediate(this.#db, this.#waitMs);
    try {
      this.#db.run("UPDATE meta SET value = value + 1 WHERE key = 'epochCounter'");
      const { value } = this.#db.query("SELECT value FROM meta WHERE key = 'epochCounter'").get() as { value: number };
      const set = this.#db.query(
        "INSERT INTO partitions(partition, epoch) VALUES(?, ?) ON CONFLICT DO UPDATE SET epoch = excluded.epoch",
      );
      for (const partition of partitions) set.run(partition, value);
      this.#db.run("COMMIT");
      this.#epochs.clear();
      return value;
    } finally {
      this.#abandon();
    }
  }

  /** Raises the feature level where it is lower; answers the one then in force. Throws SQLite's error where it cannot. */
  raiseFeatureLevel(to: number): number {
    beginImmediate(this.#db, this.#waitMs);
    try {
      const raise = `INSERT INTO meta(key, value) VALUES('featureLevel', ?) ON CONFLICT DO UPDATE SET value = max(value, excluded.value)
        RETURNING value`;
      const { value } = this.#db.query(raise).get(to) as { value: number };
      this.#db.run("COMMIT");
      return value;
    } finally {
      this.#abandon();
    }
  }

  /** Why nothing may be written at present, whatever the disk says; null: it may. May block for a moment. */
  refusal(): string | null {
    return this.#limit?.refusal() ?? null;
  }

  /** Writes something, durably, to learn whether writes go through. Answers why not, or null. */
  probe(waitMs = probeWaitMs): string | null {
    try {
      beginImmediate(this.#db, waitMs);
      this.#db.run("UPDATE meta SET value = value + 1 WHERE key = 'probe'");
      this.#db.run("COMMIT");
      return null;
    } catch (error) {
      return this.#reasonOf(error);
    } finally {
      this.#abandon();
    }
  }

  /**
   * Called between commits. Folds the log into the file when it is too long; SQLite shrinks it again with the next commit.
   * Mostly little is left to copy, as the checkpointing thread runs beside. Of a shared file, that is for one process alone.
   */
  limitLog(): void {
    if (this.#limit !== null || logBytesOf(this.#db.filename) <= logBytesRestart) return;
    try {
      this.#db.query("PRAGMA wal_checkpoint(PASSIVE)").get();
    } catch (error) {
      // The log stays as it is; what is wrong with the disk shows at the next commit.
      if (sqliteCode(error) === null) throw error;
    }
  }

  /** One attempt; a number is the index of a write that must be left out of the next one. */
  #tryCommit(writes: readonly PackedWrite[], suspects: ReadonlySet<number>): BatchResult | number {
    const outcomes: PackedOutcome[] = [];
    let hadToWait = false;
    try {
      hadToWait = beginImmediate(this.#db, this.#waitMs);
      this.#refreshEpochs();
      for (const [at, write] of writes.entries()) outcomes.push(suspects.has(at) ? unwritable : this.#apply(write));
      failpoint("commit.before");
    } catch (error) {
      return this.#undo(error, writes, outcomes.length);
    }
    return { ...this.#finish(writes, outcomes), hadToWait };
  }

  #finish(writes: readonly PackedWrite[], outcomes: readonly PackedOutcome[]): Omit<BatchResult, "hadToWait"> {
    try {
      this.#db.run("COMMIT");
    } catch (error) {
      // The log of the file may hold the whole commit although it reported an error: only a reload can tell.
      this.#abandon();
      const reason = reasonOf(error);
      return { outcomes: writes.map(() => ({ outcome: "unknown", reason })), failure: reason };
    }
    failpoint("commit.after");
    return { outcomes, failure: null };
  }

  /**
   * Nothing of this transaction was committed. Where SQLite ended it by itself (`inTransaction` is false), or its cause is not
   * one write's, everything is refused; else the write at `at` is left out and the others are tried again.
   */
  #undo(error: unknown, writes: readonly PackedWrite[], at: number): BatchResult | number {
    const begun = this.#db.inTransaction;
    this.#abandon();
    const code = sqliteCode(error);
    const ofOneWrite = begun && at < writes.length && (code === null || /CONSTRAINT|MISMATCH|TOOBIG|RANGE/.test(code));
    if (ofOneWrite) return at;
    const reason = this.#reasonOf(error);
    return { ...refused(writes, reason), hadToWait: false };
  }

  #apply(write: PackedWrite): PackedOutcome {
    const kind = write[0] === 0 ? "conversation" : "user";
    if (this.#epochs.get(partitionOf(kind, write[1])) !== write[2]) return { outcome: "fenced" };
    return write[0] === 0 ? this.#conversations.apply(write) : this.#feeds.apply(write);
  }

  /**
   * Epochs change only by a claim: here, which clears them, or on another connection, which changes the data version and the
   * counter of epochs. In a shared file every commit of another process changes the former.
   */
  #refreshEpochs(): void {
    const { data_version } = this.#db.query("PRAGMA data_version").get() as { data_version: number };
    if (data_version === this.#dataVersion && this.#epochs.size > 0) return;
    const counter = this.#db.query("SELECT value FROM meta WHERE key = 'epochCounter'").get() as { value: number };
    this.#dataVersion = data_version;
    if (counter.value === this.#counter && this.#epochs.size > 0) return;
    this.#counter = counter.value;
    this.#epochs.clear();
    const rows = this.#db.query("SELECT partition, epoch FROM partitions").all() as {
      partition: number;
      epoch: Epoch;
    }[];
    for (const { partition, epoch } of rows) this.#epochs.set(partition, epoch);
  }

  /** As {@link reasonOf}; a lock that other nodes take turns with is held by one that stands still, which ends by itself or is ended. */
  #reasonOf(error: unknown): string {
    const held = this.#limit !== null && isBusy(error);
    return held
      ? "another node has held the file's lock for too long; it is taken again once that node goes on or is gone"
      : reasonOf(error);
  }

  /** Leaves no transaction open: the next row would otherwise join it, or commit by itself. */
  #abandon(): void {
    if (this.#db.inTransaction) this.#db.run("ROLLBACK");
  }
}

function refused(writes: readonly PackedWrite[], reason: string): Omit<BatchResult, "hadToWait"> {
  return { outcomes: writes.map(() => ({ outcome: "refused", reason })), failure: reason };
}

const unwritable: PackedOutcome = {
  outcome: "refused",
  reason: "the store cannot hold this write; its rows are malformed",
};
