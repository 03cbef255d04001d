// Which node should own which partition: rendezvous hashing with bounded load, in which whoever holds a partition keeps it.
// Pure, and the same on every node that sees the same members and holders; order and history of the input carry no meaning.
import { fnv1a32 } from "../lib/hash";

/** One life of one node; a restart is another. 1–64 bytes of `[A-Za-z0-9_-]`, so that it may stand in a subject and in a key. */
export type Incarnation = string;

/**
 * The owner that each partition should have; null for all where there are no members.
 *
 * Guarantees: loads differ by at most one, so none is above `ceil(partitions / members)`; a partition moves only when its
 * holder is no member or holds too much, and no assignment of such loads moves fewer; where it moves to is its first choice,
 * by hash, among those with room. Members that see different holders agree again once they see the same.
 * @param holders by partition; null, or somebody who is no member: free to be assigned
 */
export function sharesOf(
  members: readonly Incarnation[],
  holders: readonly (Incarnation | null)[],
): readonly (Incarnation | null)[] {
  const held = new Map<Incarnation, number[]>(members.toSorted(byId).map((member) => [member, []]));
  for (const [partition, holder] of holders.entries()) if (holder !== null) held.get(holder)?.push(partition);
  const shares = new Array<Incarnation | null>(holders.length).fill(null);
  const room = new Map<Incarnation, Room>();
  for (const [member, quota] of quotasOf(held, holders.length)) {
    const own = held.get(member) as number[];
    const kept = own.length > quota ? favourites(member, own).slice(0, quota) : own;
    for (const partition of kept) shares[partition] = member;
    if (kept.length < quota) room.set(member, { seed: fnv1a32(member), left: quota - kept.length });
  }
  for (const [partition, share] of shares.entries()) if (share === null) shares[partition] = takeRoom(room, partition);
  return shares;
}

/** The shares of the same members and holders are worked out once: they are asked for ten times a second, and change seldom. */
export class Shares {
  #members: readonly Incarnation[] = [];
  #holders: readonly (Incarnation | null)[] = [];
  #last: readonly (Incarnation | null)[] | null = null;

  /** As {@link sharesOf}. */
  of(members: readonly Incarnation[], holders: readonly (Incarnation | null)[]): readonly (Incarnation | null)[] {
    if (this.#last !== null && same(members, this.#members) && same(holders, this.#holders)) return this.#last;
    this.#members = members;
    this.#holders = holders;
    this.#last = sharesOf(members, holders);
    return this.#last;
  }
}

function same(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one.length === other.length && one.every((item, at) => item === other[at]);
}

/** Whoever holds most is granted what remains of the division, so that as little as possible has to move. */
function quotasOf(held: ReadonlyMap<Incarnation, readonly number[]>, partitions: number): Map<Incarnation, number> {
  const floor = Math.floor(partitions / held.size);
  const remainder = partitions - floor * held.size;
  // The sort is stable and the map's order is that of the ids: a tie falls the same way everywhere.
  const byLoad = [...held].toSorted(([, a], [, b]) => b.length - a.length);
  return new Map(byLoad.map(([member], rank) => [member, floor + (rank < remainder ? 1 : 0)]));
}

/** What a member gives up first is what it was chosen for least. */
function favourites(member: Incarnation, partitions: readonly number[]): readonly number[] {
  const seed = fnv1a32(member);
  return partitions.toSorted((a, b) => scoreOf(seed, b) - scoreOf(seed, a) || a - b);
}

/** What a member can still be given. */
interface Room {
  readonly seed: number;
  left: number;
}

function takeRoom(rooms: Map<Incarnation, Room>, partition: number): Incarnation | null {
  let chosen: Incarnation | null = null;
  let best = -1;
  for (const [member, { seed }] of rooms) {
    const score = scoreOf(seed, partition);
    // Of two that score alike the first wins; the map's order is the same everywhere.
    if (score <= best) continue;
    best = score;
    chosen = member;
  }
  if (chosen === null) return null;
  const room = rooms.get(chosen) as Room;
  room.left -= 1;
  if (room.left === 0) rooms.delete(chosen);
  return chosen;
}

/** A member's claim on a partition, 32 bits. The end of murmur3: neighbouring partitions and similar ids must not score alike. */
function scoreOf(seed: number, partition: number): number {
  let mixed = seed ^ Math.imul(partition + 1, 0x9e3779b1);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

function byId(a: Incarnation, b: Incarnation): number {
  return a < b ? -1 : 1;
}
