// A bounded FIFO of messages for one actor, handled one at a time.
// Owned by ActorCell; keeps G11: it holds at most `capacity` messages and says so when it is full.
import type { Runnable, Turns } from "./mailbox-turns";

/** Who handles what a mailbox holds. */
export interface MailboxOwner<M> {
  /** Handles one message. The next one waits for the promise, where there is one. */
  handle(message: M): Promise<void> | void;
  /** `handle` threw or rejected on `message`. The mailbox is paused by then; what waits in it stays. */
  failed(message: M, error: unknown): void;
  /** Nothing is being handled any more: the mailbox is empty or paused. */
  rested(): void;
}

/** Handled slots are given back in one go past this many, so that a long queue costs no shift of the whole. */
const compactAfter = 1024;

/**
 * Hands each message to its owner in the order offered, never two at once.
 *
 * Guarantees: a message taken is handled exactly once unless it is taken out by {@link Mailbox.takeAll} first; a
 * synchronous handler costs no promise; nothing is handled while paused. Not thread-safe: one event loop.
 */
export class Mailbox<M> implements Runnable {
  readonly #owner: MailboxOwner<M>;
  readonly #turns: Turns;
  readonly #capacity: number;
  readonly #queue: M[] = [];
  #head = 0;
  #paused: boolean;
  /** From the start of a run until nothing is being handled; a pending promise of a handler included. */
  #busy = false;

  /** @param capacity most messages waiting, 1 or more, the one being handled not counted. Starts paused. */
  constructor(owner: MailboxOwner<M>, turns: Turns, capacity: number) {
    this.#owner = owner;
    this.#turns = turns;
    this.#capacity = capacity;
    this.#paused = true;
  }

  /** Messages waiting. */
  get depth(): number {
    return this.#queue.length - this.#head;
  }

  /** Whether a message is being handled. */
  get busy(): boolean {
    return this.#busy;
  }

  /** False where it is full: the message was not taken and may be offered again later. */
  offer(message: M): boolean {
    if (this.depth >= this.#capacity) return false;
    this.push(message);
    return true;
  }

  /** Takes a message whatever the depth: for those whose number is bounded elsewhere. */
  push(message: M): void {
    this.#queue.push(message);
    this.#wake();
  }

  /** The message being handled finishes; those behind it wait for {@link Mailbox.resume}. Idempotent. */
  pause(): void {
    this.#paused = true;
  }

  /** Idempotent. */
  resume(): void {
    this.#paused = false;
    if (this.depth > 0) this.#wake();
  }

  /** Empties the mailbox and answers what waited, in order. */
  takeAll(): M[] {
    const waiting = this.#queue.slice(this.#head);
    this.#queue.length = 0;
    this.#head = 0;
    return waiting;
  }

  /** Called by {@link Turns} only. */
  run(): void {
    while (!this.#paused && this.#head < this.#queue.length) {
      const message = this.#next();
      try {
        const pending = this.#owner.handle(message);
        if (pending) {
          this.#await(message, pending);
          return;
        }
      } catch (error) {
        this.#paused = true;
        this.#owner.failed(message, error);
      }
    }
    this.#busy = false;
    this.#owner.rested();
  }

  #wake(): void {
    if (this.#busy || this.#paused) return;
    this.#busy = true;
    this.#turns.start(this);
  }

  #await(message: M, pending: Promise<void>): void {
    pending.then(
      () => this.#turns.start(this),
      (error: unknown) => {
        this.#paused = true;
        this.#owner.failed(message, error);
        this.#turns.start(this);
      },
    );
  }

  #next(): M {
    const message = this.#queue[this.#head] as M;
    this.#head += 1;
    if (this.#head === this.#queue.length) {
      this.#queue.length = 0;
      this.#head = 0;
    } else if (this.#head === compactAfter) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
    return message;
  }
}
