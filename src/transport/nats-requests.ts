// Requests over NATS: one inbox for all of this node's, so that a request costs two messages and no subscription of its own.
// Owned by openNats; the bus and the buckets ask through it. Every request is answered once, in time, without a rejection.
import type { Msg } from "@nats-io/transport-node";
import type { BusAnswer } from "../actors/bus";
import type { NatsLink } from "./nats-connection";

/** Requests waiting for an answer; more are not sent. */
const requestsMax = 200_000;

interface Waiting {
  readonly resolve: (answer: BusAnswer) => void;
  readonly cancel: () => void;
}

/** See the head of this file. */
export class NatsRequests {
  readonly #link: NatsLink;
  readonly #inbox: string;
  readonly #waiting = new Map<string, Waiting>();
  #last = 0;

  /** @param inbox the subject under which answers come, this process's alone; a token follows it */
  constructor(link: NatsLink, inbox: string) {
    this.#link = link;
    this.#inbox = `${inbox}.`;
    link.subscribe(`${inbox}.*`, (message) => this.#answered(message));
    link.onConnection((stands) => {
      if (!stands) this.#end();
    });
  }

  /** Requests without an answer so far. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** @param subject in full, with the deployment's prefix */
  ask(
    subject: string,
    bytes: Uint8Array,
    timeoutMs: number,
    marks?: Readonly<Record<string, string>>,
  ): Promise<BusAnswer> {
    this.#last += 1;
    const token = this.#last.toString(36);
    if (this.#waiting.size >= requestsMax || !this.#link.publish(subject, bytes, this.#inbox + token, marks))
      return Promise.resolve({ outcome: "away" });
    return new Promise((resolve) => {
      const cancel = this.#link.clock.after(timeoutMs, () => this.#settle(token, { outcome: "silent" }));
      this.#waiting.set(token, { resolve, cancel });
    });
  }

  #answered(message: Msg): void {
    const token = message.subject.slice(this.#inbox.length);
    const bytes = message.data;
    const absent = bytes.length === 0 && message.headers?.code === 503;
    this.#settle(token, absent ? { outcome: "absent" } : { outcome: "answered", bytes });
  }

  #settle(token: string, answer: BusAnswer): void {
    const waiting = this.#waiting.get(token);
    if (!waiting) return;
    this.#waiting.delete(token);
    waiting.cancel();
    waiting.resolve(answer);
  }

  #end(): void {
    for (const token of [...this.#waiting.keys()]) this.#settle(token, { outcome: "silent" });
  }
}
