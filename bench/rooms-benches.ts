// The benches of rooms under load: fan-out, durable sends, latency, event-loop lag. Each runs its baseline beside Parley.
import { figure } from "./figures";
import type { Figure } from "./figures";
import type { Load, Measured, Target } from "./plan";
import { generate, insertRawRows, startParley, startRawServer, temporaryFolder } from "./processes";
import type { RawInserts } from "./raw-sqlite";

/** Most p99 of deliveries at which a rate counts. */
const p99MaxMs = 100;
const seconds = 4;

/** Told what goes on, for a person who waits. */
export type Say = (line: string) => void;

/** Deliveries per second to 1 room of 1,000 and to 100 rooms of 10, against raw publishing of the same bytes. */
export async function benchFanout(say: Say): Promise<readonly Figure[]> {
  const big = await compareFanout(
    "fanout-1x1000",
    1,
    1000,
    [
      [1, 16],
      [1, 64],
      [1, 128],
      [1, 256],
      [2, 128],
      [2, 256],
    ],
    say,
  );
  const small = await compareFanout(
    "fanout-100x10",
    100,
    10,
    [
      [1, 1],
      [1, 4],
      [1, 10],
      [1, 32],
      [1, 64],
      [2, 32],
      [10, 4],
    ],
    say,
  );
  return [big, small];
}

async function compareFanout(
  name: "fanout-1x1000" | "fanout-100x10",
  rooms: number,
  membersPerRoom: number,
  shapes: readonly (readonly [senders: number, batch: number])[],
  say: Say,
): Promise<Figure> {
  const loads = shapes.map(([senders, batch]) => ({ senders, batch, seconds }));
  const raw = await onRawServer((target) => runLoads(target, rooms, membersPerRoom, loads, say));
  const ours = await onParley((target) => runLoads(target, rooms, membersPerRoom, loads, say));
  const best = bestDeliveries(ours);
  const base = bestDeliveries(raw);
  return figure(name, {
    ours: best.deliveriesPerSecond,
    baseline: base.deliveriesPerSecond,
    p99Ms: best.deliveryP99Ms,
    cpuUsPerOp: best.cpuUsPerOp / membersPerRoom,
    load: `ours ${nameOf(best)}, baseline ${nameOf(base)}`,
  });
}

/** Acknowledged sends per second in one room of 10 and over 1,000 conversations of 2, against the rows inserted raw. */
export async function benchDurable(say: Say): Promise<readonly Figure[]> {
  const room = await compareDurable("durable-room", 1, 10, roomShapes, say);
  const many = await compareDurable(
    "durable-1000",
    1000,
    2,
    [
      [1, 2],
      [1, 4],
      [1, 8],
    ],
    say,
  );
  return [room, many];
}

const roomShapes = [
  [1, 256],
  [2, 256],
  [4, 256],
  [10, 64],
] as const;

async function compareDurable(
  name: "durable-room" | "durable-1000",
  rooms: number,
  membersPerRoom: number,
  shapes: readonly (readonly [senders: number, batch: number])[],
  say: Say,
): Promise<Figure> {
  const raw = (await insertRawRows(rooms, seconds)) as RawInserts;
  say(`raw rows, ${rooms} conversations: ${Math.round(raw.rowsPerSecond)}/s, ${raw.cpuUsPerOp.toFixed(1)} µs each`);
  const loads = shapes.map(([senders, batch]) => ({ senders, batch, seconds }));
  const ours = await onParley((target) => runLoads(target, rooms, membersPerRoom, loads, say));
  const best = bestAcks(ours);
  return figure(name, {
    ours: best.operationsPerSecond,
    baseline: raw.rowsPerSecond,
    p99Ms: best.ackP99Ms,
    cpuUsPerOp: best.cpuUsPerOp,
    load: nameOf(best),
  });
}

/** Rounds of a latency; the middle one counts, so that one stall of a shared disk does not stand for all. */
const latencyRounds = 3;

/** The p99 of acknowledgements at half of the best durable rate in one room of 10, and of one lone sender. */
export async function benchLatency(say: Say): Promise<readonly Figure[]> {
  return onParley(async (target) => {
    const shapes = roomShapes.map(([senders, batch]) => ({ senders, batch, seconds }));
    const best = bestAcks(await runLoads(target, 1, 10, shapes, say));
    const half = { senders: 10, batch: 256, rate: Math.round(best.operationsPerSecond / 2), seconds };
    const lone = { senders: 1, batch: 1, pauseMs: 5, seconds };
    const rounds = <T>(load: T): T[] => Array.from({ length: latencyRounds }, () => load);
    const measured = await runLoads(target, 1, 10, [...rounds(half), ...rounds(lone)], say);
    const atHalf = middleOf(measured.slice(0, latencyRounds));
    const alone = middleOf(measured.slice(latencyRounds));
    return [
      figure("latency-half-load", {
        ours: atHalf.ackP99Ms,
        p99Ms: atHalf.ackP99Ms,
        cpuUsPerOp: atHalf.cpuUsPerOp,
        load: `${half.rate} sends/s, middle of ${latencyRounds} rounds`,
      }),
      figure("latency-lone", {
        ours: alone.ackP99Ms,
        p99Ms: alone.ackP99Ms,
        cpuUsPerOp: alone.cpuUsPerOp,
        load: `one sender, one message at a time, middle of ${latencyRounds} rounds`,
      }),
    ];
  });
}

