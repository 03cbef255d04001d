// The benches of several nodes: stalls when one is killed or drained, what a send and a delivery cost beside a node that is
// alone, and the storm after a node's death.
import { BenchCluster } from "./cluster";
import { figure } from "./figures";
import type { Figure } from "./figures";
import type { Load, Measured, RoomsPlan, Target } from "./plan";
import { generate, startParley, temporaryFolder } from "./processes";
import { residentKb } from "./process-stats";
import { describe, runLoads } from "./rooms-benches";
import type { Say } from "./rooms-benches";
import { makePeople } from "./sessions-benches";
import { StallingSenders } from "./stalls";
import type { Stalls } from "./stalls";
import type { StormReport } from "./storm-load";

const nodes = 3;
const sendersEach = 8;
const kills = 20;
const drains = 9;
const seconds = 8;
/** Turns of one node and of several. */
const costTurns = 5;
const warmUpSeconds = 16;
/** As much as leaves both cores of a small machine some rest, generator and NATS included. */
const sendsPerSecond = 2000;
const stormSessions = 10_000;
const stormDeadlineSeconds = 90;

/** The longest stall of any sender after a `kill -9` of a node, over many of them: median and worst. */
export async function benchFailover(say: Say): Promise<readonly Figure[]> {
  const stalls = await stallsOf(kills, "kill", say);
  const all = stalls.map(({ stayed, moved }) => Math.max(stayed, moved));
  const load = `${kills} kills, ${nodes * sendersEach} senders on ${nodes} nodes`;
  return [
    figure("failover", { ours: medianOf(all), baseline: usualOf(stalls), load }),
    figure("failover-worst", { ours: Math.max(...all), load }),
  ];
}

/** The longest stall of any sender while a node is drained, those who have to change theirs included. */
export async function benchHandoff(say: Say): Promise<readonly Figure[]> {
  const stalls = await stallsOf(drains, "drain", say);
  const load = `${drains} drains, ${nodes * sendersEach} senders on ${nodes} nodes`;
  return [
    figure("handoff", {
      ours: Math.max(...stalls.map(({ stayed, moved }) => Math.max(stayed, moved))),
      baseline: usualOf(stalls),
      load,
    }),
  ];
}

async function stallsOf(rounds: number, how: "kill" | "drain", say: Say): Promise<readonly Stalls[]> {
  await using cluster = await BenchCluster.start(nodes);
  const senders = await StallingSenders.begin(cluster, nodes, sendersEach);
  const found: Stalls[] = [];
  for (let round = 0; round < rounds; round++) {
    const node = round % nodes;
    const stalls = await senders.during(node, () => (how === "kill" ? cluster.kill(node) : cluster.drain(node)));
    const { stayed, moved, before } = stalls;
    const shown = [stayed, moved, before].map((ms) => ms.toFixed(0));
    say(`${how} ${round + 1}: ${shown[0]} ms, for those it cut off ${shown[1]} ms; before it ${shown[2]} ms`);
    found.push(stalls);
    await cluster.restart(node);
    await cluster.rest();
    await senders.goHome(node);
  }
  await senders.end();
  return found;
}

/**
 * CPU of all nodes for an acknowledged send, at the same load, against one node that is alone. Both run all the time and take turns
 * at the load, so that what else the machine does weighs on both.
 */
export async function benchClusterCost(say: Say): Promise<readonly Figure[]> {
  using folder = temporaryFolder();
  await using one = await startParley(folder.path);
  await using cluster = await BenchCluster.start(nodes);
  const outcomes = await runTurns([one.target, cluster.target], say);
  // The first of each is for what is compiled only once it is hot; each of several nodes does but its part of what makes it so.
  const [alone, ours] = outcomes.map((found) => middle(found.slice(1))) as [Measured, Measured];
  return [
    figure("cluster-cost", {
      ours: ours.cpuUsPerOp,
      baseline: alone.cpuUsPerOp,
      p99Ms: ours.ackP99Ms,
      cpuUsPerOp: ours.cpuUsPerOp,
      load: `${sendsPerSecond} sends/s over 100 rooms of 10; NATS beside it ${ours.natsUsPerOp.toFixed(0)} µs`,
    }),
  ];
}

/** Answers what was measured of each target, a warm-up first. */
async function runTurns(targets: readonly Target[], say: Say): Promise<readonly (readonly Measured[])[]> {
  const load = (lasts: number): Load => ({ senders: 1, batch: 64, rate: sendsPerSecond, seconds: lasts });
  const plans = targets.map((target, at): RoomsPlan => {
    const loads = [
      load(warmUpSeconds * (target.nodes?.length ?? 1)),
      ...Array.from({ length: costTurns }, () => load(seconds)),
    ];
    return { kind: "rooms", target, rooms: 100, membersPerRoom: 10, loads, run: `turns${at}` };
  });
  const outcomes = targets.map((): Measured[] => []);
  let told = 0;
  await generate({ kind: "turns", plans }, (value) => {
    const measured = value as Measured;
    const at = told++ % targets.length;
    outcomes[at]?.push(measured);
    say(`${targets[at]?.nodes?.length ?? 1} nodes: ${describe(measured)}`);
  });
  return outcomes;
}

