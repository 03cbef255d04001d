// The actor runtime alone, under random schedules: order, one message at a time, one activation a key, every ask answered.
import { expect, test } from "bun:test";
import { RuntimeWorld } from "./runtime-world";
import { simulateAll } from "./simulate";
import type { Schedule } from "./simulate";

const schedules = 1200;

/** Many idle times, for those that were not ready again and again. */
const quiesceMsMax = 3_000_000;

function run(schedule: Schedule): RuntimeWorld {
  const { random, clock } = schedule;
  const world = new RuntimeWorld(schedule);
  const senders = ["p", "q", "r"];
  const steps = random.between(20, 120);
  for (let i = 0; i < steps; i++) {
    const burst = random.chance(0.1) ? random.between(5, 20) : 1;
    for (let j = 0; j < burst; j++) {
      if (random.chance(0.7)) world.ask(random.pick(senders));
      else world.tell(random.pick(senders));
    }
    clock.advance(random.pick([0, 1, 20, 20, 300, 3000]));
    world.finishStep();
  }
  end(schedule, world);
  return world;
}

/** One of the three ways a system ends: everything idle, drained, stopped at once. */
function end({ random, clock }: Schedule, world: RuntimeWorld): void {
  const way = random.pick(["idle", "drain", "stop"]);
  if (way === "drain") {
    let left = -1;
    void world.system.drain(60_000).then((report) => {
      left = report.left;
    });
    clock.runUntil(() => left >= 0, 61_000, "a drain ends");
    if (left !== 0) throw new Error(`${left} are left after a drain`);
  }
  if (way !== "idle") world.system.stop();
  clock.runUntil(() => world.isAtRest, quiesceMsMax, "every ask is answered and every actor passivated");
  world.finish();
}

/** Ample for a hundred times as many schedules. */
const timeoutMs = 600_000;

test(
  "whatever actors and callers do, the runtime keeps its promises",
  () => {
    const seen: Record<string, number> = {};
    const ran = simulateAll(schedules, (schedule) => {
      for (const [what, count] of Object.entries(run(schedule).counts)) seen[what] = (seen[what] ?? 0) + count;
    });

    // A world that never meets a fault proves little: each kind has to come up.
    const rare = [
      "dropped mailboxFull",
      "dropped tooManyActive",
      "failed passivate",
      "failed abort",
      "answered outcome_unknown",
    ];
    if (ran > 500) expect(rare.filter((what) => !seen[what])).toEqual([]);
  },
  timeoutMs,
);
