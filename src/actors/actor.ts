// What an actor is: the contract between the runtime (system.ts) and the kinds of actors (conversation.ts, user.ts).
// A placed actor has no `ask`: it uses the store and idempotent tells, so that no two can wait for each other.
import type { Cancel, Clock } from "../lib/clock";
import type { AppError } from "../lib/errors";
import type { Epoch } from "../protocol/ids";

/** Kinds of placed actors. The key is a conversation id or a user id. */
export type KindName = "conversation" | "user";

/** Answers an ask, once; later calls do nothing. For a tell it does nothing at all. */
export interface Reply {
  ok(value: unknown): void;
  fail(error: AppError): void;
}

/**
 * One activation. `receive` gets one message at a time; while the promise it answers is pending, nothing else is received.
 * A throw (or rejection) ends this activation alone: its waiting messages are answered `internal`, the next starts afresh.
 */
export interface PlacedActor {
  receive(message: unknown, reply: Reply): void | Promise<void>;
  /**
   * Called when idle, over the limit of active ones, or at drain, never while `receive` runs. Makes everything durable that
   * must be; messages that arrive meanwhile wait for the next activation. `false`: not now (work is in flight), ask again later.
   */
  passivate(): Promise<boolean>;
  /** Called once, when the activation ends without `passivate` (a throw, `ctx.stop`): drops timers, answers what it owes. */
  abort(error: AppError): void;
}

/** What an activation may do to the world. */
export interface PlacedContext {
  readonly key: string;
  readonly epoch: Epoch;
  readonly clock: Clock;
  /** Sends, without an answer and without a guarantee: what must arrive is repeated until a tell comes back. */
  tell(kind: KindName, key: string, message: unknown): void;
  /** Delivers `message` to this activation after `ms`; dropped when the activation ends first. */
  tellSelf(ms: number, message: unknown): Cancel;
  /** Ends this activation once the current message is done, as a throw would, but quietly. */
  stop(): void;
}

/** How one kind is made and held. */
export interface ActorKind {
  readonly name: KindName;
  /** Loads an activation; messages wait meanwhile (at most `mailboxMax`). A rejection answers them with its error. */
  activate(ctx: PlacedContext): Promise<PlacedActor>;
  /** Called when the system stops, after every activation was told to end: nothing of this kind may run on. */
  stop?(): void;
  /** Whether an answer rests on rows that the store holds by it, and so is true whoever owns the actor now, or says nothing. Absent: never. */
  isBacked?(message: unknown, value: unknown): boolean;
  /** Most waiting messages; past it an ask is answered `overloaded`, a tell is dropped and counted. */
  readonly mailboxMax: number;
  /** Passivated after this long without a message. */
  readonly idleMs: number;
  /** Most activations; past it the least recently used are passivated. */
  readonly activeMax: number;
}

/**
 * Who is behind an ask: a client that may leave this node without its noticing, and repeat the ask at another, where it is answered
 * otherwise perhaps.
 */
export interface AskSource {
  /** Whether it waits for an answer, as far as this node knows. */
  isWanted(): boolean;
  /** It was here after this moment, by the monotonic clock: it has answered something that was sent to it then. */
  readonly shownAt: number;
  /**
   * Sends it something to answer, until {@link AskSource.shownAt} is `enough`, and calls `then`: those who wait for the same in the order
   * of their calls. Never for a client that is gone; whoever waits no more cancels.
   */
  show(enough: () => boolean, then: () => void): Cancel;
}

/** Finds the owner of an actor and asks it. For sessions, HTTP handlers and runners only. */
export interface Router {
  /**
   * Rejects with an AppError: what the actor answered, or `outcome_unknown` past the deadline.
   * @param source for what must not be done once its client was answered otherwise: an owner is asked only after the source showed
   * that it is here since that owner began. Absent: it does no harm when it is done late
   */
  ask(kind: KindName, key: string, message: unknown, timeoutMs?: number, source?: AskSource): Promise<unknown>;
  tell(kind: KindName, key: string, message: unknown): void;
  /** Tells it only where it lives on this node; false: it does not. */
  tellHere(kind: KindName, key: string, message: unknown): boolean;
  /** The activation on this node, if it is active now and idle between messages or not: for reads of committed state. */
  peek(kind: KindName, key: string): PlacedActor | null;
  /** Whether an activation of it ended on this node within the last 10 s: what was read of it from the store may be old. */
  recentlyActive(kind: KindName, key: string): boolean;
}
