// The placement of one node in a cluster, as a state machine without I/O: events in, commands out.
// Owned by its runner (cluster-placement.ts). NATS gives liveness: leases and claims; safety is the store's, by epochs.
import type { Epoch } from "../protocol/ids";
import { PlacementAudit } from "./placement-audit";
import { placementLimits, placementTimes } from "./placement-events";
import type {
  Claim,
  Holding,
  MemberState,
  PingOutcome,
  PlacementCommand,
  PlacementEvent,
  PlacementNews,
} from "./placement-events";
import { PlacementLease } from "./placement-lease";
import { PlacementMembers } from "./placement-members";
import { Shares } from "./placement-shares";
import type { Incarnation } from "./placement-shares";
import { countPhases, PlacementSlot } from "./placement-slot";
import type { Phase } from "./placement-slot";

/** Who a node is, and how many partitions its cluster has. */
export interface PlacementNodeOptions {
  readonly self: Incarnation;
  readonly partitions: number;
  /** Monotonic milliseconds, as of every later event. */
  readonly now: number;
}

/** Counted when asked for. */
export interface PlacementStats {
  readonly state: MemberState;
  /** Members that are not suspected, this node included. */
  readonly members: number;
  /** Members beside this node that take partitions. */
  readonly others: number;
  readonly phases: Readonly<Record<Phase, number>>;
  /** Partitions whose claim names nobody who is thought to be there. */
  readonly unowned: number;
}

/** See the head of this file. One call at a time; times never go back. */
export class PlacementNode {
  readonly self: Incarnation;
  readonly #slots: readonly PlacementSlot[];
  readonly #lease: PlacementLease;
  readonly #members: PlacementMembers;
  readonly #store: PlacementAudit;
  readonly #shares = new Shares();
  #commands: PlacementCommand[] = [];
  #dirty = true;
  #draining = false;
  #departed = false;
  #membersCurrent = false;
  /** What the claims' watch has told since it began afresh; null once all is told. */
  #replay: Map<number, Claim> | null = new Map();
  #bumping = false;
  #state: MemberState = "serving";
  /** Since when this node has held more than its share; null: it does not. */
  #surplusSince: number | null = null;

  constructor({ self, partitions, now }: PlacementNodeOptions) {
    this.self = self;
    this.#store = new PlacementAudit(now);
    this.#lease = new PlacementLease(now);
    this.#members = new PlacementMembers(self, now);
    const emit = (command: PlacementCommand): void => void this.#commands.push(command);
    this.#slots = Array.from({ length: partitions }, (_, partition) => new PlacementSlot(partition, self, now, emit));
  }

  /** Whether a tick soon, rather than at its time, would do something. */
  get dirty(): boolean {
    return this.#dirty;
  }

  /** The epoch under which activations may run here now; null where this node does not own the partition. */
  epochOf(partition: number): Epoch | null {
    return this.#slots[partition]?.epoch ?? null;
  }

  phaseOf(partition: number): Phase {
    return this.#slot(partition).phase;
  }

  /** Who owns it and at which revision, as far as this node has heard. */
  claimOf(partition: number): Claim {
    return this.#slot(partition);
  }

  /**
   * Whether a reply that no stored row of its own backs (a head, members, a refusal) may leave: the store said of this
   * partition's epoch that it is the newest, to a question that began less than a second ago.
   */
  mayAnswer(partition: number, now: number): boolean {
    const { epoch, checkedAt } = this.#slot(partition);
    return epoch !== null && now - checkedAt < placementTimes.auditFreshMs;
  }

  /** Whether it has been in touch for so long, without a gap, that it has heard of every member that renews its lease. */
  knowsMembers(now: number): boolean {
    return this.#membersCurrent && this.#lease.isTrusted(now);
  }

