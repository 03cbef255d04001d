// Who is here on the other nodes, as far as the cache tells: each node says so of its own people, and looks after those whom
// somebody here watches. Keeps G10 and G11: a hint beside this node's own truth, in batches, at a bounded rate, all of it expiring.
import type { Cancel, Clock } from "../lib/clock";
import type { UserId } from "../protocol/ids";
import type { Cache } from "../storage/cache";
import type { CacheMeter } from "./known-people";

/** Bounds of what is told and asked. */
export const presenceLimits = {
  /** Who came and went is gathered this long, milliseconds. */
  gatherMs: 100,
  /** A node says this often that it lives, and is believed that much longer: a node that died takes its people along. */
  beatMs: 5_000,
  nodeLifeMs: 15_000,
  /** A person's place is told again this often, and forgotten that long after the last time. */
  renewMs: 30_000,
  personLifeMs: 90_000,
  /** Watched people are looked after this often, as many as fit into one batch, in turn. */
  pollMs: 1_000,
  /** People in one call; in one beat, that many times `renewBatches` places are told again. */
  batchMax: 500,
  renewBatches: 4,
  /** Looks out of turn, for whoever begins to watch, are at least this far apart. */
  lookMs: 50,
  /** What was known last is held for so long where the cache does not answer. */
  holdMs: 15_000,
} as const;

/** What it is made of. */
export interface RemotePresenceDeps {
  readonly cache: Cache;
  readonly clock: Clock;
  readonly meter: CacheMeter;
  /** Names this life of this node; any 11 letters of base64url that no other node has. */
  readonly node: string;
  /** Whether the person has a session on this node: those need no look. */
  readonly isHere: (user: UserId) => boolean;
  /** Somebody watched came or went elsewhere. */
  readonly onChange: (user: UserId) => void;
}

/** One watched person; `confirmedAt` when the cache last said so. */
interface Seen {
  online: boolean;
  confirmedAt: number;
}

const nodeForm = /^[A-Za-z0-9_-]{11}$/;

/** See the head of this file. One for a node; begins with {@link start}. */
export class RemotePresence {
  readonly #deps: RemotePresenceDeps;
  /** People here, with when they were last told; whoever was told longest ago comes first. */
  readonly #here = new Map<UserId, number>();
  readonly #came = new Set<UserId>();
  readonly #went = new Set<UserId>();
  readonly #watched = new Map<UserId, Seen>();
  readonly #wanted = new Set<UserId>();
  #round: Promise<void> | null = null;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #beatAt = Number.NEGATIVE_INFINITY;
  /** When the cache was last seen away: what was told until then may be lost. */
  #awayAt = Number.NEGATIVE_INFINITY;
  #cancelGather: Cancel | null = null;
  #cancelTick: Cancel | null = null;
  #stopped = false;

  constructor(deps: RemotePresenceDeps) {
    this.#deps = deps;
  }

  start(): void {
    void this.#tick();
  }

