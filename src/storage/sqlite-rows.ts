// Rows of the tables as tuples, in the order they are selected, and as the port's rows. Pure; columns follow sqlite-schema.ts.
// Tuples cross from the reading thread as they are: measured three times cheaper than objects.
import type { Role } from "../protocol/entry";
import type { ClientId, ConversationId, DeviceId, UserId } from "../protocol/ids";
import type { FeedTuple } from "../protocol/operations";
import { unpackData } from "./sqlite-packing";
import type {
  CursorRow,
  DeviceRow,
  EntryRow,
  FoundEntry,
  HeadRow,
  MemberRow,
  MembershipRow,
  SyncCount,
  UserRow,
} from "./store";

/** The columns of an entry. */
export const entrySelect = "seq, ordinal, kind, counts, sender, client_id, bytes";
/** A row of {@link entrySelect}. */
export type EntryValues = readonly [
  seq: number,
  ordinal: number,
  kind: number,
  counts: number,
  sender: UserId,
  clientId: ClientId | null,
  bytes: Uint8Array,
];

/** The last message of a head `h`: the entry's bytes where none are kept apart. */
export const lastMessageSelect = `CASE WHEN h.last_message IS NULL THEN
    (SELECT e.bytes FROM entries e WHERE e.cid = h.cid AND e.seq = h.last_message_seq) ELSE h.last_message END`;
/** The columns of a head `h`. */
export const headSelect = `h.conversation, h.type, h.seq, h.ordinal, h.time, h.name, h.picture, h.fields, h.member_count,
  ${lastMessageSelect},
  h.last_message_seq, h.open_epoch, h.fed_through, h.totals_through`;
/** A row of {@link headSelect}. */
export type HeadValues = readonly [
  conversation: ConversationId,
  type: string,
  seq: number,
  ordinal: number,
  time: number,
  name: string | null,
  picture: string | null,
  fields: Uint8Array | null,
  memberCount: number,
  lastMessage: Uint8Array | null,
  lastMessageSeq: number,
  openEpoch: number,
  fedThrough: number,
  totalsThrough: number,
];

/** The columns of a member `b`. */
export const memberSelect = "b.user, b.role, b.join_seq, b.join_ordinal, b.join_own, b.floor, b.changed_seq";
/** A row of {@link memberSelect}. */
export type MemberValues = readonly [
  user: UserId,
  role: Role | null,
  joinSeq: number,
  joinOrdinal: number,
  joinOwn: number,
  floor: number,
  changedSeq: number,
];

/** The columns of a cursor `c`. */
export const cursorSelect = "c.user, c.seq, c.ordinal, c.own, c.total";
/** A row of {@link cursorSelect}. */
export type CursorValues = readonly [user: UserId, seq: number, ordinal: number, own: number, total: number];

/** The columns of a membership `m`. */
export const membershipSelect = `m.conversation, m.type, m.peer, m.seq, m.role, m.join_seq, m.join_ordinal, m.join_own,
  m.floor, m.muted, m.marked_unread`;
/** A row of {@link membershipSelect}. */
export type MembershipValues = readonly [
  conversation: ConversationId,
  type: string,
  peer: UserId | null,
  seq: number,
  role: Role | null,
  joinSeq: number,
  joinOrdinal: number,
  joinOwn: number,
  floor: number,
  muted: number,
  markedUnread: number,
];

/** The columns of a person. */
export const userSelect = "user, user_seq, created_at, tokens_valid_from, deleted_at";
/** A row of {@link userSelect}. */
export type UserValues = readonly [
  user: UserId,
  userSeq: number,
  createdAt: number,
  tokensValidFrom: number,
  deletedAt: number | null,
];

/** The columns of a device. */
export const deviceSelect = "device, platform, last_sign_in_at, signed_out_at";
/** A row of {@link deviceSelect}. */
export type DeviceValues = readonly [
  device: DeviceId,
  platform: string | null,
  lastSignInAt: number,
  signedOutAt: number | null,
];

/** The columns of a feed row. */
export const changeSelect = "user_seq, kind, subject, data";
/** A row of {@link changeSelect}. */
export type ChangeValues = readonly [userSeq: number, kind: FeedTuple[1], subject: string, data: Uint8Array];

