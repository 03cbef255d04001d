// A cluster of simulated nodes at rest, for `placement-sim`: the real placement in virtual time, one change after another.
// Messages take up to 5 ms each way, clocks run up to 5 % fast or slow; every step is judged by the simulation's invariants.
import { partitionCount } from "../src/lib/hash";
import type { SimMember } from "../test/sim/placement-member";
import { PlacementWorld } from "../test/sim/placement-world";
import type { Schedule } from "../test/sim/simulate";

/** What one change of the members came to. */
export interface Changed {
  /** Partitions whose owner is another than before. */
  readonly moved: number;
  /** The fewest that any placement with even loads could have moved. */
  readonly movedLeast: number;
  /** Longest time for which any partition was not served, in ms of virtual time. */
  readonly unownedMs: number;
  /** Writes to claims and leases in the busiest second. */
  readonly writesPerSecond: number;
}

/** How a change comes about. */
export type Change = "join" | "drain" | "kill" | "kill, asked";

const stepMs = 5;
/** Until everybody may judge the others, and longer than anything else waits for. */
const restMs = 6000;
const evenMsMax = 60_000;
/** A change is watched at least this long. */
const watchedMs = 3000;

/** See the head of this file. Made at rest. */
export class PlacementCluster {
  readonly #world: PlacementWorld;

  constructor(schedule: Schedule, nodes: number) {
    this.#world = new PlacementWorld(schedule, null, partitionCount);
    this.#world.calm();
    this.#world.claims.brokenRate = 0;
    for (let i = 0; i < nodes; i++) this.#world.start();
    this.#rest();
  }

  /** Partitions of the node that has most, and of the one that has least. */
  loads(): { readonly most: number; readonly least: number } {
    const owners = this.#world.owners();
    const loads = this.#world.running.map((member) => owners.filter((owner) => owner === member).length);
    return { most: Math.max(...loads), least: Math.min(...loads) };
  }

  /** Writes to claims and leases in a second of rest. */
  writesAtRest(seconds: number): number {
    const before = this.#writes();
    for (let passed = 0; passed < seconds * 1000; passed += stepMs) this.#step();
    return (this.#writes() - before) / seconds;
  }

  /** After a rest makes a change, and watches until loads are even. */
  change(change: Change): Changed {
    this.#rest();
    const before = this.#names();
    const loads = this.#world.running.map(({ name }) => before.filter((owner) => owner === name).length);
    const begun = this.#begin(change);
    const watched = this.#watch();
    const moved = this.#names().filter((name, partition) => name !== before[partition]).length;
    const joined = Math.floor(partitionCount / (loads.length + 1));
    return { moved, movedLeast: change === "join" ? joined : (loads[begun] as number), ...watched };
  }

  end(): void {
    for (const member of [...this.#world.running]) this.#world.kill(member);
  }

  /** @returns which of the running members it befell; −1: a new one */
  #begin(change: Change): number {
    const at = this.#world.schedule.random.int(this.#world.running.length);
    const member = this.#world.running[at] as SimMember;
    if (change === "join") {
      this.#world.start();
      return -1;
    }
    if (change === "drain") member.drain();
    else {
      const partition = this.#names().indexOf(member.name);
      this.#world.kill(member);
      if (change === "kill, asked") this.#world.running[0]?.placement.unreachable(partition);
    }
    return at;
  }

  #watch(): Pick<Changed, "unownedMs" | "writesPerSecond"> {
    const { clock } = this.#world.schedule;
    const began = clock.monotonic();
    const ownedAt = new Array<number>(partitionCount).fill(began);
    const writes = [this.#writes()];
    let unownedMs = 0;
    let unevenAt = began;
    while (clock.monotonic() - Math.max(unevenAt, began) < watchedMs) {
      this.#step();
      const now = clock.monotonic();
      writes.push(this.#writes());
      for (const [partition, at] of ownedAt.entries()) {
        unownedMs = Math.max(unownedMs, now - at);
        if (this.#world.ownerOf(partition)) ownedAt[partition] = now;
      }
      if ((now - began) % 50 !== 0) continue;
      if (!this.#world.isEven()) unevenAt = now;
      if (now - began > evenMsMax) throw new Error("loads did not become even");
    }
    const inASecond = writes.map((count, i) => count - (writes[i - 1000 / stepMs] ?? (writes[0] as number)));
    // A stall of one step is the look's own width.
    return { unownedMs: unownedMs - stepMs, writesPerSecond: Math.max(...inASecond) };
  }

  #rest(): void {
    const { clock } = this.#world.schedule;
    const began = clock.monotonic();
    while (!this.#world.isEven()) {
      if (clock.monotonic() - began > evenMsMax) throw new Error("loads did not become even");
      for (let passed = 0; passed < 100; passed += stepMs) this.#step();
    }
    for (let passed = 0; passed < restMs; passed += stepMs) this.#step();
  }

  #step(): void {
    const { clock } = this.#world.schedule;
    clock.advance(stepMs);
    if (clock.monotonic() % 50 === 0) this.#world.judge();
  }

  #writes(): number {
    return this.#world.claims.writes + this.#world.members.writes;
  }

  #names(): readonly (string | null)[] {
    return this.#world.owners().map((owner) => owner?.name ?? null);
  }
}
