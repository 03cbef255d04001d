// Rows and writes for the contract suite, made short. Test code only.
import { partitionCount } from "../lib/hash";
import { encodeEntry } from "../protocol/codec";
import { entryKinds } from "../protocol/entry";
import type { ClientId, ConversationId, DeviceId, Epoch, UserId } from "../protocol/ids";
import type {
  ConversationWrite,
  DeviceRow,
  EntryRow,
  FeedWrite,
  HeadRow,
  MemberRow,
  MembershipRow,
  RangeRequest,
  Store,
  UserRow,
} from "./store";

export const ada = "ada@example.org" as UserId;
export const bob = "bob" as UserId;
export const cy = "cy|corp=1" as UserId;
export const allPartitions = Array.from({ length: partitionCount }, (_, partition) => partition);

export function conversationNamed(name: string | number): ConversationId {
  return `g${String(name).padStart(22, "0")}` as ConversationId;
}

export function clientIdNamed(name: string | number): ClientId {
  return `id-${name}` as ClientId;
}

/** An entry that counts, of ada, with a client id and 40 bytes of its own. */
export function entry(seq: number, over: Partial<EntryRow> = {}): EntryRow {
  return {
    seq,
    ordinal: seq,
    kind: entryKinds.message,
    counts: true,
    sender: ada,
    clientId: clientIdNamed(seq),
    bytes: new TextEncoder().encode(`entry ${seq} `.padEnd(40, "·é漢")).slice(0, 40),
    ...over,
  };
}

export function entries(first: number, count: number, over: Partial<EntryRow> = {}): EntryRow[] {
  return Array.from({ length: count }, (_, at) => entry(first + at, over));
}

/** When the first entries were made. */
export const firstTime = 1_800_000_000_000;

/** An entry whose bytes say what its row says, so that it can be folded; entries of members have no client id. */
export function real(
  seq: number,
  ordinal: number,
  kind: number,
  sender: UserId,
  body: unknown,
  counts = false,
): EntryRow {
  const clientId = kind === entryKinds.members ? null : clientIdNamed(seq);
  const bytes = encodeEntry([seq, ordinal, kind, counts, firstTime + seq, sender, null, clientId, null, body]);
  return { seq, ordinal, kind, counts, sender, clientId, bytes };
}

/** A message as {@link real} makes it. */
export function said(seq: number, ordinal: number, sender: UserId, counts = true): EntryRow {
  return real(seq, ordinal, entryKinds.message, sender, [`says ${seq}`], counts);
}

export function head(conversation: ConversationId, seq: number, over: Partial<HeadRow> = {}): HeadRow {
  return {
    conversation,
    type: "group",
    seq,
    ordinal: seq,
    time: 1_800_000_000_000 + seq,
    name: null,
    picture: null,
    fields: null,
    memberCount: 2,
    lastMessage: null,
    lastMessageSeq: 0,
    openEpoch: 0,
    fedThrough: 0,
    totalsThrough: 0,
    ...over,
  };
}

export function member(user: UserId, over: Partial<MemberRow> = {}): MemberRow {
  return { user, role: "member", join: { seq: 1, ordinal: 0, own: 0 }, floor: 1, changedSeq: 1, ...over };
}

/** A write of nothing, to be given what it should hold. */
export function write(conversation: ConversationId, epoch: Epoch, over: Partial<ConversationWrite>): ConversationWrite {
  return { conversation, epoch, entries: [], head: null, members: [], cursors: [], totals: [], ...over };
}

/** A write of these entries with the head that follows from them. */
export function append(
  conversation: ConversationId,
  epoch: Epoch,
  rows: readonly EntryRow[],
  over: Partial<HeadRow> = {},
): ConversationWrite {
  const last = rows.at(-1);
  if (!last) throw new Error("an append has entries");
  const next = head(conversation, last.seq, { lastMessage: last.bytes, lastMessageSeq: last.seq, ...over });
  return write(conversation, epoch, { entries: rows, head: next });
}

export function userRow(user: UserId, userSeq: number, over: Partial<UserRow> = {}): UserRow {
  return { user, userSeq, createdAt: 1_800_000_000_000, tokensValidFrom: 0, deletedAt: null, ...over };
}

export function device(name: string, over: Partial<DeviceRow> = {}): DeviceRow {
  return { device: name as DeviceId, platform: null, lastSignInAt: 1_800_000_000_000, signedOutAt: null, ...over };
}

export function membership(conversation: ConversationId, over: Partial<MembershipRow> = {}): MembershipRow {
  return {
    conversation,
    type: "group",
    peer: null,
    seq: 1,
    role: "member",
    join: { seq: 1, ordinal: 0, own: 0 },
    floor: 1,
    muted: false,
    markedUnread: false,
    ...over,
  };
}

/** A feed write whose changes run up to `user.userSeq`, one for each membership. */
export function feedWrite(epoch: Epoch, user: UserRow, rows: readonly MembershipRow[] = []): FeedWrite {
  const first = user.userSeq - rows.length + 1;
  const changes = rows.map((row, at) => [first + at, "membership", row.conversation, [row.seq, row.role]] as const);
  return { epoch, user, changes, memberships: rows, devices: [] };
}

export function range(conversation: ConversationId, over: Partial<RangeRequest> = {}): RangeRequest {
  return { conversation, from: 1, direction: "up", limit: 100, bytesMax: 1_000_000, scanMax: 10_000, ...over };
}

export function seqs(rows: readonly { readonly seq: number }[]): readonly number[] {
  return rows.map(({ seq }) => seq);
}

/** Bytes as plain arrays, so that a Buffer and a Uint8Array of the same bytes are equal. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, plain(part)]));
}

/** The whole log, by as many reads as it takes. */
export async function wholeLog(store: Store, conversation: ConversationId): Promise<readonly EntryRow[]> {
  const rows: EntryRow[] = [];
  for (;;) {
    const page = await store.readRange(range(conversation, { from: rows.length + 1, limit: 1000 }));
    if (page.entries.length === 0) return rows;
    rows.push(...page.entries);
  }
}
