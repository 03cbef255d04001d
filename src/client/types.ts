// The public types of the client SDK: snapshots, events and options. Plain data; nothing here runs.
// Every snapshot is immutable: a change makes a new one, so `===` tells whether anything changed.
import type { EntryTuple, Role } from "../protocol/entry";
import type { ClientId, ConversationId, DeviceId, Seq, UserId, UserSeq } from "../protocol/ids";
import type { ClientError } from "./errors";
import type { ClientClock } from "./clock";
import type { Locks } from "./queue-lock";
import type { ClientStorage } from "./storage";

/** Stops what began it: a subscription, a listener. Idempotent. */
export type Unsubscribe = () => void;

/**
 * A value that changes. `getSnapshot` answers the same object until something changed; listeners are called once a tick,
 * after all that arrived together was applied. Both are bound: they can be handed to `useSyncExternalStore` as they are.
 */
export interface Observable<T> {
  readonly getSnapshot: () => T;
  readonly subscribe: (listener: () => void) => Unsubscribe;
}

/** What {@link createClient} takes. */
export interface ClientOptions {
  /** The server: `https://chat.example.com`, or the socket itself: `wss://chat.example.com/v1/ws`. */
  readonly url: string;
  /**
   * Answers a token, or null: "signed out". Called once at a time, and only when there is no token yet, the present one is
   * about to expire, or the server refused it; never because a connection failed. A rejection is tried again with back-off.
   */
  readonly token: () => Promise<string | null>;
  /** Keeps the outbox and the cache. Default: IndexedDB where there is one, else memory. `@parley/client/node` has a file. */
  readonly storage?: ClientStorage;
  /** Sees to it that one tab alone drains a queue. Default: the platform's Web Locks; null where one client uses the storage. */
  readonly locks?: Locks | null;
  /** The WebSocket to use where there is no global one (Node before 22: the `ws` package). */
  readonly webSocket?: WebSocketConstructor;
  /** This installation's id, kept by the application. Default: made once and kept in the storage. */
  readonly deviceId?: string;
  /** Names the platform in the list of devices, at most 128 bytes. */
  readonly platform?: string;
  /** Ends the client as `close()` does. */
  readonly signal?: AbortSignal;
  /**
   * Most entries that are fetched to close one gap (default 2,000). Past it the conversation starts again at its head and
   * older messages come as pages; the event `start` says so. `Infinity` for programs that must see every entry.
   */
  readonly resumeEntriesMax?: number;
  /**
   * Whether large conversations that nobody looks at (no subscriber of their view) are followed by numbers alone: unread and order
   * are exact, entries come once one is looked at. False for programs that must see every entry as it comes. Default: true, and false where
   * `resumeEntriesMax` is `Infinity`.
   */
  readonly counters?: boolean;
  /** Reconnecting waits between 0 and `min(capMs, baseMs × 2^attempt)` (defaults 500 and 30,000). */
  readonly backoff?: { readonly baseMs?: number; readonly capMs?: number };
  /** How long a request may take before its outcome is unknown and it is repeated (default 15,000). */
  readonly requestTimeoutMs?: number;
  /** Time and chance, for tests. */
  readonly clock?: ClientClock;
  readonly random?: () => number;
}

/** What the client needs of a WebSocket class. */
export type WebSocketConstructor = new (url: string, protocols: string | string[]) => ClientSocket;

/** The part of a WebSocket that the client uses. */
export interface ClientSocket {
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null;
  onerror: ((event: never) => void) | null;
  /** `never`, as the DOM, Bun and the ws package type it differently; it is handed a Uint8Array. */
  send(data: never): void;
  close(code?: number, reason?: string): void;
}

/**
 * `connecting`: a socket or a token is under way. `online`: signed in. `offline`: waiting until `retryAt`, or closed.
 * `signedOut`: the token provider or the server said so; `connect()` tries again.
 */
