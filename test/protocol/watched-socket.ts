// A connection whose every frame, sent and received, is checked by FrameWatch. For tests against a real server.
import { encode } from "../../src/protocol/codec";
import type { ErrorTuple, OperationName, Results } from "../../src/protocol/operations";
import { FrameWatch } from "./frame-watch";

/** A request that was refused. */
export class RefusedRequest extends Error {
  readonly code: string;
  constructor(error: ErrorTuple) {
    super(`${error[0]}: ${error[1]}`);
    this.code = error[0];
  }
}

type Settle = (frame: readonly unknown[]) => void;

/** An open connection. What arrives against the rules fails {@link WatchedSocket.closed} and every request under way. */
export class WatchedSocket implements AsyncDisposable {
  /** Settles with the close code; rejects with the first thing that was not allowed. */
  readonly closed: Promise<number>;
  /** Pushes so far, oldest first. */
  readonly pushes: (readonly unknown[])[] = [];
  readonly #socket: WebSocket;
  readonly #watch = new FrameWatch();
  readonly #asked = new Map<number, Settle>();
  readonly #looking = new Set<() => void>();
  #failed: unknown = null;
  #gathered: Uint8Array[] | null = null;
  #nextId = 1;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.closed = promise;
    promise.catch(() => undefined); // whoever waits for an answer is told, too
    socket.onmessage = ({ data }) => {
      try {
        for (const frame of this.#watch.fromServer(new Uint8Array(data as ArrayBuffer))) this.#take(frame);
      } catch (error) {
        this.#failed = error;
        reject(error);
        socket.close();
      }
      this.#look();
    };
    socket.onclose = ({ code }) => {
      resolve(code);
      this.#failed ??= new Error(`closed with ${code}`);
      for (const settle of this.#asked.values()) settle([]);
      this.#look();
    };
  }

  static async open(url: string): Promise<WatchedSocket> {
    const socket = new WebSocket(url, "parley.v1");
    socket.binaryType = "arraybuffer";
    const watched = new WatchedSocket(socket);
    const opened = Promise.withResolvers<void>();
    socket.onopen = () => opened.resolve();
    void watched.closed.then((code) => opened.reject(new Error(`closed with ${code}`)));
    await opened.promise;
    return watched;
  }

  /** Opens a connection, signs in and syncs. */
  static async signIn(url: string, token: string, device: string): Promise<WatchedSocket> {
    const watched = await WatchedSocket.open(url);
    await watched.ask("hello", 1, token, device, { sdk: "test" }, []);
    await watched.ask("sync", null, []);
    return watched;
  }

  /** Rejects with {@link RefusedRequest}, or with what was wrong with the connection. */
  async ask<N extends OperationName>(operation: N, ...args: readonly unknown[]): Promise<Results[N]> {
    return (await this.request(operation, args)) as Results[N];
  }

  /** A request whose every part is the test's to choose. Rejects as {@link ask}. */
  request(operation: string, args: unknown, ...others: readonly unknown[]): Promise<unknown> {
    return this.requestWith([0, this.#nextId++, operation, args, ...others]);
  }

  /** A whole request frame, its id included. Rejects as {@link ask}. */
  async requestWith(frame: readonly unknown[]): Promise<unknown> {
    const { promise, resolve } = Promise.withResolvers<readonly unknown[]>();
    this.#asked.set(frame[1] as number, resolve);
    this.send(frame);
    const [type, , answer] = await promise;
    if (type === 1) return answer;
    if (type === 2) throw new RefusedRequest(answer as ErrorTuple);
    throw this.#failed;
  }

  /** Sends one frame. */
  send(frame: readonly unknown[]): void {
    const bytes = encode(frame);
    this.#watch.fromClient(bytes);
    if (this.#gathered) this.#gathered.push(bytes);
    else this.#socket.send(bytes as BufferSource);
  }

  /** What is sent while `run` runs leaves as one message, so that the server takes it up at once. */
  together<T>(run: () => T): T {
    this.#gathered = [];
    const result = run();
    this.#socket.send(Buffer.concat(this.#gathered));
    this.#gathered = null;
    return result;
  }

  /** Sends what no client may send. */
  sendRaw(message: string | Uint8Array): void {
    this.#socket.send(message as string | BufferSource);
  }

  /** The first push, so far or to come, that passes. Rejects once the connection is closed. */
  async push(passes: (push: readonly unknown[]) => boolean): Promise<readonly unknown[]> {
    for (;;) {
      const found = this.pushes.find(passes);
      if (found) return found;
      if (this.#failed !== null) throw this.#failed;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#looking.add(resolve);
      await promise;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.closed;
  }

  #take(frame: readonly unknown[]): void {
    const [type, id] = frame;
    if (type === 3) this.pushes.push(frame.slice(1));
    if (type === 4) this.send([5]);
    if (type !== 1 && type !== 2) return;
    const settle = this.#asked.get(id as number);
    this.#asked.delete(id as number);
    settle?.(frame);
  }

  #look(): void {
    for (const wake of this.#looking) wake();
    this.#looking.clear();
  }
}
