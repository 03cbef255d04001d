// The SQLite driver of the store port: the main thread's side. Writes go to one thread, reads to another; the event loop waits
// for neither. Everything a guarantee rests on happens in sqlite-writer.ts, in one transaction.
import { systemClock } from "../lib/clock";
import type { Clock } from "../lib/clock";
import { AppError } from "../lib/errors";
import { within } from "./deadline";
import { type CommitObserver, CommitQueue } from "./sqlite-commits";
import { backUp } from "./sqlite-backup";
import { Checkpoints } from "./sqlite-checkpoints";
import { WorkerLink } from "./sqlite-link";
import { packConversation, packFeed, type PackedOutcome, unpackBatch, weigh } from "./sqlite-packing";
import { ReadLink } from "./sqlite-reads";
import type { StoreFile, WriterStarted } from "./sqlite-messages";
import { SharedCheckpoints } from "./sqlite-shared-checkpoints";
import { logBytesMax as logBytesMaxDefault, logBytesOf, refuseNetworkFile } from "./sqlite-sharing";
import { countBySenderInSteps, countOwnInSteps } from "./sqlite-steps";
import type { Committed, ConversationWrite, FeedCommitted, FeedWrite, Range, RangeRequest, Store } from "./store";
import { auditMsMax } from "./store";
import { illFormedFeed, illFormedWrite } from "./write-checks";

/** What a store is opened with. */
export interface SqliteOptions {
  /** The database file; its folder exists. `-wal` and `-shm` stand beside it while it is open. */
  readonly file: string;
  /**
   * Other processes of this host have the file open too, each with partitions of its own: a cluster without another store.
   * Exactly one of them then folds the log in; a file on a network file system is refused.
   */
  readonly shared?: boolean;
  /** Of a shared file: writes are refused, to be tried again, while the write-ahead log is longer than this, bytes. */
  readonly logBytesMax?: number;
  readonly clock?: Clock;
  /** Called once when a write was fenced: another server has claimed this data. Again only after a new claim. */
  readonly onFenced?: () => void;
  /** Called when writes stop going through, and when they do again. */
  readonly onHealth?: (writable: boolean, reason: string | null) => void;
  /** For metrics; called on the event loop, may not throw. */
  readonly observe?: {
    /** `rows` entries of `writes` writes in one commit; `bytes` handed over; `ms` until it was answered. */
    commit?(rows: number, writes: number, bytes: number, ms: number): void;
    /** A read was answered, or failed, after `ms`. */
    read?(name: string, ms: number): void;
  };
}

/**
 * Opens, or creates, the database file and brings it to this program's schema. Rejects with a {@link StartupError} whose
 * message tells the operator the fix: a newer, damaged, locked or unwritable file.
 */
export async function openSqliteStore(options: SqliteOptions): Promise<SqliteStore> {
  if (options.shared) refuseNetworkFile(options.file);
  const file = storeFileOf(options);
  const { link, started } = await WorkerLink.start("writer", file);
  try {
    const reader = await WorkerLink.start("reader", file);
    return new SqliteStore(options, link, reader.link, started as WriterStarted);
  } catch (error) {
    link.terminate();
    throw error;
  }
}

function storeFileOf({ file, shared = false, logBytesMax = logBytesMaxDefault }: SqliteOptions): StoreFile {
  return { file, sharing: shared ? { logBytesMax } : null };
}

/** See {@link openSqliteStore}; every method as the port says. */
export class SqliteStore implements Store {
  readonly generation: string;
  /** `PRAGMA synchronous` of the writing connection: 2 is FULL. For the test that asserts it. */
  readonly synchronous: number;
  readonly #file: string;
  readonly #clock: Clock;
  readonly #commits: CommitQueue;
  readonly #reads: ReadLink;
  readonly #checkpoints: Checkpoints | SharedCheckpoints;
  readonly #shared: boolean;
  readonly #onFenced: () => void;
  #fenced = false;

