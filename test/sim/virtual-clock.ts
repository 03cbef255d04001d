// Time that moves only when the simulation says so, and timers that fire in any order real ones could.
// Owned by the simulation; microtasks are drained between any two events, so a schedule depends on its seed alone.
import { drainMicrotasks } from "bun:jsc";
import type { Cancel, Clock } from "../../src/lib/clock";
import type { Random } from "./random";

/** Real timers fire late, never early: among those due within this of each other, any may be first. */
const latenessMs = 2;

interface Event {
  readonly due: number;
  readonly call: () => void;
  /** Where it stands in the list; -1 once fired or cancelled. */
  at: number;
}

/** A clock under a simulation's control. Starts at a fixed wall time and at monotonic 0. */
export class VirtualClock implements Clock {
  readonly #random: Random | null;
  readonly #events: Event[] = [];
  #monotonic = 0;
  #wallOffset = 1_700_000_000_000;

  /** @param random draws the order of events that are due together; null: by time, then in the order asked for */
  constructor(random: Random | null = null) {
    this.#random = random;
  }

  now(): number {
    return Math.floor(this.#monotonic + this.#wallOffset);
  }

  monotonic(): number {
    return this.#monotonic;
  }

  /** Timers set and not yet fired. */
  get pending(): number {
    return this.#events.length;
  }

  /** Steps the wall clock; the monotonic one and timers do not notice. */
  stepWall(ms: number): void {
    this.#wallOffset += ms;
  }

  after(ms: number, call: () => void): Cancel {
    const event: Event = { due: this.#monotonic + Math.max(0, ms), call, at: this.#events.length };
    this.#events.push(event);
    return () => this.#remove(event);
  }

  endOfTurn(call: () => void): void {
    this.after(0, call);
  }

  /** Runs whatever promises wait for nothing but their turn. */
  settle(): void {
    drainMicrotasks();
  }

  /** Fires one event of those that may be next, moving time to it. False: there was none until `until`. */
  step(until = Number.POSITIVE_INFINITY): boolean {
    this.settle();
    const event = this.#choose(until);
    if (!event) return false;
    this.#remove(event);
    this.#monotonic = Math.max(this.#monotonic, event.due);
    event.call();
    this.settle();
    return true;
  }

  /** Fires everything due within `ms`, then lets time stand there. */
  advance(ms: number): void {
    const until = this.#monotonic + ms;
    while (this.step(until));
    this.#monotonic = until;
  }

  /** Steps until `done` answers true. Throws where that takes longer than `withinMs`. */
  runUntil(done: () => boolean, withinMs: number, what: string | (() => string)): void {
    const until = this.#monotonic + withinMs;
    this.settle();
    while (!done()) {
      if (this.step(until)) continue;
      throw new Error(`not within ${withinMs} ms: ${typeof what === "string" ? what : what()}`);
    }
  }

  #choose(until: number): Event | null {
    let earliest: Event | null = null;
    for (const event of this.#events) if (!earliest || event.due < earliest.due) earliest = event;
    if (!earliest || earliest.due > until) return null;
    if (!this.#random) return earliest;
    const latest = Math.min(Math.max(earliest.due, this.#monotonic) + latenessMs, until);
    let chosen = earliest;
    let candidates = 0;
    for (const event of this.#events) {
      if (event.due > latest) continue;
      candidates += 1;
      if (candidates > 1 && this.#random.int(candidates) === 0) chosen = event;
      else if (candidates === 1) chosen = event;
    }
    return chosen;
  }

  #remove(event: Event): void {
    if (event.at < 0) return;
    if (this.#random) {
      // Order in the list carries no meaning when it is drawn, so the last one may fill the hole.
      const last = this.#events.pop() as Event;
      if (last !== event) {
        this.#events[event.at] = last;
        last.at = event.at;
      }
    } else {
      this.#events.splice(event.at, 1);
      for (let i = event.at; i < this.#events.length; i++) (this.#events[i] as Event).at = i;
    }
    event.at = -1;
  }
}
