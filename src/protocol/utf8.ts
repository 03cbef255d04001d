// UTF-8 between strings and bytes, strict when reading. Takes the runtime's own fast paths where there is a Buffer
// (Bun, Node) and the encoding API elsewhere, so that one source serves server and browser.

/** What of a runtime's Buffer is used; named here so that no bundler thinks that the browser needs one. */
interface FastBytes {
  latin1Slice(start: number, end: number): string;
  utf8Write(text: string, at: number): number;
}

const fast = (globalThis as { readonly Buffer?: { readonly prototype: FastBytes } }).Buffer?.prototype;
const canSlice = typeof fast?.latin1Slice === "function";
const canWrite = typeof fast?.utf8Write === "function";
// A byte order mark is text like any other: bodies are kept byte for byte.
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();
/** Below this length a loop is cheaper than a call into the runtime. */
const shortText = 12;

/**
 * Text of `bytes[start..end)`. Answers undefined where it is not strict UTF-8: cut off, overlong, a surrogate, past U+10FFFF.
 * Strings of ASCII, nearly all of them, cost one look at each byte and one copy.
 */
export function readUtf8(bytes: Uint8Array, start: number, end: number): string | undefined {
  for (let at = start; at < end; at++) if ((bytes[at] as number) > 0x7f) return readWide(bytes, start, end);
  if (end - start <= shortText || !canSlice) return readAscii(bytes, start, end);
  return (fast as FastBytes).latin1Slice.call(bytes, start, end);
}

function readAscii(bytes: Uint8Array, start: number, end: number): string {
  if (end - start > shortText) return strict.decode(bytes.subarray(start, end));
  let text = "";
  for (let at = start; at < end; at++) text += String.fromCharCode(bytes[at] as number);
  return text;
}

function readWide(bytes: Uint8Array, start: number, end: number): string | undefined {
  try {
    return strict.decode(bytes.subarray(start, end));
  } catch {
    return undefined; // the decoder throws for nothing but bytes that are not UTF-8
  }
}

/**
 * Writes `text` at `at` and answers the bytes written; a lone surrogate becomes U+FFFD, so that what leaves is always UTF-8.
 * `target` must have room for three bytes a UTF-16 unit.
 */
export function writeUtf8(target: Uint8Array, text: string, at: number): number {
  if (canWrite) return (fast as FastBytes).utf8Write.call(target, text, at);
  return encoder.encodeInto(text, target.subarray(at)).written;
}