export interface ConnectionState {
  readonly state: "connecting" | "online" | "offline" | "signedOut";
  /** Why it is not online: an error code, a close reason of the protocol, or `network`, `closed`, `token_provider`. */
  readonly reason: string | null;
  /** When the next attempt begins, milliseconds since 1970; null when none is planned. */
  readonly retryAt: number | null;
  /** Who is signed in, or was when the cache was written; null before the first sign-in. */
  readonly user: UserId | null;
  /** Whether everything missed was learnt since the connection came up: rows and totals are the server's. */
  readonly synced: boolean;
}

/** The newest message of a conversation, for a list. */
export interface MessagePreview {
  readonly seq: Seq;
  readonly sender: UserId;
  readonly time: number;
  readonly text: string | null;
  readonly dataType: string | null;
  readonly attachments: number;
}

/** One conversation of mine, as a list shows it. */
export interface ConversationRow {
  readonly id: ConversationId;
  readonly type: string;
  readonly name: string | null;
  readonly picture: string | null;
  readonly fields: Readonly<Record<string, unknown>> | null;
  /** The other person of a direct conversation. */
  readonly peer: UserId | null;
  readonly memberCount: number;
  readonly role: Role;
  readonly muted: boolean;
  readonly markedUnread: boolean;
  /** By the same function as the server's; a queued read mark is counted already. */
  readonly unread: number;
  /** The newest message known here: in a large conversation that nobody looks at it may be older than `headSeq` and `activityAt`. */
  readonly lastMessage: MessagePreview | null;
  /** When something last happened in it, server milliseconds; the list is sorted by it, newest first. */
  readonly activityAt: number;
  readonly headSeq: Seq;
  /** How far I have read, queued marks included. */
  readonly readSeq: Seq;
  /** First seq I may read. */
  readonly floor: Seq;
  /** True while the server has not yet said how it stands; the numbers are those of the cache. */
  readonly pending: boolean;
}

/** Sums over all my conversations. */
export interface Totals {
  /** Of conversations that are not muted: the badge. */
  readonly unread: number;
  readonly mutedUnread: number;
}

/** `sending`: queued or under way. `sent`: stored by the server. `failed`: refused for good; see {@link Message.failure}. */
export type MessageStatus = "sending" | "sent" | "failed";

/** A refused operation: it waits until one of these is called. */
export interface Failure {
  readonly error: ClientError;
  /** Queues it again, at the end. */
  readonly retry: () => void;
  readonly discard: () => void;
}

/** A message as it is shown. */
export interface Message {
  /** Stable while the message goes from sending to sent; for lists. */
  readonly key: string;
  readonly clientId: ClientId | null;
  /** Null until acknowledged. */
  readonly seq: Seq | null;
  readonly sender: UserId;
  /** Who did it, where it was not the sender. */
  readonly actor: UserId | null;
  /** Server milliseconds; of this device while sending. */
  readonly time: number;
  readonly text: string | null;
  readonly data: { readonly type: string; readonly value: unknown } | null;
  readonly attachments: readonly Readonly<Record<string, unknown>>[];
  readonly replyTo: Seq | null;
  readonly mentions: readonly UserId[];
  readonly fields: Readonly<Record<string, unknown>> | null;
  readonly silent: boolean;
  readonly mine: boolean;
  readonly status: MessageStatus;
  readonly failure: Failure | null;
}

/** One conversation, open on a screen. */
export interface ConversationState {
  readonly id: ConversationId;
  /** `unknown`: not (yet) a conversation of mine as far as this client knows. */
  readonly membership: "unknown" | "member" | "left";
  readonly row: ConversationRow | null;
  /** Shown order: acknowledged by seq, then pending in local order. */
  readonly messages: readonly Message[];
  /** Whether `loadBefore()` finds older ones. */
  readonly hasBefore: boolean;
  readonly loading: boolean;
  /** Others' read marks, as far as they are pushed or were asked for. */
  readonly cursors: ReadonlyMap<UserId, Seq>;
  /** In large conversations: how many have read my last message. */
  readonly readCount: { readonly seq: Seq; readonly readers: number } | null;
  readonly typing: readonly UserId[];
}