  stats(): PlacementStats {
    const members = (["serving", "draining", "ailing"] as const).flatMap((state) => this.#members.inState(state));
    const others = this.#members.inState("serving").filter((member) => member !== this.self).length;
    const unowned = this.#count(({ owner }) => owner === null || !this.#members.isLive(owner));
    return { state: this.#state, members: members.length, others, phases: countPhases(this.#slots), unowned };
  }

  /** @returns what is to be done, in this order */
  handle(event: PlacementEvent, now: number): readonly PlacementCommand[] {
    this.#commands = [];
    if (event.type === "tick") this.#tick(now);
    else {
      this.#take(event, now);
      // What comes again and again as it should changes nothing: it waits for the next tick.
      this.#dirty ||= !isRoutine(event);
    }
    return this.#commands;
  }

  /** What the watches say. @returns as {@link PlacementNode.handle} */
  hear(news: PlacementNews, now: number): readonly PlacementCommand[] {
    this.#commands = [];
    this.#learn(news, now);
    this.#dirty ||= news.type !== "memberSeen" || this.#members.changedAt === now;
    return this.#commands;
  }

  #learn(event: PlacementNews, now: number): void {
    switch (event.type) {
      case "memberSeen":
        if (event.member !== this.self) this.#members.seen(event.member, event.state, event.revision, now);
        break;
      case "memberGone":
        this.#members.gone(event.member, now);
        break;
      case "membersCurrent":
        this.#membersCurrent = true;
        break;
      case "claimsRestarted":
        this.#replay = new Map();
        break;
      case "claimSeen":
        if (this.#replay) this.#replay.set(event.partition, event);
        else this.#claimSeen(event, now);
        break;
      case "claimsCurrent":
        this.#replayed(now);
        break;
    }
  }

  /** Answers to commands, and what the rest of the node says. */
  #take(event: Exclude<PlacementEvent, { readonly type: "tick" }>, now: number): void {
    switch (event.type) {
      case "connected":
        this.#lease.connect();
        return;
      case "disconnected":
        this.#lease.disconnect();
        this.#doubtAll();
        return;
      case "unreachable": {
        const { owner } = this.#slot(event.partition);
        if (owner !== null && this.#members.doubt(owner, now)) this.#ping(owner, 0);
        return;
      }
      case "suspected":
        if (this.#slot(event.partition).epoch !== null) this.#store.hurry();
        return;
      case "drain":
        this.#draining = true;
        return;
      case "renewed":
        if (this.#lease.renewed(event.ok, event.beganAt, now)) this.#members.forgive(now);
        return;
      case "claimAnswered":
        if (this.#slot(event.partition).claimAnswered(event.attempt, event.answer, now))
          this.#commands.push({ op: "rewatch" });
        this.#name(event.partition, now);
        return;
      case "bumped":
        this.#bumping = false;
        if (event.epoch !== null) this.#store.heard(now);
        for (const partition of event.partitions) this.#slot(partition).bumped(event.epoch, event.beganAt, now);
        return;
      case "audited":
        this.#audited(event, now);
        return;
      case "subscribed":
        this.#slot(event.partition).subscribed(event.epoch, event.ok, now);
        return;
      case "released":
        this.#slot(event.partition).released(event.epoch, now);
        return;
      case "pinged":
        this.#pinged(event.member, event.outcome, now);
        return;
    }
  }

  #claimSeen({ partition, owner, revision }: Claim & { readonly partition: number }, now: number): void {
    this.#slot(partition).learn(owner, revision, now);
    this.#name(partition, now);
  }

  #replayed(now: number): void {
    const replay = this.#replay;
    this.#replay = null;
    if (!replay) return;
    for (const slot of this.#slots) {
      const { owner, revision } = replay.get(slot.partition) ?? { owner: null, revision: 0 };
      slot.relearn(owner, revision, now);
      this.#name(slot.partition, now);
    }
  }

  /** Whoever a claim names may be there, though no lease of theirs was seen. Known once, when it is learnt. */
  #name(partition: number, now: number): void {
    const { owner, learnedAt } = this.#slot(partition);
    if (owner !== null && learnedAt === now) this.#members.named(owner, now);
  }

  #tick(now: number): void {
    this.#dirty = false;
    if (this.#lease.look(now).paused) {
      this.#doubtAll();
      this.#store.restart(now);
    }
    this.#lookAtSelf(now);
    if (!this.#departed && this.#lease.begin(now)) this.#commands.push({ op: "renew", state: this.#state });
    for (const member of this.#members.look(now, this.#lease.isTrusted(now))) this.#ping(member, 0);
    this.#audit(now);
    if (this.#isReady(now)) this.#place(now);
    this.#bump(now);
    if (this.#draining) this.#depart();
  }

  #lookAtSelf(now: number): void {
    const ailing = this.#store.silentMs(now) > placementTimes.ailingMs;
    const state = this.#draining ? "draining" : ailing ? "ailing" : "serving";
    if (state === this.#state) return;
    this.#state = state;
    this.#members.seen(this.self, state, 0, now);
    this.#lease.change();
  }

  /** Whether claims may be written: what is known is current, and the lease stands. */
  #isReady(now: number): boolean {
    return this.#replay === null && this.#membersCurrent && this.#lease.isFresh(now);
  }

  #place(now: number): void {
    const shares = this.#shares.of(this.#candidates(now), this.#holders());
    let claims = this.#count((slot) => slot.isClaiming);
    let handOffs = this.#count(({ phase }) => phase === "releasing" || phase === "released");
    const handOffsMax = this.#handOffsMax(shares, now);
    for (const slot of this.#slots) {
      const share = shares[slot.partition] ?? null;
      if (slot.phase === "owned" && share !== this.self && handOffs < handOffsMax && slot.owner === this.self) {
        handOffs += 1;
        slot.release(now);
      } else if (slot.phase === "releasing" && slot.phaseMs(now) >= placementTimes.releaseMs) slot.endRelease(now);
      if (claims >= placementLimits.claims || !slot.isReady(now)) continue;
      const owner = this.#claimFor(slot, share, now);
      if (owner === undefined) continue;
      claims += 1;
      slot.claim(owner);
    }
  }

  /** To whom a claim should be written now; undefined: to nobody. */
  #claimFor(slot: PlacementSlot, share: Incarnation | null, now: number): Incarnation | null | undefined {
    switch (slot.phase) {
      case "away":
        return share === this.self && this.#isFree(slot, now) ? this.self : undefined;
      case "claimed":
        if (share !== this.self && this.#isLeaving(now)) return share;
        return slot.isProven ? undefined : this.self;
      case "owned":
        return slot.wantsReclaim ? this.self : undefined;
      case "released":
        if (share !== this.self) return share;
        slot.keep(now);
        return this.self;
      default:
        return undefined;
    }
  }

  /** Whether a partition that is not ours may be taken. */
  #isFree({ owner, learnedAt }: PlacementSlot, now: number): boolean {
    if (owner === null) {
      const settled = now - Math.max(learnedAt, this.#members.changedAt) >= placementTimes.settleMs;
      return settled || now - learnedAt >= placementTimes.restlessMs;
    }
    if (this.#members.isLive(owner)) return false;
    return this.#members.isGone(owner) || this.#lease.isTrusted(now);
  }

  /** Among whom partitions are divided: those who serve; the ailing where nobody does. */
  #candidates(now: number): readonly Incarnation[] {
    const serving = this.#members.inState("serving");
    // Others know at once that we are ailing; we act on it only when it lasts, for all may be about to find out the same.
    const patient = this.#state === "ailing" && !this.#isLeaving(now);
    if (patient && serving.length > 0) return [...serving, this.self];
    return serving.length > 0 ? serving : this.#members.inState("ailing");
  }

  #isLeaving(now: number): boolean {
    if (this.#draining || this.#state !== "ailing") return this.#draining;
    // Where the store comes back for all, somebody notices first: that is no reason to give them everything.
    const settled = now - this.#members.changedAt >= placementTimes.settleMs;
    return settled && this.#store.silentMs(now) > 2 * placementTimes.ailingMs;
  }

  #handOffsMax(shares: readonly (Incarnation | null)[], now: number): number {
    const surplus = this.#slots.some(({ owner, partition }) => owner === this.self && shares[partition] !== this.self);
    // One that leaves may give its partitions away before we hear that it does: it must not be given others for them.
    this.#surplusSince = surplus ? (this.#surplusSince ?? now) : null;
    if (this.#isLeaving(now)) return placementLimits.drains;
    const since = Math.max(this.#surplusSince ?? now, this.#members.changedAt);
    return now - since >= placementTimes.settleMs && this.#lease.isTrusted(now) ? placementLimits.handOffs : 0;
  }

  /** Who holds each partition, where they are there; a claim in flight counts only once it is written. */
  #holders(): readonly (Incarnation | null)[] {
    return this.#slots.map(({ owner }) => (owner !== null && this.#members.isLive(owner) ? owner : null));
  }

  #bump(now: number): void {
    if (this.#bumping) return;
    const wanted = this.#slots.filter(
      (slot) => slot.phase === "claimed" && slot.isProven && slot.isReady(now) && !this.#isLeaving(now),
    );
    if (wanted.length === 0) return;
    this.#bumping = true;
    for (const slot of wanted) slot.bump(now);
    this.#commands.push({ op: "bump", partitions: wanted.map(({ partition }) => partition) });
  }

  #audit(now: number): void {
    if (!this.#store.begin(now)) return;
    const held = this.#slots.flatMap(({ partition, epoch }): Holding[] => (epoch === null ? [] : [[partition, epoch]]));
    this.#commands.push({ op: "audit", held });
  }

  #audited({ held, lost, beganAt }: Extract<PlacementEvent, { type: "audited" }>, now: number): void {
    this.#store.ended();
    if (lost === null) return;
    this.#store.heard(now);
    const gone = new Set(lost);
    for (const [partition, epoch] of held) {
      if (gone.has(partition)) this.#slot(partition).fenced(epoch, now);
      else this.#slot(partition).checked(epoch, beganAt);
    }
  }

  #depart(): void {
    if (this.#departed) return;
    if (this.#slots.some((slot) => slot.phase !== "away" || slot.isClaiming)) return;
    this.#departed = true;
    this.#commands.push({ op: "leave" }, { op: "departed" });
  }

  #doubtAll(): void {
    for (const slot of this.#slots) slot.doubt();
  }

  #pinged(member: Incarnation, outcome: PingOutcome, now: number): void {
    const absent = this.#members.pinged(member, outcome, now);
    if (absent === 1) this.#ping(member, placementTimes.pingAgainMs);
    if (absent < 2 || !this.#lease.isTrusted(now)) return;
    const revision = this.#members.suspect(member, now);
    // Those who should take its partitions over may not have missed it yet.
    if (revision > 0) this.#commands.push({ op: "expel", member, revision });
  }

  #ping(member: Incarnation, afterMs: number): void {
    this.#commands.push({ op: "ping", member, afterMs });
  }

  #count(matches: (slot: PlacementSlot) => boolean): number {
    return this.#slots.reduce((sum, slot) => sum + (matches(slot) ? 1 : 0), 0);
  }

  #slot(partition: number): PlacementSlot {
    return this.#slots[partition] as PlacementSlot;
  }
}

/** Whether it changes nothing that the next tick in its time would not see: what comes four times a second where all is well. */
function isRoutine(event: PlacementEvent): boolean {
  // Whoever asks in vain says so again and again: what follows from it has been done, and a crowd of them must not cost a look each.
  if (event.type === "unreachable" || event.type === "suspected") return true;
  return event.type === "audited" && event.lost?.length === 0;
}
