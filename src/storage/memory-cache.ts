// The cache of one node alone: bounded by count, every entry expires. The default; also what tests of the callers run over.
// Keeps G10 by passing cache.case.ts, and G11: the least recently used entry makes room.
import { LRUCache } from "lru-cache";
import type { Clock } from "../lib/clock";
import { cacheLimits, checkKeys, seal, unseal } from "./cache";
import type { Addition, Cache, CacheEntry, CacheState, Place } from "./cache";

/** What a memory cache is made of. */
export interface MemoryCacheOptions {
  readonly clock: Pick<Clock, "monotonic">;
  /** Most entries, values, counters and places together. */
  readonly entriesMax: number;
  /** Whether several nodes of one process share it; tests do. */
  readonly shared?: boolean;
}

/** Kept: a sealed value, a counter's sum, or a place's members. */
type Kept = Uint8Array | number | Set<string>;

/** See the head of this file. Values are kept encoded, so that nobody changes what another put. */
export class MemoryCache implements Cache {
  readonly shared: boolean;
  readonly #kept: LRUCache<string, Kept>;
  #closed = false;

  constructor({ clock, entriesMax, shared = false }: MemoryCacheOptions) {
    this.shared = shared;
    this.#kept = new LRUCache({
      max: entriesMax,
      // Each entry brings its own life; the library wants a default before it looks at any.
      ttl: 1,
      ttlResolution: 0,
      // Never 0, which the library takes for "never expires".
      perf: { now: () => clock.monotonic() + 1 },
    });
  }

  async get(keys: readonly string[]): Promise<readonly unknown[]> {
    checkKeys(keys);
    return keys.map((key) => {
      const kept = this.#kept.get(key);
      return kept instanceof Uint8Array ? unseal(key, kept) : null;
    });
  }

  async put(entries: readonly CacheEntry[], lifeMs: number): Promise<void> {
    checkKeys(entries.map(({ key }) => key));
    for (const { key, value } of entries) {
      const sealed = seal(key, value);
      if (sealed !== null) this.#keep(key, sealed, lifeMs);
    }
  }

  async drop(keys: readonly string[]): Promise<void> {
    checkKeys(keys);
    for (const key of keys) this.#kept.delete(key);
  }

  async count(additions: readonly Addition[], lifeMs: number): Promise<readonly (number | null)[]> {
    checkKeys(additions.map(({ key }) => key));
    return additions.map(({ key, by }) => {
      const kept = this.#kept.get(key);
      const sum = (typeof kept === "number" ? kept : 0) + by;
      this.#keep(key, sum, lifeMs);
      return this.#closed ? null : sum;
    });
  }

  async enter(places: readonly Place[], lifeMs: number): Promise<void> {
    checkKeys(places.map(({ key }) => key));
    for (const { key, member } of places) {
      const kept = this.#kept.get(key);
      const members = kept instanceof Set ? kept : new Set<string>();
      if (members.size < cacheLimits.membersMax) members.add(member);
      this.#keep(key, members, lifeMs);
    }
  }

  async exit(places: readonly Place[]): Promise<void> {
    checkKeys(places.map(({ key }) => key));
    for (const { key, member } of places) {
      const kept = this.#kept.get(key);
      if (kept instanceof Set) kept.delete(member);
    }
  }

  async members(keys: readonly string[]): Promise<readonly (readonly string[] | null)[]> {
    checkKeys(keys);
    if (this.#closed) return keys.map(() => null);
    return keys.map((key) => {
      const kept = this.#kept.get(key);
      return kept instanceof Set ? [...kept] : [];
    });
  }

  state(): CacheState {
    return this.#closed ? "down" : "ready";
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#kept.clear();
  }

  #keep(key: string, kept: Kept, lifeMs: number): void {
    if (!this.#closed) this.#kept.set(key, kept, { ttl: lifeMs });
  }
}