/** Deliveries for a second of CPU of all nodes, in one room of 1,000, against one node that is alone. */
export async function benchClusterFanout(say: Say): Promise<readonly Figure[]> {
  const loads = [16, 64, 128].map((batch): Load => ({ senders: 1, batch, seconds }));
  const run = (target: Target, told: Say): Promise<readonly Measured[]> => runLoads(target, 1, 1000, loads, told);
  const alone = mostPerCpu(await onOne(run, say));
  const ours = mostPerCpu(await onCluster(run, say));
  return [
    figure("cluster-fanout", {
      ours: perCpu(ours),
      baseline: perCpu(alone),
      p99Ms: ours.deliveryP99Ms,
      load: `a room of 1,000, ${ours.load?.batch} messages a send; alone ${alone.load?.batch}`,
    }),
  ];
}

async function onOne<T>(run: (target: Target, say: Say) => Promise<T>, say: Say): Promise<T> {
  using folder = temporaryFolder();
  await using serving = await startParley(folder.path);
  return await run(serving.target, say);
}

async function onCluster<T>(run: (target: Target, say: Say) => Promise<T>, say: Say): Promise<T> {
  await using cluster = await BenchCluster.start(nodes);
  return await run(cluster.target, say);
}

/**
 * 10,000 sessions on three nodes; the one that has half of them is killed. Memory is compared with that of two nodes that took
 * the same sessions one after the other.
 */
export async function benchStorm(say: Say): Promise<readonly Figure[]> {
  using folder = temporaryFolder();
  await makePeople(folder.path, stormSessions, say);
  const calm = await stormOn(2, folder.path, 0, say);
  const { before, peak, end } = await stormOn(nodes, folder.path, stormDeadlineSeconds, say);
  if (end === null || end.faults > 0) throw new Error(`not everybody came back without a gap: ${JSON.stringify(end)}`);
  const load = `${stormSessions} sessions, ${end.cutOff} of them cut off`;
  const half = `${load}; ${before.toFixed(0)} MB before it, with half as many on the node`;
  return [
    figure("storm", { ours: end.seconds, p99Ms: end.p99Ms, load }),
    figure("storm-memory", { ours: peak, baseline: calm.before, load: half }),
  ];
}

/** Memory of the largest node but the first, MB: once all sessions are there, and at most until it is over. */
interface StormFound {
  readonly before: number;
  readonly peak: number;
  readonly end: StormReport | null;
}

/** @param deadlineSeconds how long the storm may take that follows the first node's death; 0: it lives on */
async function stormOn(count: number, dataDir: string, deadlineSeconds: number, say: Say): Promise<StormFound> {
  await using cluster = await BenchCluster.start(count, dataDir);
  const { target } = cluster;
  const others = (target.nodes ?? []).slice(1).map(({ pid }) => pid);
  const memory = (): number => Math.max(...others.map((pid) => residentKb(pid))) / 1024;
  const found: { before: number; peak: number; end: StormReport | null } = { before: 0, peak: 0, end: null };
  const watch = setInterval(() => {
    if (found.before > 0) found.peak = Math.max(found.peak, memory());
  }, 100);
  const plan = { kind: "storm", target, sessions: stormSessions, prefix: "p", rate: 20, deadlineSeconds } as const;
  await generate(plan, (value) => {
    const report = value as StormReport;
    say(`${count} nodes: ${JSON.stringify(report)}`);
    if (report.stage === "over") found.end = report;
    else {
      found.before = memory();
      if (deadlineSeconds > 0) void cluster.kill(0);
    }
  }).finally(() => clearInterval(watch));
  say(`${count} nodes: ${found.before.toFixed(0)} MB, then ${found.peak.toFixed(0)} MB at most`);
  return found;
}

/** What the longest wait is while nothing happens, mostly. */
function usualOf(stalls: readonly Stalls[]): number {
  return medianOf(stalls.map(({ before }) => before));
}

function perCpu(one: Measured): number {
  return one.deliveriesPerSecond / one.serverCpu;
}

function mostPerCpu(outcomes: readonly Measured[]): Measured {
  const fair = outcomes.filter(({ faults }) => faults === 0);
  if (fair.length === 0) throw new Error("every load had faults");
  return fair.reduce((best, one) => (perCpu(one) > perCpu(best) ? one : best));
}

/** The one with the middle cost; none may have faults. */
function middle(outcomes: readonly Measured[]): Measured {
  if (outcomes.some(({ faults }) => faults > 0)) throw new Error("a load had faults");
  const ranked = outcomes.toSorted((a, b) => a.cpuUsPerOp - b.cpuUsPerOp);
  return ranked[Math.floor(ranked.length / 2)] as Measured;
}

function medianOf(values: readonly number[]): number {
  const ranked = values.toSorted((a, b) => a - b);
  const at = ranked.length / 2;
  return ((ranked[Math.ceil(at) - 1] as number) + (ranked[Math.floor(at)] as number)) / 2;
}
