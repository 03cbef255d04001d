// A cluster of simulated nodes on which everything may go wrong, and what must hold all the same.
// Owned by placement.test.ts. Safety is judged by the store at every write and here after every step; liveness when faults end.
import type { Incarnation } from "../../src/actors/placement-shares";
import { placementTimes } from "../../src/actors/placement-events";
import { SimBucket } from "./placement-bucket";
import { SimEpochs } from "./placement-epochs";
import type { Control } from "./placement-epochs";
import { SimMember } from "./placement-member";
import type { Cluster } from "./placement-member";
import type { Weather } from "./placement-process";
import type { Schedule } from "./simulate";

/** What happens to the cluster, and how often against everything else. */
const shocks = {
  nothing: 6,
  crash: 2,
  start: 3,
  pause: 3,
  cutNats: 2,
  cutStore: 2,
  drain: 1.5,
  stopKv: 1,
  stopNats: 0.5,
  wipe: 0.4,
  rollBack: 0.4,
  weather: 1,
} as const;

/** Clocks that run slow make everything take longer. */
const slowest = 0.95;
/** Once faults have ended: all partitions have been owned; and loads are even, and nothing moves any more. */
export const ownedMsMax = (placementTimes.judgeMs + 3500) / slowest;
const evenMsMax = 30_000;
/** Longest time without an owner after a kill -9, for a cluster at rest. */
export const failoverMsMax = 2000 / slowest;

/** See the head of this file. */
export class PlacementWorld implements Cluster {
  readonly schedule: Schedule;
  readonly partitions: number;
  readonly weather: Weather = { latencyMs: 5, lossRate: 0, slowRate: 0.02 };
  readonly claims: SimBucket;
  readonly members: SimBucket;
  readonly epochs: SimEpochs;
  readonly control: Control;
  readonly membersMax: number;
  readonly counts: Record<string, number> = {};
  readonly #members: SimMember[] = [];
  #lives = 0;
  #broken: unknown = null;
  #healed = false;

  /** @param partitions few, so that each meets many faults, unless said otherwise */
  constructor(schedule: Schedule, control: Control = null, partitions: number | null = null) {
    const { random } = schedule;
    this.schedule = schedule;
    this.control = control;
    this.partitions = partitions ?? random.pick([4, 12, 24]);
    this.membersMax = random.pick([2, 3, 4, 6, 10]);
    this.claims = new SimBucket(schedule);
    this.claims.brokenRate = random.pick([0, 0, 0, 0.3]);
    this.members = new SimBucket(schedule, placementTimes.ttlMs);
    this.weather.latencyMs = random.pick([2, 5, 100]);
    this.epochs = new SimEpochs(schedule, this.partitions, control);
  }

  readonly count = (what: string): void => {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  };

  /** Members that run. */
  get running(): readonly SimMember[] {
    return this.#members;
  }

  find(incarnation: Incarnation): SimMember | null {
    return this.#members.find(({ name }) => name === incarnation) ?? null;
  }

  readonly broken = (error: unknown): void => {
    this.#broken ??= error;
  };

  start(): SimMember {
    this.#lives += 1;
    const member = new SimMember(this, `n${this.#lives}`);
    this.#members.push(member);
    this.schedule.trace(() => `${member.name} starts`);
    return member;
  }

  kill(member: SimMember): void {
    this.schedule.trace(() => `${member.name} is killed`);
    member.kill();
    this.#members.splice(this.#members.indexOf(member), 1);
  }

  /** One thing happens, and while some time passes people send. Throws what is broken. */
  step(): void {
    const { random } = this.schedule;
    const what = random.weighted(shocks);
    this.count(what);
    this.#shake(what);
    this.pass(random.pick([50, 300, 1000, 1000, 4000]));
  }

