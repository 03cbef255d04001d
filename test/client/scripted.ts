// A scripted server for tests of the client: each test plays the server's part over a fake socket, under a virtual clock.
import { decodeFrames, encode, encodeError, encodePush, encodeReply } from "../../src/protocol/codec";
import type { EntryTuple } from "../../src/protocol/entry";
import type { PushName, Pushes } from "../../src/protocol/frames";
import type { ConversationId, UserId } from "../../src/protocol/ids";
import type { ErrorTuple, RowTuple } from "../../src/protocol/operations";
import { createClient } from "../../src/client/client";
import type { ClientClock } from "../../src/client/clock";
import { memoryStorage } from "../../src/client/storage";
import type { ClientEvents, ClientOptions, ClientSocket, ParleyClient } from "../../src/client/types";

export const alice = "alice" as UserId;
export const bob = "bob" as UserId;
export const room = "gAAAAAAAAAAAAAAAAAAAAAA" as ConversationId;
export const otherRoom = "gBBBBBBBBBBBBBBBBBBBBBB" as ConversationId;

/** Lets everything that is ready run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 6; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Time that passes only when told. */
export class VirtualClock implements ClientClock {
  #now = 1_700_000_000_000;
  #timers: { at: number; call: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  after(ms: number, call: () => void): () => void {
    const timer = { at: this.#now + ms, call };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  defer(call: () => void): void {
    setImmediate(call);
  }

  /** Calls what falls due, in order, and lets its consequences run. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((one) => one !== next);
      this.#now = Math.max(this.#now, next.at);
      next.call();
      await settle();
    }
    this.#now = end;
    await settle();
  }
}

interface Asked {
  readonly id: number;
  readonly operation: string;
  readonly args: readonly unknown[];
}

/** The server's end of one socket. */
export class ScriptedSocket implements ClientSocket {
  binaryType = "";
  onopen: ClientSocket["onopen"] = null;
  onmessage: ClientSocket["onmessage"] = null;
  onclose: ClientSocket["onclose"] = null;
  onerror: ClientSocket["onerror"] = null;
  /** Requests that no test has taken yet. */
  readonly asked: Asked[] = [];
  readonly pings: number[] = [];
  closedByClient = false;

  send(data: Uint8Array): void {
    for (const [type, id, operation, args] of decodeFrames(data)) {
      if (type === 0) this.asked.push({ id: id as number, operation: operation as string, args: args as unknown[] });
      else if (type === 4) this.pings.push(1);
    }
  }

  close(): void {
    this.closedByClient = true;
  }

  open(): void {
    this.onopen?.({} as never);
  }

  deliver(bytes: Uint8Array): void {
    this.onmessage?.({ data: bytes.slice().buffer });
  }

  push<N extends PushName>(name: N, ...args: Pushes[N]): void {
    this.deliver(encodePush(name, ...args));
  }

  raw(frame: readonly unknown[]): void {
    this.deliver(encode(frame));
  }

  reply(asked: Asked, result: unknown): void {
    this.deliver(encodeReply(asked.id, result));
  }

  refuse(asked: Asked, error: ErrorTuple): void {
    this.deliver(encodeError(asked.id, error));
  }

  lose(code = 1006): void {
    this.onclose?.({ code, reason: "" });
  }

  /** Takes the oldest request of this operation; fails the test when there is none. */
  async take(operation: string): Promise<Asked> {
    await settle();
    const at = this.asked.findIndex((asked) => asked.operation === operation);
    if (at < 0)
      throw new Error(`no ${operation} was asked; asked: ${this.asked.map((one) => one.operation).join(", ")}`);
    return this.asked.splice(at, 1)[0] as Asked;
  }

