// The store port: logs, members, cursors, feeds. Everything that an acknowledgement promises goes through it (G1–G5).
// Every driver passes store.case.ts; nothing above knows which one runs. Ids and rules: docs/ARCHITECTURE.md.
import type { ClientId, ConversationId, DeviceId, Epoch, Seq, UserId, UserSeq } from "../protocol/ids";
import type { Role } from "../protocol/entry";
import type { FeedTuple } from "../protocol/operations";
import type { Mark } from "../protocol/unread";

/** One entry as it is stored: `bytes` is its whole wire encoding, the rest what the store looks things up by. */
export interface EntryRow {
  readonly seq: Seq;
  readonly ordinal: number;
  readonly kind: number;
  readonly counts: boolean;
  readonly sender: UserId;
  /** Unique by (conversation, sender) where not null. */
  readonly clientId: ClientId | null;
  /** The encoded EntryTuple, at most `bodyBytesMax` plus 1 KiB. */
  readonly bytes: Uint8Array;
}

/**
 * The head of a conversation. SQLite keeps it exact in the same commit; elsewhere it is exact while closed, and what
 * {@link Store.openConversation} answers is exact always: a driver may append a fence (an entry that counts nothing) for that.
 */
export interface HeadRow {
  readonly conversation: ConversationId;
  readonly type: string;
  readonly seq: Seq;
  readonly ordinal: number;
  /** Server milliseconds of the last entry. */
  readonly time: number;
  readonly name: string | null;
  readonly picture: string | null;
  /** Encoded map of custom fields. */
  readonly fields: Uint8Array | null;
  readonly memberCount: number;
  /** The newest message, encoded; null while there is none. */
  readonly lastMessage: Uint8Array | null;
  readonly lastMessageSeq: Seq;
  /** Epoch of the activation that has it open, 0 when closed. */
  readonly openEpoch: Epoch;
  /** Every membership entry up to here is durable in the feeds of those it names. */
  readonly fedThrough: Seq;
  /** Totals beside the cursors include every counted entry up to here. */
  readonly totalsThrough: Seq;
}

/** A membership as the log folds it. `role` null: no longer a member (a tombstone that keeps `join` for nothing but checks). */
export interface MemberRow {
  readonly user: UserId;
  readonly role: Role | null;
  readonly join: Mark;
  readonly floor: Seq;
  /** The seq of the last entry that changed it. */
  readonly changedSeq: Seq;
}

/** A read cursor. `total`: the person's counted entries up to the head's `totalsThrough`. */
export interface CursorRow extends Mark {
  readonly user: UserId;
  readonly total: number;
}

/** The position of one read mark that somebody wants stored. */
export interface CursorMove extends Mark {
  readonly user: UserId;
}

/** Everything one conversation wants durable at once. */
export interface ConversationWrite {
  readonly conversation: ConversationId;
  readonly epoch: Epoch;
  /** 0–512 entries, ascending from the stored head + 1, no gap. */
  readonly entries: readonly EntryRow[];
  /** The head after them; null leaves the stored one as it is. */
  readonly head: HeadRow | null;
  /** Rows of `members` that the entries changed. */
  readonly members: readonly MemberRow[];
  /** Monotone: stored only where `seq` is above the stored one. `total` is never touched by a move. */
  readonly cursors: readonly CursorMove[];
  /** Totals to set, exact through `head.totalsThrough`. Creates the cursor row at seq 0 where there is none. */
  readonly totals: readonly { readonly user: UserId; readonly total: number }[];
}

/** An entry that already holds a client id that a write wanted to use. */
export interface FoundEntry {
  readonly sender: UserId;
  readonly clientId: ClientId;
  readonly seq: Seq;
  readonly kind: number;
  readonly bytes: Uint8Array;
}

