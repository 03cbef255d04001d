// What may go wrong in a chaos run, by name. Each fault leaves everything healed behind it, and the history says when it
// began and ended. Groups: two faults of one group are never played at once.
import type { Recorder } from "../history/recorder";
import type { Random } from "../sim/random";
import type { ChaosCluster } from "./cluster";
import type { Company } from "./company";

/** What is harmed. */
export type FaultGroup = "node" | "nats" | "nats link" | "store" | "clients";

/** What a fault works with. */
export interface Scene {
  readonly cluster: ChaosCluster;
  readonly company: Company;
  readonly recorder: Recorder;
  readonly random: Random;
  /** Whether a node that stands still for three seconds is killed, as the supervisor of `parley serve --nodes` does. */
  readonly supervised: boolean;
  /** Names of faults whose moment did not come, in the order played: they are no plays, and come again. */
  readonly missed: string[];
}

/** One way of going wrong. */
export interface Fault {
  readonly name: string;
  readonly group: FaultGroup;
  /** How many victims of its kind there are, each of which is to be hit in turn; 0: there is nothing to be hit. */
  victims(cluster: ChaosCluster): number;
  /** Harms and heals; `turn` counts this fault's plays, so that each victim has its turn. */
  play(scene: Scene, turn: number): Promise<void>;
}

/** Longest time that is waited for something armed to happen, milliseconds. */
export const armedMsMax = 20_000;

/** Tells the history of a fault, and when it was over. @param harm answers false where the moment that it is about did not come */
export async function told(scene: Scene, what: string, target: string, harm: () => Promise<unknown>): Promise<void> {
  scene.recorder.fault(`${what} begins`, target);
  const missed = (await harm()) === false;
  if (missed) scene.missed.push(what);
  scene.recorder.fault(`${what} ${missed ? "did not come about" : "is over"}`, target);
}
