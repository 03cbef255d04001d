// People over all nodes of a cluster: whether somebody is online anywhere, on how many nodes, and that they have not too many sessions.
// Owned by the composition, which makes one where there are other nodes, and hands it to the hub. Nothing here is promised (G10).
import type { Cancel, Clock } from "../lib/clock";
import type { Epoch, UserId } from "../protocol/ids";
import { PeopleHere, hereTimes } from "./people-here";
import type { PeopleEvents } from "./people-here";
import { PeopleOwner } from "./people-owner";
import { readUpdates, readWords } from "./people-wire";
import type { PeopleUpdate, PeopleWord } from "./people-wire";
import type { Incarnation } from "./placement-shares";

/** How nodes speak to each other about people. Nothing throws or rejects. */
export interface PeopleLinks {
  /** Null where nobody answered in time. */
  request(node: Incarnation, args: readonly unknown[]): Promise<unknown>;
  /** May be lost. */
  send(node: Incarnation, args: readonly unknown[]): void;
}

/** What it is made of. */
export interface PeopleDeps {
  readonly self: Incarnation;
  readonly clock: Pick<Clock, "monotonic" | "after" | "endOfTurn">;
  readonly links: PeopleLinks;
  readonly ownerOf: (partition: number) => Incarnation | null;
  readonly epochOf: (partition: number) => Epoch | null;
  /** Sessions that one person may have on all nodes together. */
  readonly sessionsMax: number;
  readonly meter: { ignored(what: "malformed" | "late"): void };
}

/** What a hub asks of the other nodes. */
export interface PeopleElsewhere {
  /** Called once, before anything else. */
  begin(events: PeopleEvents): void;
  /** The person has so many open sessions here. */
  here(user: UserId, sessions: number): void;
  watch(user: UserId): void;
  unwatch(user: UserId): void;
  /** Whether a watched person was heard to be somewhere in the cluster. */
  isOnline(user: UserId): boolean;
  /** Resolves within a moment, once it is known how these watched people stand, or that it cannot be. */
  look(users: readonly UserId[]): Promise<void>;
}

/** See the head of this file. */
export class People implements PeopleElsewhere {
  readonly #deps: PeopleDeps;
  readonly #owner: PeopleOwner;
  readonly #here: PeopleHere;
  #events: PeopleEvents | null = null;
  #cancelTick: Cancel = () => undefined;
  #stopped = false;

  constructor(deps: PeopleDeps) {
    const { clock, ownerOf, epochOf, sessionsMax } = deps;
    this.#deps = deps;
    this.#owner = new PeopleOwner({ clock, epochOf, sessionsMax, send: (node, words) => this.#send(node, words) });
    const events: PeopleEvents = {
      presence: (user) => this.#events?.presence(user),
      spread: (user, nodes) => this.#events?.spread(user, nodes),
      excess: (user, sessions) => this.#events?.excess(user, sessions),
    };
    this.#here = new PeopleHere({
      clock,
      ownerOf,
      tell: (owner, number, updates) => this.#tell(owner, number, updates),
      events,
    });
  }

  /** People of whom this node, as their owner, knows something. */
  get known(): number {
    return this.#owner.known;
  }

  begin(events: PeopleEvents): void {
    this.#events = events;
    this.#tick();
  }

  here(user: UserId, sessions: number): void {
    this.#here.here(user, sessions);
  }

  watch(user: UserId): void {
    this.#here.watch(user);
  }

  unwatch(user: UserId): void {
    this.#here.unwatch(user);
  }

  isOnline(user: UserId): boolean {
    return this.#here.isOnline(user);
  }

  look(users: readonly UserId[]): Promise<void> {
    return this.#here.look(users);
  }

  /** Another node tells where people are. Answers it; null for what cannot be read, or comes too late. */
  asked(args: readonly unknown[], from: Incarnation): readonly PeopleWord[] | null {
    const update = readUpdates(args);
    if (update === null) {
      this.#deps.meter.ignored("malformed");
      return null;
    }
    const words = this.#owner.update(from, ...update);
    if (words === null) this.#deps.meter.ignored("late");
    return words;
  }

  /** An owner tells what became of people. */
  told(args: readonly unknown[], from: Incarnation): void {
    const words = readWords(args[0]);
    if (words === null) this.#deps.meter.ignored("malformed");
    else this.#here.heard(from, words);
  }

  nodeGone(node: Incarnation): void {
    this.#owner.nodeGone(node);
  }

  /** Something that this node sent may be lost: what it owns is asked again. */
  gap(from: Incarnation): void {
    this.#here.tellAgain(from);
  }

  /** Idempotent. */
  stop(): void {
    this.#stopped = true;
    this.#cancelTick();
  }

  #tick(): void {
    if (this.#stopped) return;
    this.#cancelTick = this.#deps.clock.after(hereTimes.tickMs, () => this.#tick());
    this.#owner.tick();
    this.#here.tick();
  }

  async #tell(
    owner: Incarnation,
    number: number,
    updates: readonly PeopleUpdate[],
  ): Promise<readonly PeopleWord[] | null> {
    const { self, links } = this.#deps;
    if (owner === self) return this.#owner.update(self, number, updates);
    return readWords(await links.request(owner, [number, updates]));
  }

  #send(node: Incarnation, words: readonly PeopleWord[]): void {
    const { self, links, clock } = this.#deps;
    if (node === self) clock.endOfTurn(() => this.#here.heard(self, words));
    else links.send(node, [words]);
  }
}
