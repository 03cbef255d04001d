// The collections of the MongoDB store: documents, indexes, shard keys, and how documents and the port's rows become each other.
// Pure data and functions. Whatever must only move forward is one embedded document whose first field orders it, so that a
// single `$max` compares it field by field and a late or repeated write changes nothing (G5); the order of fields is part of it.
import { Binary, ObjectId } from "mongodb";
import type { Collection, Db, Document, ReadConcern } from "mongodb";
import { isControlOn } from "../lib/failpoints";
import { partitionOf } from "../lib/hash";
import { decode, encode } from "../protocol/codec";
import type { Role } from "../protocol/entry";
import type { ClientId, ConversationId, DeviceId, Epoch, Seq, UserId } from "../protocol/ids";
import type { FeedTuple } from "../protocol/operations";
import type { Mark } from "../protocol/unread";
import type { CollectionName } from "./mongo-indexes";
import type { CursorRow, DeviceRow, EntryRow, FoundEntry, HeadRow, MemberRow, MembershipRow, UserRow } from "./store";

export { collectionNames, mongoIndexes, shardKeys } from "./mongo-indexes";
export type { CollectionName } from "./mongo-indexes";

/** Bytes as they are stored, and as they are read: the driver answers a Buffer, which may be a view of a whole reply. */
export type Bytes = Binary | Uint8Array;

/**
 * `meta`: `schema` {schema, minCompatible}, `generation` {value: text}, `epoch` {value: number}, `probe` {value: number};
 * `featureLevel` {value: number} once it was raised; `copy` while a copy into this database is unfinished.
 */
export interface MetaDoc {
  readonly _id: "schema" | "generation" | "epoch" | "probe" | "featureLevel" | "copy";
  readonly value?: unknown;
  readonly schema?: number;
  readonly minCompatible?: number;
}

/** Who may write a partition: its newest epoch. */
export interface PartitionDoc {
  readonly _id: number;
  readonly epoch: Epoch;
}

/** One entry of a log, written under `epoch`. */
export interface EntryDoc {
  /** Drawn by whoever inserts it: what tells a repeated insert from another one. */
  readonly _id: ObjectId;
  readonly conversation: ConversationId;
  readonly seq: Seq;
  readonly ordinal: number;
  readonly kind: number;
  readonly counts: boolean;
  readonly sender: UserId;
  /** See {@link entryKey}. */
  readonly key: Bytes;
  readonly epoch: Epoch;
  readonly bytes: Bytes;
}

/** A head. Exact while `open` is false; else at most as old as its last writing, and the log behind `seq` says the rest. */
export interface HeadDoc {
  readonly _id: ConversationId;
  readonly partition: number;
  /** Whether `openEpoch` is not 0; apart, so that an index finds the open ones by id. */
  readonly open: boolean;
  readonly openEpoch: Epoch;
  /** The highest epoch that opened it. */
  readonly epoch: Epoch;
  /** Drawn anew at every opening. Writes are conditional on it, so that none of an earlier opening takes place late. */
  readonly lease: string;
  /** Rises with every write of one opening: a late one finds a higher number and changes nothing. */
  readonly revision: number;
  /** Empty while the conversation does not exist: its log then holds nothing, or fences only. */
  readonly type: string;
  readonly seq: Seq;
  readonly ordinal: number;
  readonly time: number;
  readonly name: string | null;
  readonly picture: string | null;
  readonly fields: Bytes | null;
  readonly memberCount: number;
  readonly lastMessage: Bytes | null;
  readonly lastMessageSeq: Seq;
  readonly fedThrough: Seq;
  readonly totalsThrough: Seq;
}

/** The membership part of a participant; `changedSeq` first, as `$max` compares by it. */
export interface MemberPart {
  readonly changedSeq: Seq;
  readonly role: Role | null;
  readonly join: Mark;
  readonly floor: Seq;
}

/** Counted entries of one person up to `through`, which `$max` compares first. Exact also through the head's `totalsThrough`. */
export interface TotalPart {
  readonly through: Seq;
  readonly count: number;
}

