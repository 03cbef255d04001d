// A socket in memory, as a session's line: what is published comes at once, what is sent at the end of the turn, as with real ones.
// Owned by the simulation of fan-out.
import type { SessionLine } from "../../src/actors/session-world";
import type { Clock } from "../../src/lib/clock";
import type { CloseReason } from "../../src/protocol/codes";

/** Who is subscribed to what on one node. */
export type Topics = Map<string, Set<FanOutLine>>;

/** See the head of this file. */
export class FanOutLine implements SessionLine {
  readonly #topics: Topics;
  readonly #clock: Clock;
  readonly #take: (frame: Uint8Array) => void;
  readonly #closed: (retryMs: number) => void;
  /** The client's end answered a ping. */
  onPong: (payload: string) => void = () => undefined;
  #waiting: Uint8Array[] = [];
  #open = true;

  constructor(topics: Topics, clock: Clock, take: (frame: Uint8Array) => void, closed: (retryMs: number) => void) {
    this.#topics = topics;
    this.#clock = clock;
    this.#take = take;
    this.#closed = closed;
  }

  send(frame: Uint8Array): void {
    if (!this.#open) return;
    this.#waiting.push(frame);
    if (this.#waiting.length === 1) this.#clock.endOfTurn(() => this.#flush());
  }

  sendNow(frame: Uint8Array): void {
    this.send(frame);
    this.#flush();
  }

  published(frame: Uint8Array): void {
    if (this.#open) this.#take(frame.slice());
  }

  subscribe(topic: string): void {
    if (!this.#open) return;
    const lines = this.#topics.get(topic) ?? new Set();
    this.#topics.set(topic, lines.add(this));
  }

  unsubscribe(topic: string): void {
    this.#topics.get(topic)?.delete(this);
  }

  isSubscribed(topic: string): boolean {
    return this.#topics.get(topic)?.has(this) ?? false;
  }

  ping(payload: string): void {
    this.#clock.endOfTurn(() => {
      if (this.#open) this.onPong(payload);
    });
  }

  close(_reason: CloseReason, retryAfterMs: number | null): void {
    if (!this.#open) return;
    this.#flush();
    this.#end(retryAfterMs ?? 0);
  }

  /** The node or the network is gone. */
  cut(): void {
    if (this.#open) this.#end(0);
  }

  #end(retryMs: number): void {
    this.#open = false;
    for (const lines of this.#topics.values()) lines.delete(this);
    this.#closed(retryMs);
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const frame of waiting) if (this.#open) this.#take(frame);
  }
}
