// Documents of a MongoDB data set as canonical rows and back, and how each collection is read and found in canonical order.
// Pure. Every read is one ordered pass over a collection, or goes on from a key, by an index that begins with that key.
import { ObjectId } from "mongodb";
import type { Document, Filter } from "mongodb";
import type { Role } from "../protocol/entry";
import type { ClientId, ConversationId, DeviceId, UserId } from "../protocol/ids";
import { decode, encode } from "../protocol/codec";
import type { FeedTuple } from "../protocol/operations";
import type { CarriedRows, Cell, TransferKind, TransferRow } from "./copy";
import {
  changesOf,
  cursorOf,
  deviceOf,
  devicePartOf,
  entryDocOf,
  entryOf,
  headDocOf,
  headOf,
  memberOf,
  memberPartOf,
  membershipOf,
  membershipPartOf,
  packChanges,
  userOf,
} from "./mongo-schema";
import type { DeviceDoc, EntryDoc, FeedDoc, HeadDoc, MembershipDoc, ParticipantDoc, UserDoc } from "./mongo-schema";
import type { DeviceRow, HeadRow, MembershipRow } from "./store";

/** The fields that a kind's documents are ordered by, as its index has them. */
export const mongoKeys = {
  users: ["_id"],
  memberships: ["user", "conversation"],
  devices: ["user", "device"],
  feed: ["user", "first"],
  participants: ["conversation", "user"],
  heads: ["_id"],
  entries: ["conversation", "seq"],
} as const satisfies Readonly<Record<TransferKind, readonly string[]>>;

/** Selects what lies beyond the key of `after`; null: everything. */
export function beyond(kind: TransferKind, after: TransferRow | null): Filter<Document> {
  if (after === null) return {};
  const [first, second] = mongoKeys[kind] as readonly string[];
  if (second === undefined) return { [first as string]: { $gt: after[0] } };
  return {
    $or: [{ [first as string]: after[0], [second]: { $gt: after[1] } }, { [first as string]: { $gt: after[0] } }],
  };
}

const flag = (value: boolean): number => (value ? 1 : 0);

/** The rows of one document: one, but for feeds, whose documents hold the changes of a whole commit, a participant with no part, and what is no row. */
export function rowsOf(kind: TransferKind, doc: Document): readonly TransferRow[] {
  switch (kind) {
    case "users":
      return [userRowOf(doc as UserDoc)];
    case "memberships":
      return [membershipCells(doc["user"] as UserId, membershipOf(doc as MembershipDoc))];
    case "devices": {
      const device = deviceOf(doc as DeviceDoc);
      return device ? [deviceCells(doc["user"] as UserId, device)] : [];
    }
    case "feed":
      return changesOf(doc as FeedDoc).map(([userSeq, change, subject, data]) => [
        ...[doc["user"] as UserId, userSeq, change, subject],
        encode(data),
      ]);
    case "participants":
      return participantRowsOf(doc as ParticipantDoc);
    case "heads":
      return [headRowOf(doc as HeadDoc)];
    case "entries":
      return [entryRowOf(doc as EntryDoc)];
  }
}

function userRowOf(doc: UserDoc): TransferRow {
  const { user, userSeq, createdAt, tokensValidFrom, deletedAt } = userOf(doc);
  return [user, userSeq, createdAt, tokensValidFrom, deletedAt];
}

function membershipCells(user: UserId, row: MembershipRow): TransferRow {
  const { conversation, type, peer, seq, role, join, floor, muted, markedUnread } = row;
  const marks = [join.seq, join.ordinal, join.own, floor];
  return [user, conversation, type, peer, seq, role, ...marks, flag(muted), flag(markedUnread)];
}

function deviceCells(user: UserId, { device, platform, lastSignInAt, signedOutAt }: DeviceRow): TransferRow {
  return [user, device, platform, lastSignInAt, signedOutAt];
}

function participantRowsOf(doc: ParticipantDoc): readonly TransferRow[] {
  const [member, cursor] = [memberOf(doc), cursorOf(doc)];
  if (!member && !cursor) return [];
  const { role = null, join, floor = null, changedSeq = null } = member ?? {};
  const { seq = null, ordinal = null, own = null, total = null } = cursor ?? {};
  const joined = [join?.seq ?? null, join?.ordinal ?? null, join?.own ?? null];
  return [[doc.conversation, doc.user, role, ...joined, floor, changedSeq, seq, ordinal, own, total]];
}

function headRowOf(doc: HeadDoc): TransferRow {
  const head = headOf(doc);
  return [
    ...[head.conversation, head.type, head.seq, head.ordinal, head.time, head.name, head.picture, head.fields],
    ...[head.memberCount, head.lastMessage, head.lastMessageSeq, head.openEpoch, head.fedThrough, head.totalsThrough],
  ];
}

function entryRowOf(doc: EntryDoc): TransferRow {
  const { seq, ordinal, kind, counts, sender, clientId, bytes } = entryOf(doc);
  return [doc.conversation, seq, ordinal, kind, flag(counts), sender, clientId, bytes];
}

