// A TCP connection that tests can cut: between a client and a server, neither of which learns of it beforehand.
import type { Socket, TCPSocketListener } from "bun";

interface Ends {
  peer: Socket<Ends> | null;
  waiting: Buffer[];
}

/** Passes bytes on to a port of this machine until it is cut. */
export class Cable implements AsyncDisposable {
  readonly #listener: TCPSocketListener<Ends>;
  readonly #open = new Set<Socket<Ends>>();
  #isCut = false;

  private constructor(port: number) {
    this.#listener = Bun.listen<Ends>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (socket) => void this.#accept(socket, port),
        data: (socket, bytes) => pass(socket, bytes),
        close: (socket) => this.#closed(socket),
      },
    });
  }

  static async to(port: number): Promise<Cable> {
    return new Cable(port);
  }

  get url(): string {
    return `ws://127.0.0.1:${this.#listener.port}/v1/ws`;
  }

  /** Ends what is connected, and ends new connections at once until {@link mend}. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#open) socket.terminate();
  }

  mend(): void {
    this.#isCut = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#listener.stop(true);
  }

  async #accept(near: Socket<Ends>, port: number): Promise<void> {
    near.data = { peer: null, waiting: [] };
    if (this.#isCut) return void near.terminate();
    this.#open.add(near);
    const far = await Bun.connect<Ends>({
      hostname: "127.0.0.1",
      port,
      data: { peer: near, waiting: [] },
      socket: {
        data: (socket, bytes) => pass(socket, bytes),
        close: (socket) => this.#closed(socket),
      },
    });
    near.data.peer = far;
    this.#open.add(far);
    for (const bytes of near.data.waiting) pass(near, bytes);
    if (this.#isCut) this.cut();
  }

  #closed(socket: Socket<Ends>): void {
    this.#open.delete(socket);
    socket.data?.peer?.terminate();
  }
}

/** Test traffic is small: what a socket does not take at once never happens here, so a short write is an error. */
function pass(from: Socket<Ends>, bytes: Buffer): void {
  const { peer, waiting } = from.data;
  if (peer === null) waiting.push(Buffer.from(bytes));
  else if (peer.write(bytes) !== bytes.length) peer.terminate();
}
