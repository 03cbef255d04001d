// Runs a world once for each seed; the first seed that fails stops it and says how to replay.
// Owned by the simulation tests. PARLEY_SIM_SCHEDULES=n runs n seeds instead; PARLEY_SIM_SEED=s runs that one, with its trace.
import { Random } from "./random";
import { VirtualClock } from "./virtual-clock";

/** What one schedule runs on. */
export interface Schedule {
  readonly seed: number;
  readonly random: Random;
  readonly clock: VirtualClock;
  /** Notes what happens; the last notes are shown when the schedule fails. */
  trace(note: () => string): void;
}

/** One schedule from beginning to end. Throws where an invariant is broken. */
export type World = (schedule: Schedule) => void;

const notesShown = 60;

/** One schedule. What the world throws is wrapped with the seed and the last notes of the trace. */
export function simulate(seed: number, world: World, traced = false): void {
  const random = new Random(seed);
  const clock = new VirtualClock(random);
  const notes: string[] = [];
  const trace = (note: () => string): void => {
    if (traced) notes.push(`${clock.monotonic().toFixed(0).padStart(7)} ${note()}`);
  };
  try {
    world({ seed, random, clock, trace });
  } catch (error) {
    const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const shown = notes.slice(-notesShown).join("\n");
    throw new Error(`schedule with seed ${seed} fails; replay with PARLEY_SIM_SEED=${seed}\n${shown}\n${why}`);
  }
}

/** Seeds 1 to `schedules`, or what the environment says. @returns how many ran */
export function simulateAll(schedules: number, world: World): number {
  const one = Number(process.env["PARLEY_SIM_SEED"] ?? 0);
  if (one > 0) {
    simulate(one, world, true);
    return 1;
  }
  const count = Number(process.env["PARLEY_SIM_SCHEDULES"] ?? schedules);
  for (let seed = 1; seed <= count; seed++) {
    try {
      simulate(seed, world);
    } catch {
      // A second run shows what led to it; it fails the same way, or determinism is broken and that is said.
      simulate(seed, world, true);
      throw new Error(`schedule with seed ${seed} failed once and passed when repeated: it is not deterministic`);
    }
  }
  return count;
}
