// The messages between nodes, over NATS. Implements the port that routing and fan-out are built on.
// Subjects stand under the deployment's prefix, so that two of them on one NATS never meet.
import type { Bus, BusAnswer, BusMessage, BusSubscription } from "../actors/bus";
import type { NatsLink } from "./nats-connection";
import type { NatsRequests } from "./nats-requests";

/** See the head of this file. */
export class NatsBus implements Bus {
  readonly #link: NatsLink;
  readonly #requests: NatsRequests;
  readonly #prefix: string;

  constructor(link: NatsLink, requests: NatsRequests, prefix: string) {
    this.#link = link;
    this.#requests = requests;
    this.#prefix = `${prefix}.`;
  }

  get connected(): boolean {
    return this.#link.connected;
  }

  get connection(): number {
    return this.#link.connection;
  }

  publish(subject: string, bytes: Uint8Array): boolean {
    return this.#link.publish(this.#prefix + subject, bytes);
  }

  request(subject: string, bytes: Uint8Array, timeoutMs: number): Promise<BusAnswer> {
    return this.#requests.ask(this.#prefix + subject, bytes, timeoutMs);
  }

  subscribe(subject: string, handle: (message: BusMessage) => void): BusSubscription {
    const link = this.#link;
    return link.subscribe(this.#prefix + subject, (message) => {
      let answered = false;
      const answer = (bytes: Uint8Array): void => {
        const { reply } = message;
        if (answered || !reply) return;
        answered = true;
        link.publish(reply, bytes);
      };
      handle({ bytes: message.data, answer });
    });
  }

  flush(): Promise<boolean> {
    return this.#link.flush();
  }

  onConnection(listener: (stands: boolean) => void): void {
    this.#link.onConnection(listener);
  }
}