  /** Says that this node is gone, so that nobody waits for its life to end. Idempotent. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#cancelGather?.();
    this.#cancelTick?.();
    await this.#deps.cache.drop([nodeKey(this.#deps.node)]);
  }

  /** The person has a session here. Idempotent. */
  here(user: UserId): void {
    this.#went.delete(user);
    if (this.#here.has(user) || this.#came.has(user)) return;
    this.#came.add(user);
    this.#gather();
  }

  /** The person has none here any more. Idempotent. */
  gone(user: UserId): void {
    this.#came.delete(user);
    if (!this.#here.delete(user)) return;
    this.#went.add(user);
    this.#gather();
  }

  watch(user: UserId): void {
    if (!this.#watched.has(user)) this.#watched.set(user, { online: false, confirmedAt: Number.NEGATIVE_INFINITY });
  }

  unwatch(user: UserId): void {
    this.#watched.delete(user);
  }

  /** Whether a watched person is on another node, as was known last. */
  isOnline(user: UserId): boolean {
    return this.#watched.get(user)?.online ?? false;
  }

  /** Resolves once it was tried to learn about these watched people, within a look's distance and the cache's time-out. */
  look(users: readonly UserId[]): Promise<void> {
    const unsure = users.filter((user) => this.#isUnsure(user));
    // Past a batch they wait for their turn.
    if (unsure.length === 0 || this.#wanted.size + unsure.length > presenceLimits.batchMax) return Promise.resolve();
    for (const user of unsure) this.#wanted.add(user);
    this.#round ??= this.#nextRound();
    return this.#round;
  }

  #isUnsure(user: UserId): boolean {
    const seen = this.#watched.get(user);
    if (seen === undefined || this.#deps.isHere(user)) return false;
    return this.#deps.clock.monotonic() - seen.confirmedAt > presenceLimits.pollMs;
  }

  async #nextRound(): Promise<void> {
    const { clock } = this.#deps;
    const waitMs = this.#lookedAt + presenceLimits.lookMs - clock.monotonic();
    if (waitMs > 0) await new Promise<void>((resolve) => void clock.after(waitMs, resolve));
    this.#round = null;
    this.#lookedAt = clock.monotonic();
    const users = [...this.#wanted];
    this.#wanted.clear();
    await this.#read(users);
  }

  #gather(): void {
    if (this.#cancelGather !== null || this.#stopped) return;
    this.#cancelGather = this.#deps.clock.after(presenceLimits.gatherMs, () => {
      this.#cancelGather = null;
      void this.#tell();
    });
  }

  /** Tells one batch of those who came, and one of those who went; the others follow. */
  async #tell(): Promise<void> {
    const { cache } = this.#deps;
    // Who went is forgotten when their place's life is over; who came is told by the tick that finds the cache again.
    if (cache.state() !== "ready") return this.#went.clear();
    const came = take(this.#came);
    const went = take(this.#went);
    for (const user of came) this.#here.set(user, this.#deps.clock.monotonic());
    if (went.length > 0) await cache.exit(this.#places(went));
    if (came.length > 0) await cache.enter(this.#places(came), presenceLimits.personLifeMs);
    if (this.#came.size + this.#went.size > 0) this.#gather();
  }

  async #tick(): Promise<void> {
    const { clock, cache } = this.#deps;
    if (cache.state() === "ready") await this.#beat();
    else this.#awayAt = clock.monotonic();
    await this.#poll();
    if (!this.#stopped) this.#cancelTick = clock.after(presenceLimits.pollMs, () => void this.#tick());
  }

  /** Tells that this node lives, and again who is here. */
  async #beat(): Promise<void> {
    const { clock, cache, node } = this.#deps;
    const now = clock.monotonic();
    if (now - this.#beatAt >= presenceLimits.beatMs || this.#beatAt <= this.#awayAt) {
      this.#beatAt = now;
      await cache.put([{ key: nodeKey(node), value: true }], presenceLimits.nodeLifeMs);
    }
    if (this.#came.size > 0) this.#gather();
    for (let i = 0; i < presenceLimits.renewBatches && (await this.#renew()); i++);
  }

  /** Tells a batch again of those who were told longest ago. False: nobody is due. */
  async #renew(): Promise<boolean> {
    const now = this.#deps.clock.monotonic();
    const due: UserId[] = [];
    for (const [user, toldAt] of this.#here) {
      const isDue = now - toldAt >= presenceLimits.renewMs || toldAt <= this.#awayAt;
      if (!isDue || due.length === presenceLimits.batchMax) break;
      due.push(user);
    }
    for (const user of due) {
      this.#here.delete(user);
      this.#here.set(user, now);
    }
    if (due.length > 0) await this.#deps.cache.enter(this.#places(due), presenceLimits.personLifeMs);
    return due.length === presenceLimits.batchMax;
  }

  /** Looks after the next batch of watched people; whoever had their turn goes to the end. */
  async #poll(): Promise<void> {
    const turn = firstOf(this.#watched.keys());
    for (const user of turn) {
      const seen = this.#watched.get(user) as Seen;
      this.#watched.delete(user);
      this.#watched.set(user, seen);
    }
    await this.#read(turn.filter((user) => !this.#deps.isHere(user)));
  }

  async #read(users: readonly UserId[]): Promise<void> {
    if (users.length === 0) return;
    const { cache, clock, meter } = this.#deps;
    const places = await cache.members(users.map(placeKey));
    const living = await this.#living(places);
    let known = 0;
    users.forEach((user, i) => {
      const nodes = places[i];
      if (nodes && living !== null) {
        known++;
        this.#saw(
          user,
          nodes.some((node) => living.has(node)),
          clock.monotonic(),
        );
      } else this.#missed(user, clock.monotonic());
    });
    meter.cacheRead("presence", known, users.length - known);
  }

  /** Which of the named nodes live; null where the cache went away on the way. Whatever is no node's name is passed over. */
  async #living(places: readonly (readonly string[] | null)[]): Promise<ReadonlySet<string> | null> {
    const { cache, node } = this.#deps;
    const named = new Set(places.flatMap((nodes) => nodes ?? []).filter((one) => one !== node && nodeForm.test(one)));
    const asked = [...named].slice(0, presenceLimits.batchMax);
    if (asked.length === 0) return new Set();
    const lives = await cache.get(asked.map(nodeKey));
    return cache.state() === "ready" ? new Set(asked.filter((_, i) => lives[i] === true)) : null;
  }

  #saw(user: UserId, online: boolean, now: number): void {
    const seen = this.#watched.get(user);
    if (seen === undefined) return;
    seen.confirmedAt = now;
    if (seen.online === online) return;
    seen.online = online;
    this.#deps.onChange(user);
  }

  /** Holds what was known last for a while; after that only this node's own truth counts. */
  #missed(user: UserId, now: number): void {
    const seen = this.#watched.get(user);
    if (!seen?.online || now - seen.confirmedAt < presenceLimits.holdMs) return;
    seen.online = false;
    this.#deps.onChange(user);
  }

  #places(users: readonly UserId[]): readonly { key: string; member: string }[] {
    return users.map((user) => ({ key: placeKey(user), member: this.#deps.node }));
  }
}

/** As many as one call may have. */
function firstOf(users: Iterable<UserId>): readonly UserId[] {
  const some: UserId[] = [];
  for (const user of users) {
    if (some.length === presenceLimits.batchMax) break;
    some.push(user);
  }
  return some;
}

/** The same, taken out. */
function take(users: Set<UserId>): readonly UserId[] {
  const some = firstOf(users);
  for (const user of some) users.delete(user);
  return some;
}

function placeKey(user: UserId): string {
  return `place:${user}`;
}

function nodeKey(node: string): string {
  return `node:${node}`;
}
