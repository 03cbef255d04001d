// A second decoder of parley.v1, written from the MessagePack specification alone; it shares no line with src/protocol.
// Tests run every frame of server and client through it, and let it judge what the real reader accepts.

/** Thrown for bytes that the protocol does not allow. */
export class NotStrict extends Error {}

/** What the wire allows; spelled out here a second time, so that a changed constant is noticed. */
const depthMax = 32;
const framesMax = 1024;
const integerMax = 2n ** 53n - 1n;

interface Cursor {
  readonly data: DataView;
  at: number;
  /** Set for bytes of our own making: the shortest form of everything is required. */
  readonly shortest: boolean;
}

/** Every frame of one WebSocket message; `shortest` also refuses what another client may write but Parley never does. */
export function strictFrames(bytes: Uint8Array, shortest = false): unknown[][] {
  const cursor: Cursor = { data: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at: 0, shortest };
  const frames: unknown[][] = [];
  while (cursor.at < bytes.length) {
    const frame = item(cursor, 0);
    if (!Array.isArray(frame)) throw new NotStrict("a frame is an array");
    frames.push(frame);
  }
  if (frames.length === 0 || frames.length > framesMax) throw new NotStrict(`${frames.length} frames in a message`);
  return frames;
}

function item(cursor: Cursor, depth: number): unknown {
  const head = Number(unsigned(cursor, 1));
  if (head <= 0x7f) return head;
  if (head <= 0x8f) return mapOf(cursor, head - 0x80, depth + 1);
  if (head <= 0x9f) return listOf(cursor, head - 0x90, depth + 1);
  if (head <= 0xbf) return textOf(cursor, head - 0xa0);
  if (head >= 0xe0) return head - 256;
  if (head === 0xc0) return null;
  if (head === 0xc2 || head === 0xc3) return head === 0xc3;
  return long(cursor, head, depth);
}

function long(cursor: Cursor, head: number, depth: number): unknown {
  if (head >= 0xc4 && head <= 0xc6) return span(cursor, size(cursor, 1 << (head - 0xc4), -1)).slice();
  if (head === 0xca || head === 0xcb) return floatOf(cursor, head === 0xca ? 4 : 8);
  if (head >= 0xcc && head <= 0xcf) return integerOf(cursor, 1 << (head - 0xcc), false);
  if (head >= 0xd0 && head <= 0xd3) return integerOf(cursor, 1 << (head - 0xd0), true);
  if (head >= 0xd9 && head <= 0xdb) return textOf(cursor, size(cursor, 1 << (head - 0xd9), 31));
  if (head === 0xdc || head === 0xdd) return listOf(cursor, size(cursor, head === 0xdc ? 2 : 4, 15), depth + 1);
  if (head === 0xde || head === 0xdf) return mapOf(cursor, size(cursor, head === 0xde ? 2 : 4, 15), depth + 1);
  throw new NotStrict(`head ${head.toString(16)}`);
}

function unsigned(cursor: Cursor, width: number): bigint {
  let value = 0n;
  for (const byte of span(cursor, width)) value = value * 256n + BigInt(byte);
  return value;
}

function span(cursor: Cursor, width: number): Uint8Array {
  if (cursor.at + width > cursor.data.byteLength) throw new NotStrict("ends too soon");
  const { buffer, byteOffset } = cursor.data;
  const bytes = new Uint8Array(buffer as ArrayBuffer, byteOffset + cursor.at, width);
  cursor.at += width;
  return bytes;
}

/** A length of `width` bytes; the shortest form is used only for what neither a narrower one nor the head (to `inHead`) holds. */
function size(cursor: Cursor, width: number, inHead: number): number {
  const value = Number(unsigned(cursor, width));
  const narrower = width === 1 ? -1 : 256 ** (width / 2) - 1;
  const skipsByte = width === 2 && inHead === 15 ? inHead : narrower;
  if (cursor.shortest && value <= Math.max(inHead, skipsByte)) throw new NotStrict("a longer length than needed");
  return value;
}

function integerOf(cursor: Cursor, width: number, signed: boolean): number {
  const raw = unsigned(cursor, width);
  const value = signed ? BigInt.asIntN(width * 8, raw) : raw;
  if (value > integerMax || value < -integerMax) throw new NotStrict("an integer past 2^53 − 1");
  if (cursor.shortest && width !== shortestWidth(value, signed)) throw new NotStrict(`${value} in ${width} bytes`);
  return Number(value);
}

/** The width that `value` must have in the form of its sign; 0 where the head alone holds it or the form is wrong. */
function shortestWidth(value: bigint, signed: boolean): number {
  if (signed !== value < 0n || (value >= -32n && value <= 127n)) return 0;
  return [1, 2, 4, 8].find((width) => {
    const bits = width * 8;
    return signed ? BigInt.asIntN(bits, value) === value : BigInt.asUintN(bits, value) === value;
  }) as number;
}

function floatOf(cursor: Cursor, width: 4 | 8): number {
  const start = cursor.at;
  span(cursor, width);
  const value = width === 4 ? cursor.data.getFloat32(start) : cursor.data.getFloat64(start);
  if (cursor.shortest && (width === 4 || Number.isSafeInteger(value))) throw new NotStrict(`float for ${value}`);
  return value;
}

function listOf(cursor: Cursor, count: number, depth: number): unknown[] {
  if (depth > depthMax) throw new NotStrict("too deep");
  const items: unknown[] = [];
  while (items.length < count) items.push(item(cursor, depth));
  return items;
}

function mapOf(cursor: Cursor, count: number, depth: number): Record<string, unknown> {
  if (depth > depthMax) throw new NotStrict("too deep");
  const pairs = new Map<string, unknown>();
  for (let i = 0; i < count; i++) {
    const key = item(cursor, depth);
    if (typeof key !== "string") throw new NotStrict("a key that is not text");
    pairs.set(key, item(cursor, depth));
  }
  if (cursor.shortest && pairs.size !== count) throw new NotStrict("a key that comes twice");
  return Object.fromEntries(pairs);
}

/** Least code point that a sequence of this many bytes may stand for. */
const leastOf = [0, 0, 0x80, 0x800, 0x1_0000] as const;

function textOf(cursor: Cursor, length: number): string {
  const bytes = span(cursor, length);
  const parts: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at] as number;
    const width = widthOf(lead);
    let point = width === 1 ? lead : lead & (0xff >> (width + 1));
    for (let i = 1; i < width; i++) {
      const next = bytes[at + i];
      if (next === undefined || (next & 0xc0) !== 0x80) throw new NotStrict("text is cut");
      point = point * 64 + (next & 0x3f);
    }
    if (point < (leastOf[width] as number) || point > 0x10_ffff || (point >= 0xd800 && point <= 0xdfff))
      throw new NotStrict(`code point ${point.toString(16)} in ${width} bytes`);
    parts.push(String.fromCodePoint(point));
    at += width;
  }
  return parts.join("");
}

function widthOf(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead >= 0xc0 && lead < 0xe0) return 2;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  if (lead >= 0xf0 && lead < 0xf8) return 4;
  throw new NotStrict("text does not begin with a lead byte");
}
