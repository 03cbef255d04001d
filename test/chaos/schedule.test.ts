import { expect, test } from "bun:test";
import { Random } from "../sim/random";
import type { ChaosCluster } from "./cluster";
import type { Fault, FaultGroup } from "./faults";
import { readPlan } from "./plan";
import { allFaults, Schedule } from "./schedule";

const nowhere = {} as ChaosCluster;

function fault(name: string, victims: number, group: FaultGroup = "node"): Fault {
  return { name, group, victims: () => victims, play: () => Promise.resolve() };
}

function draw(seed: number, count: number, faults: readonly Fault[]): readonly string[] {
  const schedule = new Schedule(new Random(seed), nowhere, faults);
  return Array.from({ length: count }, () => schedule.next(false)[0]!).map((due) => `${due.fault.name} ${due.turn}`);
}

const some = [fault("a", 1), fault("b", 3), fault("c", 0), fault("d", 1)];

test("every fault has its turn at every victim before one comes again, and what has no victims never comes", () => {
  expect([...draw(1, 5, some)].sort()).toEqual(["a 0", "b 0", "b 1", "b 2", "d 0"]);
  expect([...draw(1, 10, some)].slice(5).sort()).toEqual(["a 1", "b 3", "b 4", "b 5", "d 1"]);
});

test("the same seed brings the same faults in the same order, another seed another order", () => {
  expect(draw(7, 20, some)).toEqual(draw(7, 20, some));
  expect(draw(7, 20, some)).not.toEqual(draw(8, 20, some));
});

test("two faults at once are of different groups", () => {
  const schedule = new Schedule(new Random(3), nowhere, [...some, fault("e", 1, "nats"), fault("f", 1, "store")]);
  const pairs = Array.from({ length: 200 }, () => schedule.next(true)).filter(({ length }) => length === 2);
  expect(pairs.length).toBeGreaterThan(10);
  expect(pairs.filter(([one, other]) => one!.fault.group === other!.fault.group)).toEqual([]);
});

test("a fault whose moment did not come is due again in the same round", () => {
  const schedule = new Schedule(new Random(1), nowhere, some);
  const first = schedule.next(false)[0]!.fault;
  schedule.again(first);
  const rest = Array.from({ length: 4 }, () => schedule.next(false)[0]!.fault.name);
  expect(schedule.rounds).toBe(0);
  expect([...rest, schedule.next(false)[0]!.fault.name].sort()).toEqual(["a", "b", "b", "b", "d"]);
  expect(schedule.rounds).toBe(1);
});

test("a schedule of nothing is an error", () => {
  expect(() => new Schedule(new Random(1), nowhere, [fault("a", 0)])).toThrow("none of these faults");
});

test("faults are named once", () => {
  const names = allFaults.map(({ name }) => name);
  expect([...new Set(names)]).toEqual(names);
});

test("a command line becomes a plan; a whole name means that fault, a part of one all that hold it", () => {
  const named = (faults: string): readonly string[] | undefined =>
    readPlan(["--faults", faults], () => undefined)?.faults.map(({ name }) => name);
  expect(readPlan(["--minutes", "3", "--seed", "9", "--store", "mongo", "--nats", "1"], () => undefined)).toMatchObject(
    {
      minutes: 3,
      seed: 9,
      store: "mongo",
      nats: 1,
      nodes: 3,
      supervised: true,
      faults: allFaults,
    },
  );
  expect(named("kill,flapping")).toEqual(["kill", "flapping"]);
  expect(named("stop amid a commit supervised")).toEqual(["stop amid a commit, supervised"]);
  expect(named("clock")).toEqual(["clock an hour ahead", "clock an hour behind"]);
});

test("what a command line gets wrong is no plan", () => {
  const wrong = [["--faults", "earthquake"], ["--store", "paper"], ["--nats", "2"], ["--minutes", "soon"], ["--loud"]];
  for (const argv of wrong) expect(readPlan(argv, () => undefined)).toBeNull();
});
