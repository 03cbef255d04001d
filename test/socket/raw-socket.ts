// A WebSocket client down to the bytes of TCP, for what a well-behaved one cannot do: stop reading, vanish, never say hello.
import { connect } from "node:net";
import type { Socket } from "node:net";
import { socketPath, subprotocol } from "../../src/protocol/frames";

/** One message or close of the server. */
export interface Received {
  readonly opcode: number;
  readonly payload: Uint8Array;
}

export const opcodes = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export class RawSocket implements Disposable {
  /** Everything received and taken apart, in order. */
  readonly received: Received[] = [];
  /** Resolves when the connection is gone. */
  readonly ended: Promise<void>;
  readonly #socket: Socket;
  #buffer: Uint8Array = new Uint8Array(0);
  #arrived: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.ended = new Promise((resolve) => socket.on("close", () => resolve()));
    socket.on("error", () => socket.destroy());
  }

  /** Connects and upgrades. */
  static async open(port: number): Promise<RawSocket> {
    const socket = connect(port, "127.0.0.1");
    const raw = new RawSocket(socket);
    const key = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64");
    socket.write(
      `GET ${socketPath} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ${subprotocol}\r\n\r\n`,
    );
    await raw.#upgraded();
    return raw;
  }

  #upgraded(): Promise<void> {
    return new Promise((resolve, reject) => {
      const onData = (data: Buffer): void => {
        this.#buffer = Buffer.concat([this.#buffer, data]);
        const head = Buffer.from(this.#buffer);
        const end = head.indexOf("\r\n\r\n");
        if (end < 0) return;
        this.#socket.off("data", onData);
        if (!head.toString("latin1").startsWith("HTTP/1.1 101")) reject(new Error(head.toString("latin1", 0, end)));
        this.#buffer = this.#buffer.subarray(end + 4);
        this.#socket.on("data", (more) => this.#take(more as Buffer));
        this.#take(Buffer.alloc(0));
        resolve();
      };
      this.#socket.on("data", onData);
      this.#socket.on("close", () => reject(new Error("closed during the upgrade")));
    });
  }

  /** Sends one message, masked as clients must. */
  send(payload: Uint8Array, opcode: number = opcodes.binary): void {
    const { length } = payload;
    const head =
      length < 126
        ? [0x80 | length]
        : length < 65_536
          ? [0xfe, length >> 8, length & 255]
          : [0xff, 0, 0, 0, 0, ...be32(length)];
    // A mask of zeros leaves the payload as it is.
    this.#socket.write(Buffer.concat([Buffer.from([0x80 | opcode, ...head, 0, 0, 0, 0]), payload]));
  }

  /** Sends bytes that need not be a WebSocket frame. */
  sendBytes(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Stops reading: the kernel's buffers fill, then the server's. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** The first message, from what was received on, that is `wanted`. Rejects when the connection ends first. */
  async until(wanted: (one: Received) => boolean): Promise<Received> {
    for (let at = 0; ; ) {
      for (; at < this.received.length; at++) {
        const one = this.received[at] as Received;
        if (wanted(one)) return one;
      }
      const more = new Promise<void>((resolve) => this.#arrived.push(resolve));
      await Promise.race([more, this.ended]);
      if (this.#socket.destroyed && at === this.received.length) throw new Error("the connection ended");
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #take(data: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? data : Buffer.concat([this.#buffer, data]);
    let at = 0;
    for (let frame = this.#frameAt(at); frame !== null; frame = this.#frameAt(at)) {
      this.received.push({ opcode: frame.opcode, payload: frame.payload });
      at = frame.end;
    }
    this.#buffer = this.#buffer.subarray(at);
    for (const resolve of this.#arrived.splice(0)) resolve();
  }

  #frameAt(at: number): (Received & { readonly end: number }) | null {
    const bytes = this.#buffer;
    if (bytes.length < at + 2) return null;
    const short = (bytes[at + 1] as number) & 0x7f;
    const extra = short === 126 ? 2 : short === 127 ? 8 : 0;
    if (bytes.length < at + 2 + extra) return null;
    let length = extra === 0 ? short : 0;
    for (let i = 0; i < extra; i++) length = length * 256 + (bytes[at + 2 + i] as number);
    const start = at + 2 + extra;
    const end = start + length;
    if (bytes.length < end) return null;
    return { opcode: (bytes[at] as number) & 0x0f, payload: bytes.slice(start, end), end };
  }
}

function be32(value: number): number[] {
  return [(value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}