/** How late the server's event loop is, p99, while one room of 10 takes as many sends as it can. From the server's own metric. */
export async function benchLag(say: Say): Promise<readonly Figure[]> {
  return onParley(async (target) => {
    const load = { senders: 4, batch: 256, seconds: 15 };
    const before = await lagBuckets(target);
    const [measured] = await runLoads(target, 1, 10, [load], say);
    const after = await lagBuckets(target);
    const lag = percentileOf(before, after, 0.99);
    return [
      figure("event-loop-lag", { ours: lag, p99Ms: lag, cpuUsPerOp: measured!.cpuUsPerOp, load: nameOf(measured!) }),
    ];
  });
}

async function onRawServer<T>(run: (target: Target) => Promise<T>): Promise<T> {
  await using serving = await startRawServer();
  return await run(serving.target);
}

async function onParley<T>(run: (target: Target) => Promise<T>): Promise<T> {
  using folder = temporaryFolder();
  await using serving = await startParley(folder.path);
  return await run(serving.target);
}

/** Runs on one server after another need names of their own: a conversation belongs to its first run. */
const runs = { next: 0 };

export async function runLoads(
  target: Target,
  rooms: number,
  membersPerRoom: number,
  loads: readonly Load[],
  say: Say,
): Promise<readonly Measured[]> {
  const outcomes: Measured[] = [];
  await generate({ kind: "rooms", target, rooms, membersPerRoom, loads, run: `bench${runs.next++}` }, (value) => {
    const measured = value as Measured;
    outcomes.push(measured);
    say(`${target.raw ? "raw   " : "parley"} ${rooms}×${membersPerRoom} ${describe(measured)}`);
  });
  return outcomes;
}

/** The best rate among those that were reached without a fault and with p99 in bounds; else the quickest answers. */
function bestDeliveries(outcomes: readonly Measured[]): Measured {
  const fair = outcomes.filter((one) => one.faults === 0 && one.deliveryP99Ms <= p99MaxMs);
  if (fair.length > 0)
    return fair.reduce((best, one) => (one.deliveriesPerSecond > best.deliveriesPerSecond ? one : best));
  return outcomes.reduce((best, one) => (one.deliveryP99Ms < best.deliveryP99Ms ? one : best));
}

/** The best rate of acknowledgements among those that were reached without a fault; its p99 is shown beside it. */
function bestAcks(outcomes: readonly Measured[]): Measured {
  const fair = outcomes.filter((one) => one.faults === 0);
  if (fair.length === 0) throw new Error("every load had faults");
  return fair.reduce((best, one) => (one.operationsPerSecond > best.operationsPerSecond ? one : best));
}

/** The round with the middle p99; a round with faults is worse than any without. */
function middleOf(outcomes: readonly Measured[]): Measured {
  const ranked = [...outcomes].sort((a, b) => a.faults - b.faults || a.ackP99Ms - b.ackP99Ms);
  const middle = ranked[Math.floor(ranked.length / 2)];
  if (!middle || middle.faults > 0) throw new Error("most rounds had faults");
  return middle;
}

function nameOf({ load }: Measured): string {
  return load ? `${load.senders} × ${load.batch}` : "";
}

/** An outcome in one line, for a person. */
export function describe(one: Measured): string {
  const rates = `${Math.round(one.operationsPerSecond)} acks/s, ${Math.round(one.deliveriesPerSecond)} deliveries/s`;
  const times = `ack p50 ${one.ackP50Ms.toFixed(1)} p99 ${one.ackP99Ms.toFixed(1)}, delivery p99 ${one.deliveryP99Ms.toFixed(1)} ms`;
  const cpu = `${one.cpuUsPerOp.toFixed(2)} µs/op, server ${one.serverCpu.toFixed(2)}, generator ${one.generatorCpu.toFixed(2)} cores`;
  return `${nameOf(one)}: ${rates}; ${times}; ${cpu}${one.faults > 0 ? `; ${one.faults} FAULTS` : ""}`;
}

/** Cumulative counts by upper bound in milliseconds. */
async function lagBuckets(target: Target): Promise<Map<number, number>> {
  const answer = await fetch(`http://127.0.0.1:${target.port}/metrics`);
  const text = await answer.text();
  const found = text.matchAll(/^parley_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\d+)/gm);
  return new Map(
    [...found].map(([, bound, count]) => [bound === "+Inf" ? Infinity : Number(bound) * 1000, Number(count)]),
  );
}

/** Between two readings of a histogram, within its buckets linearly. */
function percentileOf(before: Map<number, number>, after: Map<number, number>, share: number): number {
  const counts = [...after].map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)] as const);
  const wanted = (counts.at(-1)?.[1] ?? 0) * share;
  let [lowBound, lowCount] = [0, 0];
  for (const [bound, count] of counts) {
    if (count >= wanted)
      return bound === Infinity
        ? lowBound
        : lowBound + ((bound - lowBound) * (wanted - lowCount)) / Math.max(1, count - lowCount);
    [lowBound, lowCount] = [bound, count];
  }
  return lowBound;
}