  /** Whether such a request waits. */
  async hasAsked(operation: string): Promise<boolean> {
    await settle();
    return this.asked.some((asked) => asked.operation === operation);
  }
}

export interface World extends AsyncDisposable {
  readonly client: ParleyClient;
  readonly clock: VirtualClock;
  readonly sockets: ScriptedSocket[];
  readonly entries: ClientEvents["entry"][];
  readonly starts: ClientEvents["start"][];
  readonly errors: Error[];
  readonly tokens: { calls: number; next: () => Promise<string | null> };
  socket(): ScriptedSocket;
}

let seed = 1;

/** Chance that is the same in every run, and another one for every client. */
function seeded(): () => number {
  let state = seed++;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A client of Alice whose server is the test. */
export function world(options: Partial<ClientOptions> = {}, clock = new VirtualClock()): World {
  const sockets: ScriptedSocket[] = [];
  const entries: ClientEvents["entry"][] = [];
  const starts: ClientEvents["start"][] = [];
  const errors: Error[] = [];
  const tokens = { calls: 0, next: async (): Promise<string | null> => `token ${tokens.calls}` };
  const webSocket = class extends ScriptedSocket {
    constructor() {
      super();
      sockets.push(this);
    }
  };
  const client = createClient({
    url: "http://127.0.0.1:1",
    token: () => {
      tokens.calls++;
      return tokens.next();
    },
    storage: memoryStorage(),
    locks: null,
    webSocket,
    clock,
    random: seeded(),
    ...options,
  });
  client.on("entry", (event) => void entries.push(event));
  client.on("start", (event) => void starts.push(event));
  client.on("error", ({ error }) => void errors.push(error));
  return {
    client,
    clock,
    sockets,
    entries,
    starts,
    errors,
    tokens,
    socket: () => sockets.at(-1) as ScriptedSocket,
    [Symbol.asyncDispose]: () => client.close(),
  };
}

/** Lets time pass until the client tries again. */
export async function nextAttempt(at: World): Promise<void> {
  const before = at.sockets.length;
  for (let i = 0; i < 1_000 && at.sockets.length === before; i++) await at.clock.advance(100);
}

export interface HelloOptions {
  readonly user?: UserId;
  readonly generation?: string;
  readonly expiresAt?: number | null;
  readonly capabilities?: readonly string[];
}

/** Opens the newest socket and answers its hello. */
export async function hello(at: World, options: HelloOptions = {}): Promise<ScriptedSocket> {
  await settle();
  const socket = at.socket();
  socket.open();
  const asked = await socket.take("hello");
  const { user = alice, generation = "g1", expiresAt = null, capabilities = [] } = options;
  socket.reply(asked, [1, at.clock.now(), generation, user, capabilities, {}, 30_000, expiresAt, "test"]);
  await settle();
  return socket;
}

export interface SyncOptions extends HelloOptions {
  readonly rows?: readonly RowTuple[];
  readonly userSeq?: number;
  readonly pending?: readonly ConversationId[];
  readonly resumed?: readonly (readonly [ConversationId, readonly EntryTuple[]])[];
  readonly large?: readonly ConversationId[];
}

/** Signs in and answers the first sync. */
export async function online(at: World, options: SyncOptions = {}): Promise<ScriptedSocket> {
  const socket = await hello(at, options);
  await answerSync(socket, options);
  return socket;
}

export async function answerSync(socket: ScriptedSocket, options: SyncOptions = {}): Promise<readonly unknown[]> {
  const asked = await socket.take("sync");
  const { rows = [], userSeq = 1, pending = [], resumed = [], large } = options;
  const totals = [rows.reduce((sum, row) => sum + row[7], 0), 0];
  socket.reply(asked, [userSeq, rows, null, totals, pending, resumed, ...(large ? [large] : [])]);
  await settle();
  return asked.args;
}

export interface RowOptions {
  readonly id?: ConversationId;
  readonly head?: number;
  readonly ordinal?: number;
  readonly cursor?: readonly [number, number, number];
  readonly join?: readonly [number, number, number];
  readonly floor?: number;
  readonly myTotal?: number;
  readonly unread?: number;
  readonly muted?: boolean;
}

/** A row of Alice in a group of two whose entries, all but the first two, are messages of Bob. */
export function row(options: RowOptions = {}): RowTuple {
  const { head = 2, join = [2, 0, 0], cursor = [0, 0, 0], floor = 1, myTotal = 0, muted = false } = options;
  const ordinal = options.ordinal ?? Math.max(0, head - 2);
  return [
    options.id ?? room,
    ["group", "Room", null, null, 2, null],
    ["owner", join, floor],
    [muted, false],
    [head, ordinal, 1_000 + head, null],
    cursor,
    myTotal,
    options.unread ?? 0,
  ];
}

/** A message at `seq`, counted as in {@link row}. */
export function message(
  seq: number,
  text = `text ${seq}`,
  sender = bob,
  clientId: string | null = `c${seq}`,
): EntryTuple {
  return [seq, seq - 2, 1, true, 1_000 + seq, sender, null, clientId as never, null, [text]];
}

export function messages(from: number, to: number): EntryTuple[] {
  return Array.from({ length: to - from + 1 }, (_, i) => message(from + i));
}

export function seqs(at: World): number[] {
  return at.entries.map(({ entry }) => entry[0]);
}
