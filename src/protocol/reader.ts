// MessagePack to values, in one pass over bytes that nobody vouches for: checks and decodes at once (G11).
// Owned by codec.ts. Whatever the bytes say, work and memory stay within a small multiple of their number.
import { limits } from "./limits";
import { readUtf8 } from "./utf8";

/** Thrown for bytes that are not what PROTOCOL.md describes; the connection is closed with `malformedFrame`. */
export class MalformedFrame extends Error {}

const high32 = 0x1_0000_0000;
/** The upper half of 2^53 − 1. */
const highMax = 0x1f_ffff;

/**
 * Reads values one after the other.
 *
 * Refused with {@link MalformedFrame}: bytes that end too soon, 0xc1 and every extension type, text that is not strict UTF-8,
 * keys of maps that are not text, integers past ±(2^53 − 1), nesting past `nestingMax`, counts that the bytes left cannot hold.
 * Of a key that comes twice the last value stands; `__proto__` is a key like any other. Binary is copied out.
 */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #end: number;
  #at = 0;
  #depth = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#end = bytes.length;
  }

  /** Whether every byte was read. */
  get done(): boolean {
    return this.#at === this.#end;
  }

  /** One value of any type. */
  value(): unknown {
    if (this.#at >= this.#end) return short();
    const head = this.#bytes[this.#at++] as number;
    if (head < 0x80) return head;
    if (head >= 0xe0) return head - 0x100;
    if (head < 0x90) return this.#map(head & 0x0f);
    if (head < 0xa0) return this.#array(head & 0x0f);
    if (head < 0xc0) return this.#text(head & 0x1f);
    return this.#wide(head);
  }

  /** One value, which must be an array. */
  array(): readonly unknown[] {
    const value = this.value();
    if (!Array.isArray(value)) throw new MalformedFrame("a frame is an array");
    return value;
  }

  #wide(head: number): unknown {
    switch (head) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return this.#binary(this.#bytes[this.#take(1)] as number);
      case 0xc5:
        return this.#binary(this.#view.getUint16(this.#take(2)));
      case 0xc6:
        return this.#binary(this.#view.getUint32(this.#take(4)));
      case 0xd9:
        return this.#text(this.#bytes[this.#take(1)] as number);
      case 0xda:
        return this.#text(this.#view.getUint16(this.#take(2)));
      case 0xdb:
        return this.#text(this.#view.getUint32(this.#take(4)));
      case 0xdc:
        return this.#array(this.#view.getUint16(this.#take(2)));
      case 0xdd:
        return this.#array(this.#view.getUint32(this.#take(4)));
      case 0xde:
        return this.#map(this.#view.getUint16(this.#take(2)));
      case 0xdf:
        return this.#map(this.#view.getUint32(this.#take(4)));
      default:
        return this.#number(head);
    }
  }

  #number(head: number): number {
    switch (head) {
      case 0xca:
        return this.#view.getFloat32(this.#take(4));
      case 0xcb:
        return this.#view.getFloat64(this.#take(8));
      case 0xcc:
        return this.#bytes[this.#take(1)] as number;
      case 0xcd:
        return this.#view.getUint16(this.#take(2));
      case 0xce:
        return this.#view.getUint32(this.#take(4));
      case 0xcf:
        return this.#long(this.#view.getUint32(this.#take(8)));
      case 0xd0:
        return this.#view.getInt8(this.#take(1));
      case 0xd1:
        return this.#view.getInt16(this.#take(2));
      case 0xd2:
        return this.#view.getInt32(this.#take(4));
      case 0xd3:
        return this.#long(this.#view.getInt32(this.#take(8)));
      default:
        throw new MalformedFrame(`type 0x${head.toString(16)} is not spoken here`);
    }
  }

  /** The integer of eight bytes that were just taken; `high` is their upper half. */
  #long(high: number): number {
    const value = high * high32 + this.#view.getUint32(this.#at - 4);
    if (high > highMax || !Number.isSafeInteger(value)) throw new MalformedFrame("an integer past 2^53 − 1");
    return value;
  }

  #text(size: number): string {
    const start = this.#take(size);
    const text = readUtf8(this.#bytes, start, this.#at);
    if (text === undefined) throw new MalformedFrame("text that is not UTF-8");
    return text;
  }

  #binary(size: number): Uint8Array {
    const start = this.#take(size);
    const copy = new Uint8Array(size);
    copy.set(this.#bytes.subarray(start, this.#at));
    return copy;
  }

  #array(count: number): unknown[] {
    this.#open(count);
    // Grown item by item: a count that lies must not reserve memory at each level of nesting.
    const items: unknown[] = [];
    for (let i = 0; i < count; i++) items.push(this.value());
    this.#depth--;
    return items;
  }

  #map(count: number): Record<string, unknown> {
    this.#open(count * 2);
    const map: Record<string, unknown> = {};
    for (let i = 0; i < count; i++) {
      const key = this.value();
      if (typeof key !== "string") throw new MalformedFrame("a key that is not text");
      const value = this.value();
      if (key === "__proto__")
        Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true });
      else map[key] = value;
    }
    this.#depth--;
    return map;
  }

  /** Enters an array or map of `count` values, a byte each at least. */
  #open(count: number): void {
    if (count > this.#end - this.#at) short();
    if (++this.#depth > limits.nestingMax) throw new MalformedFrame(`nested deeper than ${limits.nestingMax}`);
  }

  /** Moves past `size` bytes and answers where they begin. */
  #take(size: number): number {
    const start = this.#at;
    if (size > this.#end - start) short();
    this.#at = start + size;
    return start;
  }
}

function short(): never {
  throw new MalformedFrame("the bytes end too soon");
}
