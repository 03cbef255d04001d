// What is sent to one connection: gathered for a turn of the event loop, written at once, closed when it is read too slowly.
// One outbox a server, one line a connection. Keeps G11: nothing is ever dropped from the middle of what a client receives.
import { closeCodes } from "../protocol/codes";
import type { CloseReason } from "../protocol/codes";
import { encodePush, packMessages } from "../protocol/codec";
import { limits } from "../protocol/limits";
import type { SessionLine } from "../actors/session-world";
import type { Clock } from "../lib/clock";

/** What of a socket is needed to write to it; websocket.ts hands in Bun's. */
export interface Socket {
  /** Above 0: written or buffered; -1: buffered; 0: dropped. */
  sendBinary(bytes: Uint8Array): number;
  /** Writes of `write`, and what is published to the socket and not yet written, leave as one. */
  cork(write: () => void): void;
  subscribe(topic: string): void;
  unsubscribe(topic: string): void;
  isSubscribed(topic: string): boolean;
  readonly subscriptions: readonly string[];
  /** Bytes sent or published that the kernel has not taken. */
  getBufferedAmount(): number;
  ping(payload?: string): void;
  close(code: number, reason: string): void;
  terminate(): void;
}

/** What the outbox records. */
export interface OutboxMeter {
  slowConsumer(): void;
  dropped(what: string): void;
  connectionClosed(reason: string): void;
}

/** How long a connection that is being closed may take to read what was sent before, milliseconds. */
const lingerMs = 5_000;
/** Bytes that may be published between two looks at all buffers. */
export const publishedBytesMax = 1024 * 1024;

/** Messages that Bun holds back for one socket before it adds them to the buffer that can be looked at. */
const heldBackMax = 32;

/**
 * The limit at which the socket itself begins to drop. Never reached: between two looks a buffer grows by at most
 * `publishedBytesMax`, what was held back, and the connection's own answers; past `slowBytes` it is closed.
 */
export function dropLimit(slowBytes: number): number {
  return slowBytes + publishedBytesMax + 2 * heldBackMax * limits.frameBytesMax;
}

/** Writes what lines gathered, at the end of each turn. */
export class Outbox {
  readonly clock: Clock;
  readonly meter: OutboxMeter;
  /** Unsent bytes past which a connection is closed. */
  readonly slowBytes: number;
  #waiting: Line[] = [];

  constructor(clock: Clock, meter: OutboxMeter, slowBytes: number) {
    this.clock = clock;
    this.meter = meter;
    this.slowBytes = slowBytes;
  }

  /** Called by a line that has begun to gather. */
  add(line: Line): void {
    if (this.#waiting.push(line) === 1) this.clock.endOfTurn(() => this.flush());
  }

  /** Writes everything gathered. */
  flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const line of waiting) line.flush();
  }
}

/** One connection's way out. */
export class Line implements SessionLine {
  readonly #outbox: Outbox;
  readonly #socket: Socket;
  /** Frames of this turn; null while there are none. */
  #frames: Uint8Array[] | null = null;
  #bytes = 0;
  /** Monotonic milliseconds since when it is closing, 0 while it is not; -1 once it is closed. */
  #closingSince = 0;
  #reason: CloseReason | null = null;

  constructor(outbox: Outbox, socket: Socket) {
    this.#outbox = outbox;
    this.#socket = socket;
  }

  send(frame: Uint8Array): void {
    if (this.#closingSince !== 0) return;
    if (this.#frames === null) {
      this.#frames = [];
      this.#outbox.add(this);
    }
    this.#frames.push(frame);
    this.#bytes += frame.length;
    if (this.#bytes >= limits.frameBytesMax) this.flush();
  }

  sendNow(frame: Uint8Array): void {
    this.send(frame);
    this.flush();
  }

  subscribe(topic: string): void {
    if (this.#closingSince === 0) this.#socket.subscribe(topic);
  }

  unsubscribe(topic: string): void {
    if (this.#closingSince === 0) this.#socket.unsubscribe(topic);
  }

  isSubscribed(topic: string): boolean {
    return this.#closingSince === 0 && this.#socket.isSubscribed(topic);
  }

  close(reason: CloseReason, retryAfterMs: number | null): void {
    if (this.#closingSince !== 0) return;
    this.send(encodePush("goodbye", closeCodes[reason].code, retryAfterMs));
    this.flush();
    if (this.#closingSince !== 0) return;
    this.#reason = reason;
    this.#closingSince = Math.max(1, this.#outbox.clock.monotonic());
    // What is published from here on comes after goodbye; nobody shall receive it.
    for (const topic of this.#socket.subscriptions) this.#socket.unsubscribe(topic);
    this.drained();
  }

  /** Writes what was gathered, in as few messages as frames allow. */
  flush(): void {
    const frames = this.#frames;
    if (frames === null) return;
    this.#frames = null;
    this.#bytes = 0;
    if (this.#closingSince !== 0) return;
    this.#socket.cork(() => {
      for (const message of packMessages(frames)) this.#write(message);
    });
  }

  #write(message: Uint8Array): void {
    if (this.#socket.sendBinary(message) !== 0 || this.#closingSince === -1) return;
    // The socket dropped it: whatever came later would hide the gap, so nothing comes later.
    this.#outbox.meter.dropped("socket_buffer");
    this.#socket.terminate();
  }

  /** Called when the kernel took something, and by close: a closing line goes once all is written. */
  drained(): void {
    if (this.#closingSince <= 0 || this.#reason === null || this.#socket.getBufferedAmount() > 0) return;
    this.#closingSince = -1;
    this.#socket.close(closeCodes[this.#reason].code, this.#reason);
  }

  /** Asks the client's WebSocket whether it is there: it answers without its program. */
  ping(payload = ""): void {
    if (this.#closingSince === 0) this.#socket.ping(payload);
  }

  /** Bytes that wait for the kernel. Closing: cuts the connection once it took too long to read. */
  look(nowMs: number): number {
    if (this.#closingSince > 0 && nowMs - this.#closingSince > lingerMs) this.#socket.terminate();
    return this.#closingSince === -1 ? 0 : this.#socket.getBufferedAmount();
  }

  /** Whether it says goodbye or has said it. */
  get closing(): boolean {
    return this.#closingSince !== 0;
  }

  /** The socket is gone. Answers why, where the server closed it. */
  gone(): CloseReason | null {
    this.#closingSince = -1;
    this.#frames = null;
    return this.#reason;
  }
}
