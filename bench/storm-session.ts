// One person of the storm: connects, syncs with the positions it stands at, comes back when its connection ends, and knows at any
// moment whether it lacks an entry. Waits as the SDK does: what the server asks for, and a random part of a growing time.
import { decodeFrames, encode } from "../src/protocol/codec";
import type { EntryTuple } from "../src/protocol/entry";
import { frameTypes, protocolVersion, socketPath } from "../src/protocol/frames";
import type { ErrorTuple, Results, RowTuple } from "../src/protocol/operations";
import { RawSocket } from "./raw-socket";

const waitMsMax = 30_000;
const firstWaitMs = 500;
const pageMax = 200;

/** What a session asks of whoever runs the storm. */
export interface StormWorld {
  /** Where to connect now. */
  portFor(session: StormSession): number;
  cutOff(session: StormSession): void;
  /** Signed in and synced; nothing is lacking of what the server told. */
  complete(session: StormSession): void;
  /** A server answered that it is too busy, or asked to sync again: counted. */
  note(what: "overloaded" | "resync" | "gap"): void;
  fault(what: string): void;
}

class Refusal extends Error {
  readonly tuple: ErrorTuple;
  constructor(tuple: ErrorTuple) {
    super(`${tuple[0]}: ${tuple[1]}`);
    this.tuple = tuple;
  }
}

const lost: ErrorTuple = ["connection_lost", "the connection ended", "unknown", null, null];

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Refusal) => void;
}

/** See the head of this file. */
export class StormSession {
  readonly index: number;
  /** By conversation, the highest seq without a gap below it. */
  readonly positions = new Map<string, number>();
  readonly #world: StormWorld;
  readonly #token: string;
  readonly #heads = new Map<string, number>();
  readonly #fetching = new Set<string>();
  readonly #pending = new Map<number, Pending>();
  #socket: RawSocket | null = null;
  #closed = Promise.withResolvers<void>();
  #nextId = 1;
  #failures = 0;
  #retryMs = 0;
  #synced = false;
  #ended = false;

  constructor(index: number, token: string, world: StormWorld) {
    this.index = index;
    this.#token = token;
    this.#world = world;
  }

  /** Whether it is signed in and lacks nothing that it was told of. */
  get isComplete(): boolean {
    return this.#synced && [...this.#heads].every(([conv, head]) => (this.positions.get(conv) ?? 0) >= head);
  }

  /** Signs in and syncs; afterwards comes back by itself whenever the connection ends. */
  async begin(): Promise<void> {
    await this.#signIn();
    void this.#live();
  }

  leave(): void {
    this.#ended = true;
    this.#socket?.close();
  }

  /** Rejects where it is refused, or the connection ends. */
  ask<N extends keyof Results>(operation: N, args: readonly unknown[]): Promise<Results[N]> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    if (!this.#socket) return Promise.reject(new Refusal(lost));
    const id = this.#nextId++;
    this.#pending.set(id, { resolve, reject });
    this.#socket.send(encode([frameTypes.request, id, operation, args]));
    return promise as Promise<Results[N]>;
  }

  async #live(): Promise<void> {
    while (!this.#ended) {
      await this.#closed.promise;
      if (this.#ended) return;
      this.#world.cutOff(this);
      await this.#comeBack();
    }
  }

