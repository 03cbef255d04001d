// A WebSocket client of the load generator, over plain TCP: it skips what it need not decode, so that a delivery costs
// next to nothing on the generator's side. Not for use elsewhere: it trusts the server.
import type { Socket } from "bun";
import { subprotocol } from "../src/protocol/frames";

/** What a socket's owner wants to know. */
export interface RawSocketEvents {
  /**
   * A message begins: `length` bytes, of which at least `peekBytes` (or all) stand in `bytes` from `at`.
   * True: it is accounted for and its bytes are skipped. False: `onMessage` wants it whole.
   */
  skip(bytes: Uint8Array, at: number, length: number): boolean;
  onMessage(payload: Uint8Array): void;
  onClose(code: number): void;
}

/** Bytes of a message that `skip` is shown at least. */
export const peekBytes = 64;

const binary = 0x82;
const closing = 0x8;
const pinging = 0x9;

/** One upgraded connection. Writes are buffered while the kernel takes none. */
export class RawSocket {
  #socket: Socket<undefined> | null = null;
  readonly #events: RawSocketEvents;
  readonly #upgraded = Promise.withResolvers<void>();
  #handshake: string | null = "";
  #carry: Uint8Array | null = null;
  #skipping = 0;
  #whole: Uint8Array | null = null;
  #wholeAt = 0;
  #opcode = 0;
  #unsent: Uint8Array[] = [];

  private constructor(events: RawSocketEvents) {
    this.#events = events;
  }

  /** Connects and upgrades. Rejects when the server refuses. */
  static async open(port: number, path: string, events: RawSocketEvents): Promise<RawSocket> {
    const raw = new RawSocket(events);
    raw.#socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_, bytes) => raw.#read(bytes),
        drain: () => raw.#flush(),
        close: () => raw.#closed(1006),
        error: () => raw.#closed(1006),
      },
    });
    raw.#socket.write(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: cGFybGV5LWJlbmNobWFyaw==\r\nSec-WebSocket-Version: 13\r\n` +
        `Sec-WebSocket-Protocol: ${subprotocol}\r\n\r\n`,
    );
    await raw.#upgraded.promise;
    return raw;
  }

  /** Sends one binary message. The payload may be reused after the call. */
  send(payload: Uint8Array): void {
    this.#write(frame(binary, payload));
  }

  close(): void {
    this.#socket?.end();
  }

  #write(bytes: Uint8Array): void {
    if (this.#unsent.length > 0) {
      this.#unsent.push(bytes);
      return;
    }
    const sent = Math.max(0, this.#socket?.write(bytes) ?? 0);
    if (sent < bytes.length) this.#unsent.push(bytes.subarray(sent));
  }

  #flush(): void {
    const waiting = this.#unsent;
    this.#unsent = [];
    for (const bytes of waiting) this.#write(bytes);
  }

  #closed(code: number): void {
    this.#upgraded.reject(new Error("the server refused the upgrade"));
    this.#upgraded.promise.catch(() => undefined);
    this.#events.onClose(code);
  }

  #read(chunk: Uint8Array): void {
    let bytes = this.#handshake === null ? chunk : this.#readHandshake(chunk);
    if (this.#carry) {
      bytes = Buffer.concat([this.#carry, bytes]);
      this.#carry = null;
    }
    let at = 0;
    while (at < bytes.length) {
      if (this.#skipping > 0 || this.#whole) at = this.#takeRest(bytes, at);
      else {
        const next = this.#begin(bytes, at);
        if (next < 0) {
          this.#carry = bytes.slice(at);
          return;
        }
        at = next;
      }
    }
  }

  /** Answers what follows the handshake. */
  #readHandshake(chunk: Uint8Array): Uint8Array {
    this.#handshake += Buffer.from(chunk).toString("latin1");
    const end = this.#handshake!.indexOf("\r\n\r\n");
    if (end < 0) return new Uint8Array(0);
    if (!this.#handshake!.startsWith("HTTP/1.1 101")) {
      this.#closed(1002);
      return new Uint8Array(0);
    }
    const rest = Buffer.from(this.#handshake!.slice(end + 4), "latin1");
    this.#handshake = null;
    this.#upgraded.resolve();
    return rest;
  }

  /** Reads a message's header; answers where to go on, or −1 where more bytes are needed. */
  #begin(bytes: Uint8Array, start: number): number {
    if (bytes.length - start < 2) return -1;
    let at = start + 2;
    let length = bytes[start + 1]! & 0x7f;
    if (length >= 126) {
      const wide = length === 127 ? 8 : 2;
      if (bytes.length - at < wide) return -1;
      length = 0;
      for (let i = 0; i < wide; i++) length = length * 256 + bytes[at + i]!;
      at += wide;
    }
    if (bytes.length - at < Math.min(length, peekBytes)) return -1;
    this.#opcode = bytes[start]! & 0x0f;
    if (this.#opcode <= 2 && this.#events.skip(bytes, at, length)) {
      this.#skipping = length;
    } else if (bytes.length - at >= length) {
      this.#complete(bytes.subarray(at, at + length));
      return at + length;
    } else {
      this.#whole = new Uint8Array(length);
      this.#wholeAt = 0;
    }
    return at;
  }

  #takeRest(bytes: Uint8Array, at: number): number {
    if (!this.#whole) {
      const skipped = Math.min(this.#skipping, bytes.length - at);
      this.#skipping -= skipped;
      return at + skipped;
    }
    const part = bytes.subarray(at, at + this.#whole.length - this.#wholeAt);
    this.#whole.set(part, this.#wholeAt);
    this.#wholeAt += part.length;
    if (this.#wholeAt === this.#whole.length) {
      const payload = this.#whole;
      this.#whole = null;
      this.#complete(payload);
    }
    return at + part.length;
  }

  #complete(payload: Uint8Array): void {
    if (this.#opcode === pinging) this.#write(frame(0x8a, payload));
    else if (this.#opcode === closing)
      this.#events.onClose(payload.length >= 2 ? payload[0]! * 256 + payload[1]! : 1005);
    else this.#events.onMessage(payload);
  }
}

/** A client's frame; masked with zeros, which leaves the payload as it is. */
function frame(first: number, payload: Uint8Array): Uint8Array {
  const wide = payload.length > 0xffff ? 8 : payload.length > 125 ? 2 : 0;
  const bytes = new Uint8Array(2 + wide + 4 + payload.length);
  bytes[0] = first;
  bytes[1] = 0x80 | (wide === 8 ? 127 : wide === 2 ? 126 : payload.length);
  let left = payload.length;
  for (let i = 1 + wide; i > 1; i--) {
    bytes[i] = left & 0xff;
    left = Math.floor(left / 256);
  }
  bytes.set(payload, 2 + wide + 4);
  return bytes;
}
