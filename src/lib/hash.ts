// Placement's hash. Fixed for the life of a deployment's data.

/** Partitions of every deployment. */
export const partitionCount = 256;

/** FNV-1a, 32 bits, over UTF-8 (RFC draft-eastlake-fnv). Keys are ASCII, so code units are bytes. */
export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** The partition of an actor: `fnv1a32(kind + ":" + key) % 256`. */
export function partitionOf(kind: string, key: string): number {
  return fnv1a32(`${kind}:${key}`) % partitionCount;
}
