// The MongoDB driver of the store port: what comes in is bounded, takes its turn, and is answered as the port says.
// What a guarantee rests on happens in mongo-commits.ts, mongo-opening.ts and mongo-feeds.ts, by conditions in the database.
import type { Collection, CommandStartedEvent, MongoClient } from "mongodb";
import { AppError } from "../lib/errors";
import { systemClock } from "../lib/clock";
import type { Clock } from "../lib/clock";
import { failpoint } from "../lib/failpoints";
import { partitionOf } from "../lib/hash";
import type { ConversationId, Epoch, UserId } from "../protocol/ids";
import { backUpMongo } from "./copy-backup";
import { openMongoDatabase } from "./copy-mongo";
import { within } from "./deadline";
import { KeyedTurns } from "./keyed-turns";
import { MongoCausality } from "./mongo-causality";
import { MongoCommands } from "./mongo-commands";
import { MongoCommits } from "./mongo-commits";
import { connectMongo, wtimeoutOf } from "./mongo-connection";
import type { MongoConnection, MongoLimits } from "./mongo-connection";
import { MongoCursors } from "./mongo-cursors";
import { reasonOf } from "./mongo-failures";
import { MongoFeeds } from "./mongo-feeds";
import { MongoHeads } from "./mongo-heads";
import { MongoHealth } from "./mongo-health";
import { MongoLog } from "./mongo-log";
import { migrateMongo } from "./mongo-migrations";
import { Fenced, MongoOpening } from "./mongo-opening";
import { MongoReads } from "./mongo-reads";
import { openCollections } from "./mongo-schema";
import type { Collections } from "./mongo-schema";
import type { Committed, ConversationWrite, FeedCommitted, FeedWrite, OpenedConversation, Store } from "./store";
import { auditMsMax } from "./store";
import { illFormedFeed, illFormedWrite } from "./write-checks";

/** What a store is opened with. */
export interface MongoOptions {
  /** `mongodb://` or `mongodb+srv://`, with credentials, TLS and the database; see {@link connectMongo}. */
  readonly uri: string;
  readonly clock?: Clock;
  readonly limits?: Partial<MongoLimits>;
  /** Called once when a write was fenced: another server has claimed this data. Again only after a new claim. */
  readonly onFenced?: () => void;
  /** Called when writes stop going through, and when they do again. */
  readonly onHealth?: (writable: boolean, reason: string | null) => void;
  /** Called at start with what the deployment cannot give, and what is at risk. */
  readonly onWarning?: (text: string) => void;
  /** For metrics; called on the event loop, may not throw. */
  readonly observe?: {
    /** `rows` entries of one write were answered after `ms`. */
    commit?(rows: number, ms: number): void;
    /** A read was answered, or failed, after `ms`. */
    read?(name: string, ms: number): void;
    /** A command is sent; replies are not told. */
    command?(event: CommandStartedEvent): void;
  };
}

/** Writes that wait for the database, at most, and their bytes; past either they are refused. */
const writesMax = 20_000;
const bytesMax = 64 * 1024 * 1024;
/** Reads that wait, at most; past it they are rejected at once. */
const readsMax = 10_000;
/** What a write takes beside its entries, about. */
const writeBytes = 512;

/**
 * Connects, brings the database to this program's schema, and opens the store. Rejects with a {@link StartupError} whose
 * message tells the operator the fix: no server, wrong credentials, a newer or a foreign database.
 */
export async function openMongoStore(options: MongoOptions): Promise<MongoStore> {
  const clock = options.clock ?? systemClock;
  const { uri, limits = {}, onWarning = () => {} } = options;
  const monitored = options.observe?.command !== undefined;
  const connection = await connectMongo({ uri, clock, limits, onWarning, monitored });
  try {
    const wtimeoutMs = wtimeoutOf(connection.limits);
    await migrateMongo(connection.db, wtimeoutMs);
    const causality = new MongoCausality();
    const collections = openCollections(connection.db, wtimeoutMs, connection.linearizable, causality.readConcern);
    const generation = (await collections.meta.findOne({ _id: "generation" }))?.value;
    return new MongoStore(options, connection, { collections, causality }, String(generation));
  } catch (error) {
    await connection.client.close();
    throw error;
  }
}

