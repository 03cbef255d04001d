// Watches one connection in a test: every message of either side goes through the strict decoder and must have its shape.
// Owned by whichever socket test makes it; keeps the operations of unanswered requests, so that results are checked too.
import { errorCodes } from "../../src/protocol/codes";
import type { ErrorCode } from "../../src/protocol/codes";
import { errorShape, pushShapes, resultShapes } from "./shapes";
import { NotStrict, strictFrames } from "./strict-decoder";

const frameBytesMax = 256 * 1024;

/**
 * Checks what passes over one connection. Each method answers the decoded frames, or throws for the first thing that
 * PROTOCOL.md does not allow: bytes, shape, an answer to what was not asked, an outcome that is not the code's.
 */
export class FrameWatch {
  readonly #asked = new Map<number, string>();

  /** Requests that are not answered yet. */
  get unanswered(): number {
    return this.#asked.size;
  }

  /** A message as the client sent it. */
  fromClient(bytes: Uint8Array): readonly (readonly unknown[])[] {
    const frames = framesOf(bytes);
    for (const [type, id, operation] of frames) {
      if (type === 4 || type === 5) continue;
      if (type !== 0 || typeof operation !== "string")
        throw new NotStrict(`a client does not send type ${String(type)}`);
      if (this.#asked.has(Number(id))) throw new NotStrict(`id ${String(id)} is still unanswered`);
      if (id !== 0) this.#asked.set(Number(id), operation);
    }
    return frames;
  }

  /** A message as the server sent it. */
  fromServer(bytes: Uint8Array): readonly (readonly unknown[])[] {
    const frames = framesOf(bytes);
    for (const frame of frames) this.#checkServer(frame);
    return frames;
  }

  #checkServer(frame: readonly unknown[]): void {
    const [type, id, ...rest] = frame;
    if (type === 1) check(resultShapes, this.#answered(id), exactly(rest, 1)[0]);
    else if (type === 2) this.#checkError(id, exactly(rest, 1)[0]);
    else if (type === 3) check(pushShapes, String(id), rest);
    else if (type === 4 || type === 5) exactly(frame, 1);
    else throw new NotStrict(`a server does not send type ${String(type)}`);
  }

  #checkError(id: unknown, error: unknown): void {
    this.#answered(id);
    errorShape(error, "error");
    const [code, , outcome] = error as [ErrorCode, string, string];
    if (errorCodes[code]?.outcome !== outcome) throw new NotStrict(`${code} with outcome ${outcome}`);
  }

  #answered(id: unknown): string {
    const operation = this.#asked.get(Number(id));
    if (operation === undefined) throw new NotStrict(`an answer to ${String(id)}, which nobody asked`);
    this.#asked.delete(Number(id));
    return operation;
  }
}

function framesOf(bytes: Uint8Array): unknown[][] {
  if (bytes.length > frameBytesMax) throw new NotStrict(`${bytes.length} bytes in one message`);
  return strictFrames(bytes, true);
}

function exactly(items: readonly unknown[], count: number): readonly unknown[] {
  if (items.length !== count) throw new NotStrict(`${items.length} items instead of ${count}`);
  return items;
}

function check(
  shapes: Readonly<Record<string, (value: unknown, at: string) => void>>,
  name: string,
  value: unknown,
): void {
  const shape = shapes[name];
  if (shape === undefined) throw new NotStrict(`nothing is called ${name}`);
  shape(value, name);
}
