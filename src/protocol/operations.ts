// The operations of parley.v1: what each takes, who may call it, what it answers. PROTOCOL.md is checked against this table,
// and so are the tests of hostile input and of membership: an operation without an access rule does not compile.
import type { EntryTuple, MessageBody, Role } from "./entry";
import {
  anything,
  BadField,
  clientId,
  conversationId,
  deviceId,
  flag,
  freeMap,
  integer,
  list,
  nameText,
  oneOf,
  optional,
  record,
  reserved,
  seq,
  text,
  tuple,
  userId,
  weigh,
} from "./fields";
import type { Field, ValuesOf } from "./fields";
import type { ConversationId, DeviceId, Seq, UserId, UserSeq } from "./ids";
import { limits } from "./limits";

/**
 * Who may call: `anyone` — before hello; `person` — whoever is signed in; `member` — a present member;
 * `joiner` — a person whom the conversation's type lets in.
 */
export type Access = "anyone" | "person" | "member" | "joiner";

interface Operation<A extends readonly Field<unknown>[]> {
  readonly access: Access;
  /** The arguments by position; for every access but `anyone` and `person`, the first one is the conversation. */
  readonly args: A;
  readonly names: string;
}

function operation<const A extends readonly Field<unknown>[]>(access: Access, names: string, ...args: A): Operation<A> {
  return { access, args, names };
}

const role = oneOf("owner", "admin", "member");
const conversationSet = record({
  name: optional(nameText(limits.nameBytesMax)),
  picture: optional(text(limits.pictureBytesMax, 1)),
  fields: optional(freeMap(limits.fieldsBytesMax)),
  /** `[conversation, seq]` of the message that a thread will hang from. */
  parent: reserved,
});

const bodyText = optional(text(limits.textBytesMax));
const bodyParts = tuple(
  bodyText,
  optional(tuple(text(limits.dataTypeBytesMax, 1), anything(limits.bodyBytesMax))),
  optional(list(freeMap(limits.fieldsBytesMax), limits.attachmentsMax)),
  optional(seq),
  optional(list(userId, limits.mentionsMax)),
  optional(freeMap(limits.fieldsBytesMax)),
  optional(integer(0, 0xffff)),
);

/**
 * A message's body as a client sends it, in the one form that is stored and sent on: without trailing nils.
 * That something is in it is checked by the conversation.
 */
export const messageBody: Field<MessageBody> = {
  expects: bodyParts.expects,
  read(value) {
    // Nearly every message is text and nothing else.
    if (Array.isArray(value) && value.length === 1 && typeof value[0] === "string")
      return [bodyText.read(value[0])] as const;
    const parts: unknown[] = [...bodyParts.read(value)];
    while (parts.length > 0 && parts.at(-1) === null) parts.pop();
    if (weighParts(parts) > limits.bodyBytesMax)
      throw new BadField(`expected a body of at most ${limits.bodyBytesMax} bytes`, "too_large");
    return parts as readonly unknown[] as MessageBody;
  },
};

/** Part by part, and the items of data and attachments apart: a body's own arrays are not nesting of free data. */
function weighParts(parts: readonly unknown[]): number {
  let bytes = 0;
  for (const part of parts) {
    if (Array.isArray(part)) for (const item of part) bytes += weigh(item);
    else bytes += weigh(part);
  }
  return bytes;
}

