// Faults that happen once, at a moment that the bytes on the line decide: after so many, or at a request that holds some.
// Each sees every piece of every connection as it leaves, and says where to break the line.

/** Which way bytes travel. */
export type Way = "toServer" | "toClient";

/** Identifies a connection; only compared. */
export type LineKey = object;

/** What becomes of a piece: it passes, or `keep` of its bytes do and then the connection is reset. */
export type Verdict = "pass" | { readonly keep: number };

/** A fault that waits for its moment. */
export type Trap = (line: LineKey, way: Way, bytes: Buffer) => Verdict;

/** Resets a line right after it carried so many bytes towards the client, counted from now on. */
export function afterBytes(bytes: number): Trap {
  const seen = new WeakMap<LineKey, number>();
  return (line, way, piece) => {
    if (way === "toServer") return "pass";
    const before = seen.get(line) ?? 0;
    seen.set(line, before + piece.length);
    return before + piece.length < bytes ? "pass" : { keep: bytes - before };
  };
}

/** Resets a line at a request with these bytes, before the piece that completes them passes on. */
export function beforeRequest(needle: string | Uint8Array): Trap {
  const holds = finder(needle);
  return (line, way, piece) => (way === "toServer" && holds(line, piece) ? { keep: 0 } : "pass");
}

/** Lets a request with these bytes pass, and resets its line when the answer to it begins. */
export function beforeReply(needle: string | Uint8Array): Trap {
  const holds = finder(needle);
  const asked = new WeakSet<LineKey>();
  return (line, way, piece) => {
    if (way === "toClient") return asked.has(line) ? { keep: 0 } : "pass";
    if (holds(line, piece)) asked.add(line);
    return "pass";
  };
}

/** Finds bytes in a stream of pieces, also where they lie across two of them. */
function finder(needle: string | Uint8Array): (line: LineKey, piece: Buffer) => boolean {
  const wanted = Buffer.from(needle as string);
  if (wanted.length === 0) throw new RangeError("an empty needle is in every request");
  const tails = new WeakMap<LineKey, Buffer>();
  return (line, piece) => {
    const text = Buffer.concat([tails.get(line) ?? Buffer.alloc(0), piece]);
    tails.set(line, text.subarray(Math.max(0, text.length - wanted.length + 1)));
    return text.includes(wanted);
  };
}
