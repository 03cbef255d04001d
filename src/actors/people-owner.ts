// What the owner of a person's partition knows: on which nodes they have sessions, and which nodes watch them.
// Owned by people.ts. Kept in memory alone and told again to every new owner; keeps G11: what nodes told, and a moment of grace beyond.
import type { Clock } from "../lib/clock";
import type { Epoch, UserId } from "../protocol/ids";
import { peopleBatchMax } from "./people-wire";
import type { PeopleUpdate, PeopleWord, PersonState } from "./people-wire";
import type { Incarnation } from "./placement-shares";

/** Times of an owner, milliseconds. */
export const ownerTimes = {
  /** Whoever left counts as here for so long: a reconnect, to another node even, is no coming and going. */
  graceMs: 3_000,
  /** So long a new owner does not say that somebody is away: not every node may have told it. */
  settleMs: 4_000,
  /**
   * So long a person may have too many sessions: those of a node that died count until it is known to be gone, which takes up to
   * `placementTimes.suspectMs` and longer on a busy machine. Then the newest go.
   */
  tooManyMs: 8_000,
  /** News are gathered this long. */
  gatherMs: 50,
  /** A node that has told nothing for this long is forgotten; they all tell again sooner. */
  silentMs: 60_000,
} as const;

/** What it is made of. */
export interface PeopleOwnerDeps {
  readonly clock: Pick<Clock, "monotonic" | "after">;
  readonly epochOf: (partition: number) => Epoch | null;
  /** Sessions that one person may have on all nodes together. */
  readonly sessionsMax: number;
  /** Tells a node; may be lost, for every node asks again now and then. */
  readonly send: (node: Incarnation, words: readonly PeopleWord[]) => void;
}

interface Registered {
  readonly user: UserId;
  /** Open sessions by node. */
  readonly here: Map<Incarnation, number>;
  readonly watchers: Set<Incarnation>;
  /** When the last session was gone, while that is not told yet. */
  leftAt: number | null;
  toldNodes: number;
  toldOnline: boolean | null;
}

interface Owned {
  readonly partition: number;
  readonly epoch: Epoch;
  readonly since: number;
  settled: boolean;
  change: number;
  readonly people: Map<UserId, Registered>;
  /** To be told, and the one node that knows already; null where none does. */
  readonly news: Map<Registered, Incarnation | null>;
}

/** Somebody with too many sessions: since when, and where the newest of them is. */
interface Excess {
  readonly owned: Owned;
  since: number;
  node: Incarnation;
}

interface Teller {
  number: number;
  at: number;
}

/** See the head of this file. Driven by {@link PeopleOwner.update}, {@link PeopleOwner.tick} and {@link PeopleOwner.nodeGone}. */
export class PeopleOwner {
  readonly #deps: PeopleOwnerDeps;
  readonly #owned = new Map<number, Owned>();
  readonly #tellers = new Map<Incarnation, Teller>();
  /** Who is in their grace, those who left first in front. */
  readonly #leaving = new Map<Registered, Owned>();
  readonly #tooMany = new Map<Registered, Excess>();
  #gathering = false;

  constructor(deps: PeopleOwnerDeps) {
    this.#deps = deps;
  }