/** The collections of one handle, and what its reads wait for. */
interface Opened {
  readonly collections: Collections;
  readonly causality: MongoCausality;
}

/** See {@link openMongoStore}; every method as the port says. */
export class MongoStore implements Store {
  readonly generation: string;
  readonly #clock: Clock;
  readonly #client: MongoClient;
  readonly #collections: Collections;
  readonly #commands: MongoCommands;
  readonly #health: MongoHealth;
  readonly #heads: MongoHeads;
  readonly #log: MongoLog;
  readonly #opening: MongoOpening;
  readonly #commits: MongoCommits;
  readonly #feeds: MongoFeeds;
  readonly #reads: MongoReads;
  readonly #turns = new KeyedTurns();
  readonly #options: MongoOptions;
  /** What this handle has claimed: a write under any other epoch is not its own. */
  readonly #claimed = new Map<number, Epoch>();
  /** Writes of totals under way: a cursor read beside one may be newer than its caller's head. */
  readonly #totals = new Map<ConversationId, Promise<unknown>>();
  #fenced = false;
  #reading = 0;
  #waiting = 0;
  #waitingBytes = 0;
  #closing: Promise<void> | null = null;

  constructor(
    options: MongoOptions,
    connection: MongoConnection,
    { collections, causality }: Opened,
    generation: string,
  ) {
    const { client, db, limits } = connection;
    this.generation = generation;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#client = client;
    this.#collections = collections;
    this.#commands = new MongoCommands(db, wtimeoutOf(limits), causality);
    this.#health = new MongoHealth({
      clock: this.#clock,
      decideMs: limits.decideMs,
      probe: () => this.#probe(),
      onHealth: options.onHealth ?? (() => {}),
    });
    client.on("commandStarted", (event) => options.observe?.command?.(event));
    const parts = { collections, commands: this.#commands, health: this.#health, clock: this.#clock };
    this.#heads = new MongoHeads(collections, this.#commands, this.#clock);
    this.#log = new MongoLog(collections, this.#commands, this.#health);
    this.#opening = new MongoOpening({ ...parts, heads: this.#heads, log: this.#log });
    const cursors = new MongoCursors(collections, this.#commands, this.#health, this.#clock);
    this.#commits = new MongoCommits({ ...parts, heads: this.#heads, opening: this.#opening, log: this.#log, cursors });
    this.#feeds = new MongoFeeds({ ...parts, log: this.#log });
    this.#reads = new MongoReads(collections, client);
  }

  async claim(partitions: readonly number[]): Promise<Epoch> {
    const claimed = await this.#health.decide(true, () => this.#claim(partitions));
    if (!claimed.decided) throw new AppError("store_unavailable", `no epoch could be taken: ${claimed.reason}`);
    for (const partition of partitions) this.#claimed.set(partition, claimed.value);
    this.#fenced = false;
    return claimed.value;
  }

  audit(partition: number, epoch: Epoch): Promise<boolean> {
    return this.#read("audit", () => this.#log.isNewest(partition, epoch));
  }

  auditAll(held: Parameters<Store["auditAll"]>[0]): Promise<readonly number[]> {
    const audit = this.#read("auditAll", () => this.#log.lostOf(held));
    return within(this.#clock, auditMsMax, audit, "the database does not answer");
  }

  async raiseFeatureLevel(to: number): Promise<number> {
    const q = { _id: "featureLevel" };
    const raise = () => this.#commands.upsert("meta", [{ q, u: { $max: { value: to } }, upsert: true }]);
    const raised = await this.#health.decide(true, raise);
    if (!raised.decided) throw new AppError("store_unavailable", `the feature level was not raised: ${raised.reason}`);
    return this.featureLevel();
  }

  async commit(write: ConversationWrite): Promise<Committed> {
    const { conversation, epoch, entries, totals } = write;
    const ill = illFormedWrite(write);
    if (ill !== null) return { outcome: "refused", reason: ill };
    if (this.#isForeign("conversation", conversation, epoch)) return this.#told({ outcome: "fenced" });
    const bytes = entries.reduce((sum, row) => sum + row.bytes.length, writeBytes);
    const start = this.#clock.monotonic();
    const lost = () => this.#heads.forget(conversation);
    const work = this.#write<Committed>(conversation, bytes, () => this.#commits.commit(write), lost);
    if (totals.length > 0) this.#noteTotals(conversation, work);
    const answer = await work;
    this.#options.observe?.commit?.(entries.length, this.#clock.monotonic() - start);
    return this.#told(answer);
  }

  async commitFeed(write: FeedWrite): Promise<FeedCommitted> {
    const { user } = write.user;
    const ill = illFormedFeed(write);
    if (ill !== null) return { outcome: "refused", reason: ill };
    if (this.#isForeign("user", user, write.epoch)) return this.#told({ outcome: "fenced" });
    const rows = 1 + write.changes.length + write.memberships.length + write.devices.length;
    return this.#told(await this.#write<FeedCommitted>(user, rows * writeBytes, () => this.#feeds.commit(write)));
  }

  openConversation(conversation: ConversationId, epoch: Epoch, tail: number): Promise<OpenedConversation | null> {
    return this.#read("openConversation", () =>
      this.#turns.run(conversation, async () => {
        const head = await this.#opening.open(conversation, epoch);
        return head && { head, ...(await this.#opening.surroundings(head, tail)) };
      }),
    );
  }

  openFeed(user: UserId, epoch: Epoch): ReturnType<Store["openFeed"]> {
    return this.#read("openFeed", () => this.#turns.run(user, () => this.#feeds.open(user, epoch)));
  }

  /** A read that a writing of totals overtakes is repeated behind it: its caller would count the same entries twice. */
  readCursors(conversation: ConversationId, users: readonly UserId[]): ReturnType<Store["readCursors"]> {
    return this.#read("readCursors", async () => {
      for (;;) {
        await this.#totals.get(conversation);
        const rows = await this.#reads.readCursors(conversation, users);
        if (!this.#totals.has(conversation)) return rows;
      }
    });
  }

  readonly readRange: Store["readRange"] = (...args) => this.#ask("readRange", args);
  readonly readRanges: Store["readRanges"] = (...args) => this.#ask("readRanges", args);
  readonly findClientIds: Store["findClientIds"] = (...args) => this.#ask("findClientIds", args);
  readonly readMembers: Store["readMembers"] = (...args) => this.#ask("readMembers", args);
  readonly countOwn: Store["countOwn"] = (...args) => this.#ask("countOwn", args);
  readonly countBySender: Store["countBySender"] = (...args) => this.#ask("countBySender", args);
  readonly readReaders: Store["readReaders"] = (...args) => this.#ask("readReaders", args);
  readonly countReaders: Store["countReaders"] = (...args) => this.#ask("countReaders", args);
  readonly listOpen: Store["listOpen"] = (...args) => this.#ask("listOpen", args);
  readonly listAdvanced: Store["listAdvanced"] = (...args) => this.#ask("listAdvanced", args);
  readonly readHeads: Store["readHeads"] = (...args) => this.#ask("readHeads", args);
  readonly readMemberships: Store["readMemberships"] = (...args) => this.#ask("readMemberships", args);
  readonly readFeed: Store["readFeed"] = (...args) => this.#ask("readFeed", args);
  readonly unknownUsers: Store["unknownUsers"] = (...args) => this.#ask("unknownUsers", args);
  readonly fullUsers: Store["fullUsers"] = (...args) => this.#ask("fullUsers", args);
  readonly conversationsOf: Store["conversationsOf"] = (...args) => this.#ask("conversationsOf", args);
  readonly featureLevel: Store["featureLevel"] = (...args) => this.#ask("featureLevel", args);
  readonly readSync: Store["readSync"] = (...args) => this.#ask("readSync", args);

  health(): { readonly writable: boolean; readonly reason: string | null } {
    const { reason } = this.#health;
    return { writable: reason === null, reason };
  }

  /** Over a connection of its own, whose time-outs fit passes over whole collections. */
  async backup(file: string, onProgress: (done: number, total: number) => void): Promise<void> {
    try {
      await using opened = new AsyncDisposableStack();
      const database = await openMongoDatabase(this.#options.uri);
      opened.defer(() => database.close());
      const { signal } = new AbortController();
      await backUpMongo({ database, file, signal, onProgress: ({ rows, total }) => onProgress(rows, total) });
    } catch (error) {
      throw new AppError("internal", `the backup to ${file} failed: ${reasonOf(error)}`, { cause: error });
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#turns.idle();
    await this.#heads.close();
    this.#health.close();
    await this.#client.close();
  }

  async #claim(partitions: readonly number[]): Promise<Epoch> {
    const counter = await (
      this.#collections.meta as unknown as Collection<{ _id: string; value: number }>
    ).findOneAndUpdate({ _id: "epoch" }, { $inc: { value: 1 } }, { returnDocument: "after" });
    if (!counter)
      throw new AppError("store_unavailable", "the database has lost its counter of epochs; restore a backup");
    const epoch = counter.value;
    failpoint("mongo.claim");
    // Every partition has its document since the first migration.
    const q = { _id: { $in: [...partitions] } };
    await this.#commands.update("partitions", [{ q, u: { $max: { epoch } }, multi: true }]);
    return epoch;
  }

  async #probe(): Promise<void> {
    await this.#commands.update("meta", [{ q: { _id: "probe" }, u: { $inc: { value: 1 } } }]);
  }

  /** Whether this handle has claimed the partition under another epoch. */
  #isForeign(kind: "conversation" | "user", key: string, epoch: Epoch): boolean {
    const claimed = this.#claimed.get(partitionOf(kind, key));
    return claimed !== undefined && claimed !== epoch;
  }

  /** Runs one write in its turn, bounded; never rejects. `lost`: what to forget where nobody knows what it did. */
  async #write<C extends { readonly outcome: string }>(
    key: string,
    bytes: number,
    work: () => Promise<C>,
    lost: () => void = () => {},
  ): Promise<C | { readonly outcome: "refused" | "unknown"; readonly reason: string }> {
    const refusal = this.#refusal(bytes);
    if (refusal !== null) return { outcome: "refused", reason: refusal };
    this.#waiting++;
    this.#waitingBytes += bytes;
    try {
      return await this.#turns.run(key, work);
    } catch (error) {
      lost();
      return { outcome: "unknown", reason: error instanceof Error ? error.message : String(error) };
    } finally {
      this.#waiting--;
      this.#waitingBytes -= bytes;
    }
  }

  #refusal(bytes: number): string | null {
    if (this.#closing !== null) return "the store is closed";
    if (this.#health.reason !== null) return this.#health.reason;
    const full = this.#waiting >= writesMax || this.#waitingBytes + bytes > bytesMax;
    return full ? "too many writes wait for the database" : null;
  }

  #noteTotals(conversation: ConversationId, work: Promise<unknown>): void {
    this.#totals.set(conversation, work);
    void work.finally(() => {
      if (this.#totals.get(conversation) === work) this.#totals.delete(conversation);
    });
  }

  #told<C extends Committed | FeedCommitted>(answer: C): C {
    if (answer.outcome === "fenced") this.#tellFenced();
    return answer;
  }

  #tellFenced(): void {
    if (this.#fenced) return;
    this.#fenced = true;
    this.#options.onFenced?.();
  }

  #ask<N extends ReadName>(name: N, args: Parameters<Store[N]>): ReturnType<Store[N]> {
    const read = this.#reads[name] as (...args: readonly unknown[]) => Promise<Awaited<ReturnType<Store[N]>>>;
    return this.#read(name, () => read(...args)) as ReturnType<Store[N]>;
  }

  /** Rejects with `store_unavailable` where the database cannot answer now. */
  async #read<T>(name: string, read: () => Promise<T>): Promise<T> {
    if (this.#closing !== null) throw new AppError("store_unavailable", "the store is closed");
    if (this.#reading >= readsMax) throw new AppError("store_unavailable", "too many reads wait for the database");
    const start = this.#clock.monotonic();
    this.#reading++;
    try {
      return await read();
    } catch (error) {
      if (error instanceof Fenced) this.#tellFenced();
      if (error instanceof AppError) throw error;
      this.#health.suspect();
      throw new AppError("store_unavailable", undefined, { cause: new Error(reasonOf(error), { cause: error }) });
    } finally {
      this.#reading--;
      this.#options.observe?.read?.(name, this.#clock.monotonic() - start);
    }
  }
}

type ReadName = Exclude<
  {
    readonly [N in keyof MongoReads]: N extends keyof Store ? N : never;
  }[keyof MongoReads],
  "readCursors"
>;
