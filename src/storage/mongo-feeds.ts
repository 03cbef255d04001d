// People's feeds: one document for each write, then its projections, then the person's row, which is the feed's head (G5).
// Owned by the MongoDB store; one write or opening in flight for each person. A row that was left open is finished by whoever
// opens the feed next: the feed documents hold everything that follows from them. Unique (user, first) is the fence.
import type { Clock } from "../lib/clock";
import { failpoint } from "../lib/failpoints";
import type { Epoch, UserId } from "../protocol/ids";
import type { MongoCommands, Update } from "./mongo-commands";
import type { FeedProjections } from "./mongo-feed-rows";
import { feedDocOf, fenceDocOf, foldFeed, projectionsOf } from "./mongo-feed-rows";
import type { Decided, MongoHealth } from "./mongo-health";
import type { MongoLog } from "./mongo-log";
import { Fenced, Unfenced } from "./mongo-opening";
import { deviceOf, userOf } from "./mongo-schema";
import type { Collections, FeedDoc, UserDoc } from "./mongo-schema";
import { Ended, Steps } from "./mongo-steps";
import type { DeviceRow, FeedCommitted, FeedWrite, UserRow } from "./store";

/** People remembered; the others are looked up again. */
const recordsMax = 50_000;
/** How often a fence gives way to an older owner's write. */
const fenceTries = 100;

/** How often a row is taken that appears between two looks: the second time it is there. */
const takeTries = 5;

/** What feeds work with. */
export interface FeedParts {
  readonly collections: Collections;
  readonly commands: MongoCommands;
  readonly health: MongoHealth;
  readonly log: MongoLog;
  readonly clock: Clock;
}

/** What this handle knows of one person's row; it is closed. */
interface FeedRecord {
  readonly epoch: Epoch;
  /** Drawn at the opening; see {@link UserDoc}. */
  readonly lease: string;
  readonly exists: boolean;
  readonly revision: number;
  readonly userSeq: number;
}

const conflict: FeedCommitted = { outcome: "conflict" };
const fenced: FeedCommitted = { outcome: "fenced" };

/** See the head of this file. Not thread-safe. */
export class MongoFeeds {
  readonly #parts: FeedParts;
  readonly #records = new Map<UserId, FeedRecord>();

  constructor(parts: FeedParts) {
    this.#parts = parts;
  }

  /** Makes a write durable; it is consistent in itself. Rejects only with what is no error of the driver. */
  async commit(write: FeedWrite): Promise<FeedCommitted> {
    const { user } = write.user;
    const steps = new Steps();
    try {
      failpoint("commit.before");
      const record = await this.#record(write, steps);
      if (write.user.userSeq - write.changes.length !== record.userSeq) return conflict;
      // What goes wrong from here on is looked at anew.
      this.#records.delete(user);
      this.#records.set(user, await this.#apply(write, record, steps));
      failpoint("commit.after");
      return { outcome: "stored" };
    } catch (error) {
      if (error instanceof Ended) return error.answer as FeedCommitted;
      if (error instanceof Fenced) return fenced;
      throw error;
    }
  }

  /**
   * The person as stored, with everything finished; no older epoch can write any more. Null: nobody by that id.
   * Rejects with the driver's error, or {@link Fenced}.
   */
  async open(user: UserId, epoch: Epoch): Promise<{ user: UserRow; devices: readonly DeviceRow[] } | null> {
    this.#records.delete(user);
    const { collections } = this.#parts;
    const { lease, stored } = await this.#take(user, epoch);
    const row = stored?.openEpoch === 0 ? stored : await this.#complete(user, { epoch, lease }, stored);
    this.#remember(user, { epoch, lease }, row);
    if (!row) return null;
    const devices = await collections.devices.find({ user }).toArray();
    return { user: userOf(row), devices: devices.flatMap((doc) => deviceOf(doc) ?? []) };
  }

  #remember(user: UserId, owner: Owner, row: UserDoc | null): FeedRecord {
    const { revision = 0, userSeq = 0 } = row ?? {};
    const record: FeedRecord = { ...owner, exists: row !== null, revision, userSeq };
    this.#records.set(user, record);
    if (this.#records.size > recordsMax) this.#records.delete(this.#records.keys().next().value as UserId);
    return record;
  }

