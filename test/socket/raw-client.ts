// A client of the tests that promises nothing: it sends what it is told, as it is told, and keeps what comes.
import { decodeFrames, encode } from "../../src/protocol/codec";
import { frameTypes, subprotocol } from "../../src/protocol/frames";
import type { ErrorTuple, OperationName, Results } from "../../src/protocol/operations";

export type Frame = readonly unknown[];
interface Waiter {
  readonly wanted: (frame: Frame) => boolean;
  readonly resolve: (frame: Frame) => void;
  readonly reject: (error: Error) => void;
}

/** What a refused request rejects with. */
export class Refused extends Error {
  readonly tuple: ErrorTuple;
  constructor(tuple: ErrorTuple) {
    super(`${tuple[0]}: ${tuple[1]}`);
    this.tuple = tuple;
  }
  get code(): string {
    return this.tuple[0];
  }
}

/** One connection. */
export class RawClient implements AsyncDisposable {
  /** Close code, once closed. */
  readonly closed: Promise<number>;
  /** Frames that nobody waited for, in order. */
  readonly kept: Frame[] = [];
  readonly #socket: WebSocket;
  readonly #waiters: Waiter[] = [];
  #over = false;
  #nextId = 1;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.#received(new Uint8Array(data as ArrayBuffer));
    this.closed = new Promise((resolve) => {
      socket.onclose = ({ code }) => {
        this.#over = true;
        for (const { reject } of this.#waiters.splice(0)) reject(new Error(`closed with ${code}`));
        resolve(code);
      };
    });
  }

  /** Connects; rejects where the upgrade is refused. */
  static connect(url: string, headers: Record<string, string> = {}): Promise<RawClient> {
    const socket = new WebSocket(url, { protocols: [subprotocol], headers } as unknown as string[]);
    const client = new RawClient(socket);
    return new Promise((resolve, reject) => {
      socket.onopen = () => resolve(client);
      socket.onerror = () => reject(new Error("the upgrade was refused"));
    });
  }

  /** Sends bytes or text as one message. */
  sendRaw(message: Uint8Array | string): void {
    this.#socket.send(message as Uint8Array<ArrayBuffer>);
  }

  /** Sends one frame. */
  send(frame: unknown): void {
    this.sendRaw(encode(frame));
  }

  /** Sends a request; answers the result or rejects with {@link Refused}. */
  async request<N extends OperationName>(name: N, ...args: readonly unknown[]): Promise<Results[N]> {
    const id = this.#nextId++;
    this.send([frameTypes.request, id, name, args]);
    const [type, , answer] = await this.answerTo(id);
    if (type === frameTypes.error) throw new Refused(answer as ErrorTuple);
    return answer as Results[N];
  }

  /** The code of the error that a request, or the first item of a send, is answered with; null where it succeeds. */
  async refusal(name: OperationName, ...args: readonly unknown[]): Promise<string | null> {
    try {
      const answer: readonly unknown[] = await this.request(name, ...args);
      return name === "send" && Array.isArray(answer[0]) ? String(answer[0][0]) : null;
    } catch (error) {
      if (error instanceof Refused) return error.code;
      throw error;
    }
  }

  answerTo(id: number): Promise<Frame> {
    return this.next((frame) => (frame[0] === frameTypes.reply || frame[0] === frameTypes.error) && frame[1] === id);
  }

  /** The next push of this name, without its type and name. */
  async push(name: string, wanted: (args: readonly unknown[]) => boolean = () => true): Promise<readonly unknown[]> {
    const isIt = (frame: Frame): boolean => frame[0] === frameTypes.push && frame[1] === name && wanted(frame.slice(2));
    return (await this.next(isIt)).slice(2);
  }

  /** The first kept or coming frame that is `wanted`; it is taken out. */
  next(wanted: (frame: Frame) => boolean): Promise<Frame> {
    const at = this.kept.findIndex(wanted);
    if (at >= 0) return Promise.resolve(this.kept.splice(at, 1)[0] as Frame);
    if (this.#over) return Promise.reject(new Error("closed already"));
    return new Promise((resolve, reject) => this.#waiters.push({ wanted, resolve, reject }));
  }

  /** Resolves when everything sent before was read by the server: it has answered a ping. */
  async settled(): Promise<void> {
    this.send([frameTypes.ping]);
    await this.next(([type]) => type === frameTypes.pong);
  }

  close(): void {
    this.#socket.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.closed;
  }

  #received(bytes: Uint8Array): void {
    for (const frame of decodeFrames(bytes)) {
      const at = this.#waiters.findIndex(({ wanted }) => wanted(frame));
      const waiter = this.#waiters[at];
      if (waiter === undefined) this.kept.push(frame);
      else {
        this.#waiters.splice(at, 1);
        waiter.resolve(frame);
      }
    }
  }
}
