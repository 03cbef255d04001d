// The golden frames of v1: bytes and values that hold for ever. Lines are added to v1.jsonl; none is ever changed or removed.
// Owned by the protocol's tests; a value `{"$bytes": hex}` stands for binary, which JSON has no form for.

/** One frame as it was fixed. */
export interface GoldenFrame {
  readonly name: string;
  readonly from: "client" | "server";
  readonly bytes: Uint8Array;
  /** The frame as JSON, as PROTOCOL.md shows it. */
  readonly json: string;
  readonly frame: readonly unknown[];
}

/** Every golden frame, in the order in which they were added. */
export async function goldenFrames(): Promise<readonly GoldenFrame[]> {
  const lines = (await Bun.file(new URL("./v1.jsonl", import.meta.url)).text()).trim().split("\n");
  return lines.map((line) => {
    const { name, from, hex, frame } = JSON.parse(line) as Readonly<Record<"name" | "hex", string>> &
      Pick<GoldenFrame, "from" | "frame">;
    return { name, from, bytes: fromHex(hex), json: JSON.stringify(frame), frame: revive(frame) as readonly unknown[] };
  });
}

/** Bytes of text such as `94 00 01`; blanks do not matter. */
export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ""), "hex"));
}

function revive(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(revive);
  if (typeof value !== "object" || value === null) return value;
  const bytes = (value as { readonly $bytes?: unknown }).$bytes;
  if (typeof bytes === "string") return fromHex(bytes);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, revive(item)]));
}
