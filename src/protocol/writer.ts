// Values to MessagePack, in the one form that parley.v1 writes: the shortest, without extension types, integers as integers.
// Owned by codec.ts. Written by hand because it is quicker than a library and small in a browser (docs/decisions).
import { limits } from "./limits";
import { writeUtf8 } from "./utf8";

const startBytes = 16 * 1024;
/** Above this the buffer is given back after use, so that one large value does not hold memory for ever. */
const keptBytesMax = 1024 * 1024;
const high32 = 0x1_0000_0000;

/** A value that is encoded already: its bytes stand in what is written, unchanged. They must be exactly one value. */
export class Encoded {
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/**
 * Encodes one value at a time into a buffer of its own and answers copies.
 *
 * `undefined` is nil in an array and left out of a map. Throws a TypeError for what the wire has no form for (functions,
 * symbols, class instances, BigInt past 2^53 − 1) and a RangeError for nesting past `nestingMax`, cycles included.
 */
export class Writer {
  #bytes = new Uint8Array(startBytes);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  /** The encoded value, in memory of its own. */
  encode(value: unknown): Uint8Array {
    this.#at = 0;
    this.#value(value, 0);
    const result = this.#bytes.slice(0, this.#at);
    if (this.#bytes.length > keptBytesMax) this.#resize(startBytes);
    return result;
  }

  #value(value: unknown, depth: number): void {
    if (this.#bytes.length - this.#at < 16) this.#reserve(16);
    if (typeof value === "string") this.#text(value);
    else if (typeof value === "number") this.#number(value);
    else if (value === null || value === undefined) this.#bytes[this.#at++] = 0xc0;
    else if (typeof value === "boolean") this.#bytes[this.#at++] = value ? 0xc3 : 0xc2;
    else if (typeof value === "object") this.#object(value, depth + 1);
    else if (typeof value === "bigint" && Number.isSafeInteger(Number(value))) this.#number(Number(value));
    else throw new TypeError(`a ${typeof value} has no form on the wire`);
  }

  #object(value: object, depth: number): void {
    if (depth > limits.nestingMax) throw new RangeError(`nested deeper than ${limits.nestingMax}`);
    if (Array.isArray(value)) {
      this.#head(value.length, 0x90, 16, 0xdc);
      for (let i = 0; i < value.length; i++) this.#value(value[i], depth);
    } else if (value instanceof Uint8Array) this.#binary(value);
    else if (value instanceof Encoded) this.#splice(value.bytes);
    else this.#map(value as Readonly<Record<string, unknown>>, depth);
  }

  #map(value: Readonly<Record<string, unknown>>, depth: number): void {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null)
      throw new TypeError("only plain objects have a form on the wire");
    const keys = Object.keys(value);
    let count = 0;
    for (const key of keys) if (value[key] !== undefined) count++;
    this.#head(count, 0x80, 16, 0xde);
    for (const key of keys) {
      const item = value[key];
      if (item === undefined) continue;
      this.#reserve(16);
      this.#text(key);
      this.#value(item, depth);
    }
  }

  /** The head of an array or map: `fix` with the count within it below `fixed`, else `wide` and two bytes, or the next and four. */
  #head(count: number, fix: number, fixed: number, wide: number): void {
    if (count < fixed) this.#bytes[this.#at++] = fix | count;
    else if (count <= 0xffff) this.#two(wide, count);
    else this.#four(wide + 1, count);
  }

  #binary(value: Uint8Array): void {
    const size = value.length;
    this.#reserve(size + 5);
    if (size <= 0xff) this.#one(0xc4, size);
    else if (size <= 0xffff) this.#two(0xc5, size);
    else this.#four(0xc6, size);
    this.#bytes.set(value, this.#at);
    this.#at += size;
  }

  #splice(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #number(value: number): void {
    if (!Number.isSafeInteger(value)) {
      this.#bytes[this.#at] = 0xcb;
      this.#view.setFloat64(this.#at + 1, value);
      this.#at += 9;
    } else if (value >= 0) {
      // `| 0` because minus zero is written as zero
      if (value < 0x80) this.#bytes[this.#at++] = value | 0;
      else if (value <= 0xff) this.#one(0xcc, value);
      else if (value <= 0xffff) this.#two(0xcd, value);
      else if (value < high32) this.#four(0xce, value);
      else this.#eight(0xcf, value);
    } else if (value >= -0x20) this.#bytes[this.#at++] = value;
    else if (value >= -0x80) this.#one(0xd0, value);
    else if (value >= -0x8000) this.#two(0xd1, value);
    else if (value >= -0x8000_0000) this.#four(0xd2, value);
    else this.#eight(0xd3, value);
  }

  #text(text: string): void {
    const length = text.length;
    if (length < 32 && this.#shortAscii(text, length)) return;
    this.#reserve(length * 3 + 5);
    // The head's size is guessed from the length in units, right for ASCII; else the bytes are moved.
    const guessed = headBytes(length);
    const size = writeUtf8(this.#bytes, text, this.#at + guessed);
    const head = headBytes(size);
    if (head !== guessed) this.#bytes.copyWithin(this.#at + head, this.#at + guessed, this.#at + guessed + size);
    if (size < 32) this.#bytes[this.#at++] = 0xa0 | size;
    else if (size <= 0xff) this.#one(0xd9, size);
    else if (size <= 0xffff) this.#two(0xda, size);
    else this.#four(0xdb, size);
    this.#at += size;
  }

  #shortAscii(text: string, length: number): boolean {
    this.#reserve(length + 1);
    const bytes = this.#bytes;
    const start = this.#at + 1;
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0x7f) return false;
      bytes[start + i] = unit;
    }
    bytes[this.#at] = 0xa0 | length;
    this.#at = start + length;
    return true;
  }

  #one(head: number, value: number): void {
    this.#bytes[this.#at] = head;
    this.#bytes[this.#at + 1] = value;
    this.#at += 2;
  }

  #two(head: number, value: number): void {
    this.#bytes[this.#at] = head;
    this.#view.setUint16(this.#at + 1, value);
    this.#at += 3;
  }

  #four(head: number, value: number): void {
    this.#bytes[this.#at] = head;
    this.#view.setUint32(this.#at + 1, value);
    this.#at += 5;
  }

  #eight(head: number, value: number): void {
    const high = Math.floor(value / high32);
    this.#bytes[this.#at] = head;
    this.#view.setInt32(this.#at + 1, high);
    this.#view.setUint32(this.#at + 5, value - high * high32);
    this.#at += 9;
  }

  #reserve(size: number): void {
    const needed = this.#at + size;
    if (needed <= this.#bytes.length) return;
    let length = this.#bytes.length * 2;
    while (length < needed) length *= 2;
    this.#resize(length);
  }

  #resize(length: number): void {
    const bytes = new Uint8Array(length);
    bytes.set(this.#bytes.subarray(0, Math.min(this.#at, length)));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}

/** Bytes before a string of `size` bytes. */
function headBytes(size: number): number {
  if (size < 32) return 1;
  if (size <= 0xff) return 2;
  return size <= 0xffff ? 3 : 5;
}
