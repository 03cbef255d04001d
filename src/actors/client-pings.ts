// Whether a session's client is there: asked by a ping of the WebSocket, which its end answers without its program, in the order of what
// it sends (RFC 6455, 5.5.3). A client that closed this connection, or lost it, answers none.
// Owned by Session, made at the first question: most sessions never have one.
import type { Cancel, Clock } from "../lib/clock";
import { sessionLimits } from "./session-world";

/** A ping without a pong so far. */
interface Ping {
  readonly number: number;
  readonly sentAt: number;
}

interface Waiter {
  readonly enough: () => boolean;
  readonly then: () => void;
}

/** See the head of this file. What waits is bounded by the session's unanswered requests. */
export class ClientPings {
  readonly #clock: Clock;
  readonly #ping: (payload: string) => void;
  readonly #shown: (at: number) => void;
  /** In the order asked. */
  readonly #waiters = new Set<Waiter>();
  #pings: Ping[] = [];
  /** When something was last seen to wait that was sent before, monotonic milliseconds. */
  #behindAt = Number.NEGATIVE_INFINITY;
  #number = 0;
  #sendsSoon = false;

  /** @param ping sends one @param shown told when the last ping that was answered had been sent, before anybody is called */
  constructor(clock: Clock, ping: (payload: string) => void, shown: (at: number) => void) {
    this.#clock = clock;
    this.#ping = ping;
    this.#shown = shown;
  }

  /** As {@link AskSource.show}. All who ask in a turn share its ping. */
  ask(enough: () => boolean, then: () => void): Cancel {
    const waiter = { enough, then };
    // What nobody waited for any more says nothing of how long this one waits.
    if (this.#waiters.size === 0) this.#pings = [];
    this.#waiters.add(waiter);
    this.#sendSoon();
    return () => void this.#waiters.delete(waiter);
  }

  /**
   * About once a second. Asks again while somebody waits: an end may answer the newest ping alone, and that may be a heartbeat's.
   * False: the client has owed an answer for too long.
   *
   * @param isBehind whether much else waits to be sent, behind which a ping may be
   */
  tick(isBehind: boolean): boolean {
    const now = this.#clock.monotonic();
    if (isBehind) this.#behindAt = now;
    if (this.#waiters.size === 0) return true;
    const [first] = this.#pings;
    if (first !== undefined && now - Math.max(first.sentAt, this.#behindAt) > sessionLimits.pongMs) return false;
    this.#sendSoon();
    return true;
  }

  /** A pong: it answers every ping up to its own. What is no answer to a ping of these is passed over. */
  answered(payload: string): void {
    const ping = this.#pings.find(({ number }) => String(number) === payload);
    if (!ping) return;
    this.#pings = this.#pings.filter(({ number }) => number > ping.number);
    this.#shown(ping.sentAt);
    for (const waiter of [...this.#waiters]) {
      if (!waiter.enough()) continue;
      this.#waiters.delete(waiter);
      waiter.then();
    }
    if (this.#waiters.size > 0 && this.#pings.length === 0) this.#sendSoon();
  }

  #sendSoon(): void {
    if (this.#sendsSoon) return;
    this.#sendsSoon = true;
    this.#clock.endOfTurn(() => {
      this.#sendsSoon = false;
      this.#number++;
      this.#pings.push({ number: this.#number, sentAt: this.#clock.monotonic() });
      this.#ping(String(this.#number));
    });
  }
}