/** What a feed document carries; null where it carries nothing. */
export function carriedOf({ user, userSeq, rows }: FeedDoc): CarriedRows | null {
  if (rows === null) return null;
  const { createdAt, tokensValidFrom, deletedAt } = rows.user;
  return {
    user: [user, userSeq, createdAt, tokensValidFrom, deletedAt],
    memberships: rows.memberships.map((row) => membershipCells(user, row)),
    devices: rows.devices.map((row) => deviceCells(user, row)),
    devicesDropped: rows.devicesDropped,
  };
}

/** The document of one row. */
export function documentOf(kind: TransferKind, row: TransferRow): Document {
  switch (kind) {
    case "users":
      return userDocOf(row);
    case "memberships":
      return membershipDocOf(row);
    case "devices":
      return deviceDocOf(row);
    case "feed":
      return feedDocOf(row);
    case "participants":
      return participantDocOf(row);
    case "heads":
      return headDocOfRow(row);
    case "entries":
      return entryDocOfRow(row);
  }
}

const text = (cell: Cell | undefined): string => cell as string;
const textOrNull = (cell: Cell | undefined): string | null => cell as string | null;
const whole = (cell: Cell | undefined): number => cell as number;
const markAt = (row: TransferRow, at: number) => ({
  seq: whole(row[at]),
  ordinal: whole(row[at + 1]),
  own: whole(row[at + 2]),
});

/** Written by nobody's opening: the first owner's is above it. */
const unowned = { epoch: 0, lease: "", revision: 0 } as const;

function userDocOf([user, userSeq, createdAt, tokensValidFrom, deletedAt]: TransferRow): UserDoc {
  return {
    _id: text(user) as UserId,
    userSeq: whole(userSeq),
    createdAt: whole(createdAt),
    tokensValidFrom: whole(tokensValidFrom),
    deletedAt: deletedAt as number | null,
    openEpoch: 0,
    ...unowned,
  };
}

function membershipDocOf(row: TransferRow): MembershipDoc {
  const [user, conversation, type, peer, seq, role] = row;
  const fields: MembershipRow = {
    conversation: text(conversation) as ConversationId,
    type: text(type),
    peer: textOrNull(peer) as UserId | null,
    seq: whole(seq),
    role: role as Role | null,
    join: markAt(row, 6),
    floor: whole(row[9]),
    muted: row[10] === 1,
    markedUnread: row[11] === 1,
  };
  return { user: text(user) as UserId, conversation: fields.conversation, row: membershipPartOf(fields, 0) };
}

function deviceDocOf([user, device, platform, lastSignInAt, signedOutAt]: TransferRow): DeviceDoc {
  const fields: DeviceRow = {
    device: text(device) as DeviceId,
    platform: textOrNull(platform),
    lastSignInAt: whole(lastSignInAt),
    signedOutAt: signedOutAt as number | null,
  };
  return { user: text(user) as UserId, device: fields.device, row: devicePartOf(fields, 0) };
}

function feedDocOf([user, userSeq, kind, subject, data]: TransferRow): FeedDoc {
  const change = [userSeq, kind, subject, decode(data as Uint8Array)] as unknown as FeedTuple;
  const at = { first: whole(userSeq), userSeq: whole(userSeq) };
  const stamp = { _id: new ObjectId(), epoch: 0, revision: 0 };
  return { ...stamp, user: text(user) as UserId, ...at, changes: packChanges([change]), rows: null };
}

function participantDocOf(row: TransferRow): ParticipantDoc {
  const [conversation, user, role, , , , floor, changedSeq, seq, , , total] = row;
  const ids = { conversation: text(conversation) as ConversationId, user: text(user) as UserId };
  const member = { user: ids.user, role: role as Role | null, join: markAt(row, 3), floor: whole(floor) };
  return {
    ...ids,
    ...(changedSeq === null ? {} : { member: memberPartOf({ ...member, changedSeq: whole(changedSeq) }) }),
    // A copied total is exact through the head's `totalsThrough`, which counts where it is the higher.
    ...(seq === null ? {} : { mark: markAt(row, 8), total: { through: 0, count: whole(total) } }),
  };
}

function headDocOfRow(row: TransferRow): HeadDoc {
  const [conversation, type, seq, ordinal, time, name, picture, fields, memberCount, lastMessage] = row;
  const head: HeadRow = {
    conversation: text(conversation) as ConversationId,
    type: text(type),
    seq: whole(seq),
    ordinal: whole(ordinal),
    time: whole(time),
    name: textOrNull(name),
    picture: textOrNull(picture),
    fields: fields as Uint8Array | null,
    memberCount: whole(memberCount),
    lastMessage: lastMessage as Uint8Array | null,
    lastMessageSeq: whole(row[10]),
    openEpoch: whole(row[11]),
    fedThrough: whole(row[12]),
    totalsThrough: whole(row[13]),
  };
  return headDocOf(head, { ...unowned, epoch: head.openEpoch });
}

function entryDocOfRow([conversation, seq, ordinal, kind, counts, sender, clientId, bytes]: TransferRow): EntryDoc {
  return entryDocOf(text(conversation) as ConversationId, 0, {
    seq: whole(seq),
    ordinal: whole(ordinal),
    kind: whole(kind),
    counts: counts === 1,
    sender: text(sender) as UserId,
    clientId: textOrNull(clientId) as ClientId | null,
    bytes: bytes as Uint8Array,
  });
}
