// The store of a simulated cluster, as far as placement sees it: epochs that fence, and one log a partition to be fenced.
// Owned by the placement's simulation; judges every write and every reply as it comes: what it throws is a broken invariant.
import type { EpochStore } from "../../src/actors/cluster-placement";
import type { Holding } from "../../src/actors/placement-events";
import { placementTimes } from "../../src/actors/placement-events";
import type { Epoch } from "../../src/protocol/ids";
import type { SimLink, SimProcess } from "./placement-process";
import type { Schedule } from "./simulate";

/** A guarantee to switch off: the simulation must notice. */
export type Control = "noBump" | "noAudit" | "activateBeforeBump" | null;

interface Log {
  epoch: Epoch;
  /** Who took that epoch, and when it became the newest. */
  owner: string | null;
  since: number;
  /** The id of each write, by seq − 1. */
  readonly rows: string[];
}

/** What all nodes share. */
export class SimEpochs {
  readonly logs: readonly Log[];
  readonly #schedule: Schedule;
  readonly #control: Control;
  /** As on a database without transactions: an epoch is counted, and written to its partitions later. */
  readonly #twoSteps: boolean;
  #counter = 0;

  constructor(schedule: Schedule, partitions: number, control: Control) {
    this.#schedule = schedule;
    this.#control = control;
    this.#twoSteps = schedule.random.chance(0.5);
    this.logs = Array.from({ length: partitions }, () => ({ epoch: 0, owner: null, since: 0, rows: [] }));
  }

  /** One node's way to it. */
  open(process: SimProcess, link: SimLink): EpochStore {
    return {
      claim: async (partitions) => {
        const taken = await link.request(() => this.#take());
        if (taken === null) throw new Error("the store does not answer");
        const install = (): Epoch => this.#install(partitions, taken, process.name);
        const installed = this.#twoSteps ? await link.request(install) : install();
        if (installed === null) throw new Error("the store does not answer");
        return installed;
      },
      auditAll: async (held) => {
        const lost = await link.request(() => this.#audit(held));
        if (lost === null) throw new Error("the store does not answer");
        return lost;
      },
    };
  }

  log(partition: number): Log {
    return this.logs[partition] as Log;
  }

  /** One row at one seq; the same row again is told to be there. */
  append(partition: number, epoch: Epoch, seq: number, row: string, writer: string): "stored" | "fenced" {
    const log = this.log(partition);
    if (log.epoch !== epoch) return "fenced";
    if (log.owner !== writer) throw new Error(`${writer} writes to ${partition} under ${log.owner}'s epoch ${epoch}`);
    const there = log.rows[seq - 1];
    if (there === row) return "stored";
    if (seq !== log.rows.length + 1)
      throw new Error(`${partition} forks: ${writer} appends ${row} at ${seq}, the log ends at ${log.rows.length}`);
    log.rows.push(row);
    return "stored";
  }

  /** A reply that rests on the epoch alone leaves a node now. */
  judgeReply(partition: number, epoch: Epoch, process: SimProcess): void {
    const log = this.log(partition);
    if (log.epoch === epoch) return;
    const staleMs = this.#schedule.clock.monotonic() - log.since;
    if (staleMs > placementTimes.auditFreshMs / process.rate + 1)
      throw new Error(`${process.name} answers for ${partition} under ${epoch}, ${log.epoch} for ${staleMs} ms`);
  }

  #take(): Epoch {
    if (this.#control === "noBump") return Math.max(1, this.#counter);
    this.#counter += 1;
    return this.#counter;
  }

  #install(partitions: readonly number[], epoch: Epoch, owner: string): Epoch {
    for (const partition of partitions) {
      const log = this.log(partition);
      if (this.#control === "noBump" && log.epoch > 0) continue;
      // Counted earlier and written later than another's: that one stands.
      if (log.epoch >= epoch) continue;
      log.epoch = epoch;
      log.owner = owner;
      log.since = this.#schedule.clock.monotonic();
    }
    this.#counter = Math.max(this.#counter, epoch);
    return epoch;
  }

  #audit(held: readonly Holding[]): readonly number[] {
    if (this.#control === "noAudit") return [];
    return held.flatMap(([partition, epoch]) => (this.log(partition).epoch === epoch ? [] : [partition]));
  }
}
