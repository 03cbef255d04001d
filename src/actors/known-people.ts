// Which user ids exist: the store's answer, and for a while the memory that it was yes. One for all conversations of a server.
// Keeps G10: only "exists" is remembered, never "unknown", so that forgetting it costs a question and changes no answer.
import { isControlOn } from "../lib/failpoints";
import type { UserId } from "../protocol/ids";
import type { Cache } from "../storage/cache";
import type { Store } from "../storage/store";

/**
 * How long each level remembers that a person exists, milliseconds; both together are the bound. Within one generation of the data
 * it is final: an id is never reused, and nothing deletes a person yet. What will, has to let the bound pass between its tombstone
 * and its last sweep.
 */
export const knownForMs = 30_000;

/** What is recorded: answers taken from the cache, and those it did not have. */
export interface CacheMeter {
  cacheRead(use: "people" | "presence" | "rates", hits: number, misses: number): void;
}

/** A level of memory. Its keys must belong to one generation of the store. */
type Level = Pick<Cache, "get" | "put">;

/** What it is made of. */
export interface KnownPeopleDeps {
  /** Asked first: memory of this process. */
  readonly near: Level;
  /** Asked for whom `near` does not know: what all nodes share; null where there is nothing of the kind. */
  readonly far: Level | null;
  readonly store: Pick<Store, "unknownUsers">;
  readonly meter: CacheMeter;
}

/** What is known of each person asked for; whoever is missing is asked further on. */
type Known = Map<UserId, boolean>;

/** See the head of this file. Stands where `unknownUsers` of the store would. */
export class KnownPeople implements Pick<Store, "unknownUsers"> {
  readonly #deps: KnownPeopleDeps;

  constructor(deps: KnownPeopleDeps) {
    this.#deps = deps;
  }

  /** As {@link Store.unknownUsers}; at most `batchMax` of the cache. Rejects only where the store does. */
  async unknownUsers(users: readonly UserId[]): Promise<readonly UserId[]> {
    const { near, far, store, meter } = this.#deps;
    if (users.length === 0) return [];
    const known: Known = new Map();
    await recall(near, users, known);
    if (far !== null) {
      const asked = missingIn(known, users);
      await recall(far, asked, known);
      remember(near, asked, known);
    }
    const asked = missingIn(known, users);
    meter.cacheRead("people", users.length - asked.length, asked.length);
    if (asked.length > 0) {
      const unknown = new Set(await store.unknownUsers(asked));
      for (const user of asked) known.set(user, !unknown.has(user));
      remember(near, asked, known);
      if (far !== null) remember(far, asked, known);
    }
    return users.filter((user) => known.get(user) !== true);
  }
}

/** The mistake that comparing with a server without a cache must catch: somebody may have come to exist since. */
function believesNo(): boolean {
  return isControlOn("negative.unknownIsRemembered");
}

async function recall(level: Level, users: readonly UserId[], known: Known): Promise<void> {
  if (users.length === 0) return;
  const found = await level.get(users.map(keyOf));
  for (const [i, user] of users.entries()) {
    const value = found[i];
    if (value === true || (value === false && believesNo())) known.set(user, value);
  }
}

/** Nobody waits: what is not kept is asked again. */
function remember(level: Level, users: readonly UserId[], known: Known): void {
  const entries = users.flatMap((user) => {
    const exists = known.get(user);
    return exists === true || (exists === false && believesNo()) ? [{ key: keyOf(user), value: exists }] : [];
  });
  if (entries.length > 0) void level.put(entries, knownForMs);
}

function missingIn(known: Known, users: readonly UserId[]): readonly UserId[] {
  return users.filter((user) => !known.has(user));
}

function keyOf(user: UserId): string {
  return `person:${user}`;
}
