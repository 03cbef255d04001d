// One direction of one connection through the fault proxy: what came in waits here until the fault of the moment lets it out.
// Order is kept, ends and resets included; a source that is faster than its sink is paused.
import type { Socket } from "node:net";

/** What travels: bytes, an orderly end, or a reset. */
type Piece = Buffer | "end" | "reset";

interface Waiting {
  readonly piece: Piece;
  readonly due: number;
}

/** A source is paused while more than this waits. */
const waitingBytesMax = 8 * 1024 * 1024;

/** What may be done to one direction; read afresh for every piece. */
export interface Conditions {
  /** Nothing leaves. */
  readonly held: boolean;
  readonly delayMs: number;
}

/** Where a direction goes from and to. */
export interface Ends {
  readonly source: Socket;
  readonly sink: Socket;
}

/** Carries what `source` sends to `sink`, under the conditions of the moment. */
export class Flow {
  readonly #ends: Ends;
  readonly #conditions: () => Conditions;
  readonly #deliver: (bytes: Buffer) => void;
  readonly #queue: Waiting[] = [];
  #waitingBytes = 0;
  #timer: Timer | null = null;

  /** @param deliver gets bytes at the moment they leave, and writes what it wants of them to the sink */
  constructor(ends: Ends, conditions: () => Conditions, deliver: (bytes: Buffer) => void) {
    this.#ends = ends;
    this.#conditions = conditions;
    this.#deliver = deliver;
    let ended = false;
    ends.source.on("data", (bytes: Buffer) => this.#take(bytes));
    ends.source.on("end", () => {
      ended = true;
      this.#take("end");
    });
    ends.source.on("close", (hadError) => {
      if (hadError || !ended) this.#take("reset");
    });
    ends.sink.on("drain", () => this.pump());
  }

  /** Bytes that came in and have not left. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Lets out what may leave; to be called whenever a condition changed. */
  pump(): void {
    this.#cancelTimer();
    const { source, sink } = this.#ends;
    while (this.#queue.length > 0 && !sink.writableNeedDrain && !this.#conditions().held) {
      const next = this.#queue[0] as Waiting;
      const waitMs = next.due - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.pump(), waitMs);
        break;
      }
      this.#queue.shift();
      this.#pass(next.piece);
    }
    if (this.#waitingBytes <= waitingBytesMax / 2 && source.isPaused()) source.resume();
  }

  /** Drops what waits: the connection is gone. */
  drop(): void {
    this.#cancelTimer();
    this.#queue.length = 0;
    this.#waitingBytes = 0;
  }

  #take(piece: Piece): void {
    if (this.#ends.sink.destroyed) return;
    this.#queue.push({ piece, due: performance.now() + this.#conditions().delayMs });
    if (typeof piece !== "string") this.#waitingBytes += piece.length;
    if (this.#waitingBytes > waitingBytesMax) this.#ends.source.pause();
    this.pump();
  }

  #pass(piece: Piece): void {
    if (piece === "reset") {
      this.#ends.sink.resetAndDestroy();
    } else if (piece === "end") {
      this.#ends.sink.end();
    } else {
      this.#waitingBytes -= piece.length;
      this.#deliver(piece);
    }
  }

  #cancelTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
