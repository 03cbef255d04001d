// A network that tests cut and mend: WebSockets that are closed, and refused, while it is cut.
import type { WebSocketConstructor } from "../../src/client";

/** One device's network. */
export class FlakyNetwork {
  readonly #open = new Set<WebSocket>();
  #isCut = false;

  /** The WebSocket class of whoever is behind this network. */
  readonly webSocket: WebSocketConstructor;

  constructor() {
    const network = this;
    // A class, because clients call it with `new`; what it answers is the socket itself.
    this.webSocket = function open(url: string, protocols: string | string[]) {
      const socket = new WebSocket(url, protocols);
      network.#admit(socket);
      return socket;
    } as unknown as WebSocketConstructor;
  }

  get isCut(): boolean {
    return this.#isCut;
  }

  /** Ends every connection; new ones are ended too until {@link mend}. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#open) socket.close();
  }

  mend(): void {
    this.#isCut = false;
  }

  #admit(socket: WebSocket): void {
    this.#open.add(socket);
    socket.addEventListener("close", () => this.#open.delete(socket));
    if (this.#isCut) socket.close();
  }
}
