// MongoDB's wire protocol as far as a proxy needs it: frames out of a stream, commands out of OP_MSG, replies back into it.
// 64-bit integers stay what they are; other numbers become JavaScript's, which encode to the same types the drivers use.
import { BSON, type Document } from "mongodb";

const opMsg = 2013;
const headerBytes = 16;

/** Larger than what a server takes (48 MB); a longer frame is garbage. */
const frameBytesMax = 64 * 1024 * 1024;

const flag = { checksum: 1, moreToCome: 2, exhaustAllowed: 1 << 16 } as const;

/** One frame. `message` is null where it is not OP_MSG, such as the first greeting of an old driver. */
export interface Frame {
  readonly bytes: Buffer;
  readonly requestId: number;
  readonly responseTo: number;
  readonly message: Message | null;
}

/** What an OP_MSG says: its body with its document sequences put in as arrays. */
export interface Message {
  readonly body: Document;
  /** The sender waits for no reply. */
  readonly moreToCome: boolean;
}

/** Cuts a stream of bytes into frames; a half one waits for its rest. */
export class FrameReader {
  #rest = Buffer.alloc(0);

  /** The frames that are whole with these bytes. Throws where the stream is not MongoDB's protocol. */
  take(bytes: Buffer): readonly Frame[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const frames: Frame[] = [];
    while (this.#rest.length >= headerBytes) {
      const length = this.#rest.readInt32LE(0);
      if (length < headerBytes || length > frameBytesMax) throw new RangeError(`a frame of ${length} bytes`);
      if (this.#rest.length < length) break;
      frames.push(readFrame(Buffer.from(this.#rest.subarray(0, length))));
      this.#rest = this.#rest.subarray(length);
    }
    return frames;
  }
}

function readFrame(bytes: Buffer): Frame {
  const isMessage = bytes.readInt32LE(12) === opMsg;
  if (isMessage) withoutExhaust(bytes);
  return {
    bytes,
    requestId: bytes.readInt32LE(4),
    responseTo: bytes.readInt32LE(8),
    message: isMessage ? readMessage(bytes) : null,
  };
}

/** Takes back the leave to answer many times: then every request has one reply. It is a leave, so no server misses it. */
function withoutExhaust(bytes: Buffer): void {
  bytes.writeUInt32LE((bytes.readUInt32LE(headerBytes) & ~flag.exhaustAllowed) >>> 0, headerBytes);
}

function readMessage(bytes: Buffer): Message {
  const flags = bytes.readUInt32LE(headerBytes);
  const end = bytes.length - (flags & flag.checksum ? 4 : 0);
  const body: Document = {};
  for (let at = headerBytes + 4; at < end; ) {
    const kind = bytes.readUInt8(at);
    const size = bytes.readInt32LE(at + 1);
    const section = bytes.subarray(at + 1, at + 1 + size);
    if (kind === 0) Object.assign(body, decode(section));
    else if (kind === 1) Object.assign(body, readSequence(section));
    else throw new RangeError(`a section of kind ${kind}`);
    at += 1 + size;
  }
  return { body, moreToCome: (flags & flag.moreToCome) !== 0 };
}

/** A named list of documents beside the body, such as the rows of an insert. */
function readSequence(section: Buffer): Document {
  const nameEnd = section.indexOf(0, 4);
  const documents: Document[] = [];
  for (let at = nameEnd + 1; at < section.length; ) {
    const size = section.readInt32LE(at);
    documents.push(decode(section.subarray(at, at + size)));
    at += size;
  }
  return { [section.toString("utf8", 4, nameEnd)]: documents };
}

function decode(bytes: Buffer): Document {
  return BSON.deserialize(bytes, { promoteLongs: false });
}

/** An OP_MSG with this body. */
export function writeMessage(body: Document, requestId: number, responseTo: number): Buffer {
  const document = BSON.serialize(body, { ignoreUndefined: true });
  const bytes = Buffer.alloc(headerBytes + 5 + document.length);
  bytes.writeInt32LE(bytes.length, 0);
  bytes.writeInt32LE(requestId, 4);
  bytes.writeInt32LE(responseTo, 8);
  bytes.writeInt32LE(opMsg, 12);
  bytes.set(document, headerBytes + 5);
  return bytes;
}
