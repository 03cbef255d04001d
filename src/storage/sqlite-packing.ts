// How writes travel to the writing thread and answers back: one packed buffer each way, handed over, never cloned.
// Rows are flat arrays by column, in the order of sqlite-schema.ts; measured less than half as dear for the event loop than cloned objects.
import { decode, encode } from "../protocol/codec";
import type { Committed, ConversationWrite, FeedCommitted, FeedWrite, HeadRow } from "./store";

/** `seq, ordinal, kind, counts, sender, clientId, bytes` of every entry, one after the other. */
export type FlatEntries = readonly unknown[];
/** Columns of an entry in a {@link FlatEntries}. */
export const entryColumns = 7;

/**
 * Columns of a head after `conversation`: type, seq, ordinal, time, name, picture, fields, memberCount, lastMessage,
 * lastMessageSeq, openEpoch, fedThrough, totalsThrough. `lastMessage` true: the bytes of the entry at `lastMessageSeq`,
 * which stand in the same write and need not be sent or stored twice.
 */
export type FlatHead = readonly [
  type: string,
  seq: number,
  ordinal: number,
  time: number,
  name: string | null,
  picture: string | null,
  fields: Uint8Array | null,
  memberCount: number,
  lastMessage: Uint8Array | true | null,
  lastMessageSeq: number,
  openEpoch: number,
  fedThrough: number,
  totalsThrough: number,
];

/** A {@link ConversationWrite}. */
export type PackedConversation = readonly [
  kind: 0,
  conversation: string,
  epoch: number,
  entries: FlatEntries,
  head: FlatHead | null,
  members: readonly (readonly unknown[])[],
  cursors: readonly (readonly [string, number, number, number])[],
  totals: readonly (readonly [string, number])[],
];

/** A {@link FeedWrite}. */
export type PackedFeed = readonly [
  kind: 1,
  user: string,
  epoch: number,
  row: readonly unknown[],
  changes: readonly (readonly unknown[])[],
  memberships: readonly (readonly unknown[])[],
  devices: readonly (readonly unknown[])[],
  devicesDropped: readonly string[],
];

/** One write of a batch. */
export type PackedWrite = PackedConversation | PackedFeed;
/** What became of one write; 0 is short for stored without cursors. */
export type PackedOutcome = 0 | Committed | FeedCommitted;

/** Flattens a conversation's write; the bytes of entries are not copied yet. */
export function packConversation(write: ConversationWrite): PackedConversation {
  const entries: unknown[] = [];
  for (const { seq, ordinal, kind, counts, sender, clientId, bytes } of write.entries) {
    entries.push(seq, ordinal, kind, counts ? 1 : 0, sender, clientId, bytes);
  }
  const { members, cursors, totals } = write;
  return [
    0,
    write.conversation,
    write.epoch,
    entries,
    write.head && packHead(write.head, write),
    members.map(({ user, role, join, floor, changedSeq }) => [
      user,
      role,
      join.seq,
      join.ordinal,
      join.own,
      floor,
      changedSeq,
    ]),
    cursors.map(({ user, seq, ordinal, own }) => [user, seq, ordinal, own] as const),
    totals.map(({ user, total }) => [user, total] as const),
  ];
}

function packHead(head: HeadRow, { entries }: ConversationWrite): FlatHead {
  const { lastMessage, lastMessageSeq } = head;
  const first = entries[0]?.seq ?? 0;
  const carried = entries[lastMessageSeq - first]?.bytes;
  const same = lastMessage !== null && carried !== undefined && equalBytes(lastMessage, carried);
  return [
    head.type,
    head.seq,
    head.ordinal,
    head.time,
    head.name,
    head.picture,
    head.fields,
    head.memberCount,
    same || lastMessage,
    lastMessageSeq,
    head.openEpoch,
    head.fedThrough,
    head.totalsThrough,
  ];
}

/** Whether two byte strings are the same; free where they are the same object. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a === b || (a.length === b.length && Buffer.compare(a, b) === 0);
}

/** Flattens a feed's write; the data of its changes is packed apart. */
export function packFeed({ epoch, user, changes, memberships, devices, devicesDropped = [] }: FeedWrite): PackedFeed {
  return [
    1,
    user.user,
    epoch,
    [user.userSeq, user.createdAt, user.tokensValidFrom, user.deletedAt],
    changes.map(([userSeq, kind, subject, data]) => [userSeq, kind, subject, encode(data)]),
    memberships.map((row) => [
      row.conversation,
      row.type,
      row.peer,
      row.seq,
      row.role,
      row.join.seq,
      row.join.ordinal,
      row.join.own,
      row.floor,
      row.muted ? 1 : 0,
      row.markedUnread ? 1 : 0,
    ]),
    devices.map((row) => [row.device, row.platform, row.lastSignInAt, row.signedOutAt]),
    devicesDropped,
  ];
}

/** The data of a feed row, as {@link packFeed} packed it. */
export function unpackData(bytes: Uint8Array): readonly unknown[] {
  return decode(bytes) as readonly unknown[];
}

/** Rough bytes that a write hands over, for the cap of one commit. */
export function weigh(write: ConversationWrite): number {
  let bytes = 512 + 64 * (write.members.length + write.cursors.length + write.totals.length);
  for (const row of write.entries) bytes += row.bytes.length + 128;
  return bytes;
}

/** Packs plain data into a buffer of its own, which may be transferred. */
export function packBatch(value: unknown): Uint8Array<ArrayBuffer> {
  return encode(value) as Uint8Array<ArrayBuffer>;
}

/** What {@link packBatch} packed; byte strings are copied out. */
export function unpackBatch(bytes: Uint8Array): unknown {
  return decode(bytes);
}
