// What this node tells the owners of people: who has sessions here, and whom somebody here watches; and what it heard in return.
// Owned by people.ts. Keeps G10 and G11: a hint beside this node's own truth, in batches, one under way to each owner, told again and again.
import type { Cancel, Clock } from "../lib/clock";
import { partitionOf } from "../lib/hash";
import type { Epoch, UserId } from "../protocol/ids";
import { peopleBatchMax } from "./people-wire";
import type { PeopleUpdate, PeopleWord, PersonState } from "./people-wire";
import type { Incarnation } from "./placement-shares";

/** Times of a node, milliseconds. */
export const hereTimes = {
  /** Who came and went is gathered this long. */
  gatherMs: 50,
  /** How often it is looked whether owners changed, and whether what failed can be told again. */
  tickMs: 250,
  /** Everything of a partition is told again this often: what was lost on the way is mended then. */
  againMs: 10_000,
  /** Without a word of the owner for so long, only this node's own truth counts. */
  holdMs: 25_000,
  /** How long a look waits for owners. */
  lookMs: 300,
} as const;

/** What is told of a person to the sessions here. */
export interface PeopleEvents {
  /** A watched person came or went, perhaps. */
  presence(user: UserId): void;
  /** Somebody who is here has sessions on so many nodes, this one included. */
  spread(user: UserId, nodes: number): void;
  /** So many of the person's newest sessions here are more than one person may have. */
  excess(user: UserId, sessions: number): void;
}

/** What it is made of. */
export interface PeopleHereDeps {
  readonly clock: Pick<Clock, "monotonic" | "after">;
  readonly ownerOf: (partition: number) => Incarnation | null;
  /** Tells an owner; null: it did not answer, or was not reached. Never rejects. */
  readonly tell: (
    owner: Incarnation,
    number: number,
    updates: readonly PeopleUpdate[],
  ) => Promise<readonly PeopleWord[] | null>;
  readonly events: PeopleEvents;
}

interface Entry {
  readonly user: UserId;
  sessions: number;
  watched: boolean;
  nodes: number;
  online: boolean;
  /** Whether the owner has ever said how they stand, and its number then. */
  known: boolean;
  change: number;
}

interface Part {
  readonly partition: number;
  readonly people: Map<UserId, Entry>;
  readonly dirty: Set<Entry>;
  /** The owner that was told everything, and the epoch that it named; null and 0: none. */
  owner: Incarnation | null;
  epoch: Epoch;
  toldAt: number;
  heardAt: number;
  /** Counts how often everything had to be told anew: answers to what was sent before are not relied on. */
  life: number;
}

interface Sent {
  readonly part: Part;
  readonly entries: readonly Entry[];
  readonly life: number;
}

interface Look {
  readonly users: Set<UserId>;
  resolve(): void;
}

/** See the head of this file. */
export class PeopleHere {
  readonly #deps: PeopleHereDeps;
  readonly #parts = new Map<number, Part>();
  readonly #underWay = new Set<Incarnation>();
  readonly #looks = new Set<Look>();
  #number = 0;
  #cancelGather: Cancel | null = null;

  constructor(deps: PeopleHereDeps) {
    this.#deps = deps;
  }

  /** The person has so many open sessions here. */
  here(user: UserId, sessions: number): void {
    const [part, entry] = this.#entryOf(user);
    if (entry.sessions === sessions) return;
    entry.sessions = sessions;
    if (sessions === 0) entry.nodes = 1;
    this.#touch(part, entry);
  }

  watch(user: UserId): void {
    const [part, entry] = this.#entryOf(user);
    if (entry.watched) return;
    entry.watched = true;
    this.#touch(part, entry);
  }

  unwatch(user: UserId): void {
    const part = this.#parts.get(partitionOf("user", user));
    const entry = part?.people.get(user);
    if (part === undefined || !entry?.watched) return;
    entry.watched = false;
    this.#touch(part, entry);
  }

  /** Whether a watched person is somewhere in the cluster, as was heard last. */
  isOnline(user: UserId): boolean {
    return this.#parts.get(partitionOf("user", user))?.people.get(user)?.online ?? false;
  }

