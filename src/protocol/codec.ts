// Frames to bytes and back. The scan makes sure that what reaches msgpackr is well formed, bounded and strict (G11).
import { Packr } from "msgpackr/index-no-eval";
import type { EntryTuple } from "./entry";
import { frameTypes } from "./frames";
import type { PushName, Pushes } from "./frames";
import type { ConversationId } from "./ids";
import type { ErrorTuple } from "./operations";

const packr = new Packr({ useRecords: false, int64AsType: "number", variableMapSize: true } as never);

/** Thrown by {@link decodeFrames}; the connection is closed with `malformedFrame`. */
export class MalformedFrame extends Error {}

/** Encodes plain data. Integers of 2^32 and more are written as integers, never as floats; undefined as nil. */
export function encode(value: unknown): Uint8Array {
  return new Uint8Array(packr.pack(integers(value)));
}

/** Decodes one value that this program encoded itself. */
export function decode(bytes: Uint8Array): unknown {
  return packr.unpack(bytes);
}

export function encodeReply(id: number, result: unknown): Uint8Array {
  return encode([frameTypes.reply, id, result]);
}

export function encodeError(id: number, error: ErrorTuple): Uint8Array {
  return encode([frameTypes.error, id, error]);
}

export function encodePush<N extends PushName>(name: N, ...args: Pushes[N]): Uint8Array {
  return encode([frameTypes.push, name, ...args]);
}

export function encodeEntry(entry: EntryTuple): Uint8Array {
  return encode(entry);
}

/** The `entries` push from entries that are encoded already: their bytes are copied, nothing is encoded twice. */
export function encodeEntriesPush(conversation: ConversationId, entries: readonly Uint8Array[]): Uint8Array {
  const start = encode([frameTypes.push, "entries", conversation]);
  const bytes = new Uint8Array(start.length + 3 + entries.reduce((sum, entry) => sum + entry.length, 0));
  bytes.set(start);
  bytes[0] = 0x94;
  bytes.set([0xdc, entries.length >> 8, entries.length & 0xff], start.length);
  let at = start.length + 3;
  for (const entry of entries) {
    bytes.set(entry, at);
    at += entry.length;
  }
  return bytes;
}

/** Every frame of one WebSocket message, in order. Throws {@link MalformedFrame}. */
export function decodeFrames(bytes: Uint8Array): readonly (readonly unknown[])[] {
  const frames: (readonly unknown[])[] = [];
  try {
    packr.unpackMultiple(bytes, (frame: unknown) => {
      if (!Array.isArray(frame)) throw new MalformedFrame("a frame is an array");
      frames.push(frame);
    });
  } catch (error) {
    throw new MalformedFrame("not MessagePack", { cause: error });
  }
  return frames;
}

function integers(value: unknown): unknown {
  if (typeof value === "number") return Number.isSafeInteger(value) && value > 0xffffffff ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(integers);
  return value ?? null;
}