  /** People that are known, here or watched. */
  get known(): number {
    let known = 0;
    for (const { people } of this.#owned.values()) known += people.size;
    return known;
  }

  /**
   * A node tells where people are. Answers what stands now, of each it named; null where a later one of its updates was heard before.
   *
   * @param number rises with every update that the node sends to this one
   */
  update(from: Incarnation, number: number, updates: readonly PeopleUpdate[]): readonly PeopleWord[] | null {
    const teller = this.#tellers.get(from);
    if (teller !== undefined && number <= teller.number) return null;
    this.#tellers.set(from, { number, at: this.#deps.clock.monotonic() });
    return updates.map((update) => this.#apply(from, update));
  }

  /** Looks at the time: ends graces, lets go of what is not owned any more and of nodes that are silent. Several times a second. */
  tick(): void {
    const { clock, epochOf } = this.#deps;
    const now = clock.monotonic();
    for (const owned of this.#owned.values()) {
      if (epochOf(owned.partition) !== owned.epoch) this.#owned.delete(owned.partition);
      else if (!owned.settled && now - owned.since >= ownerTimes.settleMs) this.#settle(owned);
    }
    for (const [person, owned] of this.#leaving) {
      if (person.leftAt !== null && now - person.leftAt < ownerTimes.graceMs) break;
      this.#leaving.delete(person);
      person.leftAt = null;
      if (this.#owned.get(owned.partition) === owned) this.#changed(owned, person, null);
    }
    for (const [person, excess] of this.#tooMany) this.#limit(person, excess, now);
    for (const [node, { at }] of this.#tellers) if (now - at >= ownerTimes.silentMs) this.nodeGone(node);
  }

  /** A node is gone with all its sessions. */
  nodeGone(node: Incarnation): void {
    if (!this.#tellers.delete(node)) return;
    for (const owned of this.#owned.values()) this.#replace(owned, node, new Set(), new Set());
  }

  #ownedNow(partition: number): Owned | null {
    const epoch = this.#deps.epochOf(partition);
    const known = this.#owned.get(partition);
    if (epoch === null) return null;
    if (known?.epoch === epoch) return known;
    const since = this.#deps.clock.monotonic();
    const owned: Owned = { partition, epoch, since, settled: false, change: 0, people: new Map(), news: new Map() };
    this.#owned.set(partition, owned);
    return owned;
  }

  #apply(from: Incarnation, [partition, epoch, here, watched]: PeopleUpdate): PeopleWord {
    const owned = this.#ownedNow(partition);
    if (owned === null || (epoch !== 0 && epoch !== owned.epoch)) return [partition, 0, 0, []];
    if (epoch === 0) this.#replace(owned, from, usersOf(here), usersOf(watched));
    for (const [user, sessions] of here) this.#setHere(owned, from, user, sessions);
    for (const [user, on] of watched) this.#setWatched(owned, from, user, on);
    const named = new Set([...usersOf(here), ...usersOf(watched)]);
    const states = [...named].map((user) => this.#stateOf(owned, user));
    return [partition, owned.epoch, owned.change, states];
  }

  /** What the node had told of others than these is no more. */
  #replace(owned: Owned, from: Incarnation, here: ReadonlySet<UserId>, watched: ReadonlySet<UserId>): void {
    for (const { user, here: nodes, watchers } of [...owned.people.values()]) {
      if (nodes.has(from) && !here.has(user)) this.#setHere(owned, from, user, 0);
      if (watchers.has(from) && !watched.has(user)) this.#setWatched(owned, from, user, false);
    }
  }

  #setHere(owned: Owned, from: Incarnation, user: UserId, sessions: number): void {
    const person = this.#personOf(owned, user);
    const before = person.here.get(from) ?? 0;
    if (sessions > 0) {
      person.here.set(from, sessions);
      person.leftAt = null;
      this.#leaving.delete(person);
    } else if (person.here.delete(from) && person.here.size === 0) this.#leave(owned, person);
    this.#changed(owned, person, from);
    if (sessions <= before || sessionsOf(person) <= this.#deps.sessionsMax) return;
    const known = this.#tooMany.get(person);
    if (known === undefined) this.#tooMany.set(person, { owned, since: this.#deps.clock.monotonic(), node: from });
    else known.node = from;
  }

  /** Whoever has had too many sessions for long loses the newest; told again until they are fewer. */
  #limit(person: Registered, excess: Excess, now: number): void {
    const { owned, since, node } = excess;
    const over = sessionsOf(person) - this.#deps.sessionsMax;
    if (over <= 0 || this.#owned.get(owned.partition) !== owned) this.#tooMany.delete(person);
    else if (now - since >= ownerTimes.tooManyMs) {
      const [here] = person.here.keys();
      const from = person.here.has(node) ? node : (here as Incarnation);
      const [user, nodes, online] = this.#stateOf(owned, person.user);
      const most = Math.min(over, person.here.get(from) ?? 0);
      this.#deps.send(from, [[owned.partition, owned.epoch, owned.change, [[user, nodes, online, most]]]]);
      excess.since = now;
    }
  }

  #leave(owned: Owned, person: Registered): void {
    person.leftAt = this.#deps.clock.monotonic();
    this.#leaving.delete(person);
    this.#leaving.set(person, owned);
  }

  #setWatched(owned: Owned, from: Incarnation, user: UserId, on: boolean): void {
    const person = this.#personOf(owned, user);
    if (on) person.watchers.add(from);
    else person.watchers.delete(from);
    this.#letGo(owned, person);
  }

  #personOf(owned: Owned, user: UserId): Registered {
    const known = owned.people.get(user);
    if (known !== undefined) return known;
    const none = { leftAt: null, toldNodes: 0, toldOnline: null };
    const person: Registered = { user, here: new Map(), watchers: new Set(), ...none };
    owned.people.set(user, person);
    return person;
  }

  /** Of whom nobody knows or wants to know anything, nothing is kept. */
  #letGo(owned: Owned, person: Registered): void {
    if (person.here.size > 0 || person.watchers.size > 0) return;
    owned.people.delete(person.user);
    owned.news.delete(person);
    this.#leaving.delete(person);
  }

  #online(owned: Owned, person: Registered): boolean | null {
    if (person.here.size > 0 || person.leftAt !== null) return true;
    return owned.settled ? false : null;
  }

