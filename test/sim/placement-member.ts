// One node of a simulated cluster, for one life of it: the real placement, and actors that are as simple as they can be.
// An actor of a partition reads the end of its log once, then appends one row after another, repeating what was not decided.
import { ClusterPlacement } from "../../src/actors/cluster-placement";
import type { EpochStore, PlacementHost } from "../../src/actors/cluster-placement";
import type { PingOutcome } from "../../src/actors/placement-events";
import type { Incarnation } from "../../src/actors/placement-shares";
import type { Epoch } from "../../src/protocol/ids";
import type { SimBucket, SimKeyValue } from "./placement-bucket";
import type { Control, SimEpochs } from "./placement-epochs";
import { SimLink, SimProcess } from "./placement-process";
import type { Weather } from "./placement-process";
import type { Schedule } from "./simulate";

/** What all members share. */
export interface Cluster {
  readonly schedule: Schedule;
  readonly partitions: number;
  readonly weather: Weather;
  readonly claims: SimBucket;
  readonly members: SimBucket;
  readonly epochs: SimEpochs;
  readonly control: Control;
  find(incarnation: Incarnation): SimMember | null;
  broken(error: unknown): void;
  readonly count: (what: string) => void;
}

interface Actor {
  readonly epoch: Epoch;
  /** Rows in the log as far as it knows; null: not read yet. */
  head: number | null;
  /** Rows asked for and not begun. */
  waiting: number;
  busy: boolean;
}

/** Rows waiting for one actor. */
const waitingMax = 20;

/** See the head of this file. */
export class SimMember implements PlacementHost {
  readonly process: SimProcess;
  readonly nats: SimLink;
  readonly placement: ClusterPlacement;
  /** Partitions it listens for, and under which epoch. */
  readonly subscriptions = new Map<number, Epoch>();
  /** What leases said of the levels that members support. */
  readonly levels = new Map<Incarnation, number>();
  departed = false;
  draining = false;
  readonly #cluster: Cluster;
  readonly #store: SimLink;
  readonly #keyValues: readonly SimKeyValue[];
  readonly #actors = new Map<number, Actor>();
  /** Ends of logs read too early: a negative control. */
  readonly #early = new Map<number, number>();
  #rows = 0;

  constructor(cluster: Cluster, incarnation: Incarnation) {
    const { schedule, weather, epochs, partitions } = cluster;
    this.#cluster = cluster;
    this.process = new SimProcess(schedule, incarnation);
    this.nats = new SimLink(schedule, this.process, weather);
    this.#store = new SimLink(schedule, this.process, weather);
    const claims = cluster.claims.open(this.process, this.nats);
    const members = cluster.members.open(this.process, this.nats);
    this.#keyValues = [claims, members];
    const store = this.#watched(epochs.open(this.process, this.#store));
    this.placement = new ClusterPlacement({
      self: incarnation,
      partitions,
      clock: this.process,
      claims,
      members,
      store,
      host: this,
      levels: {
        level: 1,
        seen: (member, level) => void this.levels.set(member, level),
        gone: (member) => void this.levels.delete(member),
      },
    });
    this.placement.connection(true);
  }

  get name(): Incarnation {
    return this.process.name;
  }

  /** Runs, and is heard by the others. */
  get isReachable(): boolean {
    return this.nats.isUp && !this.process.isDead;
  }

  /** Whether it has heard of the claims since they were last lost. */
  get hasHeard(): boolean {
    return this.#keyValues[0]?.isOfThisLife ?? false;
  }

  /** The process and what it ran are gone. */
  kill(): void {
    this.process.kill();
    this.placement.close();
    this.connectNats(false);
    this.#store.set(false);
  }

