// A line between browser and server that a test can cut: sockets end, new ones are refused, until it is mended.
// Unlike a browser's offline switch it also ends sockets that are open. The server behind it may move to another port.
import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";

/** Listens on a port of its own and passes bytes both ways. Dispose it to end everything. */
export class Link implements AsyncDisposable {
  readonly #listener: Server;
  readonly #sockets = new Set<Socket>();
  #target: number;
  #whole = true;

  private constructor(target: number) {
    this.#target = target;
    this.#listener = createServer((inner) => this.#join(inner));
  }

  /** A whole line to `target`, a port of this machine. */
  static async to(target: number): Promise<Link> {
    const link = new Link(target);
    await new Promise<void>((resolve) => link.#listener.listen(0, "127.0.0.1", resolve));
    return link;
  }

  /** Where the browser goes; the same for the whole life of the line. */
  get url(): string {
    return `http://127.0.0.1:${(this.#listener.address() as AddressInfo).port}`;
  }

  cut(): void {
    this.#whole = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** @param target the server's port, where it has changed */
  mend(target = this.#target): void {
    this.#target = target;
    this.#whole = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#listener.close(() => resolve()));
  }

  #join(near: Socket): void {
    if (!this.#whole) {
      near.destroy();
      return;
    }
    const far = connect(this.#target, "127.0.0.1");
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }
}