  /** Resolves once the owners have said how these watched people stand, or after {@link hereTimes}.lookMs. */
  look(users: readonly UserId[]): Promise<void> {
    const unknown = users.filter((user) => !this.#parts.get(partitionOf("user", user))?.people.get(user)?.known);
    if (unknown.length === 0) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const look: Look = { users: new Set(unknown), resolve };
    this.#looks.add(look);
    this.#deps.clock.after(hereTimes.lookMs, () => {
      this.#looks.delete(look);
      resolve();
    });
    this.#flush();
    return promise;
  }

  /** What this owner said, or was told, may be lost: it is told everything again. */
  tellAgain(owner: Incarnation): void {
    for (const part of this.#parts.values()) if (part.owner === owner) this.#forgetOwner(part);
    this.#gather();
  }

  /** Looks at the time and at who owns what. Several times a second. */
  tick(): void {
    const now = this.#deps.clock.monotonic();
    for (const part of this.#parts.values()) {
      if (part.people.size === 0) {
        this.#parts.delete(part.partition);
        continue;
      }
      const owner = this.#deps.ownerOf(part.partition);
      if (owner !== part.owner || now - part.toldAt >= hereTimes.againMs) this.#forgetOwner(part);
      if (now - part.heardAt >= hereTimes.holdMs) this.#doubt(part);
    }
    this.#flush();
  }

  /** Words of an owner, asked for or not. */
  heard(from: Incarnation, words: readonly PeopleWord[]): void {
    for (const [partition, epoch, change, states] of words) {
      const part = this.#parts.get(partition);
      if (part?.owner === from && part.epoch === epoch) this.#saw(part, change, states);
    }
  }

  #entryOf(user: UserId): readonly [Part, Entry] {
    const partition = partitionOf("user", user);
    let part = this.#parts.get(partition);
    if (part === undefined) {
      const now = this.#deps.clock.monotonic();
      const times = { toldAt: Number.NEGATIVE_INFINITY, heardAt: now };
      part = { partition, people: new Map(), dirty: new Set(), owner: null, epoch: 0, life: 0, ...times };
      this.#parts.set(partition, part);
    }
    let entry = part.people.get(user);
    if (entry === undefined) {
      entry = { user, sessions: 0, watched: false, nodes: 1, online: false, known: false, change: 0 };
      part.people.set(user, entry);
    }
    return [part, entry];
  }

  #touch(part: Part, entry: Entry): void {
    part.dirty.add(entry);
    this.#gather();
  }

  #gather(): void {
    this.#cancelGather ??= this.#deps.clock.after(hereTimes.gatherMs, () => {
      this.#cancelGather = null;
      this.#flush();
    });
  }

  #forgetOwner(part: Part): void {
    part.life++;
    part.owner = null;
    part.epoch = 0;
    part.toldAt = this.#deps.clock.monotonic();
    for (const entry of part.people.values()) {
      entry.change = 0;
      part.dirty.add(entry);
    }
  }

  /** Nobody has said anything for long. */
  #doubt(part: Part): void {
    for (const entry of part.people.values()) {
      const { online, nodes } = entry;
      entry.online = false;
      entry.nodes = 1;
      this.#show(entry, online, nodes);
    }
  }

  /** One batch to every owner to whom none is under way. */
  #flush(): void {
    const letters = new Map<Incarnation, Part[]>();
    for (const part of this.#parts.values()) {
      if (part.dirty.size === 0) continue;
      const owner = this.#deps.ownerOf(part.partition);
      if (owner === null || this.#underWay.has(owner)) continue;
      const parts = letters.get(owner);
      if (parts) parts.push(part);
      else letters.set(owner, [part]);
    }
    for (const [owner, parts] of letters) void this.#send(owner, parts);
  }

  async #send(owner: Incarnation, parts: readonly Part[]): Promise<void> {
    const updates: PeopleUpdate[] = [];
    const sent: Sent[] = [];
    let room = peopleBatchMax;
    for (const part of parts) {
      if (room === 0) break;
      const entries = take(part.dirty, room);
      room -= entries.length;
      sent.push({ part, entries, life: part.life });
      updates.push(updateOf(part, owner, entries));
    }
    this.#underWay.add(owner);
    const words = await this.#deps.tell(owner, ++this.#number, updates);
    this.#underWay.delete(owner);
    const byPartition = new Map(words?.map((word) => [word[0], word]));
    for (const one of sent) this.#answered(one, owner, byPartition.get(one.part.partition));
    // What failed waits for the next tick; what did not fit, or came meanwhile, goes on.
    if (words !== null) this.#gather();
  }

  #answered({ part, entries, life }: Sent, owner: Incarnation, word: PeopleWord | undefined): void {
    if (word === undefined || word[1] === 0 || part.life !== life) {
      if (word?.[1] === 0) this.#forgetOwner(part);
      for (const entry of entries) part.dirty.add(entry);
      return;
    }
    const [, epoch, change, states] = word;
    const isFirst = part.owner !== owner || part.epoch !== epoch;
    part.owner = owner;
    part.epoch = epoch;
    if (isFirst) part.toldAt = this.#deps.clock.monotonic();
    this.#saw(part, change, states);
    for (const entry of entries)
      if (entry.sessions === 0 && !entry.watched && !part.dirty.has(entry)) part.people.delete(entry.user);
  }

  #saw(part: Part, change: number, states: readonly PersonState[]): void {
    part.heardAt = this.#deps.clock.monotonic();
    for (const [user, nodes, isOnline, excess] of states) {
      const entry = part.people.get(user);
      if (entry === undefined) continue;
      if (change >= entry.change) {
        const before = entry.online;
        const nodesBefore = entry.nodes;
        entry.change = change;
        entry.nodes = Math.max(1, nodes);
        // A new owner may not have heard everybody: what was known stands.
        entry.online = isOnline ?? entry.online;
        entry.known = true;
        this.#show(entry, before, nodesBefore);
      }
      if (excess > 0 && entry.sessions > 0) this.#deps.events.excess(user, excess);
    }
    if (this.#looks.size > 0) this.#found(states);
  }

  #show(entry: Entry, onlineBefore: boolean, nodesBefore: number): void {
    const { events } = this.#deps;
    if (entry.watched && entry.online !== onlineBefore) events.presence(entry.user);
    if (entry.sessions > 0 && entry.nodes !== nodesBefore) events.spread(entry.user, entry.nodes);
  }

  #found(states: readonly PersonState[]): void {
    for (const look of this.#looks) {
      for (const [user] of states) look.users.delete(user);
      if (look.users.size > 0) continue;
      this.#looks.delete(look);
      look.resolve();
    }
  }
}

function updateOf({ partition, owner, epoch }: Part, to: Incarnation, entries: readonly Entry[]): PeopleUpdate {
  const here = entries.map(({ user, sessions }) => [user, sessions] as const);
  const watched = entries.map(({ user, watched }) => [user, watched] as const);
  return [partition, owner === to ? epoch : 0, here, watched];
}

function take(entries: Set<Entry>, most: number): readonly Entry[] {
  const some: Entry[] = [];
  for (const entry of entries) {
    if (some.length === most) break;
    some.push(entry);
  }
  for (const entry of some) entries.delete(entry);
  return some;
}
