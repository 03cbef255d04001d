// Plain data that another node sent, checked as it is taken apart. Pure.
// Whoever reads it counts what is malformed and goes on: a release beside this one may say things this one does not know.

/** Thrown for what another node sent and this one does not understand; counted, never told further. */
export class Malformed extends Error {}

/** An array. Throws {@link Malformed}. */
export function arrayOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new Malformed();
  return value;
}

/** An integer, 0 or more. Throws {@link Malformed}. */
export function integerOf(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw new Malformed();
  return value;
}

/** Text. Throws {@link Malformed}. */
export function textOf(value: unknown): string {
  if (typeof value !== "string") throw new Malformed();
  return value;
}

/** Bytes. Throws {@link Malformed}. */
export function bytesOf(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new Malformed();
  return value;
}
