// Whether a session's client is there: asked by a ping of the WebSocket, which its end answers without its program, in the order of what
// it sends (RFC 6455, 5.5.3). A client that closed this connection, or lost it, answers none.
// Owned by Session, made at the first question: most sessions never have one.
import type { Clock } from "../lib/clock";
import { sessionLimits } from "./session-world";

/** A ping without a pong so far. */
interface Ping {
  readonly number: number;
  readonly sentAt: number;
  readonly asked: readonly (() => void)[];
}

/** See the head of this file. What waits is bounded by the session's unanswered requests. */
export class ClientPings {
  readonly #clock: Clock;
  readonly #ping: (payload: string) => void;
  readonly #shown: (at: number) => void;
  /** For the ping that leaves at the end of this turn. */
  #asked: (() => void)[] = [];
  #pings: Ping[] = [];
  #number = 0;

  /** @param ping sends one @param shown told when the last ping that was answered had been sent, before those who asked are called */
  constructor(clock: Clock, ping: (payload: string) => void, shown: (at: number) => void) {
    this.#clock = clock;
    this.#ping = ping;
    this.#shown = shown;
  }

  /** Calls `then` once a ping was answered that was sent after this call. */
  ask(then: () => void): void {
    if (this.#asked.push(then) === 1) this.#clock.endOfTurn(() => this.#send());
  }

  /** Whether a ping has gone unanswered for too long: nothing that waits for it would ever be done. */
  get isOverdue(): boolean {
    const [first] = this.#pings;
    return first !== undefined && this.#clock.monotonic() - first.sentAt > sessionLimits.pongMs;
  }

  /** A pong: it answers every ping up to its own. What is no answer to a ping of these is passed over. */
  answered(payload: string): void {
    const number = Number(payload);
    const answers = this.#pings.filter((ping) => ping.number <= number);
    const last = answers.at(-1);
    if (last?.number !== number) return;
    this.#pings = this.#pings.slice(answers.length);
    this.#shown(last.sentAt);
    for (const { asked } of answers) for (const then of asked) then();
  }

  #send(): void {
    const asked = this.#asked;
    this.#asked = [];
    this.#number++;
    this.#pings.push({ number: this.#number, sentAt: this.#clock.monotonic(), asked });
    this.#ping(String(this.#number));
  }
}
