// Messages between simulated nodes: the Bus port over a virtual clock, with delays, losses and connections that break.
// Owned by the simulations. Order holds between any two nodes while neither reconnects, as it does on NATS.
import type { Bus, BusAnswer, BusMessage, BusSubscription } from "../../src/actors/bus";
import type { Clock } from "../../src/lib/clock";

/** What goes wrong, and how long things take; changed at any time. */
export interface MemoryNetOptions {
  readonly clock: Clock;
  /** Milliseconds from one node to another. */
  delayMs: () => number;
  /** Whether a message is lost on its way; absent: none is. */
  loses?: (from: string, to: string, subject: string, bytes: Uint8Array) => boolean;
  /** Bytes that a node may have on their way; more is refused. */
  readonly waitingBytesMax?: number;
}

type Handle = (message: BusMessage) => void;

interface Subscription {
  readonly subject: string;
  readonly handle: Handle;
}

/** Everything between nodes. */
export class MemoryNet {
  readonly options: MemoryNetOptions;
  readonly #nodes = new Map<string, MemoryBus>();
  /** What is on its way between two nodes, in order, and when the last of it arrives. */
  readonly #ways = new Map<string, { readonly queue: (() => void)[]; due: number }>();

  constructor(options: MemoryNetOptions) {
    this.options = options;
  }

  /** A node's connection, which stands at once. */
  join(name: string): MemoryBus {
    const bus = new MemoryBus(this, name);
    this.#nodes.set(name, bus);
    return bus;
  }

  /** Forgets a node whose process has ended: nothing reaches it any more. */
  leave(name: string): void {
    this.#nodes.get(name)?.disconnect();
    this.#nodes.delete(name);
  }

  /** Nodes that listen on a subject and are connected. */
  listeners(subject: string): readonly MemoryBus[] {
    return [...this.#nodes.values()].filter((node) => node.connected && node.listensOn(subject));
  }

  /** Runs `arrive` after a delay, behind everything that went the same way before. */
  carry(from: string, to: string, arrive: () => void): void {
    const { clock, delayMs } = this.options;
    const name = `${from}>${to}`;
    const way = this.#ways.get(name) ?? { queue: [], due: 0 };
    this.#ways.set(name, way);
    way.due = Math.max(way.due, clock.monotonic() + delayMs());
    way.queue.push(arrive);
    // Whichever timer fires first takes what went first.
    clock.after(way.due - clock.monotonic(), () => way.queue.shift()?.());
  }
}

/** One node's connection. */
export class MemoryBus implements Bus {
  readonly name: string;
  readonly #net: MemoryNet;
  readonly #subscriptions = new Set<Subscription>();
  readonly #listeners: ((stands: boolean) => void)[] = [];
  #connected = true;
  #connection = 1;
  #waitingBytes = 0;

  constructor(net: MemoryNet, name: string) {
    this.#net = net;
    this.name = name;
  }

  get connected(): boolean {
    return this.#connected;
  }

  get connection(): number {
    return this.#connection;
  }

  listensOn(subject: string): boolean {
    for (const one of this.#subscriptions) if (one.subject === subject) return true;
    return false;
  }

  publish(subject: string, bytes: Uint8Array): boolean {
    if (!this.#mayLeave(bytes)) return false;
    for (const to of this.#net.listeners(subject)) this.#send(to, subject, bytes, () => undefined);
    return true;
  }

  async request(subject: string, bytes: Uint8Array, timeoutMs: number): Promise<BusAnswer> {
    if (!this.#mayLeave(bytes)) return { outcome: "away" };
    const { promise, resolve } = Promise.withResolvers<BusAnswer>();
    const { clock } = this.#net.options;
    const cancel = clock.after(timeoutMs, () => resolve({ outcome: "silent" }));
    const listeners = this.#net.listeners(subject);
    if (listeners.length === 0) this.#net.carry(this.name, this.name, () => resolve({ outcome: "absent" }));
    const connection = this.#connection;
    for (const to of listeners)
      this.#send(to, subject, bytes, (answer) => {
        if (this.#connection === connection) resolve({ outcome: "answered", bytes: answer });
      });
    const answer = await promise;
    cancel();
    return answer;
  }

  subscribe(subject: string, handle: Handle): BusSubscription {
    const subscription = { subject, handle };
    this.#subscriptions.add(subscription);
    return {
      drain: async () => {
        await this.flush();
        this.#subscriptions.delete(subscription);
      },
      unsubscribe: () => void this.#subscriptions.delete(subscription),
    };
  }

  async flush(): Promise<boolean> {
    const connection = this.#connection;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#net.carry(this.name, this.name, resolve);
    await promise;
    return this.#connected && this.#connection === connection;
  }

  onConnection(listener: (stands: boolean) => void): void {
    this.#listeners.push(listener);
    listener(this.#connected);
  }

  /** The connection breaks: what is on its way here is lost. Idempotent. */
  disconnect(): void {
    if (!this.#connected) return;
    this.#connected = false;
    for (const listener of this.#listeners) listener(false);
  }

  /** A new connection, with the same subscriptions. Idempotent. */
  reconnect(): void {
    if (this.#connected) return;
    this.#connected = true;
    this.#connection++;
    for (const listener of this.#listeners) listener(true);
  }

  #mayLeave(bytes: Uint8Array): boolean {
    return this.#connected && this.#waitingBytes + bytes.length <= (this.#net.options.waitingBytesMax ?? 1e9);
  }

  #send(to: MemoryBus, subject: string, bytes: Uint8Array, answered: (bytes: Uint8Array) => void): void {
    const { loses } = this.#net.options;
    const copy = bytes.slice();
    const connection = to.#connection;
    this.#waitingBytes += copy.length;
    const lost = loses?.(this.name, to.name, subject, copy) ?? false;
    this.#net.carry(this.name, to.name, () => {
      this.#waitingBytes -= copy.length;
      if (!lost && to.#connected && to.#connection === connection) to.#hand(this, subject, copy, answered);
      copy.fill(0xff); // whoever kept them finds nothing
    });
  }

  #hand(from: MemoryBus, subject: string, bytes: Uint8Array, answered: (bytes: Uint8Array) => void): void {
    const { loses } = this.#net.options;
    const answer = (reply: Uint8Array): void => {
      if (!this.#connected) return;
      const copy = reply.slice();
      const lost = loses?.(this.name, from.name, "answer", copy) ?? false;
      this.#net.carry(this.name, from.name, () => {
        if (!lost && from.#connected) answered(copy);
      });
    };
    for (const { subject: on, handle } of [...this.#subscriptions]) if (on === subject) handle({ bytes, answer });
  }
}
