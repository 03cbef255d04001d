// What a session needs of the world: its connection, the directory of who is here, the actors, the store, the settings.
// Ports only; transport/websocket.ts and transport/hub.ts stand behind the first two, tests behind all of them.
import type { Clock } from "../lib/clock";
import type { Log } from "../lib/log";
import type { Metrics } from "../lib/metrics";
import type { Config } from "../lib/settings";
import { capabilities } from "../protocol/capabilities";
import type { CloseReason, ErrorCode } from "../protocol/codes";
import type { ConversationId, DeviceId, UserId } from "../protocol/ids";
import type { OperationName } from "../protocol/operations";
import type { Store } from "../storage/store";
import type { AskSource, Router } from "./actor";
import type { Entrance } from "./entrance";
import type { RowSource } from "./rows";

/**
 * - `new`: waits for hello; `verifying`: hello is being checked, requests behind it wait
 * - `open`: signed in; `leaving`: closes at the end of this turn, so that answers on their way leave first
 * - `ended`: nothing is read or written any more
 */
export type SessionState = "new" | "verifying" | "open" | "leaving" | "ended";

/** One request under way. */
export interface Call {
  readonly session: SessionHandle;
  readonly id: number;
  readonly name: OperationName;
  /** As they came. */
  readonly args: unknown;
  readonly timeoutMs: number;
  /** Monotonic milliseconds. */
  readonly startedAt: number;
  readonly bytes: number;
}

/** A session, as its handlers and the directory see it. */
export interface SessionHandle extends AskSource {
  readonly world: SessionWorld;
  readonly line: SessionLine;
  state: SessionState;
  /** Set from the moment the token is proven. */
  user: UserId | null;
  device: DeviceId | null;
  personRates: PersonRates | null;
  /** Milliseconds since 1970; null for a token that does not expire. */
  readonly expiresAt: number | null;
  /** What its client named of {@link capabilities}, as a sum of bits; 0 before hello. */
  capabilities: number;
  /** Syncs being gathered. */
  syncing: number;
  /** Whether it asked for its feed and conversations (sync), and so is pushed their changes. */
  interested: boolean;
  /** Signed out while hello was being checked: the check is repeated. */
  doubted: boolean;
  /** The person's next session: a list of the directory. */
  sibling: SessionHandle | null;
  /** Whom it watches: a list of the directory. */
  watched: readonly UserId[] | null;
  /** What its client has open, and whether that is large to it; null for nothing. A list of the directory. */
  lookedAt: Map<ConversationId, boolean> | null;
  /** Looks at the clock: called about once a second for every session by the transport's one sweep. */
  tick(): void;
  /** A fresh token was taken in place. */
  refreshed(expiresAt: number | null): void;
  /** Says goodbye and closes. Idempotent. */
  end(reason: CloseReason, retryAfterMs?: number | null): void;
  /** The person or device was signed out: closes once answers of this turn have left. */
  signedOut(): void;
  /**
   * What it was pushed may lack something: its client syncs again at a random moment within `withinMs`, on this connection where it
   * named `resync`, else on the next one. Does nothing for a session that has not synced yet.
   */
  resync(withinMs: number): void;
  /** Hello is decided: what waited behind it is taken, or refused as `not_signed_in`. */
  resumeWaiting(): void;
  /** Marks a send of this conversation as under way; false: there is one already. */
  beginSend(conversation: ConversationId): boolean;
  endSend(conversation: ConversationId): void;
  /** Answers a request ahead of what is sent after it; the handler then answers {@link answered}. */
  answerInOrder(call: Call, result: unknown): void;
  /** The same, and ahead of anything published after it. */
  answerNow(call: Call, result: unknown): void;
}

/** Whether the session's client takes counters of large conversations that it has not opened. */
export function takesCounters({ capabilities: named }: SessionHandle): boolean {
  return (named & capabilities.counters.bit) !== 0;
}

/** What a handler answers where the reply has left already. */
export const answered: unique symbol = Symbol("answered");