/** Every operation by name: who may call it and what its arguments are. */
export const operations = {
  hello: operation(
    "anyone",
    "version, token, device, client, capabilities",
    integer(1, 0xffff),
    text(limits.tokenBytesMax, 1),
    deviceId,
    optional(record({ sdk: text(64), version: text(64), platform: text(128) })),
    optional(list(text(64), 64)),
  ),
  refresh: operation("person", "token", text(limits.tokenBytesMax, 1)),
  signOut: operation("person", "device", optional(deviceId)),
  devices: operation("person", ""),
  sync: operation(
    "person",
    "after, positions",
    optional(conversationId),
    optional(list(tuple(conversationId, seq), limits.syncPageMax)),
  ),
  feed: operation("person", "after, limit", seq, optional(integer(1, limits.peoplePageMax))),
  list: operation("person", "after, limit", optional(conversationId), optional(integer(1, limits.syncPageMax))),
  create: operation(
    "person",
    "type, clientId, set, members",
    text(64, 1),
    clientId,
    optional(conversationSet),
    optional(list(userId, limits.namedPeopleMax)),
  ),
  get: operation("member", "conversation", conversationId),
  members: operation(
    "member",
    "conversation, after, limit",
    conversationId,
    optional(userId),
    optional(integer(1, limits.peoplePageMax)),
  ),
  join: operation("joiner", "conversation, clientId", conversationId, clientId),
  leave: operation("member", "conversation, clientId", conversationId, clientId),
  add: operation(
    "member",
    "conversation, clientId, users, role",
    conversationId,
    clientId,
    list(userId, limits.namedPeopleMax, 1),
    optional(oneOf("admin", "member")),
  ),
  remove: operation(
    "member",
    "conversation, clientId, users",
    conversationId,
    clientId,
    list(userId, limits.namedPeopleMax, 1),
  ),
  role: operation("member", "conversation, clientId, user, role", conversationId, clientId, userId, role),
  update: operation("member", "conversation, clientId, set", conversationId, clientId, conversationSet),
  send: operation(
    "member",
    "conversation, items",
    conversationId,
    list(tuple(clientId, messageBody), limits.sendItemsMax, 1),
  ),
  history: operation(
    "member",
    "conversation, direction, seq, limit, through",
    conversationId,
    oneOf("before", "after", "around"),
    optional(seq),
    optional(integer(1, limits.pageMax)),
    optional(seq),
  ),
  entries: operation("member", "conversation, from, limit", conversationId, seq, optional(integer(1, limits.pageMax))),
  read: operation("member", "conversation, kind, seq", conversationId, oneOf("read", "delivered"), seq),
  readers: operation(
    "member",
    "conversation, seq, after, limit",
    conversationId,
    seq,
    optional(userId),
    optional(integer(1, limits.peoplePageMax)),
  ),
  settings: operation("member", "conversation, set", conversationId, record({ muted: flag, markedUnread: flag })),
  signal: operation(
    "member",
    "conversation, kind, data",
    conversationId,
    text(32, 1),
    optional(anything(limits.signalBytesMax)),
  ),
  watch: operation("person", "users", list(userId, limits.watchMax)),
  open: operation("person", "conversations", list(conversationId, limits.openMax)),
} as const;

/** The name of an operation. */
export type OperationName = keyof typeof operations;
/** The checked arguments of an operation. */
export type Args<N extends OperationName> = ValuesOf<(typeof operations)[N]["args"]>;

/** `[seq, ordinal, own]`: a position with what stood there; see unread.ts. */
export type MarkTuple = readonly [seq: Seq, ordinal: number, own: number];

/** `[role, join, floor]`; `join` is the mark at which the membership began, `floor` the first readable seq. */
export type MembershipTuple = readonly [role: Role, join: MarkTuple, floor: Seq];

/** `[type, name, picture, fields, memberCount, peer]`; `peer` is the other person of a direct conversation, else nil. */
export type InfoTuple = readonly [
  type: string,
  name: string | null,
  picture: string | null,
  fields: Readonly<Record<string, unknown>> | null,
  memberCount: number,
  peer: UserId | null,
];

/** `[seq, ordinal, time, last]`; `last` is the newest message that the asker may read, or nil. */
export type HeadTuple = readonly [seq: Seq, ordinal: number, time: number, last: EntryTuple | null];

/** `[muted, markedUnread]`. */
export type SettingsTuple = readonly [muted: boolean, markedUnread: boolean];

/**
 * One conversation as its member sees it:
 * `[conversation, info, membership, settings, head, cursor, myTotal, unread]`.
 * Where the owner did not answer in time, the row stands in `pending` instead and is pushed (`row`) later.
 */
export type RowTuple = readonly [
  conversation: ConversationId,
  info: InfoTuple,
  membership: MembershipTuple,
  settings: SettingsTuple,
  head: HeadTuple,
  cursor: MarkTuple,
  myTotal: number,
  unread: number,
];

/** `[unread, mutedUnread]`: sums over all memberships, muted conversations apart. */
export type TotalsTuple = readonly [unread: number, mutedUnread: number];

