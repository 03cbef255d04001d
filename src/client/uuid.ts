// Time-ordered ids (UUIDv7) for operations: unique for ever, ascending within one client's life.

/** Makes ids; each is above the one before it, also when the clock steps back. */
export function createIds(now: () => number, random: () => number): () => string {
  let lastMs = 0;
  let counter = 0;
  return () => {
    const ms = now();
    if (ms > lastMs) {
      lastMs = ms;
      counter = Math.floor(random() * 0x800);
    } else if (++counter > 0xfff) {
      lastMs++;
      counter = 0;
    }
    const time = lastMs.toString(16).padStart(12, "0");
    const variant = (8 + Math.floor(random() * 4)).toString(16);
    const tail = `${variant}${hex(random, 3)}-${hex(random, 6)}${hex(random, 6)}`;
    return `${time.slice(0, 8)}-${time.slice(8)}-7${counter.toString(16).padStart(3, "0")}-${tail}`;
  };
}

/** Chance from the platform's cryptographic source, 0 to 1. */
export function systemRandom(): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] as number) / 2 ** 32;
}

function hex(random: () => number, digits: number): string {
  return Math.floor(random() * 16 ** digits)
    .toString(16)
    .padStart(digits, "0");
}
