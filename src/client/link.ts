// One socket, from opening to its end: frames out (gathered per tick), frames in, heartbeat.
// Owned by Connection, which makes a new one for every attempt.
import { decodeFrames, encode } from "../protocol/codec";
import { frameTypes, subprotocol } from "../protocol/frames";
import { limits } from "../protocol/limits";
import type { ClientClock } from "./clock";
import type { ClientSocket, WebSocketConstructor } from "./types";

/** What the owner of a link is told; nothing follows `onDown`, which comes once. */
export interface LinkEvents {
  onOpen(): void;
  onFrame(frame: readonly unknown[]): void;
  /** @param code the WebSocket's close code; 1006 where nothing was heard */
  onDown(code: number, why: string): void;
}

/** An attempt that is not answered by then has failed. */
const openTimeoutMs = 15_000;
const pingFrame = encode([frameTypes.ping]);
const pongFrame = encode([frameTypes.pong]);

/** One attempt and what became of it. A link is never used again once it is down. */
export class Link {
  readonly #clock: ClientClock;
  readonly #events: LinkEvents;
  readonly #socket: ClientSocket;
  #state: "opening" | "open" | "down" = "opening";
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #lastHeard: number;
  #lastSent: number;
  #heartbeatMs = 0;
  #cancelTimer: () => void;

  /** Throws what the WebSocket's constructor throws. */
  constructor(url: string, webSocket: WebSocketConstructor, clock: ClientClock, events: LinkEvents) {
    this.#clock = clock;
    this.#events = events;
    this.#lastHeard = this.#lastSent = clock.monotonic();
    this.#cancelTimer = clock.after(openTimeoutMs, () => this.#down(1006, "no connection in time"));
    this.#socket = new webSocket(url, subprotocol);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.#opened();
    this.#socket.onmessage = (event) => this.#received(event.data);
    this.#socket.onclose = (event) => this.#down(event.code, event.reason);
    // A close event always follows an error event.
    this.#socket.onerror = () => {};
  }

  /** Sends with whatever else is sent in this tick, in order; dropped once the link is down. */
  send(frame: Uint8Array): void {
    if (this.#state === "down") return;
    if (this.#waitingBytes + frame.length > limits.frameBytesMax) this.#flush();
    if (this.#waiting.length === 0) queueMicrotask(() => this.#flush());
    this.#waiting.push(frame);
    this.#waitingBytes += frame.length;
  }

  /** Begins to keep the connection alive: something is sent at least every `ms`, and silence of 2 × `ms` ends it. */
  heartbeat(ms: number): void {
    this.#heartbeatMs = Math.min(Math.max(ms, 1_000), 300_000);
    this.#cancelTimer();
    this.#beat();
  }

  /** Ends the link as if it had been lost; `onDown` is called before this returns. */
  drop(code: number, why: string): void {
    this.#down(code, why);
  }

  #opened(): void {
    if (this.#state !== "opening") return;
    this.#state = "open";
    this.#cancelTimer();
    this.#events.onOpen();
  }

  #received(data: unknown): void {
    if (this.#state !== "open") return;
    this.#lastHeard = this.#clock.monotonic();
    const bytes = bytesOf(data);
    if (!bytes) return this.#down(1002, "a text message");
    let frames: readonly (readonly unknown[])[];
    try {
      frames = decodeFrames(bytes);
    } catch (error) {
      return this.#down(1002, String(error));
    }
    for (const frame of frames) {
      if (frame[0] === frameTypes.ping) this.send(pongFrame);
      else if (frame[0] !== frameTypes.pong) this.#events.onFrame(frame);
    }
  }

  #beat(): void {
    const now = this.#clock.monotonic();
    if (now - this.#lastHeard > 2 * this.#heartbeatMs) return this.#down(1006, "nothing was heard");
    const half = this.#heartbeatMs / 2;
    // Pinging also when only listening: the answer shows that the other side is there.
    if (now - this.#lastSent >= half || now - this.#lastHeard >= half) this.send(pingFrame);
    this.#cancelTimer = this.#clock.after(half, () => this.#beat());
  }

  #flush(): void {
    if (this.#waiting.length === 0 || this.#state !== "open") return;
    const bytes =
      this.#waiting.length === 1 ? (this.#waiting[0] as Uint8Array) : join(this.#waiting, this.#waitingBytes);
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#lastSent = this.#clock.monotonic();
    try {
      this.#socket.send(bytes as never);
    } catch (error) {
      this.#down(1006, String(error));
    }
  }

  #down(code: number, why: string): void {
    if (this.#state === "down") return;
    this.#state = "down";
    this.#cancelTimer();
    this.#waiting = [];
    // A half-open socket may take minutes to say that it closed: nobody waits for it.
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    try {
      this.#socket.close(1000);
    } catch {
      // It was closed already, which is what is wanted.
    }
    this.#events.onDown(code, why);
  }
}

function bytesOf(data: unknown): Uint8Array | null {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return null;
}

function join(parts: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