  connectNats(stands: boolean): void {
    const before = this.nats.isUp;
    this.nats.set(stands);
    if (before === this.nats.isUp) return;
    for (const keyValue of this.#keyValues) keyValue.connection(stands);
    this.process.deliver(() => this.placement.connection(stands));
  }

  connectStore(stands: boolean): void {
    this.#store.set(stands);
  }

  drain(): void {
    this.draining = true;
    const depart = (): void => {
      this.departed = true;
    };
    this.process.deliver(() => void this.placement.drain().then(depart));
  }

  /** Somebody asks for a row in this partition. */
  serve(partition: number): void {
    const epoch = this.placement.epochOf(partition);
    if (epoch === null) return;
    let actor = this.#actors.get(partition);
    if (actor?.epoch !== epoch) {
      const early = this.#early.get(partition) ?? null;
      actor = { epoch, head: early, waiting: 0, busy: false };
      this.#actors.set(partition, actor);
    }
    actor.waiting = Math.min(actor.waiting + 1, waitingMax);
    if (!actor.busy) void this.#act(partition, actor);
    this.judge(partition);
  }

  /** A reply may leave only if nobody else has been the owner for long. */
  judge(partition: number): void {
    const { epochs } = this.#cluster;
    const epoch = this.placement.epochOf(partition);
    if (epoch === null || this.process.isPaused || this.process.hasStopped) return;
    if (this.placement.mayAnswer(partition)) epochs.judgeReply(partition, epoch, this.process);
  }

  // What the placement has done here.

  async subscribe(partition: number, epoch: Epoch): Promise<boolean> {
    const done = await this.nats.request(() => true);
    if (done === null || this.placement.epochOf(partition) !== epoch) return false;
    this.subscriptions.set(partition, epoch);
    return true;
  }

  async release(partition: number, epoch: Epoch): Promise<void> {
    const { schedule, weather } = this.#cluster;
    const { random } = schedule;
    if (this.subscriptions.get(partition) === epoch) this.subscriptions.delete(partition);
    const done = Promise.withResolvers<void>();
    this.process.after(random.chance(weather.slowRate) ? random.int(3000) : random.int(10), done.resolve);
    await done.promise;
    this.#end(partition, epoch);
  }

  drop(partition: number, epoch: Epoch): void {
    this.#cluster.count("dropped");
    if (this.subscriptions.get(partition) === epoch) this.subscriptions.delete(partition);
    this.#end(partition, epoch);
  }

  reopen(): void {
    this.#cluster.count("reopened");
  }

  async ping(incarnation: Incarnation): Promise<PingOutcome> {
    const { clock } = this.#cluster.schedule;
    const answered = Promise.withResolvers<PingOutcome>();
    const cancel = this.process.after(300, () => answered.resolve("silent"));
    const answer = (outcome: PingOutcome): void => {
      const back = this.nats.delay();
      if (back === null) return;
      const arrive = (): void => {
        cancel();
        answered.resolve(outcome);
      };
      clock.after(back, () => this.process.deliver(arrive));
    };
    const there = this.nats.delay();
    if (there !== null) clock.after(there, () => this.#pinged(incarnation, answer));
    return answered.promise;
  }

  moved(): void {
    this.#cluster.count("moved");
  }

  #pinged(incarnation: Incarnation, answer: (outcome: PingOutcome) => void): void {
    const target = this.#cluster.find(incarnation);
    if (!target?.isReachable) answer("absent");
    else target.process.deliver(() => answer("answered"));
  }

  /** Reads the log's end if need be, then appends what waits. Ends when it is fenced or was ended. */
  async #act(partition: number, actor: Actor): Promise<void> {
    const { epochs, broken, count } = this.#cluster;
    const isOver = (): boolean => this.#actors.get(partition) !== actor;
    actor.busy = true;
    while (actor.head === null && !isOver()) {
      actor.head = await this.#store.request(() => epochs.log(partition).rows.length);
    }
    while (actor.waiting > 0 && actor.head !== null && !isOver()) {
      this.#rows += 1;
      const row = `${this.name}#${this.#rows}`;
      const seq: number = actor.head + 1;
      const append = (): "stored" | "fenced" | null => {
        try {
          return epochs.append(partition, actor.epoch, seq, row, this.name);
        } catch (error) {
          broken(error);
          return null;
        }
      };
      let outcome: "stored" | "fenced" | null = null;
      while (outcome === null && !isOver()) outcome = await this.#store.request(append);
      if (outcome === null) break;
      count(outcome);
      actor.waiting -= 1;
      if (outcome === "stored") actor.head = seq;
      else this.#fenced(partition, actor);
    }
    actor.busy = false;
  }

  #fenced(partition: number, actor: Actor): void {
    this.#end(partition, actor.epoch);
    this.placement.suspect(partition);
  }

  #end(partition: number, epoch: Epoch): void {
    if (this.#actors.get(partition)?.epoch === epoch) this.#actors.delete(partition);
  }

  #watched(store: EpochStore): EpochStore {
    const { control, epochs } = this.#cluster;
    if (control !== "activateBeforeBump") return store;
    return {
      ...store,
      claim: (partitions) => {
        for (const partition of partitions) this.#early.set(partition, epochs.log(partition).rows.length);
        return store.claim(partitions);
      },
    };
  }
}