/** An entry found by its client id. */
export type FoundValues = readonly [sender: UserId, clientId: ClientId, seq: number, kind: number, bytes: Uint8Array];

/** The counters of one membership; null where the head or the cursor is missing. */
export type CountValues = readonly [
  conversation: ConversationId,
  muted: number,
  joinSeq: number | null,
  joinOrdinal: number | null,
  joinOwn: number | null,
  openEpoch: number | null,
  headOrdinal: number | null,
  totalsThrough: number | null,
  seq: number | null,
  ordinal: number | null,
  own: number | null,
  total: number | null,
];

/** An entry as the port has it. */
export function entryOf([seq, ordinal, kind, counts, sender, clientId, bytes]: EntryValues): EntryRow {
  return { seq, ordinal, kind, counts: counts === 1, sender, clientId, bytes };
}

/** A head as the port has it. */
export function headOf(values: HeadValues): HeadRow {
  const [conversation, type, seq, ordinal, time, name, picture, fields, memberCount, last, lastMessageSeq] = values;
  const [openEpoch, fedThrough, totalsThrough] = [values[11], values[12], values[13]];
  // No bytes stand for no message; see ConversationWriter.
  const lastMessage = last && last.length > 0 ? last : null;
  return {
    conversation,
    type,
    seq,
    ordinal,
    time,
    name,
    picture,
    fields,
    memberCount,
    lastMessage,
    lastMessageSeq,
    openEpoch,
    fedThrough,
    totalsThrough,
  };
}

/** A member as the port has it. */
export function memberOf([user, role, joinSeq, joinOrdinal, joinOwn, floor, changedSeq]: MemberValues): MemberRow {
  return { user, role, join: { seq: joinSeq, ordinal: joinOrdinal, own: joinOwn }, floor, changedSeq };
}

/** A cursor as the port has it. */
export function cursorOf([user, seq, ordinal, own, total]: CursorValues): CursorRow {
  return { user, seq, ordinal, own, total };
}

/** A membership as the port has it. */
export function membershipOf(values: MembershipValues): MembershipRow {
  const [conversation, type, peer, seq, role, joinSeq, joinOrdinal, joinOwn, floor, muted, markedUnread] = values;
  const join = { seq: joinSeq, ordinal: joinOrdinal, own: joinOwn };
  return { conversation, type, peer, seq, role, join, floor, muted: muted === 1, markedUnread: markedUnread === 1 };
}

/** A person as the port has it. */
export function userOf([user, userSeq, createdAt, tokensValidFrom, deletedAt]: UserValues): UserRow {
  return { user, userSeq, createdAt, tokensValidFrom, deletedAt };
}

/** A device as the port has it. */
export function deviceOf([device, platform, lastSignInAt, signedOutAt]: DeviceValues): DeviceRow {
  return { device, platform, lastSignInAt, signedOutAt };
}

/** A feed row as the port has it. */
export function changeOf([userSeq, kind, subject, data]: ChangeValues): FeedTuple {
  return [userSeq, kind, subject, unpackData(data)];
}

/** A found entry as the port has it. */
export function foundOf([sender, clientId, seq, kind, bytes]: FoundValues): FoundEntry {
  return { sender, clientId, seq, kind, bytes };
}

/** Counters as the port has them: what is missing counts as nothing. */
export function countOf(values: CountValues): SyncCount {
  const [conversation, muted, joinSeq, joinOrdinal, joinOwn, openEpoch, headOrdinal, totalsThrough] = values;
  return {
    conversation,
    muted: muted === 1,
    open: (openEpoch ?? 0) !== 0,
    headOrdinal: headOrdinal ?? 0,
    totalsThrough: totalsThrough ?? 0,
    myTotal: values[11] ?? 0,
    cursor: { seq: values[8] ?? 0, ordinal: values[9] ?? 0, own: values[10] ?? 0 },
    join: { seq: joinSeq ?? 0, ordinal: joinOrdinal ?? 0, own: joinOwn ?? 0 },
  };
}