  constructor(options: SqliteOptions, writer: WorkerLink, reader: WorkerLink, started: WriterStarted) {
    this.generation = started.generation;
    this.synchronous = started.synchronous;
    this.#file = options.file;
    this.#clock = options.clock ?? systemClock;
    this.#onFenced = options.onFenced ?? (() => {});
    const file = storeFileOf(options);
    this.#shared = file.sharing !== null;
    this.#checkpoints = this.#shared
      ? new SharedCheckpoints(file, this.#clock)
      : new Checkpoints(options.file, this.#clock);
    const observer: CommitObserver = {
      commit: (rows, writes, bytes, ms) => {
        this.#checkpoints.committed(bytes);
        options.observe?.commit?.(rows, writes, bytes, ms);
      },
      ...(options.onHealth ? { health: options.onHealth } : {}),
    };
    this.#commits = new CommitQueue(writer, file, this.#clock, observer);
    this.#reads = new ReadLink(reader, file, this.#clock, options.observe?.read ?? (() => {}));
  }

  async claim(partitions: readonly number[]): Promise<number> {
    try {
      const epoch = unpackBatch(await this.#commits.ask("claim", partitions)) as number;
      this.#fenced = false;
      return epoch;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new AppError("store_unavailable", `no epoch could be taken: ${reason}`, { cause: error });
    }
  }

  async commit(write: ConversationWrite): Promise<Committed> {
    const ill = illFormedWrite(write);
    if (ill !== null) return { outcome: "refused", reason: ill };
    const outcome = await this.#commits.add(packConversation(write), write.entries.length, weigh(write));
    return this.#told(outcome) as Committed;
  }

  async commitFeed(write: FeedWrite): Promise<FeedCommitted> {
    const ill = illFormedFeed(write);
    if (ill !== null) return { outcome: "refused", reason: ill };
    const { changes, memberships, devices, devicesDropped = [] } = write;
    const rows = changes.length + memberships.length + devices.length + devicesDropped.length;
    return this.#told(await this.#commits.add(packFeed(write), rows, rows * rowBytes)) as FeedCommitted;
  }

  async readRange(request: RangeRequest): Promise<Range> {
    const [range] = await this.readRanges([request], request.bytesMax);
    return range ?? { entries: [], scannedTo: 0 };
  }

  /** Waits until nothing of a dead writer can be under way: what an activation loads must be decided. */
  readonly openConversation: Store["openConversation"] = async (...args) => {
    if (this.#commits.decided) await this.#reads.settled(this.#commits.decided);
    return this.#reads.read("openConversation", args);
  };

  /** As {@link SqliteStore.openConversation}. */
  readonly openFeed: Store["openFeed"] = async (...args) => {
    if (this.#commits.decided) await this.#reads.settled(this.#commits.decided);
    return this.#reads.read("openFeed", args);
  };

  readonly audit: Store["audit"] = (...args) => this.#reads.read("audit", args);
  readonly auditAll: Store["auditAll"] = (...args) =>
    within(this.#clock, auditMsMax, this.#reads.read("auditAll", args), "the reading thread is busy");
  readonly readRanges: Store["readRanges"] = (...args) => this.#reads.read("readRanges", args);
  readonly findClientIds: Store["findClientIds"] = (...args) => this.#reads.read("findClientIds", args);
  readonly readMembers: Store["readMembers"] = (...args) => this.#reads.read("readMembers", args);
  readonly readCursors: Store["readCursors"] = (...args) => this.#reads.read("readCursors", args);
  readonly countOwn: Store["countOwn"] = (...args) => {
    const [conversation, sender, ...range] = args;
    return this.#shared
      ? countOwnInSteps(this.#reads, conversation, sender, range)
      : this.#reads.read("countOwn", args);
  };

  readonly countBySender: Store["countBySender"] = (conversation, after) =>
    this.#shared
      ? countBySenderInSteps(this.#reads, conversation, after)
      : this.#reads.read("countBySender", [conversation, after]);

  readonly readReaders: Store["readReaders"] = (...args) => this.#reads.read("readReaders", args);
  readonly countReaders: Store["countReaders"] = (...args) => this.#reads.read("countReaders", args);
  readonly listOpen: Store["listOpen"] = (...args) => this.#reads.read("listOpen", args);
  readonly listAdvanced: Store["listAdvanced"] = (...args) => this.#reads.read("listAdvanced", args);
  readonly readHeads: Store["readHeads"] = (...args) => this.#reads.read("readHeads", args);
  readonly readMemberships: Store["readMemberships"] = (...args) => this.#reads.read("readMemberships", args);
  readonly readFeed: Store["readFeed"] = (...args) => this.#reads.read("readFeed", args);
  readonly unknownUsers: Store["unknownUsers"] = (...args) => this.#reads.read("unknownUsers", args);
  readonly fullUsers: Store["fullUsers"] = (...args) => this.#reads.read("fullUsers", args);
  readonly conversationsOf: Store["conversationsOf"] = (...args) => this.#reads.read("conversationsOf", args);
  readonly readSync: Store["readSync"] = (...args) => this.#reads.read("readSync", args);
  readonly featureLevel: Store["featureLevel"] = (...args) => this.#reads.read("featureLevel", args);

  async raiseFeatureLevel(to: number): Promise<number> {
    try {
      return unpackBatch(await this.#commits.ask("raise", to)) as number;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new AppError("store_unavailable", `the feature level was not raised: ${reason}`, { cause: error });
    }
  }

  health(): { readonly writable: boolean; readonly reason: string | null } {
    const { reason } = this.#commits;
    return { writable: reason === null, reason };
  }

  walBytes(): number {
    return logBytesOf(this.#file);
  }

  backup(file: string, onProgress: (done: number, total: number) => void): Promise<void> {
    return backUp(this.#file, file, this.#clock, onProgress);
  }

  async close(): Promise<void> {
    await this.#checkpoints.close();
    await this.#commits.close();
    await this.#reads.close();
  }

  #told(outcome: PackedOutcome): Committed | FeedCommitted {
    if (outcome === 0) return { outcome: "stored", cursors: [] };
    if (outcome.outcome === "fenced" && !this.#fenced) {
      this.#fenced = true;
      this.#onFenced();
    }
    return outcome;
  }
}

/** Rough bytes of a feed's row, for the cap of one commit. */
const rowBytes = 256;