  /** Time passes; rows are asked for, and everything is judged again and again. */
  pass(ms: number): void {
    const { random, clock } = this.schedule;
    const until = clock.monotonic() + ms;
    while (clock.monotonic() < until) {
      this.#send(random.int(this.partitions));
      clock.advance(Math.min(random.pick([3, 20, 80]), until - clock.monotonic()));
      this.judge();
    }
  }

  /** Until `done`, judging and sending. Throws where that takes longer than `withinMs`. @returns how long it took */
  passUntil(done: () => boolean, withinMs: number, what: () => string): number {
    const { clock } = this.schedule;
    const start = clock.monotonic();
    while (!done()) {
      if (clock.monotonic() - start > withinMs) throw new Error(`not within ${withinMs} ms: ${what()}`);
      this.pass(10);
    }
    return clock.monotonic() - start;
  }

  /** What holds at every moment. */
  judge(): void {
    for (const member of this.#members) {
      for (let partition = 0; partition < this.partitions; partition++) {
        member.judge(partition);
        this.#judgeClaim(member, partition);
      }
      if (member.departed) this.#gone(member);
    }
    if (this.#broken !== null) throw this.#broken;
  }

  /** Messages are quick and arrive, and partitions are released at once. */
  calm(): void {
    Object.assign(this.weather, { latencyMs: 5, lossRate: 0, slowRate: 0 });
  }

  /** Everything works again; who is away stays away, and somebody is there. */
  heal(): void {
    this.#healed = true;
    this.claims.available = true;
    this.members.available = true;
    this.calm();
    for (const member of this.#members) this.#healMember(member);
    if (!this.#members.some(({ draining }) => !draining)) this.start();
    this.schedule.trace(() => `faults end; running: ${this.#members.map(({ name }) => name).join(" ")}`);
  }

  /** Who owns a partition by everybody's word: its claim, the store's newest epoch, its subscription, and nobody else's. */
  ownerOf(partition: number): SimMember | null {
    const claimed = this.claims.get(String(partition))?.value ?? null;
    const owner = claimed === null ? null : this.find(claimed);
    const { epoch } = this.epochs.log(partition);
    if (owner?.placement.phaseOf(partition) !== "owned") return null;
    if (owner.placement.epochOf(partition) !== epoch || owner.subscriptions.get(partition) !== epoch) return null;
    const others = this.#members.filter((one) => one !== owner && one.subscriptions.has(partition));
    return others.length === 0 ? owner : null;
  }

  owners(): readonly (SimMember | null)[] {
    return Array.from({ length: this.partitions }, (_, partition) => this.ownerOf(partition));
  }

  /** Whoever leaves has left, every partition is owned by members whose loads differ by at most one, and everybody knows it. */
  isEven(): boolean {
    if (this.#members.some(({ draining }) => draining)) return false;
    const owners = this.owners();
    const loads = this.#members.map((member) => owners.filter((owner) => owner === member).length);
    const agreed = this.#members.every(({ placement }) =>
      owners.every((owner, p) => placement.ownerOf(p) === owner?.name),
    );
    return agreed && Math.max(...loads) - Math.min(...loads) <= 1 && !owners.includes(null);
  }

  /** After {@link PlacementWorld.heal}: every partition is owned in time, then loads become even. */
  settle(): void {
    const missing = new Set(this.owners().keys());
    const seen = (): boolean => {
      for (const partition of missing) if (this.ownerOf(partition)) missing.delete(partition);
      return missing.size === 0;
    };
    this.passUntil(seen, ownedMsMax, () => `every partition is owned, ${[...missing].map((p) => this.describe(p))}`);
    this.passUntil(
      () => this.isEven(),
      evenMsMax,
      () => `loads are even: ${this.owners().map((one) => one?.name)}`,
    );
  }

  describe(partition: number): string {
    const claim = this.claims.get(String(partition));
    const { epoch, owner } = this.epochs.log(partition);
    const phases = this.#members.map(({ name, placement }) => `${name} ${placement.phaseOf(partition)}`);
    return `\n${partition}: ${claim?.value} @${claim?.revision}, epoch ${epoch} of ${owner}: ${phases.join(", ")}`;
  }

  #judgeClaim(member: SimMember, partition: number): void {
    const stands = this.claims.get(String(partition));
    const { placement, name } = member;
    // After a loss of claims a revision is used again: until the watch has begun afresh, it names another claim.
    if (!stands || !member.hasHeard || placement.revisionOf(partition) !== stands.revision) return;
    const known = placement.ownerOf(partition) ?? "-";
    if (known !== stands.value)
      throw new Error(`${name} knows ${partition} as ${known}'s at ${stands.revision}, it is ${stands.value}'s`);
  }

  #gone(member: SimMember): void {
    const held = [...this.claims.entries()].filter(({ value }) => value === member.name);
    if (held.length > 0) this.count("departed with claims");
    this.count("departed");
    this.kill(member);
  }

  #send(partition: number): void {
    const { random, clock } = this.schedule;
    const from = random.pick([...this.#members, null]);
    if (!from?.isReachable) return;
    const listening = this.#members.filter((one) => one.isReachable && one.subscriptions.has(partition));
    if (listening.length === 0) from.process.deliver(() => from.placement.unreachable(partition));
    for (const member of listening) {
      const delay = from.nats.delay();
      if (delay !== null) clock.after(delay, () => member.process.deliver(() => member.serve(partition)));
    }
  }

  #shake(what: keyof typeof shocks): void {
    const { random } = this.schedule;
    const member = this.#members.length > 0 ? random.pick(this.#members) : null;
    this.schedule.trace(() => `${what} ${member?.name}`);
    switch (what) {
      case "start":
        if (this.#members.length < this.membersMax) this.start();
        return;
      case "crash":
        if (member) this.kill(member);
        return;
      case "stopKv":
        this.#stopKv(random.between(500, 8000));
        return;
      case "stopNats":
        this.#stopNats(random.between(200, 6000), () => {});
        return;
      case "wipe":
        this.#stopNats(random.between(200, 3000), () => this.claims.wipe());
        return;
      case "rollBack":
        this.#stopNats(random.between(200, 3000), () => this.claims.rollBack(random.between(1, 20)));
        return;
      case "weather":
        this.weather.latencyMs = random.pick([2, 5, 50, 400]);
        this.weather.lossRate = random.pick([0, 0, 0.02, 0.2]);
        return;
      case "nothing":
        return;
      default:
        if (member) this.#trouble(what, member);
    }
  }

  #trouble(what: "pause" | "cutNats" | "cutStore" | "drain", member: SimMember): void {
    const { random } = this.schedule;
    const ms = random.pick([300, 1500, 4000, 12_000]);
    switch (what) {
      case "pause":
        member.process.pause(random.chance(0.2));
        this.#later(ms, () => member.process.resume());
        return;
      case "cutNats":
        member.connectNats(false);
        this.#later(ms, () => member.connectNats(true));
        return;
      case "cutStore":
        member.connectStore(false);
        this.#later(ms, () => member.connectStore(true));
        return;
      case "drain":
        member.drain();
    }
  }

  #stopKv(ms: number): void {
    this.claims.available = false;
    this.members.available = false;
    this.#later(ms, () => {
      this.claims.available = true;
      this.members.available = true;
    });
  }

  /** The server ends and comes back, each node finds it again in its own time. */
  #stopNats(ms: number, lose: () => void): void {
    const { random } = this.schedule;
    for (const member of this.#members) member.connectNats(false);
    lose();
    for (const member of this.#members) this.#later(ms + random.int(300), () => member.connectNats(true));
  }

  /** Unless everything was healed before. */
  #later(ms: number, call: () => void): void {
    this.schedule.clock.after(ms, () => {
      if (!this.#healed) call();
    });
  }

  #healMember(member: SimMember): void {
    member.process.resume();
    member.connectNats(true);
    member.connectStore(true);
  }
}