/** One person in one conversation. Each part is absent until it is written; the parts do not depend on each other. */
export interface ParticipantDoc {
  readonly conversation: ConversationId;
  readonly user: UserId;
  readonly member?: MemberPart;
  readonly mark?: Mark;
  readonly total?: TotalPart;
}

/** A person: the head of their feed. `userSeq` is never ahead of the membership and device rows that its changes produced. */
export interface UserDoc {
  readonly _id: UserId;
  readonly userSeq: number;
  readonly createdAt: number;
  readonly tokensValidFrom: number;
  readonly deletedAt: number | null;
  /** As in {@link HeadDoc}; not 0 only while a write is under way, or was left unfinished. */
  readonly openEpoch: Epoch;
  readonly epoch: Epoch;
  readonly lease: string;
  /** Rises with every write and every opening; a write stamps its membership and device rows with it. */
  readonly revision: number;
}

/** What a feed write projects, kept with it until the projections are durable, and after. */
export interface FeedRows {
  readonly user: Pick<UserDoc, "createdAt" | "tokensValidFrom" | "deletedAt">;
  readonly memberships: readonly MembershipFields[];
  readonly devices: readonly DeviceFields[];
  readonly devicesDropped: readonly DeviceId[];
}

/** One write of a person's feed: the changes `first`–`userSeq`, in one document, so that all of it is stored or nothing. */
export interface FeedDoc {
  /** As in {@link EntryDoc}. */
  readonly _id: ObjectId;
  readonly user: UserId;
  readonly first: number;
  /** Of the last change. */
  readonly userSeq: number;
  readonly epoch: Epoch;
  /** The user row's revision under which it was written. */
  readonly revision: number;
  /** The encoded list of the {@link FeedTuple}s. */
  readonly changes: Bytes;
  /** Null for a fence, and where the rows were copied from another store. */
  readonly rows: FeedRows | null;
}

/** A membership's fields as {@link FeedRows} keeps them. */
export type MembershipFields = MembershipRow;
/** A device's fields as {@link FeedRows} keeps them. */
export type DeviceFields = DeviceRow;

/** A person's view of one conversation. `row.stamp` is the user row's revision that wrote it; `$max` compares by it. */
export interface MembershipDoc {
  readonly user: UserId;
  readonly conversation: ConversationId;
  readonly row: { readonly stamp: number } & Omit<MembershipRow, "conversation">;
}

/** A device of a person; `row.stamp` as in {@link MembershipDoc}. */
export interface DeviceDoc {
  readonly user: UserId;
  readonly device: DeviceId;
  readonly row: { readonly stamp: number } & Omit<DeviceRow, "device"> & {
      /** When it was dropped, milliseconds: it stays for a day, so that a late write does not bring it back. */
      readonly droppedAt?: number;
    };
}

/** Every collection by its name, with what it holds. */
export interface Documents {
  readonly meta: MetaDoc;
  readonly partitions: PartitionDoc;
  readonly entries: EntryDoc;
  readonly heads: HeadDoc;
  readonly participants: ParticipantDoc;
  readonly users: UserDoc;
  readonly feed: FeedDoc;
  readonly memberships: MembershipDoc;
  readonly devices: DeviceDoc;
}

/** The collections, opened with the concerns the guarantees rest on. */
export type Collections = { readonly [N in CollectionName]: Collection<Documents[N]> } & {
  /** Read linearizably: what was acknowledged anywhere before the read began is seen. For one document by `_id`. */
  readonly newest: { readonly [N in "partitions" | "heads" | "users"]: Newest<Documents[N]> };
};

/** Looks up one document by its id. Bounded in time: a primary without a majority would wait for it for ever. */
interface Newest<D extends { readonly _id: unknown }> {
  findOne(filter: Pick<D, "_id">): Promise<D | null>;
  /** Of few documents of a collection that is not sharded, in one reply: each is as new as if it were looked up by itself. */
  findEach(ids: readonly D["_id"][], maxTimeMs: number): Promise<readonly D[]>;
}

/**
 * Opens the collections: reads see what a majority has and go to the primary; writes are answered once a majority has them
 * in its journal (G1). @param wtimeoutMs after which the server stops waiting for the majority, with an error
 * @param linearizable whether the deployment reads so: a server alone cannot, and its every read is of the newest state
 * @param readConcern how all the others are read: at level `majority`
 */