/** One connection, as its session sees it. After `close` every call does nothing. */
export interface SessionLine {
  /** Sends at the end of this turn of the event loop, together with what else waits, in order. */
  send(frame: Uint8Array): void;
  /** Sends now, after what waits and before anything that is published to this connection later. */
  sendNow(frame: Uint8Array): void;
  /** Receives from now on what is published to the topic: a conversation's id, or its counters'; idempotent. */
  subscribe(topic: string): void;
  /** Receives nothing that is published to the topic after the call. */
  unsubscribe(topic: string): void;
  isSubscribed(topic: string): boolean;
  /** Sends a ping of the WebSocket; whoever reads the socket tells the session of its pong. @param payload in ASCII, up to 125 bytes */
  ping(payload: string): void;
  /** Says goodbye and closes, once what was sent before has left. */
  close(reason: CloseReason, retryAfterMs: number | null): void;
}

/** Who is connected. Called by sessions; one node's part of it is the hub. */
export interface Directory {
  /** Counts a session whose token is good among the person's; null: they have too many connections already. */
  enter(session: SessionHandle, user: UserId): PersonRates | null;
  /** The person is here: their watchers learn it. Called once, after hello was answered. */
  opened(session: SessionHandle): void;
  /** The session ended, opened or not. Idempotent. */
  leave(session: SessionHandle): void;
  /** Replaces whom the session watches, at once; answers who of them is online. */
  watch(
    session: SessionHandle,
    users: readonly UserId[],
  ): readonly (readonly [UserId, boolean])[] | Promise<readonly (readonly [UserId, boolean])[]>;
  /** Sync was answered: what the feed said meanwhile follows. */
  synced(session: SessionHandle): void;
  /**
   * The session is shown the conversation as it stands at this moment, and receives from here on its entries, or counters in their
   * place. Answers whether the conversation is large to it: then that is counters while its client has not opened it.
   */
  receive(session: SessionHandle, conversation: ConversationId, memberCount: number): boolean;
  /** Replaces what the session's client has open; of other large conversations it receives counters. */
  lookAt(session: SessionHandle, conversations: readonly ConversationId[]): void;
}

/** A person's rate limit, shared by all their sessions. */
export interface PersonRates {
  /** As `Rate.take` with the person's rule. */
  take(nowMs: number): number;
}

/** What a token proves; times in whole seconds since 1970. */
export interface ProvenToken {
  readonly ok: true;
  readonly user: UserId;
  readonly issuedAt: number;
  readonly expiresAt: number | null;
}

/** Why a token was not taken. */
export interface RefusedToken {
  readonly ok: false;
  readonly code: Extract<ErrorCode, "bad_token" | "token_expired" | "auth_unavailable">;
}

/** What a session records. */
export type SessionMeter = Pick<
  Metrics,
  | "signedIn"
  | "signInFailed"
  | "requestDone"
  | "requestFailed"
  | "sendsAcknowledged"
  | "ackLatency"
  | "dropped"
  | "danglingRecord"
>;

/** The settings that sessions obey. */
export type SessionSettings = Pick<Config, "connections" | "rates" | "counters">;

/** One for all sessions of a server. */
export interface SessionWorld {
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: SessionMeter;
  readonly settings: SessionSettings;
  readonly router: Router;
  readonly store: Store;
  readonly rows: RowSource;
  readonly directory: Directory;
  /** What sign-ins and syncs pass through, so that many at once are bounded. */
  readonly entrance: Entrance;
  /** Checks a token; never rejects. */
  readonly verifyToken: (token: string) => Promise<ProvenToken | RefusedToken>;
  /** Name and version of the server, for hello. */
  readonly server: string;
}

/** Limits of sessions that an operator does not change. */
export const sessionLimits = {
  /** Bytes of requests that one session may have unanswered; past it they are answered `overloaded`. */
  unansweredBytesMax: 2 * 1024 * 1024,
  /** Bytes that may wait for the answer to hello. */
  beforeHelloBytesMax: 256 * 1024,
  /** How long a request may take at its actor, milliseconds; a shorter deadline of the client is kept. */
  askMs: 10_000,
  /** How long a client may owe the answer to a ping that a request waits for, milliseconds; then it is closed, and repeats the request. */
  pongMs: 8_000,
  /** How long sync waits for owners before it lists a row as pending, milliseconds. */
  rowMs: 500,
  /** A token that lives this long or less is announced as expiring, milliseconds. */
  expiryNoticeMs: 60_000,
  /** Batches of feed changes that may wait for one person's sessions; past it those are closed, to resume. */
  feedBatchesMax: 1_000,
  /** Changes of presence are gathered this long, milliseconds. */
  presenceGatherMs: 200,
} as const;
