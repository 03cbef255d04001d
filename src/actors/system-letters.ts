// What lies in a mailbox: a message with the way back to whoever sent it.
// Made by ActorSystem; keeps "every ask is answered exactly once".
import { AppError } from "../lib/errors";
import type { Reply } from "./actor";
import { NotHere } from "./not-here";

/** Of an activation: once it has ended, what it says is too old to be believed. */
export interface Life {
  readonly ended: boolean;
  /** Whether an answer may leave: its rows back it, or ownership was confirmed lately. */
  mayAnswer(message: unknown, value: unknown): boolean;
  /** Whether a refusal may leave, and any other answer. */
  mayRefuse(): boolean;
  /** Keeps an ask whose answer may not leave yet, to {@link Ask.release} it now and then. False: too many are kept. */
  hold(ask: Ask): boolean;
}

/** A message on its way to an activation, which gets it as the `reply` of `receive`. */
export interface Letter extends Reply {
  readonly message: unknown;
  /** Called as it is handed to an activation. */
  receivedBy(life: Life): void;
  /** Nobody waits for an answer any more, or this was meant for another activation: not worth delivering. */
  isVoid(): boolean;
}

/** A message that wants no answer. */
export class Tell implements Letter {
  readonly message: unknown;

  constructor(message: unknown) {
    this.message = message;
  }

  ok(): void {
    // A tell has nobody to answer.
  }

  fail(): void {
    // A tell has nobody to answer.
  }

  receivedBy(): void {
    // Nothing is answered, so nothing can be too old.
  }

  isVoid(): boolean {
    return false;
  }
}

/** A message of an activation to itself; void once cancelled or once that activation has ended. */
export class SelfTell extends Tell {
  cancelled = false;
  readonly #life: Life;

  constructor(message: unknown, life: Life) {
    super(message);
    this.#life = life;
  }

  override isVoid(): boolean {
    return this.cancelled || this.#life.ended;
  }
}

/** Where unanswered asks wait for their deadline. */
export interface AskWaitingRoom {
  enter(ask: Ask): void;
  leave(ask: Ask): void;
}

/**
 * A message that wants one answer: the first of `ok`, `fail` and the deadline; later ones do nothing.
 * Answered before {@link Ask.promise} is called, it never enters the waiting room. What an activation answers after its
 * end, computed from what it remembers while a successor goes on, is answered `outcome_unknown` instead. An answer that may not
 * leave yet is held: to throw it away would mean the same work again, and most where there is too much of it already.
 */
export class Ask implements Letter {
  readonly message: unknown;
  /** Monotonic milliseconds. */
  readonly deadline: number;
  /** Where the actor is placed; -1 where nobody asked. */
  readonly partition: number;
  /** Neighbours in the waiting room, which alone touches them. */
  before: Ask | null = null;
  after: Ask | null = null;
  slot = -1;
  #state: "open" | "ok" | "failed" = "open";
  #answer: unknown = undefined;
  #life: Life | null = null;
  #held: { readonly value: unknown } | { readonly error: AppError } | null = null;
  #room: AskWaitingRoom | null = null;
  #onValue: ((value: unknown) => void) | null = null;
  #onError: ((error: AppError) => void) | null = null;

  constructor(message: unknown, deadline: number, partition: number) {
    this.message = message;
    this.deadline = deadline;
    this.partition = partition;
  }

  receivedBy(life: Life): void {
    this.#life = life;
  }

  ok(value: unknown): void {
    if (this.#state !== "open" || this.#held !== null) return;
    if (this.#life?.ended) return this.#reject(outlived());
    if (this.#life?.mayAnswer(this.message, value) !== false) return this.#resolve(value);
    if (this.#life.hold(this)) this.#held = { value };
    else this.#reject(perhapsDone());
  }

  fail(error: AppError): void {
    if (this.#state !== "open") return;
    if (error.retryable || this.#life === null) return this.#reject(error);
    if (this.#held !== null) return;
    if (this.#life.ended) return this.#reject(outlived());
    if (this.#life.mayRefuse()) return this.#reject(error);
    if (this.#life.hold(this)) this.#held = { error };
    else this.#reject(unconfirmed());
  }

  /** Lets go what was held, if it may leave by now. True: it is answered, by this or by anything else. */
  release(): boolean {
    const held = this.#held;
    if (this.#state !== "open" || held === null || this.#life === null) return true;
    if (this.#life.ended) this.#reject(outlived());
    else if (!this.#life.mayRefuse()) return false;
    else if ("error" in held) this.#reject(held.error);
    else this.#resolve(held.value);
    return true;
  }

  isVoid(): boolean {
    return this.#state !== "open";
  }

  /** Called once, after the message was offered. The answer; until it comes, the ask waits in `room`. */
  promise(room: AskWaitingRoom): Promise<unknown> {
    if (this.#state === "ok") return Promise.resolve(this.#answer);
    if (this.#state === "failed") return Promise.reject(this.#answer);
    this.#room = room;
    room.enter(this);
    return new Promise((resolve, reject) => {
      this.#onValue = resolve;
      this.#onError = reject;
    });
  }

  #resolve(value: unknown): void {
    this.#state = "ok";
    if (this.#onValue === null) this.#answer = value;
    else this.#onValue(value);
    this.#room?.leave(this);
  }

  #reject(error: AppError): void {
    this.#state = "failed";
    if (this.#onError === null) this.#answer = error;
    else this.#onError(error);
    this.#room?.leave(this);
  }
}

/** What a caller whose deadline passed is told. */
export function askTimedOut(): AppError {
  return new AppError("outcome_unknown", "no answer by the deadline; repeat with the same client id to learn");
}

/** What was asked may be stored by now, though the answer must not leave. */
function perhapsDone(): AppError {
  return new NotHere(
    "outcome_unknown",
    "it is not certain who may answer this; repeat with the same client id to learn",
  );
}

function unconfirmed(): AppError {
  return new NotHere("store_unavailable", "it is not certain who may answer this; repeat");
}

function outlived(): AppError {
  return new AppError("outcome_unknown", "the actor was restarted; repeat with the same client id to learn");
}
