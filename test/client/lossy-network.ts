// A network whose connections break at random, for tests of the client.
import type { ClientSocket, WebSocketConstructor } from "../../src/client";
import type { Random } from "../sim/random";

/** A WebSocket class whose connections break with a chance for every message, either way, while `isLossy`. */
export class LossyNetwork {
  isLossy = false;
  breaks = 0;
  readonly webSocket: WebSocketConstructor;

  constructor(random: Random) {
    const network = this;
    this.webSocket = class implements ClientSocket {
      binaryType = "arraybuffer";
      onopen: ClientSocket["onopen"] = null;
      onmessage: ClientSocket["onmessage"] = null;
      onclose: ClientSocket["onclose"] = null;
      onerror: ClientSocket["onerror"] = null;
      readonly #inner: WebSocket;

      constructor(url: string, protocols: string | string[]) {
        this.#inner = new WebSocket(url, protocols);
        this.#inner.binaryType = "arraybuffer";
        this.#inner.onopen = () => this.onopen?.({} as never);
        this.#inner.onmessage = ({ data }) => this.#survives() && this.onmessage?.({ data });
        this.#inner.onclose = ({ code, reason }) => this.onclose?.({ code, reason });
      }

      send(data: never): void {
        if (this.#survives()) this.#inner.send(data);
      }

      close(): void {
        this.#inner.close();
      }

      #survives(): boolean {
        if (!network.isLossy || !random.chance(0.12)) return true;
        network.breaks++;
        this.#inner.onmessage = this.#inner.onclose = null;
        this.#inner.close();
        queueMicrotask(() => this.onclose?.({ code: 1006, reason: "lost" }));
        return false;
      }
    };
  }
}
