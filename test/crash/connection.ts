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
}

/** An open, signed-in connection. */
export class Connection {
  /** Settles once the socket is closed. */
  readonly closed: Promise<void>;
  readonly #socket: WebSocket;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;

  private constructor(socket: WebSocket, onPush: (frame: readonly unknown[]) => void) {
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    socket.onmessage = ({ data }) => {
      for (const frame of decodeFrames(new Uint8Array(data as ArrayBuffer))) this.#take(frame, onPush);
    };
    socket.onclose = () => {
      for (const { reject } of this.#pending.values()) reject(new Refused(lost));
      this.#pending.clear();
      resolve();
    };
  }

  /** Connects and says hello. Rejects with {@link Refused}. */
  static async open(
    url: string,
    token: string,
    device: string,
    onPush: (frame: readonly unknown[]) => void,
  ): Promise<Connection> {
    const socket = new WebSocket(url, subprotocol);
    socket.binaryType = "arraybuffer";
    const connection = new Connection(socket, onPush);
    const opened = Promise.withResolvers<void>();
    socket.onopen = () => opened.resolve();
    void connection.closed.then(() => opened.reject(new Refused(lost)));
    await opened.promise;
    await connection.ask("hello", [protocolVersion, token, device]);
    return connection;
  }

  ask<N extends keyof Results>(operation: N, args: readonly unknown[]): Promise<Results[N]> {
    const { promise, resolve, reject } = Promise.withResolvers<Results[N]>();
    if (this.#socket.readyState !== WebSocket.OPEN) return Promise.reject(new Refused(lost));
    const id = this.#nextId++;
    this.#pending.set(id, { resolve: (result) => resolve(result as Results[N]), reject });
    this.#socket.send(encode([frameTypes.request, id, operation, args]) as BufferSource);
    return promise;
  }

  /** Sends frames that are encoded already. */
  sendBytes(frames: Uint8Array): void {
    this.#socket.send(frames as BufferSource);
  }

  /** The answer to a request with an id of the caller's choice. */
  answerTo(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => void this.#pending.set(id, { resolve, reject }));
  }

  close(): void {
    this.#socket.close();
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
