// Frames to bytes and back: the only place where both are known. What comes in is checked while it is decoded (G11).
// Pure; shared by server and client, and free of eval, so that it runs under a strict content security policy.
import type { EntryTuple } from "./entry";
import { frameTypes } from "./frames";
import type { Frame, PushName, Pushes } from "./frames";
import type { ConversationId } from "./ids";
import { limits } from "./limits";
import type { ErrorTuple } from "./operations";
import { MalformedFrame, Reader } from "./reader";
import { Encoded, Writer } from "./writer";

export { Encoded, MalformedFrame };

// Its buffer is scratch memory between calls that never overlap; what leaves is copied.
const writer = new Writer();

/**
 * Encodes plain data, in memory of its own. Integers are written as integers up to ±(2^53 − 1); `undefined` is nil in an
 * array and left out of a map; a lone surrogate becomes U+FFFD. Throws a TypeError for what is not plain data.
 */
export function encode(value: unknown): Uint8Array {
  return writer.encode(value);
}

/** Decodes one value, as strictly as {@link decodeFrames}: what this program encoded always passes. */
export function decode(bytes: Uint8Array): unknown {
  const reader = new Reader(bytes);
  const value = reader.value();
  if (!reader.done) throw new MalformedFrame("bytes after the value");
  return value;
}

/** The answer to request `id`. */
export function encodeReply(id: number, result: unknown): Uint8Array {
  return writer.encode([frameTypes.reply, id, result] satisfies Frame);
}

/** The refusal of request `id`. */
export function encodeError(id: number, error: ErrorTuple): Uint8Array {
  return writer.encode([frameTypes.error, id, error] satisfies Frame);
}

/** What the server says unasked; the arguments are those of {@link Pushes}. */
export function encodePush<N extends PushName>(name: N, ...args: Pushes[N]): Uint8Array {
  return writer.encode([frameTypes.push, name, ...args]);
}

/** One entry, to be stored and sent on in these bytes. */
export function encodeEntry(entry: EntryTuple): Uint8Array {
  return writer.encode(entry);
}

/**
 * The `entries` push from entries that are encoded already: their bytes are copied, nothing is encoded twice.
 * For at most 65,535 entries, which the caller keeps within `frameBytesMax` together.
 */
export function encodeEntriesPush(conversation: ConversationId, entries: readonly Uint8Array[]): Uint8Array {
  const start = writer.encode([frameTypes.push, "entries", conversation, null]);
  const head = start.length - 1; // where the nil stands that gives way to the entries
  const wide = entries.length > 15;
  const bytes = new Uint8Array(head + (wide ? 3 : 1) + sizeOf(entries));
  bytes.set(start);
  bytes[head] = wide ? 0xdc : 0x90 | entries.length;
  if (wide) {
    bytes[head + 1] = entries.length >> 8;
    bytes[head + 2] = entries.length & 0xff;
  }
  copyInto(bytes, head + (wide ? 3 : 1), entries);
  return bytes;
}

/** What stands in a row before the items of its info: two heads of arrays, and between them a conversation's id with its head. */
const beforeInfo = 1 + 24 + 1;

/** `info.memberCount` of a row that {@link encode} encoded, without reading what follows it. */
export function memberCountOf(row: Uint8Array): number {
  const reader = new Reader(row.subarray(beforeInfo));
  for (const _ of ["type", "name", "picture", "fields"]) reader.value();
  return reader.value() as number;
}

/** Frames in order as messages within `frameBytesMax` bytes and `messageFramesMax` frames each, as few as that allows. */
export function packMessages(frames: readonly Uint8Array[]): readonly Uint8Array[] {
  return group(frames, limits.frameBytesMax, limits.messageFramesMax).map(concat);
}

/** Every frame of one WebSocket message, in order, one at least. Throws {@link MalformedFrame} and nothing else. */
export function decodeFrames(bytes: Uint8Array): readonly (readonly unknown[])[] {
  const reader = new Reader(bytes);
  const frames: (readonly unknown[])[] = [];
  do {
    if (frames.length === limits.messageFramesMax) throw new MalformedFrame("too many frames in one message");
    frames.push(reader.array());
  } while (!reader.done);
  return frames;
}

/** Parts in order, in groups of at most `bytesMax` and `countMax`; a part that is larger by itself stands alone. */
function group(parts: readonly Uint8Array[], bytesMax: number, countMax: number): Uint8Array[][] {
  const groups: Uint8Array[][] = [];
  let bytes = 0;
  let last: Uint8Array[] = [];
  for (const part of parts) {
    if (last.length === 0 || last.length === countMax || bytes + part.length > bytesMax) {
      last = [];
      groups.push(last);
      bytes = 0;
    }
    last.push(part);
    bytes += part.length;
  }
  return groups;
}

function concat(frames: readonly Uint8Array[]): Uint8Array {
  if (frames.length === 1) return frames[0] as Uint8Array;
  const bytes = new Uint8Array(sizeOf(frames));
  copyInto(bytes, 0, frames);
  return bytes;
}

function sizeOf(parts: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const part of parts) bytes += part.length;
  return bytes;
}

function copyInto(bytes: Uint8Array, start: number, parts: readonly Uint8Array[]): void {
  let at = start;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
}