/**
 * What became of a write, and what that obliges the caller to do.
 *
 * - `stored`: durable, all of it; replies and fan-out may leave. `cursors` are the rows as stored, in the order of the moves.
 * - `conflict`: nothing of it stored. `duplicates` hold client ids of it; with none, another owner wrote one of these seqs:
 *   end the activation.
 * - `fenced`: the epoch is no longer the partition's newest; this activation ends without a word to anybody. Nothing of it was
 *   stored, or, by a driver without transactions, a beginning of its entries, which the next owner finds in the log.
 * - `refused`: certainly not stored (disk full, read-only, store down); answer retry and try later.
 * - `unknown`: perhaps stored; reload before any seq is used again.
 */
export type Committed =
  | { readonly outcome: "stored"; readonly cursors: readonly CursorRow[] }
  | { readonly outcome: "conflict"; readonly duplicates: readonly FoundEntry[] }
  | { readonly outcome: "fenced" }
  | { readonly outcome: "refused"; readonly reason: string }
  | { readonly outcome: "unknown"; readonly reason: string };

/** What an activation starts from. */
export interface OpenedConversation {
  readonly head: HeadRow;
  /** Present members only. */
  readonly members: readonly MemberRow[];
  /** The last entries, ascending, at most the number asked for. */
  readonly tail: readonly EntryRow[];
}

/** A person: the head of their feed and what sign-in checks. */
export interface UserRow {
  readonly user: UserId;
  readonly userSeq: UserSeq;
  readonly createdAt: number;
  /** Tokens issued (`iat`, seconds) before this are void; 0 for none. */
  readonly tokensValidFrom: number;
  /** Milliseconds; null while the person exists. A deleted person stays as a tombstone. */
  readonly deletedAt: number | null;
}

/** A device that a person signed in with. The row with an empty id speaks for devices that have none. */
export interface DeviceRow {
  readonly device: DeviceId;
  readonly platform: string | null;
  /** Milliseconds; not before the `iat` of any token that the device signed in with. */
  readonly lastSignInAt: number;
  /** Seconds: tokens issued before this are void on this device; null where it was never signed out. Kept when it signs in again. */
  readonly signedOutAt: number | null;
}

/** A person's view of one conversation: the fold of their feed. `role` null is a tombstone. */
export interface MembershipRow {
  readonly conversation: ConversationId;
  readonly type: string;
  /** The other person of a direct conversation. */
  readonly peer: UserId | null;
  /** The seq of the membership entry last applied; tells at or below it are ignored. */
  readonly seq: Seq;
  readonly role: Role | null;
  readonly join: Mark;
  readonly floor: Seq;
  readonly muted: boolean;
  readonly markedUnread: boolean;
}

/** Everything one person's feed wants durable at once: feed rows first, memberships and devices are their fold. */
export interface FeedWrite {
  readonly epoch: Epoch;
  readonly user: UserRow;
  /** Ascending from the stored userSeq + 1, no gap; may be empty (the person's first row, token validity). */
  readonly changes: readonly FeedTuple[];
  readonly memberships: readonly MembershipRow[];
  readonly devices: readonly DeviceRow[];
  /** Devices whose rows are deleted with it, at most 500, none of them among `devices`; without a row: nothing to do. */
  readonly devicesDropped?: readonly DeviceId[];
}

/** As {@link Committed}; `conflict` means that another owner wrote this feed. */
export type FeedCommitted =
  | { readonly outcome: "stored" | "conflict" | "fenced" }
  | { readonly outcome: "refused" | "unknown"; readonly reason: string };

/** The counters of one membership: what unread is computed from, and whether the store may speak for it. */
export interface SyncCount {
  readonly conversation: ConversationId;
  readonly muted: boolean;
  /** Left open by an activation: the numbers are its owner's to tell. */
  readonly open: boolean;
  readonly headOrdinal: number;
  /** The person's counted entries up to `totalsThrough`. */
  readonly myTotal: number;
  readonly totalsThrough: Seq;
  readonly cursor: Mark;
  readonly join: Mark;
}

/** One conversation of one person for sync. */
export interface SyncRow extends SyncCount {
  readonly markedUnread: boolean;
  readonly headSeq: Seq;
  readonly floor: Seq;
  /**
   * The whole RowTuple, encoded: to be shown only while the conversation is closed. Null where the membership dangles, its
   * conversation gone or without such a member (G9). Made by sync-row.ts.
   */
  readonly row: Uint8Array | null;
}

