// Frames of parley.v1: MessagePack arrays, one or more of them in each binary WebSocket message.
// Pure types and numbers; codec.ts turns them into bytes and back.
import type { EntryTuple } from "./entry";
import type { ConversationId, Seq, UserId } from "./ids";
import type { ErrorTuple, FeedTuple, RowTuple, TotalsTuple, MarkTuple } from "./operations";

/** The version that hello names; it rises only with a change that old readers cannot survive. */
export const protocolVersion = 1;
/** The WebSocket subprotocol that a client must ask for. */
export const subprotocol = "parley.v1";
/** Where the WebSocket is, below the server's address. */
export const socketPath = "/v1/ws";

/** First item of a frame. Numbers are never reused. */
export const frameTypes = { request: 0, reply: 1, error: 2, push: 3, ping: 4, pong: 5 } as const;

/** `id` 1..2^32−1 chosen by the client, unique among its unanswered requests; 0 wants no reply. */
export type RequestFrame = readonly [
  type: 0,
  id: number,
  operation: string,
  args: readonly unknown[],
  meta?: Readonly<Record<string, unknown>> | null,
];
/** The answer to a request; what `result` holds depends on its operation. */
export type ReplyFrame = readonly [type: 1, id: number, result: unknown];
/** The refusal of a request. */
export type ErrorFrame = readonly [type: 2, id: number, error: ErrorTuple];
/** Either side may send it at any time; the other answers with a pong. */
export type PingFrame = readonly [type: 4];
/** The answer to a ping. */
export type PongFrame = readonly [type: 5];

/** What the server says unasked. A client ignores a push whose name it does not know. */
export interface Pushes {
  /** Entries of one conversation committed together, in order. */
  entries: readonly [conversation: ConversationId, entries: readonly EntryTuple[]];
  /**
   * Capability `counters`: where a large conversation stands that this session has not open. `entry` stands there for my own counted
   * entries and for messages that mention me, at once and one by one; else it is left out, and the newest state is told now and then.
   */
  counter: readonly [conversation: ConversationId, seq: Seq, ordinal: number, time: number, entry?: EntryTuple | null];
  /**
   * Changes of my own feed. For `added`, `row` is the conversation as it stands once the session receives its entries;
   * whatever lies between my position and its head is fetched. `large`: as in sync, left out where there are none.
   */
  feed: readonly [changes: readonly FeedTuple[], rows: readonly RowTuple[], large?: readonly ConversationId[] | null];
  /** My cursor moved, perhaps on another device. */
  cursor: readonly [conversation: ConversationId, cursor: MarkTuple, unread: number];
  /** Others' read marks, coalesced; only in conversations of at most `receiptMembersMax` members. */
  receipts: readonly [conversation: ConversationId, marks: readonly (readonly [UserId, Seq])[]];
  /** In larger ones: how many have read the author's last message; to the author, at most once a second. */
  readCount: readonly [conversation: ConversationId, seq: Seq, readers: number];
  signal: readonly [conversation: ConversationId, user: UserId, kind: string, data: unknown];
  presence: readonly [people: readonly (readonly [UserId, online: boolean])[]];
  /**
   * A row that sync listed as pending. `totals` replace those of sync: they include every row pushed so far. `large`: whether it is,
   * as in sync; left out where it is not.
   */
  row: readonly [row: RowTuple, totals: TotalsTuple | null, large?: boolean | null];
  /** Capability `resync`: something may have been missed; sync again on this connection, at a random moment within `withinMs`. */
  resync: readonly [withinMs: number];
  /** The token expires soon: `refresh` it. */
  tokenExpiring: readonly [expiresAt: number];
  /** The server closes the connection now, with this close code. */
  goodbye: readonly [code: number, retryAfterMs: number | null];
}

/** The name of a push. */
export type PushName = keyof Pushes;
/** A push, named by its second item. */
export type PushFrame = { [N in PushName]: readonly [type: 3, name: N, ...args: Pushes[N]] }[PushName];

/** Any frame of parley.v1. */
export type Frame = RequestFrame | ReplyFrame | ErrorFrame | PushFrame | PingFrame | PongFrame;
