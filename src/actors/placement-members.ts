// Who is in the cluster, as one node sees it: leases as they are renewed, silence by its own clock, pings that find nobody.
// Owned by PlacementNode. A suspicion is an opinion: it lets partitions be claimed, and the store fences whoever was wronged.
import { placementTimes } from "./placement-events";
import type { MemberState, PingOutcome } from "./placement-events";
import type { Incarnation } from "./placement-shares";

interface Member {
  /** Null: named by a claim, and no lease of it was seen. */
  state: MemberState | null;
  /** At which its lease was seen last; 0: it was not. */
  revision: number;
  seenAt: number;
  suspectedAt: number | null;
  pingedAt: number;
  /** When a ping first found nobody; null: not since it was last heard of. */
  absentAt: number | null;
}

/** See the head of this file. Never judges `self`. */
export class PlacementMembers {
  readonly #self: Incarnation;
  readonly #members = new Map<Incarnation, Member>();
  #changedAt: number;

  constructor(self: Incarnation, now: number) {
    this.#self = self;
    this.#changedAt = now;
    this.seen(self, "serving", 0, now);
  }

  /** When somebody last came, went, or changed what they say of themselves. */
  get changedAt(): number {
    return this.#changedAt;
  }

  /** Members known, the suspected included. */
  get size(): number {
    return this.#members.size;
  }

  seen(name: Incarnation, state: MemberState, revision: number, now: number): void {
    const known = this.#members.get(name);
    if (known?.state !== state || known.suspectedAt !== null) this.#changedAt = now;
    this.#members.set(name, { ...fresh(now), pingedAt: known?.pingedAt ?? fresh(now).pingedAt, state, revision });
  }

  /** It left, or somebody found it dead. */
  gone(name: Incarnation, now: number): void {
    if (name !== this.#self && this.#members.delete(name)) this.#changedAt = now;
  }

  /** A claim names it: until it has been silent for long enough it may be there. */
  named(name: Incarnation, now: number): void {
    if (!this.#members.has(name)) this.#members.set(name, { ...fresh(now), state: null, revision: 0 });
  }

  /** Nobody could be heard for a while: silence counts from now on. */
  forgive(now: number): void {
    for (const member of this.#members.values()) if (member.suspectedAt === null) member.seenAt = now;
  }

  isLive(name: Incarnation): boolean {
    const member = this.#members.get(name);
    return member !== undefined && member.suspectedAt === null;
  }

  /** Whether it is known to have left or died, rather than thought to. */
  isGone(name: Incarnation): boolean {
    return !this.#members.has(name);
  }

  /** Those who are not suspected and say this of themselves. */
  inState(state: MemberState): readonly Incarnation[] {
    return [...this.#members].flatMap(([name, member]) =>
      member.state === state && member.suspectedAt === null ? [name] : [],
    );
  }

  /** Somebody could not reach it. @returns whether it should be pinged: not while that is under way */
  doubt(name: Incarnation, now: number): boolean {
    const member = this.#members.get(name);
    if (!member || name === this.#self || member.suspectedAt !== null) return false;
    if (now - member.pingedAt < placementTimes.pingMs) return false;
    member.pingedAt = now;
    return true;
  }

  /** @returns how many pings in a row have found nobody, far enough apart: at two it may be judged */
  pinged(name: Incarnation, outcome: PingOutcome, now: number): 0 | 1 | 2 {
    const member = this.#members.get(name);
    if (!member || member.suspectedAt !== null) return 0;
    if (outcome !== "absent") {
      member.absentAt = null;
      return 0;
    }
    // Rounding of timers must not void the second vote.
    const second = member.absentAt !== null && now - member.absentAt >= placementTimes.pingAgainMs - 1;
    member.absentAt = second ? null : (member.absentAt ?? now);
    return second ? 2 : 1;
  }

  /** It is dead. @returns the revision of its lease; 0: none was seen */
  suspect(name: Incarnation, now: number): number {
    const member = this.#members.get(name);
    if (!member) return 0;
    this.#suspect(member, now);
    return member.revision;
  }

  /** Judges silence. @returns those who missed a renewal, to be pinged */
  look(now: number, trusted: boolean): readonly Incarnation[] {
    const missed: Incarnation[] = [];
    for (const [name, member] of this.#members) {
      if (name === this.#self) continue;
      const silentMs = now - member.seenAt;
      if (member.suspectedAt !== null) {
        if (now - member.suspectedAt >= placementTimes.forgetMs) this.#members.delete(name);
      } else if (trusted && silentMs >= placementTimes.suspectMs) this.#suspect(member, now);
      else if (silentMs >= placementTimes.missedMs && this.doubt(name, now)) missed.push(name);
    }
    return missed;
  }

  #suspect(member: Member, now: number): void {
    member.suspectedAt = now;
    this.#changedAt = now;
  }
}

function fresh(now: number): Omit<Member, "state" | "revision"> {
  return { seenAt: now, suspectedAt: null, pingedAt: Number.NEGATIVE_INFINITY, absentAt: null };
}
