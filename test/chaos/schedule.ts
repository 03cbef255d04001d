// Which fault comes when: drawn from a seed, every fault (and each of its victims) once before one comes again.
import type { Random } from "../sim/random";
import { clientFaults } from "./client-faults";
import type { ChaosCluster } from "./cluster";
import type { Fault } from "./faults";
import { natsFaults } from "./nats-faults";
import { nodeFaults, writerFault } from "./node-faults";
import { storeFaults } from "./store-faults";

/** Every fault there is. */
export const allFaults: readonly Fault[] = [...nodeFaults, writerFault, ...natsFaults, ...storeFaults, ...clientFaults];

/** One fault that is due. */
export interface Due {
  readonly fault: Fault;
  readonly turn: number;
}

/** How often a second fault begins while the first one lasts. */
const togetherChance = 0.6;

/** The faults of one run, in an order that the seed decides. */
export class Schedule {
  readonly #random: Random;
  readonly #faults: readonly (readonly [fault: Fault, victims: number])[];
  readonly #turns = new Map<Fault, number>();
  #bag: Fault[] = [];
  #bags = 0;

  /** @param faults those of them that cannot happen on this cluster are left out */
  constructor(random: Random, cluster: ChaosCluster, faults: readonly Fault[]) {
    this.#random = random;
    this.#faults = faults.map((fault) => [fault, fault.victims(cluster)] as const).filter(([, victims]) => victims > 0);
    if (this.#faults.length === 0) throw new Error("none of these faults can happen on this cluster");
  }

  /** How often every fault has had its turn at every victim. */
  get rounds(): number {
    return this.#bag.length === 0 ? this.#bags : this.#bags - 1;
  }

  /** What comes next: mostly one fault, sometimes two of different groups at once. */
  next(mayBeTwo: boolean): readonly Due[] {
    const first = this.#draw(() => true);
    if (first === null) throw new Error("a round of faults is never empty");
    const two = mayBeTwo && this.#random.chance(togetherChance);
    const second = two ? this.#draw(({ group }) => group !== first.fault.group) : null;
    return second === null ? [first] : [first, second];
  }

  /** Its last play came to nothing: it is due once more in this round. */
  again(fault: Fault): void {
    this.#bag.push(fault);
  }

  #draw(fits: (fault: Fault) => boolean): Due | null {
    if (this.#bag.length === 0) this.#fill();
    const at = this.#bag.findIndex(fits);
    const [fault] = at < 0 ? [] : this.#bag.splice(at, 1);
    if (!fault) return null;
    const turn = this.#turns.get(fault) ?? 0;
    this.#turns.set(fault, turn + 1);
    return { fault, turn };
  }

  #fill(): void {
    this.#bags++;
    this.#bag = this.#faults.flatMap(([fault, victims]) => Array.from({ length: victims }, () => fault));
    for (let at = this.#bag.length - 1; at > 0; at--) {
      const other = this.#random.int(at + 1);
      [this.#bag[at], this.#bag[other]] = [this.#bag[other]!, this.#bag[at]!];
    }
  }
}