export function openCollections(
  db: Db,
  wtimeoutMs: number,
  linearizable = true,
  readConcern: ReadConcern | { level: "majority" } = { level: "majority" },
): Collections {
  const weak = isControlOn("negative.writeConcernOne");
  const writeConcern = weak ? { w: 1 as const } : { w: "majority" as const, journal: true, wtimeoutMS: wtimeoutMs };
  const common = { readPreference: "primary" as const, writeConcern };
  const majority = { ...common, readConcern };
  const single = {
    ...common,
    readConcern: { level: linearizable ? ("linearizable" as const) : ("majority" as const) },
  };
  const open = <N extends CollectionName>(name: N) => db.collection<Documents[N]>(name, majority);
  const newest = <N extends keyof Collections["newest"]>(name: N): Newest<Documents[N]> => {
    const collection = db.collection<Document>(name, single);
    const find = (filter: object) => collection.findOne(filter, { maxTimeMS: wtimeoutMs });
    // The server confirms behind the whole reply that it was the primary; it must not need a second one, so all is asked for at once.
    const findEach = (ids: readonly unknown[], maxTimeMS: number) =>
      collection.find({ _id: { $in: ids } } as object, { maxTimeMS, batchSize: ids.length + 1 }).toArray();
    return {
      findOne: (filter) => find(filter) as unknown as Promise<Documents[N] | null>,
      findEach: (ids, maxTimeMs) => findEach(ids, maxTimeMs) as unknown as Promise<readonly Documents[N][]>,
    };
  };
  return {
    meta: open("meta"),
    partitions: open("partitions"),
    entries: open("entries"),
    heads: open("heads"),
    participants: open("participants"),
    users: open("users"),
    feed: open("feed"),
    memberships: open("memberships"),
    devices: open("devices"),
    newest: { partitions: newest("partitions"), heads: newest("heads"), users: newest("users") },
  };
}

/**
 * What makes an entry unique in its log: `c`, the sender, a line feed and the client id; where there is none, `s` and the seq,
 * which is unique anyhow, so that no partial index is needed. As bytes: client ids are opaque, and may hold any character.
 */
export function entryKey(sender: UserId, clientId: ClientId | null, seq: Seq): Binary {
  return bin(utf8.encode(clientId === null ? `s${seq}` : `c${sender}\n${clientId}`));
}

/** The client id within a {@link entryKey}; null where there is none. */
export function clientIdOf(key: Bytes): ClientId | null {
  const text = text8.decode(bytesOf(key));
  return text.startsWith("c") ? (text.slice(text.indexOf("\n") + 1) as ClientId) : null;
}

const utf8 = new TextEncoder();
const text8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Bytes to be stored. */
export function bin(bytes: Uint8Array): Binary {
  return new Binary(bytes);
}

/** Stored bytes in memory of their own: what the driver answers may hold the whole reply in memory. */
export function bytesOf(stored: Bytes): Uint8Array {
  return new Uint8Array(stored instanceof Binary ? stored.value() : stored);
}

/** How many bytes are stored. */
export function sizeOf(stored: Bytes): number {
  return stored instanceof Binary ? stored.position : stored.length;
}

/** An entry as it is stored. */
export function entryDocOf(conversation: ConversationId, epoch: Epoch, row: EntryRow): EntryDoc {
  const { seq, ordinal, kind, counts, sender, clientId, bytes } = row;
  const key = entryKey(sender, clientId, seq);
  const _id = new ObjectId();
  return { _id, conversation, seq, ordinal, kind, counts, sender, key, epoch, bytes: bin(bytes) };
}

/** An entry as the port has it. */
export function entryOf({ seq, ordinal, kind, counts, sender, key, bytes }: Omit<EntryDoc, "_id" | "epoch">): EntryRow {
  return { seq, ordinal, kind, counts, sender, clientId: clientIdOf(key), bytes: bytesOf(bytes) };
}

/** An entry found by its client id, as the port has it; the document carries one. */
export function foundOf({ sender, key, seq, kind, bytes }: Omit<EntryDoc, "_id" | "epoch">): FoundEntry {
  return { sender, clientId: clientIdOf(key) as ClientId, seq, kind, bytes: bytesOf(bytes) };
}

