// What client and server may do beyond the first version 1, each where both named it in hello. PROTOCOL.md is checked against this table.
// Bits are of this program only; on the wire there are names. A name that the other side does not know is ignored.

/** Every capability, by its name on the wire, with what naming it means. */
export const capabilities = {
  resync: {
    bit: 1,
    says: "the client takes the push resync and syncs again, where the server would else close its connection",
  },
  counters: {
    bit: 2,
    says: "of large conversations that the client has not opened it is pushed counters instead of entries",
  },
} as const satisfies Record<string, { readonly bit: number; readonly says: string }>;

/** The name of a capability. */
export type Capability = keyof typeof capabilities;

/** The names, as hello carries them. */
export const capabilityNames = Object.keys(capabilities) as readonly Capability[];

/** What both sides named, as a sum of bits; names that are unknown here count nothing. */
export function namedCapabilities(names: readonly string[]): number {
  let bits = 0;
  for (const name of names) if (Object.hasOwn(capabilities, name)) bits |= capabilities[name as Capability].bit;
  return bits;
}
