// The bytes that the benches send and count: `send` requests of 128-byte texts, and pushes of the entries they become.
// A text opens with the microsecond it was sent at, so that every delivery tells its own latency.
import { decodeFrames, encode } from "../src/protocol/codec";
import type { EntryTuple } from "../src/protocol/entry";
import { frameTypes } from "../src/protocol/frames";

/** Bytes of every text. */
export const textBytes = 128;
const digits = 12;
const itemBytes = 1 + 1 + 16 + 1 + 2 + textBytes;

/** Microseconds on the generator's clock. */
export function nowUs(): number {
  return Math.round(performance.now() * 1000);
}

/** A buffer for `send` requests of one conversation, rewritten for each: texts of {@link textBytes}, client ids of 16. */
export class SendTemplate {
  readonly #bytes: Uint8Array;
  readonly #tag: string;
  readonly #start: number;
  #serial = 0;

  /** @param tag 8 letters, unique among senders of a run; @param itemsMax most messages of one request */
  constructor(conversation: string, tag: string, itemsMax: number) {
    const empty = encode([frameTypes.request, 0xffffffff, "send", [conversation, []]]);
    this.#tag = tag;
    this.#start = empty.length + 2;
    this.#bytes = new Uint8Array(this.#start + itemsMax * itemBytes).fill(0x78);
    this.#bytes.set(empty);
    for (let i = 0; i < itemsMax; i++) {
      const at = this.#start + i * itemBytes;
      this.#bytes.set([0x92, 0xb0], at);
      this.#bytes.set([0x91, 0xd9, textBytes], at + 18);
    }
  }

  /** The request's bytes, valid until the next call. Every text says when it was sent, or was due. */
  fill(id: number, items: number, sentUs: (item: number) => number): Uint8Array {
    const view = new DataView(this.#bytes.buffer);
    // Array header, type, then the id as a uint32: encode() above made room for it.
    view.setUint32(3, id);
    this.#bytes[this.#start - 3] = 0xdc;
    view.setUint16(this.#start - 2, items);
    for (let i = 0; i < items; i++) {
      const at = this.#start + i * itemBytes;
      for (let k = 0; k < 8; k++) this.#bytes[at + 2 + k] = this.#tag.charCodeAt(k);
      writeDigits(this.#bytes, at + 10, this.#serial++, 8);
      writeDigits(this.#bytes, at + 21, sentUs(i), digits);
    }
    return this.#bytes.subarray(0, this.#start + items * itemBytes);
  }
}

/** How many messages a request made by {@link SendTemplate} carries, and when each was sent: for the raw server. */
export function readSends(bytes: Uint8Array): { items: number; timeAt: (item: number) => Uint8Array } {
  const items = Math.floor((bytes.length - 1) / itemBytes);
  const start = bytes.length - items * itemBytes;
  return {
    items,
    timeAt: (item) => bytes.subarray(start + item * itemBytes + 21, start + item * itemBytes + 21 + digits),
  };
}

/** An `entries` push of one entry, as Parley's wire has it, to be rewritten for each message: for the raw server. */
export class PushTemplate {
  readonly bytes: Uint8Array;
  readonly #seqAt: number;
  readonly #timeAt: number;

  constructor(conversation: string) {
    const entry = [
      0xffffffff,
      0xffffffff,
      1,
      true,
      2 ** 41,
      "user-00000-000",
      null,
      "x".repeat(16),
      null,
      ["x".repeat(textBytes)],
    ];
    this.bytes = encode([frameTypes.push, "entries", conversation, [entry]]);
    this.#seqAt = this.bytes.indexOf(0xce) + 1;
    this.#timeAt = this.bytes.length - textBytes;
  }

  fill(seq: number, time: Uint8Array): Uint8Array {
    new DataView(this.bytes.buffer, this.bytes.byteOffset).setUint32(this.#seqAt, seq);
    this.bytes.set(time, this.#timeAt);
    return this.bytes;
  }
}

/** What one push of entries brings. */
export interface Batch {
  readonly bytes: number;
  readonly first: number;
  readonly count: number;
  /** When each message was sent, averaged over the batch and for its oldest. */
  readonly oldestUs: number;
}

/**
 * Where the first seq of an `entries` push stands and what it is, without decoding: `null` for any other frame.
 * The layout is fixed by the wire up to there: array of 4, push, "entries", the conversation's 23 letters, an array, an entry.
 */
export function peekSeq(bytes: Uint8Array, at: number): number | null {
  if (bytes[at] !== 0x94 || bytes[at + 1] !== frameTypes.push || bytes[at + 2] !== 0xa7 || bytes[at + 3] !== 0x65)
    return null;
  if (bytes[at + 10] !== 0xb7) return null;
  const array = at + 34;
  const entry = bytes[array] === 0xdc ? array + 3 : array + 1;
  const seq = entry + 1;
  const lead = bytes[seq]!;
  if (lead < 0x80) return lead;
  if (lead === 0xcc) return bytes[seq + 1]!;
  if (lead === 0xcd) return bytes[seq + 1]! * 0x100 + bytes[seq + 2]!;
  if (lead !== 0xce) return null;
  return ((bytes[seq + 1]! * 0x100 + bytes[seq + 2]!) * 0x100 + bytes[seq + 3]!) * 0x100 + bytes[seq + 4]!;
}

/** What a whole message brings: the batch of its `entries` pushes, and its other frames. */
export function readPayload(payload: Uint8Array): { batch: Batch | null; others: readonly (readonly unknown[])[] } {
  let batch: Batch | null = null;
  const others: (readonly unknown[])[] = [];
  for (const frame of decodeFrames(payload)) {
    if (frame[0] !== frameTypes.push || frame[1] !== "entries") others.push(frame);
    else batch = addBatch(batch, frame[3] as readonly EntryTuple[], payload.length);
  }
  return { batch, others };
}

function addBatch(batch: Batch | null, entries: readonly EntryTuple[], bytes: number): Batch {
  let oldestUs = batch?.oldestUs ?? Infinity;
  for (const entry of entries) {
    const text = entry[2] === 1 ? (entry[9] as readonly unknown[])[0] : null;
    if (typeof text === "string") oldestUs = Math.min(oldestUs, Number(text.slice(0, digits)));
  }
  const first = batch?.first ?? entries[0]![0];
  return { bytes, first, count: (batch?.count ?? 0) + entries.length, oldestUs };
}

function writeDigits(bytes: Uint8Array, at: number, value: number, width: number): void {
  let left = value;
  for (let i = width - 1; i >= 0; i--) {
    bytes[at + i] = 0x30 + (left % 10);
    left = Math.floor(left / 10);
  }
}