/** What a message carries; at least one of text, data and attachments. */
export interface MessageDraft {
  readonly text?: string;
  readonly data?: { readonly type: string; readonly value: unknown };
  readonly attachments?: readonly Readonly<Record<string, unknown>>[];
  readonly replyTo?: Seq;
  readonly mentions?: readonly string[];
  readonly fields?: Readonly<Record<string, unknown>>;
  /** Notifies nobody. */
  readonly silent?: boolean;
  /** Does not add to unread. */
  readonly uncounted?: boolean;
}

/** A queued send. */
export interface SendHandle {
  readonly clientId: ClientId;
  /** The seq, once stored; rejects with a ClientError once refused for good. Need not be awaited. */
  readonly acked: Promise<Seq>;
}

/** My cursor as the server stored it. */
export interface ReadMark {
  readonly seq: Seq;
  readonly unread: number;
}

/** Some people of many. */
export interface Page<T> {
  readonly items: readonly T[];
  /** Hand it in as `after` for the next page; null at the end. */
  readonly next: UserId | null;
}

/** Which page: what follows `after`, `limit` people of it. */
export interface PageRequest {
  readonly after?: string | null;
  /** 1–1,000. */
  readonly limit?: number;
}

/** A member of a conversation. */
export interface Member {
  readonly user: UserId;
  readonly role: Role;
  readonly joinSeq: Seq;
}

/** Somebody and how far they have read. */
export interface Reader {
  readonly user: UserId;
  readonly seq: Seq;
}

/** One device of mine, present or signed out. */
export interface Device {
  readonly device: DeviceId;
  readonly platform: string | null;
  readonly lastSignInAt: number;
  readonly signedOut: boolean;
  /** Whether it is this one. */
  readonly current: boolean;
}

/** Name, picture, fields of a conversation; null clears one. */
export interface ConversationChange {
  readonly name?: string | null;
  readonly picture?: string | null;
  readonly fields?: Readonly<Record<string, unknown>> | null;
}

/** One operation that waits, is under way, or was refused. */
export interface OutboxItem {
  readonly id: string;
  readonly operation: string;
  readonly conversation: ConversationId | null;
  readonly createdAt: number;
  readonly status: "queued" | "failed";
  readonly failure: Failure | null;
}

/** What {@link ParleyClient.on} tells. Listeners run at once, in order; a throw is reported and harms nothing. */
export interface ClientEvents {
  /**
   * Every entry of my conversations, exactly once in a client's life, in seq order without a gap from the last `start`
   * of its conversation on. `how`: pushed live or fetched to close a gap. Of a large conversation: once somebody looks at it, unless
   * {@link ClientOptions.counters} is false.
   */
  entry: { readonly conversation: ConversationId; readonly entry: EntryTuple; readonly how: "pushed" | "fetched" };
  /**
   * Delivery of a conversation begins at seq `from`: `new`: at the head, on a device that had nothing; `cached`: where the
   * cache ended; `joined`: at my join; `floor`: what lies below is not mine; `tooFar`, `reset`: see the options and the guide.
   */
  start: {
    readonly conversation: ConversationId;
    readonly from: Seq;
    readonly why: "new" | "cached" | "joined" | "floor" | "tooFar" | "reset";
  };
  /** A message that mentions me, in a large conversation that nobody looks at: told at once, and by `entry` once somebody does. */
  mention: { readonly conversation: ConversationId; readonly entry: EntryTuple };
  /** My stored cursor, as sync, a push or an answer showed it. */
  cursor: { readonly conversation: ConversationId; readonly seq: Seq; readonly unread: number };
  signal: {
    readonly conversation: ConversationId;
    readonly user: UserId;
    readonly kind: string;
    readonly data: unknown;
  };
  /** A change of my own feed that was pushed. */
  feed: {
    readonly userSeq: UserSeq;
    readonly kind: string;
    readonly subject: string;
    readonly data: readonly unknown[];
  };
  /** What went wrong without anybody waiting for it: storage, a malformed push, a listener that threw. */
  error: { readonly error: Error };
}

