// One life of one node in a simulated cluster: its clock, which may run fast or stop, and the links that it loses.
// Owned by the placement's simulation; whatever enters a process passes its gate, so a paused one hears of it later.
import type { Cancel, Clock } from "../../src/lib/clock";
import type { Schedule } from "./simulate";

/** Requests are given up after this long, by the process's own clock. */
const requestMsMax = 700;

/** How messages travel; one for all links of a world, changed as faults come and go. */
export interface Weather {
  latencyMs: number;
  lossRate: number;
  /** How often the release of a partition takes seconds. */
  slowRate: number;
}

/** See the head of this file. Its clock is its own: rate and offset differ from the world's. */
export class SimProcess implements Clock {
  readonly name: string;
  readonly #schedule: Schedule;
  readonly #rate: number;
  readonly #offset: number;
  readonly #inbox: (() => void)[] = [];
  #stoppedMs = 0;
  #pausedAt: number | null = null;
  #clockStops = false;
  #hasStopped = false;
  #dead = false;

  constructor(schedule: Schedule, name: string) {
    this.#schedule = schedule;
    this.name = name;
    this.#rate = schedule.random.pick([0.95, 0.99, 1, 1, 1.01, 1.05]);
    this.#offset = schedule.random.int(1_000_000);
  }

  get isDead(): boolean {
    return this.#dead;
  }

  get isPaused(): boolean {
    return this.#pausedAt !== null;
  }

  /** Whether its clock has missed a pause: it cannot know how old what it knows is. */
  get hasStopped(): boolean {
    return this.#hasStopped;
  }

  get rate(): number {
    return this.#rate;
  }

  now(): number {
    return Math.floor(this.monotonic());
  }

  monotonic(): number {
    const { clock } = this.#schedule;
    const stopped = this.#pausedAt !== null && this.#clockStops ? clock.monotonic() - this.#pausedAt : 0;
    return this.#offset + (clock.monotonic() - this.#stoppedMs - stopped) * this.#rate;
  }

  after(ms: number, call: () => void): Cancel {
    const due = this.monotonic() + Math.max(0, ms);
    let cancelled = false;
    const fire = (): void => {
      if (cancelled) return;
      // The clock stood still meanwhile: a timer fires late, never early.
      if (this.monotonic() < due - 0.001) arm();
      else call();
    };
    let cancel: Cancel;
    const arm = (): void => {
      const wait = (due - this.monotonic()) / this.#rate;
      cancel = this.#schedule.clock.after(wait, () => this.deliver(fire));
    };
    arm();
    return () => {
      cancelled = true;
      cancel();
    };
  }

  endOfTurn(call: () => void): void {
    this.after(0, call);
  }

  /** Something arrives. */
  deliver(call: () => void): void {
    if (this.#dead) return;
    if (this.isPaused) this.#inbox.push(call);
    else call();
  }

  /** @param clockStops as when a whole machine is suspended; otherwise its clock shows the pause afterwards */
  pause(clockStops: boolean): void {
    if (this.isPaused) return;
    this.#pausedAt = this.#schedule.clock.monotonic();
    this.#clockStops = clockStops;
    this.#hasStopped ||= clockStops;
  }

  resume(): void {
    if (this.#pausedAt === null) return;
    if (this.#clockStops) this.#stoppedMs += this.#schedule.clock.monotonic() - this.#pausedAt;
    this.#pausedAt = null;
    // In the order of arrival: a connection's end and its return must not change places.
    for (const call of this.#inbox.splice(0)) this.deliver(call);
  }

  kill(): void {
    this.#dead = true;
    this.#inbox.length = 0;
  }
}

/** A process's way to NATS, or to the store. */
export class SimLink {
  readonly #schedule: Schedule;
  readonly #process: SimProcess;
  readonly #weather: Weather;
  #up = true;

  constructor(schedule: Schedule, process: SimProcess, weather: Weather) {
    this.#schedule = schedule;
    this.#process = process;
    this.#weather = weather;
  }

  get isUp(): boolean {
    return this.#up && !this.#process.isDead;
  }

  set(up: boolean): void {
    this.#up = up;
  }

  /** How long a message takes; null: it is lost. What is sent into a black hole may come out of it much later. */
  delay(): number | null {
    const { random } = this.#schedule;
    if (!this.#up) return random.chance(0.2) ? random.between(300, 6000) : null;
    if (random.chance(this.#weather.lossRate)) return random.chance(0.2) ? random.between(300, 6000) : null;
    return random.next() * this.#weather.latencyMs;
  }

  /** Asks the other side. Null: nothing was heard in time; it may have been done, or may be done yet. */
  request<T>(apply: () => T | null): Promise<T | null> {
    const { clock } = this.#schedule;
    const { promise, resolve } = Promise.withResolvers<T | null>();
    const cancel = this.#process.after(requestMsMax, () => resolve(null));
    const there = this.delay();
    if (there === null) return promise;
    clock.after(there, () => {
      const value = apply();
      const back = this.delay();
      if (value === null || back === null) return;
      const arrive = (): void => {
        cancel();
        resolve(value);
      };
      clock.after(back, () => this.#process.deliver(arrive));
    });
    return promise;
  }
}