  #stateOf(owned: Owned, user: UserId): PersonState {
    const person = owned.people.get(user);
    if (person === undefined) return [user, 0, owned.settled ? false : null, 0];
    return [user, person.here.size, this.#online(owned, person), 0];
  }

  /** Not every node may have told this owner until now: from here on who is not here is away. */
  #settle(owned: Owned): void {
    owned.settled = true;
    for (const person of owned.people.values()) if (person.here.size === 0) this.#changed(owned, person, null);
  }

  #changed(owned: Owned, person: Registered, knows: Incarnation | null): void {
    const isNews = person.here.size !== person.toldNodes || this.#online(owned, person) !== person.toldOnline;
    if (isNews) {
      owned.change++;
      owned.news.set(person, owned.news.has(person) && owned.news.get(person) !== knows ? null : knows);
      if (!this.#gathering) this.#gather();
    }
    this.#letGo(owned, person);
  }

  #gather(): void {
    this.#gathering = true;
    this.#deps.clock.after(ownerTimes.gatherMs, () => {
      this.#gathering = false;
      const letters = new Map<Incarnation, Map<Owned, PersonState[]>>();
      for (const owned of this.#owned.values()) this.#write(owned, letters);
      for (const [node, letter] of letters) this.#post(node, letter);
    });
  }

  #write(owned: Owned, letters: Map<Incarnation, Map<Owned, PersonState[]>>): void {
    for (const [person, knows] of owned.news) {
      const state = this.#stateOf(owned, person.user);
      [, person.toldNodes, person.toldOnline] = state;
      for (const node of new Set([...person.here.keys(), ...person.watchers])) {
        if (node === knows) continue;
        const letter = letters.get(node) ?? new Map<Owned, PersonState[]>();
        letters.set(node, letter);
        const states = letter.get(owned) ?? [];
        letter.set(owned, states);
        states.push(state);
      }
    }
    owned.news.clear();
  }

  #post(node: Incarnation, letter: ReadonlyMap<Owned, readonly PersonState[]>): void {
    let words: PeopleWord[] = [];
    let people = 0;
    for (const [{ partition, epoch, change }, states] of letter) {
      for (let at = 0; at < states.length; at += peopleBatchMax) {
        const some = states.slice(at, at + peopleBatchMax);
        if (people + some.length > peopleBatchMax && words.length > 0) {
          this.#deps.send(node, words);
          words = [];
          people = 0;
        }
        words.push([partition, epoch, change, some]);
        people += some.length;
      }
    }
    if (words.length > 0) this.#deps.send(node, words);
  }
}

function sessionsOf({ here }: Registered): number {
  let all = 0;
  for (const some of here.values()) all += some;
  return all;
}

function usersOf(named: readonly (readonly [UserId, unknown])[]): ReadonlySet<UserId> {
  return new Set(named.map(([user]) => user));
}
