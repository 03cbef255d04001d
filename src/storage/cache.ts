// The cache port: facts, counters and places that may be forgotten at any moment. Nothing rests on it (G10): every caller
// gives the same answers over a cache that never holds anything, and whatever is found is checked before it is used.
import { decode, encode, MalformedFrame } from "../protocol/codec";

/** Limits of every driver. */
export const cacheLimits = {
  /** Keys, additions or places in one call; callers cut larger work into several. */
  batchMax: 1_024,
  /** Bytes of a key, the driver's own prefix not counted. */
  keyBytesMax: 256,
  /** Bytes of one sealed value; a larger one is not kept, and not read. */
  valueBytesMax: 1_024,
  /** Members of one place. More under a key is nothing of ours. */
  membersMax: 64,
} as const;

/** One value to be kept. Plain data for the codec; never null, which stands for a miss. */
export interface CacheEntry {
  readonly key: string;
  readonly value: unknown;
}

/** How much a counter grows: a whole number from 1. */
export interface Addition {
  readonly key: string;
  readonly by: number;
}

/** One member of one place. */
export interface Place {
  readonly key: string;
  readonly member: string;
}

/**
 * - `ready`: calls go through
 * - `probing`: nothing goes through but one try whether it may again
 * - `down`: nothing goes through; every call is answered at once, as a miss
 */
export type CacheState = "ready" | "probing" | "down";

/** Why something could not be had, for the metric: `garbage` is anything under our keys that we did not write in this form. */
export type CacheFailure = "timeout" | "lost" | "busy" | "refused" | "garbage";

/** What a driver reports. Must not throw. */
export interface CacheObserver {
  failed(reason: CacheFailure, count: number): void;
  /** One round trip that was answered, milliseconds. */
  answered(ms: number): void;
  /** @param reason why it went down; null otherwise */
  changed(state: CacheState, reason: string | null): void;
}

/**
 * Every driver passes `cache.case.ts`. No call rejects or throws for what the cache does; what could not be had is a miss,
 * what could not be put is forgotten. A call ends within the driver's time-out. Everything expires.
 */
export interface Cache {
  /** Whether other nodes see what is put here. Where not, nobody needs to tell the others anything. */
  readonly shared: boolean;

  /**
   * Values, in the order of `keys`; null where there is none, or none that was written in this form under this very key.
   * Called by look-ups before they ask the store; they check the value's own shape. At most `batchMax` keys.
   */
  get(keys: readonly string[]): Promise<readonly unknown[]>;
  /** Keeps values for at most `lifeMs`. Called by look-ups behind the store's answer; nobody waits for it. */
  put(entries: readonly CacheEntry[], lifeMs: number): Promise<void>;
  /** Forgets values, counters and places. May be lost, so that only expiry is sure. */
  drop(keys: readonly string[]): Promise<void>;

  /**
   * Grows counters, each living on for `lifeMs`, and answers their sums over all nodes; null where that is not known.
   * Called by the exchange of rates, at most once at a time. A sum below an earlier one means that it was forgotten between.
   */
  count(additions: readonly Addition[], lifeMs: number): Promise<readonly (number | null)[]>;

  /** Adds members to places, each place living on for `lifeMs`. Called by presence, in batches, and again as heartbeat. */
  enter(places: readonly Place[], lifeMs: number): Promise<void>;
  /** Takes members out. Called by presence when somebody left; may be lost. */
  exit(places: readonly Place[]): Promise<void>;
  /** Members of each place, in any order; null where that is not known, empty where nobody is or all was forgotten. */
  members(keys: readonly string[]): Promise<readonly (readonly string[] | null)[]>;

  /** For the metric and the log; readiness never depends on it. */
  state(): CacheState;
  /** Lets go of connections and timers; calls after it are misses. Idempotent. */
  close(): Promise<void>;
}

/** Changes with the form of what is kept: another version's values are misses. */
const form = 1;

/**
 * A value as it is kept: with its form and its key, so that what was moved, cut or written by somebody else is not taken for ours.
 * Null where it is too large to be kept.
 */
export function seal(key: string, value: unknown): Uint8Array | null {
  const bytes = encode([form, key, value]);
  return bytes.length <= cacheLimits.valueBytesMax ? bytes : null;
}

/** What {@link seal} made for this key; null for anything else. */
export function unseal(key: string, bytes: Uint8Array): unknown {
  try {
    const found = decode(bytes);
    if (!Array.isArray(found) || found.length !== 3 || found[0] !== form || found[1] !== key) return null;
    return found[2];
  } catch (error) {
    if (error instanceof MalformedFrame) return null;
    throw error;
  }
}

/** Throws where a caller breaks the port's limits: a bug, never the cache's doing. */
export function checkKeys(keys: readonly string[]): void {
  if (keys.length > cacheLimits.batchMax) throw new RangeError(`more than ${cacheLimits.batchMax} keys in one call`);
  for (const key of keys)
    if (key === "" || Buffer.byteLength(key) > cacheLimits.keyBytesMax) throw new RangeError(`not a key: ${key}`);
}
