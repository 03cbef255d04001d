// Deadlines of unanswered asks, without a timer each: a wheel of slots, each a list, looked at as time passes.
// Owned by ActorSystem. Entering and leaving cost a few pointer writes, so that 100,000 asks a second may pass through.
import type { AppError } from "../lib/errors";
import { askTimedOut } from "./system-letters";
import type { Ask, AskWaitingRoom } from "./system-letters";

/** Width of a slot: an ask is answered at most this much (and one sweep) after its deadline. */
const slotMs = 50;
const slotCount = 2048;

/** The longest deadline of an ask; longer ones are cut to it. */
export const askTimeoutMaxMs = 60_000;

/** Holds asks until they are answered or their deadline has passed, whichever comes first. */
export class AskDeadlines implements AskWaitingRoom {
  readonly #slots: (Ask | null)[] = new Array<Ask | null>(slotCount).fill(null);
  /** Every slot up to this number (time / slotMs, not wrapped) has been looked at. */
  #sweptTo: number;
  #waiting = 0;

  /** @param now monotonic milliseconds */
  constructor(now: number) {
    this.#sweptTo = Math.floor(now / slotMs) - 1;
  }

  /** Asks without an answer. */
  get waiting(): number {
    return this.#waiting;
  }

  /** The ask's deadline lies at most {@link askTimeoutMaxMs} ahead. */
  enter(ask: Ask): void {
    const slot = Math.max(Math.floor(ask.deadline / slotMs), this.#sweptTo + 1) % slotCount;
    const first = this.#slots[slot] ?? null;
    ask.slot = slot;
    ask.after = first;
    if (first) first.before = ask;
    this.#slots[slot] = ask;
    this.#waiting += 1;
  }

  leave(ask: Ask): void {
    if (ask.slot < 0) return;
    if (ask.before) ask.before.after = ask.after;
    else this.#slots[ask.slot] = ask.after;
    if (ask.after) ask.after.before = ask.before;
    ask.before = null;
    ask.after = null;
    ask.slot = -1;
    this.#waiting -= 1;
  }

  /** Answers every ask whose deadline lies in a slot wholly past. @param now monotonic milliseconds */
  sweep(now: number): void {
    const through = Math.floor(now / slotMs) - 1;
    // After a pause longer than a turn of the wheel, one turn reaches every slot.
    const from = Math.max(this.#sweptTo + 1, through - slotCount + 1);
    for (let slot = from; slot <= through; slot++) this.#expire(slot % slotCount, askTimedOut);
    this.#sweptTo = Math.max(this.#sweptTo, through);
  }

  /** Answers every ask at once. */
  failAll(error: AppError): void {
    for (let slot = 0; slot < slotCount; slot++) this.#expire(slot, () => error);
  }

  /** Answers the asks of actors of these partitions. */
  failPartitions(partitions: ReadonlySet<number>, error: AppError): void {
    for (const first of this.#slots) {
      for (let ask = first; ask; ) {
        const next: Ask | null = ask.after;
        if (partitions.has(ask.partition)) ask.fail(error);
        ask = next;
      }
    }
  }

  #expire(slot: number, error: () => AppError): void {
    for (let ask = this.#slots[slot] ?? null; ask; ask = this.#slots[slot] ?? null) ask.fail(error());
  }
}
