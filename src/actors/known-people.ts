// Which user ids exist: the store's answer, and for a while the memory that it was yes. One for all conversations of a server.
// Keeps G10: only "exists" is remembered, never "unknown", so that forgetting it costs a question and changes no answer.
import { isControlOn } from "../lib/failpoints";
import type { UserId } from "../protocol/ids";
import type { Cache } from "../storage/cache";
import type { Store } from "../storage/store";

/**
 * How long it is remembered that a person exists, milliseconds. Within one generation of the data that is final: an id is never
 * reused and nothing deletes a person yet. What will, has to let this pass between its tombstone and its last sweep.
 */
export const knownForMs = 60_000;

/** What is recorded: answers taken from the cache, and those it did not have. */
export interface CacheMeter {
  cacheRead(use: "people" | "presence" | "rates", hits: number, misses: number): void;
}

/** What it is made of. The cache's keys must belong to one generation of the store. */
export interface KnownPeopleDeps {
  readonly cache: Pick<Cache, "get" | "put">;
  readonly store: Pick<Store, "unknownUsers">;
  readonly meter: CacheMeter;
}

/** See the head of this file. Stands where `unknownUsers` of the store would. */
export class KnownPeople implements Pick<Store, "unknownUsers"> {
  readonly #deps: KnownPeopleDeps;

  constructor(deps: KnownPeopleDeps) {
    this.#deps = deps;
  }

  /** As {@link Store.unknownUsers}; at most `batchMax` of the cache. Rejects only where the store does. */
  async unknownUsers(users: readonly UserId[]): Promise<readonly UserId[]> {
    const { cache, store, meter } = this.#deps;
    if (users.length === 0) return [];
    const found = await cache.get(users.map(keyOf));
    // The mistake that comparing with a server without a cache must catch: somebody may exist since.
    const believesNo = isControlOn("negative.unknownIsRemembered");
    const asked = users.filter((_, i) => found[i] !== true && !(believesNo && found[i] === false));
    meter.cacheRead("people", users.length - asked.length, asked.length);
    const unknown = new Set(asked.length === 0 ? [] : await store.unknownUsers(asked));
    const news = believesNo ? asked : asked.filter((user) => !unknown.has(user));
    // Nobody waits: what is not kept is asked again.
    if (news.length > 0)
      void cache.put(
        news.map((user) => ({ key: keyOf(user), value: !unknown.has(user) })),
        knownForMs,
      );
    return users.filter((user, i) => unknown.has(user) || (believesNo && found[i] === false));
  }
}

function keyOf(user: UserId): string {
  return `person:${user}`;
}
