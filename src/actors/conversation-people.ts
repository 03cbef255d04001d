// Whether people whom a request names exist, and have room for one conversation more: asked before anything is staged.
// Used by the conversation actor.
import { AppError } from "../lib/errors";
import type { UserId } from "../protocol/ids";
import { limits } from "../protocol/limits";
import type { Store } from "../storage/store";

/** Who is asked about people. */
export interface PeopleDeps {
  readonly store: Pick<Store, "unknownUsers" | "fullUsers">;
  /** Asked in the store's place who exists, except on behalf of a send. */
  readonly people?: Pick<Store, "unknownUsers">;
  /** Checked against people's feeds, so a burst may pass it by what is on its way. Absent: as in `limits`. */
  readonly conversationsPerUserMax?: number;
}

/**
 * Those of `users`, however many, who do not exist. Rejects as the store does. Asks the store alone: sends wait for this, and no
 * cache stands in their way.
 */
export async function unknownAmong({ store }: PeopleDeps, users: readonly UserId[]): Promise<ReadonlySet<UserId>> {
  const unknown = new Set<UserId>();
  for (let at = 0; at < users.length; at += limits.namedPeopleMax) {
    const some = users.slice(at, at + limits.namedPeopleMax);
    for (const user of await store.unknownUsers(some)) unknown.add(user);
  }
  return unknown;
}

/** Rejects with `unknown_user` or `limit_reached` where one of these may not come into a conversation; `details` says who. */
export async function admissible(deps: PeopleDeps, coming: readonly UserId[]): Promise<void> {
  if (coming.length === 0) return;
  const { store, people = store, conversationsPerUserMax: max = limits.conversationsPerUserMax } = deps;
  const [unknown, full] = await Promise.all([people.unknownUsers(coming), store.fullUsers(coming, max)]);
  if (unknown.length > 0) throw new AppError("unknown_user", undefined, { details: unknown });
  if (full.length === 0) return;
  throw new AppError("limit_reached", undefined, { details: { limit: "conversationsPerUserMax", max, users: full } });
}
