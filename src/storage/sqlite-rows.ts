// Rows of the tables as the port's rows. Pure; columns follow sqlite-schema.ts.
import type { Role } from "../protocol/entry";
import type { ClientId, ConversationId, DeviceId, UserId } from "../protocol/ids";
import type { CursorRow, DeviceRow, EntryRow, HeadRow, MemberRow, MembershipRow, UserRow } from "./store";

/** A row of `heads` with `last`, see {@link headSelect}. */
export interface HeadColumns {
  readonly cid: number;
  readonly conversation: ConversationId;
  readonly type: string;
  readonly seq: number;
  readonly ordinal: number;
  readonly time: number;
  readonly name: string | null;
  readonly picture: string | null;
  readonly fields: Uint8Array | null;
  readonly member_count: number;
  readonly last: Uint8Array | null;
  readonly last_message_seq: number;
  readonly open_epoch: number;
  readonly fed_through: number;
  readonly totals_through: number;
}

/** A row of `entries`, see {@link entrySelect}. */
export interface EntryColumns {
  readonly seq: number;
  readonly ordinal: number;
  readonly kind: number;
  readonly counts: number;
  readonly sender: UserId;
  readonly client_id: ClientId | null;
  readonly bytes: Uint8Array;
}

interface JoinColumns {
  readonly join_seq: number;
  readonly join_ordinal: number;
  readonly join_own: number;
}

/** A row of `members`. */
export interface MemberColumns extends JoinColumns {
  readonly user: UserId;
  readonly role: Role | null;
  readonly floor: number;
  readonly changed_seq: number;
}

/** A row of `users`. */
export interface UserColumns {
  readonly user: UserId;
  readonly user_seq: number;
  readonly created_at: number;
  readonly tokens_valid_from: number;
  readonly deleted_at: number | null;
}

/** A row of `memberships`. */
export interface MembershipColumns extends JoinColumns {
  readonly conversation: ConversationId;
  readonly type: string;
  readonly peer: UserId | null;
  readonly seq: number;
  readonly role: Role | null;
  readonly floor: number;
  readonly muted: number;
  readonly marked_unread: number;
}

/** A row of `devices`. */
export interface DeviceColumns {
  readonly device: DeviceId;
  readonly platform: string | null;
  readonly last_sign_in_at: number;
  readonly signed_out_at: number | null;
}

/** The columns of a head, `last` being its message: the entry's bytes where none are kept apart. Table alias `h`. */
export const headSelect = `h.*, CASE WHEN h.last_message IS NULL THEN
  (SELECT e.bytes FROM entries e WHERE e.cid = h.cid AND e.seq = h.last_message_seq) ELSE h.last_message END AS last`;

/** The columns of an entry. */
export const entrySelect = "seq, ordinal, kind, counts, sender, client_id, bytes";

/** A head as the port has it. */
export function headOf(row: HeadColumns): HeadRow {
  return {
    conversation: row.conversation,
    type: row.type,
    seq: row.seq,
    ordinal: row.ordinal,
    time: row.time,
    name: row.name,
    picture: row.picture,
    fields: row.fields,
    memberCount: row.member_count,
    lastMessage: row.last && row.last.length > 0 ? row.last : null,
    lastMessageSeq: row.last_message_seq,
    openEpoch: row.open_epoch,
    fedThrough: row.fed_through,
    totalsThrough: row.totals_through,
  };
}

/** An entry as the port has it. */
export function entryOf({ seq, ordinal, kind, counts, sender, client_id, bytes }: EntryColumns): EntryRow {
  return { seq, ordinal, kind, counts: counts === 1, sender, clientId: client_id, bytes };
}

/** A member as the port has it. */
export function memberOf(row: MemberColumns): MemberRow {
  return { user: row.user, role: row.role, join: joinOf(row), floor: row.floor, changedSeq: row.changed_seq };
}

/** A cursor as the port has it; the columns of its table are named alike. */
export function cursorOf({ user, seq, ordinal, own, total }: CursorRow): CursorRow {
  return { user, seq, ordinal, own, total };
}

/** A person as the port has it. */
export function userOf(row: UserColumns): UserRow {
  return {
    user: row.user,
    userSeq: row.user_seq,
    createdAt: row.created_at,
    tokensValidFrom: row.tokens_valid_from,
    deletedAt: row.deleted_at,
  };
}

/** A membership as the port has it. */
export function membershipOf(row: MembershipColumns): MembershipRow {
  return {
    conversation: row.conversation,
    type: row.type,
    peer: row.peer,
    seq: row.seq,
    role: row.role,
    join: joinOf(row),
    floor: row.floor,
    muted: row.muted === 1,
    markedUnread: row.marked_unread === 1,
  };
}

/** A device as the port has it. */
export function deviceOf(row: DeviceColumns): DeviceRow {
  const { device, platform } = row;
  return { device, platform, lastSignInAt: row.last_sign_in_at, signedOutAt: row.signed_out_at };
}

function joinOf({ join_seq, join_ordinal, join_own }: JoinColumns) {
  return { seq: join_seq, ordinal: join_ordinal, own: join_own };
}