  async #comeBack(): Promise<void> {
    for (;;) {
      const spread = Math.min(waitMsMax, firstWaitMs * 2 ** this.#failures++);
      await Bun.sleep(this.#retryMs + Math.random() * spread);
      this.#retryMs = 0;
      try {
        await this.#signIn();
        this.#failures = 0;
        return;
      } catch (error) {
        this.#refused(error);
        this.#socket?.close();
      }
    }
  }

  async #signIn(): Promise<void> {
    this.#closed = Promise.withResolvers();
    this.#socket = await RawSocket.open(this.#world.portFor(this), socketPath, {
      skip: () => false,
      onMessage: (payload) => this.#take(payload),
      onClose: () => this.#over(),
    });
    await this.ask("hello", [protocolVersion, this.#token, "bench", null, ["resync"]]);
    await this.#sync();
  }

  async #sync(): Promise<void> {
    for (;;) {
      try {
        const positions = [...this.positions].toSorted(([a], [b]) => (a < b ? -1 : 1));
        const [, rows, next, , , resumed] = await this.ask("sync", [null, positions]);
        if (next !== null) this.#world.fault("more conversations than one page has");
        for (const [conv, entries] of resumed) this.#advance(conv, entries);
        for (const row of rows) this.#takeRow(row);
        this.#synced = true;
        return this.#look();
      } catch (error) {
        const isBusy = error instanceof Refusal && error.tuple[2] === "retry" && this.#socket !== null;
        if (!isBusy) throw error;
        this.#world.note("overloaded");
        await Bun.sleep(error.tuple[3] ?? firstWaitMs);
      }
    }
  }

  #refused(error: unknown): void {
    if (!(error instanceof Refusal)) return; // nobody listened there
    const [code, , outcome, retryAfterMs] = error.tuple;
    this.#retryMs = Math.max(this.#retryMs, retryAfterMs ?? 0);
    if (outcome === "final") this.#world.fault(error.message);
    else if (code !== "connection_lost") this.#world.note("overloaded");
  }

  #over(): void {
    this.#socket = null;
    this.#synced = false;
    for (const { reject } of this.#pending.values()) reject(new Refusal(lost));
    this.#pending.clear();
    this.#closed.resolve();
  }

  #take(payload: Uint8Array): void {
    for (const frame of decodeFrames(payload)) {
      const [type, id, content] = frame as [number, number, unknown];
      if (type === frameTypes.ping) this.#socket?.send(encode([frameTypes.pong]));
      else if (type === frameTypes.push) this.#hear(frame[1] as string, frame.slice(2));
      else {
        const pending = this.#pending.get(id);
        this.#pending.delete(id);
        if (type === frameTypes.reply) pending?.resolve(content);
        else pending?.reject(new Refusal(content as ErrorTuple));
      }
    }
  }

  #hear(name: string, args: readonly unknown[]): void {
    if (name === "entries") {
      this.#advance(args[0] as string, args[1] as readonly EntryTuple[]);
      this.#look();
    } else if (name === "row") {
      this.#takeRow(args[0] as RowTuple);
      this.#look();
    } else if (name === "goodbye") this.#retryMs = Math.max(this.#retryMs, (args[1] as number | null) ?? 0);
    else if (name === "resync") {
      this.#world.note("resync");
      void Bun.sleep(Math.random() * (args[0] as number))
        .then(() => this.#sync())
        .catch(() => undefined); // the connection ended: whoever comes back syncs
    }
  }

  #takeRow([conv, , , , [head]]: RowTuple): void {
    // Who keeps nothing of it starts at its head.
    if (!this.positions.has(conv)) this.positions.set(conv, head);
    if (head > (this.#heads.get(conv) ?? 0)) this.#heads.set(conv, head);
    void this.#fetch(conv);
  }

  #advance(conv: string, entries: readonly EntryTuple[]): void {
    const known = this.positions.get(conv);
    const last = entries.at(-1)?.[0] ?? 0;
    if (known === undefined) return; // its row comes
    if (last > (this.#heads.get(conv) ?? 0)) this.#heads.set(conv, last);
    let position = known;
    for (const [seq] of entries) if (seq === position + 1) position = seq;
    this.positions.set(conv, position);
    if (position >= last) return;
    this.#world.note("gap");
    void this.#fetch(conv);
  }

  async #fetch(conv: string): Promise<void> {
    if (this.#fetching.has(conv)) return;
    this.#fetching.add(conv);
    try {
      while (this.#positionOf(conv) < (this.#heads.get(conv) ?? 0)) {
        const [entries] = await this.ask("entries", [conv, this.#positionOf(conv) + 1, pageMax]);
        this.#apply(conv, entries);
      }
      this.#look();
    } catch (error) {
      if (error instanceof Refusal && error.tuple[2] === "final") this.#world.fault(error.message);
      else if (this.#socket) setTimeout(() => void this.#fetch(conv), firstWaitMs);
    } finally {
      this.#fetching.delete(conv);
    }
  }

  #apply(conv: string, entries: readonly EntryTuple[]): void {
    for (const [seq] of entries) if (seq === this.#positionOf(conv) + 1) this.positions.set(conv, seq);
  }

  #positionOf(conv: string): number {
    return this.positions.get(conv) ?? 0;
  }

  #look(): void {
    if (this.isComplete) this.#world.complete(this);
  }
}