/** One conversation: its state, and what can be done in it. Operations that change something are queued and survive a restart. */
export interface ConversationView extends Observable<ConversationState> {
  readonly id: ConversationId;
  /** Loads the next older page; the first subscriber loads the newest one. Resolves when the snapshot has it. */
  loadBefore(): Promise<void>;
  /** Queues a message and shows it. Throws ClientError `bad_request`, `too_large` or `outbox_full`; then nothing was queued. */
  send(draft: MessageDraft | string): SendHandle;
  /** Marks read up to `seq`, or everything. Queued; only the highest mark is kept. Resolves once stored. */
  markRead(seq?: Seq): Promise<ReadMark>;
  /** Sends an ephemeral signal now, or not at all. */
  signal(kind: string, data?: unknown): void;
  /** Says that I am typing; at most once in 3 s, so it may be called for every key. */
  typing(): void;
  settings(set: { readonly muted?: boolean; readonly markedUnread?: boolean }): Promise<void>;
  members(page?: PageRequest): Promise<Page<Member>>;
  /** Who has read `seq`. */
  readers(seq: Seq, page?: PageRequest): Promise<Page<Reader>>;
  join(): Promise<Seq>;
  leave(): Promise<Seq>;
  add(users: readonly string[], role?: "admin" | "member"): Promise<Seq>;
  remove(users: readonly string[]): Promise<Seq>;
  role(user: string, role: Role): Promise<Seq>;
  update(set: ConversationChange): Promise<Seq>;
}

/** A client of one server and one person. Made by {@link createClient}; ends with `close()` or `await using`. */
export interface ParleyClient extends AsyncDisposable {
  readonly connection: Observable<ConnectionState>;
  /** My conversations, the most recently active first. */
  readonly conversations: Observable<readonly ConversationRow[]>;
  readonly totals: Observable<Totals>;
  /** Everything that is queued or was refused, oldest first. */
  readonly outbox: Observable<readonly OutboxItem[]>;
  /** Who of the watched people is online. */
  readonly presence: Observable<ReadonlyMap<UserId, boolean>>;
  /** The view of a conversation; the same object every time. Throws ClientError `bad_request` for what is no id. */
  conversation(id: string): ConversationView;
  on<N extends keyof ClientEvents>(name: N, listener: (event: ClientEvents[N]) => void): Unsubscribe;
  /** Connects again after `signedOut` or at once instead of at `retryAt`. Does nothing while connected. */
  connect(): void;
  /** Creates a conversation of a type. Queued; the same call repeated makes another one, except for `direct`. */
  create(type: string, set?: ConversationChange, members?: readonly string[]): Promise<ConversationId>;
  createGroup(set: ConversationChange, members?: readonly string[]): Promise<ConversationId>;
  createChannel(set: ConversationChange, members?: readonly string[]): Promise<ConversationId>;
  /** The direct conversation with somebody; the same one every time. */
  openDirect(user: string): Promise<ConversationId>;
  /** Replaces the watched people (at most 200); kept through reconnects. */
  watchPresence(users: readonly string[]): Promise<void>;
  devices(): Promise<readonly Device[]>;
  /** Voids the tokens of this device, of another one, or of all, durably. Of this device or all: also forgets local data. */
  signOut(options?: { readonly device?: string; readonly everywhere?: boolean }): Promise<void>;
  /** Resolves once everything queued so far is in the storage. */
  flush(): Promise<void>;
  /** Resolves once online with everything missed learnt; rejects when signed out or closed. */
  ready(): Promise<void>;
  /** Disconnects and writes what is not stored yet. Queued operations stay in the storage. Idempotent. */
  close(): Promise<void>;
}
