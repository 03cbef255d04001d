// Many nodes share partitions under random faults: the store is never written by two owners of one partition, and when the
// faults end every partition has one owner, loads are even, and a node that comes or goes moves no more than it must.
import { expect, test } from "bun:test";
import type { Control } from "./placement-epochs";
import { failoverMsMax, PlacementWorld } from "./placement-world";
import { simulate, simulateAll } from "./simulate";
import type { Schedule } from "./simulate";

const schedules = 300;

/** Ample for a hundred times as many schedules. */
const timeoutMs = 3_600_000;

/** What was sent into a black hole has come out of it by then, and everybody may judge the others. */
const lateMs = 6500;
/** A cluster at rest is watched this long. */
const restMs = 3000;

function run(schedule: Schedule, control: Control = null): PlacementWorld {
  const { random } = schedule;
  const world = new PlacementWorld(schedule, control);
  for (let i = random.between(1, world.membersMax); i > 0; i--) world.start();
  for (let i = random.between(5, 25); i > 0; i--) world.step();
  world.heal();
  world.settle();
  world.pass(lateMs);
  world.settle();
  finish(schedule, world);
  for (const member of [...world.running]) world.kill(member);
  return world;
}

/** A cluster at rest: nothing moves by itself; then one node comes or goes. */
function finish({ random }: Schedule, world: PlacementWorld): void {
  const before = world.owners().map((owner) => owner?.name);
  world.pass(restMs);
  expect(world.owners().map((owner) => owner?.name)).toEqual(before);
  const way = random.pick(["kill", "drain", "join"]);
  if (way === "join" || world.running.length < 2) {
    const joiner = world.start();
    world.passUntil(
      () => world.isEven(),
      15_000,
      () => "a joiner has its share",
    );
    const moved = changed(before, world);
    expect(moved.length).toBe(Math.floor(world.partitions / world.running.length));
    expect(moved.every((partition) => world.ownerOf(partition) === joiner)).toBe(true);
    return;
  }
  const leaver = random.pick(world.running);
  if (way === "kill") world.kill(leaver);
  else leaver.drain();
  const over = (): boolean => !world.running.includes(leaver) && !world.owners().includes(null);
  world.passUntil(over, way === "kill" ? failoverMsMax : 15_000, () => `${leaver.name} has left: ${way}`);
  expect(changed(before, world).every((partition) => before[partition] === leaver.name)).toBe(true);
  world.passUntil(
    () => world.isEven(),
    15_000,
    () => "loads are even again",
  );
}

function changed(before: readonly (string | undefined)[], world: PlacementWorld): readonly number[] {
  return before.flatMap((name, partition) => (world.ownerOf(partition)?.name === name ? [] : [partition]));
}

test(
  "whatever fails, a partition has one owner whom the store believes, and soon one whom everybody finds",
  () => {
    const seen: Record<string, number> = {};
    const ran = simulateAll(schedules, (schedule) => {
      for (const [what, count] of Object.entries(run(schedule).counts)) seen[what] = (seen[what] ?? 0) + count;
    });

    // A world in which nothing goes wrong proves little: each of these has to come up.
    const rare = [
      "stored",
      "fenced",
      "dropped",
      "departed",
      "crash",
      "pause",
      "cutNats",
      "cutStore",
      "wipe",
      "rollBack",
    ];
    if (ran > 100) expect(rare.filter((what) => !seen[what])).toEqual([]);
  },
  timeoutMs,
);

/** Far more than any control needs. */
const controlSchedulesMax = 300;

/** What the first schedule that fails says. */
function caught(control: Control): string | null {
  for (let seed = 1; seed <= controlSchedulesMax; seed++) {
    try {
      simulate(seed, (schedule) => void run(schedule, control));
    } catch (error) {
      return (error as Error).message;
    }
  }
  return null;
}

test(
  "a take-over without a fresh epoch is caught",
  () => expect(caught("noBump")).toMatch(/writes to \d+ under|forks/),
  timeoutMs,
);

test(
  "an activation that reads its log before the epoch is taken is caught",
  () => expect(caught("activateBeforeBump")).toMatch(/forks/),
  timeoutMs,
);

test("replies without audits are caught", () => expect(caught("noAudit")).toMatch(/answers for/), timeoutMs);
