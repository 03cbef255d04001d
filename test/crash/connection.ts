// One WebSocket of a test client: requests by id, pushes to a listener. Speaks the protocol, decides nothing.
import { decodeFrames, encode } from "../../src/protocol/codec";
import { frameTypes, protocolVersion, subprotocol } from "../../src/protocol/frames";
import type { ErrorTuple, Results } from "../../src/protocol/operations";

/** A request that was refused, or whose answer never came (`connection_lost`, outcome unknown). */
export class Refused extends Error {
  readonly code: string;
  readonly outcome: "final" | "retry" | "unknown";
  readonly retryAfterMs: number;

  constructor([code, message, outcome, retryAfterMs]: ErrorTuple) {
    super(`${code}: ${message}`);
    this.code = code;
    this.outcome = outcome;
    this.retryAfterMs = retryAfterMs ?? 0;
  }
}

const lost: ErrorTuple = ["connection_lost", "the connection ended before an answer came", "unknown", null, null];

interface Pending {
  resolve(result: unknown): void;
  reject(error: Refused): void;
  readonly askedAt: number;
}

/** How often it is looked for requests that wait too long, milliseconds. */
const lookEveryMs = 250;

/** Beside what hello must carry. */
export interface OpenOptions {
  /** How long an answer may take before the connection counts as lost, milliseconds; absent: for ever. */
  readonly deadlineMs?: number;
  readonly capabilities?: readonly string[];
}

/** An open, signed-in connection. */
export class Connection {
  /** Settles once the socket is closed, or given up. */
  readonly closed: Promise<void>;
  readonly #socket: WebSocket;
  readonly #pending = new Map<number, Pending>();
  readonly #over: () => void;
  #nextId = 1;

  private constructor(socket: WebSocket, onPush: (frame: readonly unknown[]) => void, deadlineMs: number) {
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#over = resolve;
    socket.onmessage = ({ data }) => {
      for (const frame of decodeFrames(new Uint8Array(data as ArrayBuffer))) this.#take(frame, onPush);
    };
    socket.onclose = () => this.#end();
    if (deadlineMs !== Number.POSITIVE_INFINITY) this.#watch(deadlineMs);
  }

  /** Connects and says hello. Rejects with {@link Refused}. */
  static async open(
    url: string,
    token: string,
    device: string,
    onPush: (frame: readonly unknown[]) => void,
    { deadlineMs = Number.POSITIVE_INFINITY, capabilities }: OpenOptions = {},
  ): Promise<Connection> {
    const socket = new WebSocket(url, subprotocol);
    socket.binaryType = "arraybuffer";
    const connection = new Connection(socket, onPush, deadlineMs);
    const opened = Promise.withResolvers<void>();
    socket.onopen = () => opened.resolve();
    void connection.closed.then(() => opened.reject(new Refused(lost)));
    const late = deadlineMs === Number.POSITIVE_INFINITY ? null : setTimeout(() => connection.abandon(), deadlineMs);
    try {
      await opened.promise;
      await connection.ask("hello", [protocolVersion, token, device, ...(capabilities ? [null, capabilities] : [])]);
    } catch (error) {
      connection.abandon();
      throw error;
    } finally {
      if (late !== null) clearTimeout(late);
    }
    return connection;
  }

  ask<N extends keyof Results>(operation: N, args: readonly unknown[]): Promise<Results[N]> {
    const { promise, resolve, reject } = Promise.withResolvers<Results[N]>();
    if (this.#socket.readyState !== WebSocket.OPEN) return Promise.reject(new Refused(lost));
    const id = this.#nextId++;
    this.#pending.set(id, { resolve: (result) => resolve(result as Results[N]), reject, askedAt: performance.now() });
    this.#socket.send(encode([frameTypes.request, id, operation, args]) as BufferSource);
    return promise;
  }

  /** Sends frames that are encoded already. */
  sendBytes(frames: Uint8Array): void {
    this.#socket.send(frames as BufferSource);
  }

  /** The answer to a request with an id of the caller's choice. */
  answerTo(id: number): Promise<unknown> {
    const askedAt = performance.now();
    return new Promise((resolve, reject) => void this.#pending.set(id, { resolve, reject, askedAt }));
  }

  close(): void {
    this.#socket.close();
  }

  /** Ends it at once, without a word to a server that may not listen: nothing that still comes is heard. */
  abandon(): void {
    this.#socket.onmessage = null;
    this.#socket.onclose = null;
    // Of Bun's sockets, not of a browser's.
    (this.#socket as WebSocket & { terminate(): void }).terminate();
    this.#end();
  }

  #end(): void {
    for (const { reject } of this.#pending.values()) reject(new Refused(lost));
    this.#pending.clear();
    this.#over();
  }

  #watch(deadlineMs: number): void {
    const timer = setInterval(() => {
      // Asked in the order of the map: the first one waits longest.
      const [oldest] = this.#pending.values();
      if (oldest && performance.now() - oldest.askedAt > deadlineMs) this.abandon();
    }, lookEveryMs);
    void this.closed.then(() => clearInterval(timer));
  }

  #take(frame: readonly unknown[], onPush: (frame: readonly unknown[]) => void): void {
    if (frame[0] === frameTypes.push) onPush(frame);
    if (frame[0] === frameTypes.ping) this.#socket.send(encode([frameTypes.pong]) as BufferSource);
    if (frame[0] !== frameTypes.reply && frame[0] !== frameTypes.error) return;
    const id = frame[1] as number;
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (frame[0] === frameTypes.reply) pending?.resolve(frame[2]);
    else pending?.reject(new Refused(frame[2] as ErrorTuple));
  }
}