/** Under which condition a head is written. */
export type HeadStamp = Pick<HeadDoc, "epoch" | "lease" | "revision">;

/** A head as it is stored. */
export function headDocOf(head: HeadRow, { epoch, lease, revision }: HeadStamp): HeadDoc {
  const { conversation, fields, lastMessage, openEpoch, ...rest } = head;
  return {
    _id: conversation,
    partition: partitionOf("conversation", conversation),
    open: openEpoch !== 0,
    openEpoch,
    epoch,
    lease,
    revision,
    ...rest,
    fields: fields && bin(fields),
    lastMessage: lastMessage && bin(lastMessage),
  };
}

/** A head as the port has it. */
export function headOf(doc: HeadDoc): HeadRow {
  const { _id, partition, open, epoch, lease, revision, fields, lastMessage, ...rest } = doc;
  return {
    ...rest,
    conversation: _id,
    fields: fields && bytesOf(fields),
    lastMessage: lastMessage && bytesOf(lastMessage),
  };
}

/** A member's part as it is stored. */
export function memberPartOf({ changedSeq, role, join, floor }: MemberRow): MemberPart {
  return { changedSeq, role, join: markOf(join), floor };
}

/** The member of a participant as the port has it; null where that part was never written. */
export function memberOf({ user, member }: ParticipantDoc): MemberRow | null {
  if (!member) return null;
  const { changedSeq, role, join, floor } = member;
  return { user, role, join: markOf(join), floor, changedSeq };
}

/** The cursor of a participant as the port has it; null where neither a mark nor a total was ever written. */
export function cursorOf({ user, mark, total }: ParticipantDoc): CursorRow | null {
  if (!mark && !total) return null;
  return { user, seq: mark?.seq ?? 0, ordinal: mark?.ordinal ?? 0, own: mark?.own ?? 0, total: total?.count ?? 0 };
}

/** A mark with its fields in the order that `$max` compares. */
export function markOf({ seq, ordinal, own }: Mark): Mark {
  return { seq, ordinal, own };
}

/** A person as the port has it. */
export function userOf({ _id, userSeq, createdAt, tokensValidFrom, deletedAt }: UserDoc): UserRow {
  return { user: _id, userSeq, createdAt, tokensValidFrom, deletedAt };
}

/** A membership's row as it is stored, its fields in one order whoever made it. */
export function membershipPartOf(row: MembershipFields, stamp: number): MembershipDoc["row"] {
  const { type, peer, seq, role, join, floor, muted, markedUnread } = row;
  return { stamp, type, peer, seq, role, join: markOf(join), floor, muted, markedUnread };
}

/** A membership as the port has it. */
export function membershipOf({ conversation, row }: MembershipDoc): MembershipRow {
  const { stamp, ...fields } = row;
  return { conversation, ...fields };
}

/** A device's row as it is stored, its fields in one order whoever made it. */
export function devicePartOf({ platform, lastSignInAt, signedOutAt }: DeviceFields, stamp: number): DeviceDoc["row"] {
  return { stamp, platform, lastSignInAt, signedOutAt };
}

/** A device's row as it is stored once it was dropped. */
export function droppedPartOf(stamp: number, droppedAt: number): DeviceDoc["row"] {
  return { stamp, platform: null, lastSignInAt: 0, signedOutAt: null, droppedAt };
}

/** A device as the port has it; null where it was dropped. */
export function deviceOf({ device, row }: DeviceDoc): DeviceRow | null {
  const { platform, lastSignInAt, signedOutAt, droppedAt } = row;
  return droppedAt === undefined ? { device, platform, lastSignInAt, signedOutAt } : null;
}

/** The changes of one feed document, packed. */
export function packChanges(changes: readonly FeedTuple[]): Binary {
  return bin(encode(changes));
}

/** The changes of a feed document, ascending. */
export function changesOf({ changes }: Pick<FeedDoc, "changes">): readonly FeedTuple[] {
  return decode(bytesOf(changes)) as readonly FeedTuple[];
}