/** One page of a person's conversations, read in one snapshot. */
export interface SyncPage {
  readonly user: UserRow | null;
  /** By conversation id, ascending, present memberships only. */
  readonly rows: readonly SyncRow[];
  /** Whether more rows follow. */
  readonly more: boolean;
  /** Every present membership that is not among `rows`, where asked for. */
  readonly counts: readonly SyncCount[];
}

/** A range of one log to read: from `from` (inclusive) upward, or downward from it. */
export interface RangeRequest {
  readonly conversation: ConversationId;
  readonly from: Seq;
  readonly direction: "up" | "down";
  /** Most rows answered. */
  readonly limit: number;
  /** Most bytes of entries answered; one entry is answered whatever its size. */
  readonly bytesMax: number;
  /** Answer only this kind; absent: all. */
  readonly kind?: number;
  /** Most entries looked at, 1–10,000; the range covered is answered. */
  readonly scanMax: number;
}

/** What a {@link RangeRequest} is answered with. */
export interface Range {
  /** In the direction's order. */
  readonly entries: readonly EntryRow[];
  /** The last seq looked at (0 where none was): ask on from beyond it. */
  readonly scannedTo: Seq;
}

/** Where a log ends, as the head has it. */
export interface HeadSeq {
  readonly conversation: ConversationId;
  readonly seq: Seq;
  readonly open: boolean;
}

/** How long {@link Store.auditAll} takes at most, milliseconds: it is asked every 250. */
export const auditMsMax = 1000;

/**
 * Reads reject with an AppError `store_unavailable` when the store cannot answer; they never block a commit and go on
 * while writes are refused. Writes never reject: their outcome is a value.
 */
export interface Store {
  /** Names this life of the data; renewed by restore. Clients reset when it changes. Known once opened. */
  readonly generation: string;

  /** Takes a fresh epoch for these partitions and fences every older one. Called at start (alone: all 256), and on take-over. */
  claim(partitions: readonly number[]): Promise<Epoch>;
  /** Whether `epoch` is still the newest of this partition; what begins after the answer was asked is not covered. */
  audit(partition: number, epoch: Epoch): Promise<boolean>;
  /**
   * Partitions of `held` whose epoch is not the newest any more, in their order: one round trip, linearizable for each partition.
   * With none: whether the store answers at all. Rejects where it cannot, after {@link auditMsMax} at the latest.
   */
  auditAll(held: readonly (readonly [partition: number, epoch: Epoch])[]): Promise<readonly number[]>;

  /**
   * Called by a conversation's activation, first of all. On return no older epoch can append to it any more.
   * Null: there is no such conversation yet.
   * @param tail most entries to bring from the end of the log
   */
  openConversation(conversation: ConversationId, epoch: Epoch, tail: number): Promise<OpenedConversation | null>;
  /**
   * Called by the conversation's actor only, one call in flight each; calls of all conversations share commits. A write under an
   * older epoch is fenced at the latest once a newer one has opened the conversation: until then a driver may still store it.
   */
  commit(write: ConversationWrite): Promise<Committed>;

