// Who is here, for those who watch: at most `watchMax` people a session, changes gathered for a moment and told once.
// Owned by the hub; keeps G11: no watcher costs more than the list of whom it watches.
import type { Clock } from "../lib/clock";
import { encodePush } from "../protocol/codec";
import type { UserId } from "../protocol/ids";
import { sessionLimits } from "./session-world";
import type { SessionHandle } from "./session-world";

/** A watched person, and whether they are here. */
export type Watched = readonly [UserId, online: boolean];

/** What other nodes are known to say of watched people. */
export interface PresenceElsewhere {
  watch(user: UserId): void;
  unwatch(user: UserId): void;
  isOnline(user: UserId): boolean;
  /** Resolves once it was tried to learn about these watched people, within a moment. */
  look(users: readonly UserId[]): Promise<void>;
}

/** One person's watchers, and what they were told last. */
interface Watch {
  online: boolean;
  readonly watchers: Set<SessionHandle>;
}

/** Presence of people: this node's own truth first, and beside it what other nodes are known to say. */
export class Presence {
  readonly #clock: Clock;
  readonly #isHere: (user: UserId) => boolean;
  readonly #others: PresenceElsewhere | null;
  readonly #watches = new Map<UserId, Watch>();
  /** Watched people who came or went since the last push. */
  readonly #changed = new Set<UserId>();

  constructor(clock: Clock, isHere: (user: UserId) => boolean, others: PresenceElsewhere | null) {
    this.#clock = clock;
    this.#isHere = isHere;
    this.#others = others;
  }

  /** Replaces whom `session` watches, at once; answers their state, where there are other nodes after a short look at them. */
  watch(session: SessionHandle, users: readonly UserId[]): readonly Watched[] | Promise<readonly Watched[]> {
    this.unwatch(session);
    const watched = [...new Set(users)];
    session.watched = watched.length > 0 ? watched : null;
    const states = watched.map((user): Watched => [user, this.#join(session, user)]);
    if (this.#others === null) return states;
    return this.#others.look(watched).then(() => watched.map((user): Watched => [user, this.#answer(session, user)]));
  }

  /** Forgets a session. Idempotent. */
  unwatch(session: SessionHandle): void {
    for (const user of session.watched ?? []) {
      const watch = this.#watches.get(user);
      watch?.watchers.delete(session);
      if (watch?.watchers.size !== 0) continue;
      this.#watches.delete(user);
      this.#others?.unwatch(user);
    }
    session.watched = null;
  }

  /** Somebody came or went, perhaps. */
  changed(user: UserId): void {
    if (!this.#watches.has(user)) return;
    // Known by the time it is told: whoever left here may still be elsewhere.
    if (!this.#isHere(user)) void this.#others?.look([user]);
    if (this.#changed.size === 0) this.#clock.after(sessionLimits.presenceGatherMs, () => this.#tell());
    this.#changed.add(user);
  }

  /** What a look found need not be pushed to the one who is answered it. */
  #answer(session: SessionHandle, user: UserId): boolean {
    const online = this.#isOnline(user);
    const watch = this.#watches.get(user);
    if (watch?.watchers.size === 1 && watch.watchers.has(session)) watch.online = online;
    return online;
  }

  #isOnline(user: UserId): boolean {
    return this.#isHere(user) || (this.#others?.isOnline(user) ?? false);
  }

  /** Answers what the watchers of `user` know now. */
  #join(session: SessionHandle, user: UserId): boolean {
    let watch = this.#watches.get(user);
    if (watch === undefined) {
      this.#others?.watch(user);
      watch = { online: this.#isOnline(user), watchers: new Set() };
      this.#watches.set(user, watch);
    }
    watch.watchers.add(session);
    return watch.online;
  }

  /** One push a watcher, with everybody whose state is another than it was. */
  #tell(): void {
    const news = new Map<SessionHandle, Watched[]>();
    for (const user of this.#changed) {
      const watch = this.#watches.get(user);
      const online = this.#isOnline(user);
      if (watch === undefined || watch.online === online) continue;
      watch.online = online;
      for (const session of watch.watchers) {
        const told = news.get(session);
        if (told) told.push([user, online]);
        else news.set(session, [[user, online]]);
      }
    }
    this.#changed.clear();
    for (const [session, people] of news) session.line.send(encodePush("presence", people));
  }
}
