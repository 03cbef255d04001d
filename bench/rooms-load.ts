// Runs loads over rooms of connected people and measures each: acknowledgements, deliveries, latencies, CPU.
import { Histogram } from "./histogram";
import type { Load, Measured, RoomsPlan, Target } from "./plan";
import { cpuSeconds, cpuSecondsOf } from "./process-stats";
import { Room } from "./room";
import type { Sender, Tally } from "./room";

const warmUpSeconds = 1;
const roomsOpenedAtOnce = 20;

/**
 * Connects everybody once, then runs load after load on the same connections: the first of every plan, then the second.
 * `report` is told each outcome.
 */
export async function runTurns(plans: readonly RoomsPlan[], report: (measured: Measured) => void): Promise<void> {
  const opened: (() => Promise<void>)[][] = [];
  for (const plan of plans) {
    const tally: Tally = {
      acked: 0,
      delivered: 0,
      faults: 0,
      ackTimes: new Histogram(),
      deliveryTimes: new Histogram(),
    };
    const rooms = await openRooms(plan, tally);
    const { loads, target } = plan;
    opened.push(loads.map((load, at) => async () => report(await runLoad(load, at, rooms, target, tally))));
  }
  const turns = Math.max(...opened.map((runs) => runs.length));
  for (let turn = 0; turn < turns; turn++) for (const runs of opened) await runs[turn]?.();
}

async function openRooms(plan: RoomsPlan, tally: Tally): Promise<readonly Room[]> {
  const rooms: Room[] = [];
  for (let from = 0; from < plan.rooms; from += roomsOpenedAtOnce) {
    const some = Math.min(roomsOpenedAtOnce, plan.rooms - from);
    const opened = Array.from({ length: some }, async (_, i) => {
      const room = new Room(tally);
      const name = `${plan.run}-${from + i}`;
      const users = Array.from({ length: plan.membersPerRoom }, (__, k) => `${name}-${k}`);
      await room.open(plan.target, users, name, from + i);
      return room;
    });
    rooms.push(...(await Promise.all(opened)));
  }
  return rooms;
}

/** Runs one load on rooms that are open, and waits until everybody received everything. */
export async function runLoad(
  load: Load,
  at: number,
  rooms: readonly Room[],
  target: Target,
  tally: Tally,
): Promise<Measured> {
  const all = rooms.length * load.senders;
  const senders: Sender[] = rooms.flatMap((room, r) =>
    room.members.slice(0, load.senders).map((member, s) => {
      const tag = (at * 36 ** 5 + r * 100 + s).toString(36).padStart(8, "0");
      return member.startSending(load, tag, target, load.rate === undefined ? null : load.rate / all);
    }),
  );
  const clock = load.rate === undefined ? null : setInterval(() => senders.forEach((sender) => void sender.tick()), 1);
  for (const sender of senders) sender.start();
  await Bun.sleep(warmUpSeconds * 1000);
  const measured = await measure(load, target, tally);
  await Promise.all(senders.map((sender) => sender.stop()));
  if (clock) clearInterval(clock);
  await quiesce(rooms);
  return measured;
}

async function measure(load: Load, target: Target, tally: Tally): Promise<Measured> {
  tally.acked = 0;
  tally.delivered = 0;
  tally.faults = 0;
  tally.ackTimes.reset();
  tally.deliveryTimes.reset();
  const began = performance.now();
  const serverBefore = cpuSecondsOf(target);
  const natsCpu = (): number => (target.natsPid === undefined ? 0 : cpuSeconds(target.natsPid));
  const natsBefore = natsCpu();
  const ownBefore = cpuSeconds(process.pid);
  await Bun.sleep(load.seconds * 1000);
  const seconds = (performance.now() - began) / 1000;
  const serverCpu = cpuSecondsOf(target) - serverBefore;
  const natsUsed = natsCpu() - natsBefore;
  const operations = target.raw ? tally.delivered : tally.acked;
  return {
    load,
    operationsPerSecond: tally.acked / seconds,
    deliveriesPerSecond: tally.delivered / seconds,
    ackP50Ms: tally.ackTimes.percentileMs(0.5),
    ackP99Ms: tally.ackTimes.percentileMs(0.99),
    deliveryP99Ms: tally.deliveryTimes.percentileMs(0.99),
    cpuUsPerOp: (serverCpu * 1e6) / Math.max(1, operations),
    natsUsPerOp: (natsUsed * 1e6) / Math.max(1, operations),
    serverCpu: serverCpu / seconds,
    generatorCpu: (cpuSeconds(process.pid) - ownBefore) / seconds,
    faults: tally.faults,
  };
}

/** Waits until every member of a room has received as much as the one furthest ahead. */
async function quiesce(rooms: readonly Room[]): Promise<void> {
  const deadline = performance.now() + 10_000;
  const lagging = (room: Room): boolean => {
    const heads = room.members.map((member) => member.lastSeq);
    return Math.min(...heads) !== Math.max(...heads);
  };
  while (rooms.some(lagging) && performance.now() < deadline) await Bun.sleep(20);
}