  readRange(request: RangeRequest): Promise<Range>;
  /** Several ranges in one round trip, answered in order; `bytesMax` of each bounds it, `bytesTotal` all together. */
  readRanges(requests: readonly RangeRequest[], bytesTotal: number): Promise<readonly Range[]>;
  /** Which of these (sender, client id) pairs the log already holds. At most 512. */
  findClientIds(
    conversation: ConversationId,
    ids: readonly (readonly [UserId, ClientId])[],
  ): Promise<readonly FoundEntry[]>;
  /** Member rows, tombstones included, of those asked for who have one. */
  readMembers(conversation: ConversationId, users: readonly UserId[]): Promise<readonly MemberRow[]>;
  readCursors(conversation: ConversationId, users: readonly UserId[]): Promise<readonly CursorRow[]>;
  /** Counted entries of one sender with `after < seq <= through`. */
  countOwn(conversation: ConversationId, sender: UserId, after: Seq, through: Seq): Promise<number>;
  /** Counted entries by sender with `seq > after`: what reopening adds to the totals. */
  countBySender(conversation: ConversationId, after: Seq): Promise<readonly { user: UserId; count: number }[]>;
  /** People whose cursor is at or past `seq`, by user id, ascending from beyond `after`. */
  readReaders(
    conversation: ConversationId,
    seq: Seq,
    after: UserId | null,
    limit: number,
  ): Promise<readonly { user: UserId; seq: Seq }[]>;
  /** How many cursors are at or past `seq`, the cursor of `except` left out. */
  countReaders(conversation: ConversationId, seq: Seq, except: UserId): Promise<number>;
  /** Conversations whose head is open, by id, ascending from beyond `after`: what a take-over reopens. */
  listOpen(
    partitions: readonly number[],
    after: ConversationId | null,
    limit: number,
  ): Promise<readonly ConversationId[]>;
  /** Conversations whose head is past a consumer's position; consumers keep their positions themselves. */
  listAdvanced(
    after: ConversationId | null,
    limit: number,
  ): Promise<readonly { conversation: ConversationId; seq: Seq }[]>;

  /**
   * Where these logs end, as their heads have it; conversations that do not exist are left out, in no certain order. `open`: left
   * open by an activation, and then only its owner knows. @param conversations at most 1,000
   */
  readHeads(conversations: readonly ConversationId[]): Promise<readonly HeadSeq[]>;

  /** Called by a user actor's activation, first of all; as {@link Store.openConversation}. Null: nobody by that id. */
  openFeed(user: UserId, epoch: Epoch): Promise<{ user: UserRow; devices: readonly DeviceRow[] } | null>;
  /** Called by the user's actor only, one call in flight each. */
  commitFeed(write: FeedWrite): Promise<FeedCommitted>;
  readMemberships(user: UserId, conversations: readonly ConversationId[]): Promise<readonly MembershipRow[]>;
  /** Feed rows from beyond `after`; fewer than asked is the end. `oldest` is the lowest userSeq still kept. */
  readFeed(
    user: UserId,
    after: UserSeq,
    limit: number,
  ): Promise<{ changes: readonly FeedTuple[]; user: UserRow | null }>;
  /** Those of `users` who do not exist (or are deleted). */
  unknownUsers(users: readonly UserId[]): Promise<readonly UserId[]>;
  /** Those of `users` who are in `max` or more conversations, as their feeds have it now. */
  fullUsers(users: readonly UserId[], max: number): Promise<readonly UserId[]>;
  /** The conversations of every present membership, by id, ascending; from an index alone. */
  conversationsOf(user: UserId): Promise<readonly ConversationId[]>;
  /** @param withCounts whether to bring the counters of every other membership too */
  readSync(user: UserId, after: ConversationId | null, limit: number, withCounts: boolean): Promise<SyncPage>;

  /** The level of features that everything on this data may rely on; 0 until it was raised. May lag behind for a moment, never ahead. */
  featureLevel(): Promise<number>;
  /**
   * Raises the level, durably, where it is below `to`; it never falls. Answers the level then in force. Copy, backup and restore carry it.
   * Rejects with `store_unavailable` where it is not known to be raised; repeating is harmless.
   */
  raiseFeatureLevel(to: number): Promise<number>;

  /** Whether writes go through at present, and if not, why: for readiness and the log. */
  health(): { readonly writable: boolean; readonly reason: string | null };
  /** The length of the write-ahead log, bytes, where the driver has one of its own: for metrics. */
  walBytes?(): number;
  /** Writes a consistent copy while everything goes on. Rejects with an AppError that says the fix. */
  backup(file: string, onProgress: (done: number, total: number) => void): Promise<void>;
  /** Finishes what is in flight, then lets go of files and threads. Idempotent. */
  close(): Promise<void>;
}