  /** What is known of the row; a feed that was not opened before the write is opened for it, if it is closed. */
  async #record({ user: { user }, epoch }: FeedWrite, steps: Steps): Promise<FeedRecord> {
    const known = this.#records.get(user);
    if (known?.epoch === epoch) return known;
    const { collections, health } = this.#parts;
    const look = async () => {
      const { lease, stored } = await this.#take(user, epoch);
      const begun = stored === null && (await collections.feed.findOne({ user })) !== null;
      return { lease, stored, begun };
    };
    const { lease, stored, begun } = steps.before(await health.decide(true, look));
    // Left unfinished: whoever writes opens it first.
    if (begun || (stored && stored.openEpoch !== 0)) throw new Ended(conflict);
    return this.#remember(user, { epoch, lease }, stored);
  }

  async #apply(write: FeedWrite, record: FeedRecord, steps: Steps): Promise<FeedRecord> {
    const revision = record.revision + 1;
    const { user, epoch, changes } = write;
    if (changes.length > 0) {
      if (record.exists) await this.#markOpen(user.user, record, steps);
      await this.#checkOwner(write, steps);
      failpoint("mongo.feed.opened");
      await this.#insert(feedDocOf(write, revision), steps);
      failpoint("mongo.feed.changes");
      await this.#project(projectionsOf(write), user.user, revision, steps);
    } else {
      await this.#checkOwner(write, steps);
    }
    await this.#writeRow(write, record, steps);
    failpoint("mongo.feed.row");
    // Nothing of the feed tells these: they count from the row on, which is why it comes first.
    if (changes.length === 0) await this.#project(projectionsOf(write), user.user, revision, steps);
    return { epoch, lease: record.lease, exists: true, revision, userSeq: user.userSeq };
  }

  /** Marks the row open, so that a write that breaks off is found, and numbers this write. */
  async #markOpen(user: UserId, { epoch, lease, revision }: FeedRecord, steps: Steps): Promise<void> {
    const q = { _id: user, epoch, lease, revision, openEpoch: 0 };
    const marked = { revision: revision + 1, openEpoch: epoch };
    await this.#change({ q, u: { $set: marked } }, marked, steps.before);
  }

  async #checkOwner({ user: { user }, epoch }: FeedWrite, steps: Steps): Promise<void> {
    const { health, log } = this.#parts;
    if (steps.before(await health.decide(true, () => log.isFenced("user", user, epoch)))) throw new Ended(fenced);
  }

  async #insert(doc: FeedDoc, steps: Steps): Promise<void> {
    const { health } = this.#parts;
    if (!steps.storing(await health.decide(true, () => this.#insertOnce(doc)))) throw new Ended(conflict);
  }

  /** Whether the document is stored, by this attempt or an earlier one. Throws while a majority does not show which. */
  async #insertOnce(doc: FeedDoc): Promise<boolean> {
    const { collections, commands } = this.#parts;
    if ((await commands.insert("feed", [doc])) === 1) return true;
    const there = await collections.feed.findOne({ user: doc.user, first: doc.first });
    return there !== null && doc._id.equals(there._id);
  }

  async #project(rows: FeedProjections, user: UserId, stamp: number, steps: Steps): Promise<void> {
    const { health } = this.#parts;
    steps.storing(await health.decide(false, () => this.#applyProjections(rows, user, stamp)));
  }

  async #applyProjections(rows: FeedProjections, user: UserId, stamp: number): Promise<void> {
    const { commands, clock } = this.#parts;
    const now = clock.now();
    await commands.upsert("memberships", rows.memberships(user, stamp));
    failpoint("mongo.feed.memberships");
    await commands.upsert("devices", rows.devices(user, stamp, now));
    failpoint("mongo.feed.devices");
    await commands.remove("devices", rows.outlived(user, now));
  }

  /** The person's row, closed: behind everything that follows from the write's changes. */
  async #writeRow({ user, epoch, changes }: FeedWrite, record: FeedRecord, steps: Steps): Promise<void> {
    const { lease } = record;
    const revision = record.revision + 1;
    const row = docOf(user, { epoch, lease }, revision);
    if (!record.exists) return this.#insertRow(row, steps);
    // Marked by this write, or as the last one left it.
    const left = changes.length > 0 ? { revision, openEpoch: epoch } : { revision: record.revision, openEpoch: 0 };
    const { _id, ...fields } = row;
    await this.#change(
      { q: { _id, epoch, lease, ...left }, u: { $set: fields } },
      { revision, openEpoch: 0 },
      steps.storing,
    );
  }

  /** One conditional change of a row; where its condition does not hold, an attempt before may have made it already. */
  async #change(
    update: Update,
    made: Pick<UserDoc, "revision" | "openEpoch">,
    told: <T>(step: Decided<T>) => T,
  ): Promise<void> {
    const { collections, commands, health } = this.#parts;
    const change = async () => {
      if ((await commands.update("users", [update])).matched > 0) return "changed";
      return collections.newest.users.findOne({ _id: update.q["_id"] as UserId });
    };
    const { lease, epoch } = update.q as Owner;
    const there = told(await health.decide(true, change));
    if (there === "changed") return;
    if (there === null) throw new Ended(conflict);
    const mine = there.lease === lease && there.revision === made.revision && there.openEpoch === made.openEpoch;
    if (!mine) throw new Ended(there.epoch > epoch ? fenced : conflict);
  }

  async #insertRow(row: UserDoc, steps: Steps): Promise<void> {
    const { collections, commands, health } = this.#parts;
    const insert = async () => {
      if ((await commands.insert("users", [row])) === 1) return null;
      return collections.newest.users.findOne({ _id: row._id });
    };
    const there = steps.storing(await health.decide(true, insert));
    if (there !== null && there.lease !== row.lease) throw new Ended(there.epoch > row.epoch ? fenced : conflict);
  }

  /**
   * Writes the epoch and a new lease into the row: from here on neither an older owner nor an earlier opening of this one can
   * change it. Answers what stood there before, its revision raised.
   */
  async #take(user: UserId, epoch: Epoch): Promise<{ lease: string; stored: UserDoc | null }> {
    const { collections } = this.#parts;
    const lease = crypto.randomUUID();
    for (let tries = 0; tries < takeTries; tries++) {
      const before = await collections.users.findOneAndUpdate(
        { _id: user, epoch: { $lte: epoch } },
        { $set: { epoch, lease }, $inc: { revision: 1 } },
        { returnDocument: "before" },
      );
      const there = before ?? (await collections.newest.users.findOne({ _id: user }));
      if (there !== null && there.epoch > epoch) {
        throw new Fenced(`the feed of ${user} has an owner of a higher epoch`);
      }
      failpoint("mongo.feed.open.epoch");
      if (before) return { lease, stored: { ...before, epoch, lease, revision: before.revision + 1 } };
      if (there === null) return { lease, stored: null };
      // An older owner has created it between the two looks.
    }
    throw new Unfenced(`the row of ${user} comes and goes`);
  }

  /** Finishes the writes behind the row. Null: nobody by that id, and nothing begun. */
  async #complete(user: UserId, owner: Owner, stored: UserDoc | null): Promise<UserDoc | null> {
    const { commands } = this.#parts;
    const behind = await this.#behind(user, stored, owner.epoch);
    if (behind.length === 0) return null;
    failpoint("mongo.feed.open.fenced");
    const revision = Math.max(stored?.revision ?? 0, ...behind.map((doc) => doc.revision)) + 1;
    const { row, projections } = foldFeed(user, stored, behind);
    await this.#applyProjections(projections, user, revision);
    failpoint("mongo.feed.open.projections");
    const doc = docOf(row, owner, revision);
    const { _id, ...fields } = doc;
    const written = stored
      ? (await commands.update("users", [{ q: { _id, ...owner }, u: { $set: fields } }])).matched
      : await commands.insert("users", [doc]);
    if (written === 0) throw new Unfenced(`the feed of ${user} is being opened twice`);
    failpoint("mongo.feed.open.row");
    return doc;
  }

  /** The feed documents behind the row, with a fence at their end: the person's, or none of theirs where there is no row yet. */
  async #behind(user: UserId, stored: UserDoc | null, epoch: Epoch): Promise<readonly FeedDoc[]> {
    const { collections } = this.#parts;
    const userSeq = stored?.userSeq ?? 0;
    for (let tries = 0; tries < fenceTries; tries++) {
      const filter = { user, first: { $gt: userSeq } };
      const found = await collections.feed.find(filter).sort({ first: 1 }).toArray();
      // A fence behind a newer owner's changes would be one of the wrong owner.
      if (found.some((doc) => doc.epoch > epoch))
        throw new Fenced(`the feed of ${user} has an owner of a higher epoch`);
      // Without a row the owner before had one write on its way, and cannot add another one.
      if (stored === null) return found;
      const fence = fenceDocOf(user, (found.at(-1)?.userSeq ?? userSeq) + 1, epoch, stored.revision);
      if (await this.#insertOnce(fence)) return [...found, fence];
    }
    throw new Unfenced(`older writes of the feed of ${user} kept arriving`);
  }
}

/** Under which condition a row is written. */
type Owner = Pick<UserDoc, "epoch" | "lease">;

function docOf({ user, ...fields }: UserRow, owner: Owner, revision: number): UserDoc {
  return { _id: user, ...fields, openEpoch: 0, ...owner, revision };
}
