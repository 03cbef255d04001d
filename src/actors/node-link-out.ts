// A numbered link out of this node: to one other node, or the common one to all. What is handed over in a turn leaves as one
// message. Owned by NodeLinks; what cannot leave is let go, and its number with it, so that every receiver sees a gap.
import { encode } from "../protocol/codec";
import type { Encoded } from "../protocol/codec";
import type { Bus } from "./bus";
import type { InterestMeter } from "./interest";
import type { Incarnation } from "./placement-shares";

/** Bytes of items that one message gathers; NATS takes 1 MiB. */
const messageBytesMax = 512 * 1024;
/** An item that is larger by itself is let go. */
const itemBytesMax = 900 * 1024;
/** Items of one message. */
const messageItemsMax = 10_000;
/** Numbers begin somewhere below this: a link that was forgotten and made anew does not seem to go on. */
const firstNumberMax = 2 ** 32;

/** What a link is made of. */
export interface LinkOutOptions {
  readonly self: Incarnation;
  readonly subject: string;
  readonly target: "node" | "all";
  readonly bus: Bus;
  readonly meter: InterestMeter;
}

/** See the head of this file. Holds one message's worth of items at most. */
export class LinkOut {
  readonly #options: LinkOutOptions;
  #number = Math.floor(Math.random() * firstNumberMax);
  #items: Encoded[] = [];
  #bytes = 0;

  constructor(options: LinkOutOptions) {
    this.#options = options;
  }

  /** Number of the last message, sent or let go. */
  get number(): number {
    return this.#number;
  }

  get isEmpty(): boolean {
    return this.#items.length === 0;
  }

  add(item: Encoded): void {
    const { length } = item.bytes;
    if (length > itemBytesMax) {
      this.flush();
      this.skip();
      return this.#options.meter.fanOutDropped(1);
    }
    if (this.#bytes + length > messageBytesMax || this.#items.length >= messageItemsMax) this.flush();
    this.#items.push(item);
    this.#bytes += length;
  }

  /** Leaves a gap on purpose: the receiver has to register again. */
  skip(): void {
    this.#number++;
  }

  /** Sends what was gathered. */
  flush(): void {
    const items = this.#items;
    if (items.length === 0) return;
    this.#items = [];
    this.#bytes = 0;
    this.#number++;
    const { self, subject, target, bus, meter } = this.#options;
    if (!bus.connected) return meter.fanOutDropped(items.length);
    const bytes = encode(["items", self, this.#number, items]);
    if (bus.publish(subject, bytes)) meter.fannedOut(target, items.length, bytes.length);
    else meter.fanOutDropped(items.length);
  }
}