/**
 * One change of a person's feed: `[userSeq, kind, subject, data]`.
 * - kind `membership`: subject is the conversation, data `[change, seq, role, join, floor, why]`
 *   (`why` is who did it; role, join, floor are nil once left or removed)
 * - kind `settings`: subject is the conversation, data `[muted, markedUnread]`
 * - kind `device`: subject is the device id, data `["added" | "signedOut", platform]`
 * - kind `fence`: of the server's own, subject and data are empty; it takes its number and tells nothing
 */
export type FeedTuple = readonly [
  userSeq: UserSeq,
  kind: "membership" | "settings" | "device" | "fence",
  subject: string,
  data: readonly unknown[],
];

/** `[entry, version]`: a message folded through entry `version`; apply a later entry only if its seq is above it. */
export type FoldedTuple = readonly [message: EntryTuple, version: Seq];

/** `[code, message, outcome, retryAfterMs, details]`. */
export type ErrorTuple = readonly [
  code: string,
  message: string,
  outcome: "final" | "retry" | "unknown",
  retryAfterMs: number | null,
  details: unknown,
];

/** What each operation answers. */
export interface Results {
  /** `heartbeatMs`: send something at least this often; `limits`: see limits.ts, by name. */
  hello: readonly [
    version: number,
    serverTime: number,
    generation: string,
    user: UserId,
    capabilities: readonly string[],
    limits: Readonly<Record<string, number>>,
    heartbeatMs: number,
    tokenExpiresAt: number | null,
    server: string,
  ];
  refresh: readonly [tokenExpiresAt: number | null];
  signOut: readonly [];
  devices: readonly [
    devices: readonly (readonly [
      device: DeviceId,
      platform: string | null,
      lastSignInAt: number,
      signedOut: boolean,
    ])[],
  ];
  /**
   * `totals` only on the first page; `next` is the `after` of the next page, or nil; `resumed`: missed entries, in order. `large`, where
   * the client named `counters`: of which conversations of this page it is pushed counters while it has not opened them.
   */
  sync: readonly [
    userSeq: UserSeq,
    rows: readonly RowTuple[],
    next: ConversationId | null,
    totals: TotalsTuple | null,
    pending: readonly ConversationId[],
    resumed: readonly (readonly [ConversationId, readonly EntryTuple[]])[],
    large?: readonly ConversationId[] | null,
  ];
  /** `complete` false: `after` is too old (or ahead); sync instead. */
  feed: readonly [changes: readonly FeedTuple[], userSeq: UserSeq, complete: boolean];
  list: readonly [rows: readonly RowTuple[], next: ConversationId | null];
  create: readonly [conversation: ConversationId, seq: Seq];
  get: RowTuple;
  members: readonly [members: readonly (readonly [UserId, Role, joinSeq: Seq])[], next: UserId | null];
  join: readonly [seq: Seq];
  leave: readonly [seq: Seq];
  add: readonly [seq: Seq];
  remove: readonly [seq: Seq];
  role: readonly [seq: Seq];
  update: readonly [seq: Seq];
  /** One outcome an item, in order: the seq, or an error. */
  send: readonly (Seq | ErrorTuple)[];
  /** `first`–`last` is the range of seqs the page covers; a short page is not the end. */
  history: readonly [
    messages: readonly FoldedTuple[],
    hasBefore: boolean,
    hasAfter: boolean,
    first: Seq,
    last: Seq,
    floor: Seq,
  ];
  entries: readonly [entries: readonly EntryTuple[], headSeq: Seq, floor: Seq];
  /** The cursor as stored after the write, never moved back, and the unread that follows from it. */
  read: readonly [cursor: MarkTuple, unread: number];
  readers: readonly [readers: readonly (readonly [UserId, Seq])[], next: UserId | null];
  settings: readonly [userSeq: UserSeq];
  signal: readonly [];
  /** Replaces the whole watch; answers everybody's state of now, changes come as `presence`. */
  watch: readonly [people: readonly (readonly [UserId, online: boolean])[]];
  /** Replaces what this session has open; where it stood, as far as it was not told, was pushed (`counter`) before the answer. */
  open: readonly [];
}
