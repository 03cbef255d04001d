// The bench of one conversation with 10,000 members: it works, and this is what it costs. Nothing is required of it.
import { figure } from "./figures";
import type { Figure } from "./figures";
import type { LargeMade, LargeUsed } from "./large-room-load";
import type { LargeLooked } from "./large-room-looked";
import type { Plan } from "./plan";
import { generate, startParley, temporaryFolder } from "./processes";
import type { Say } from "./rooms-benches";

const members = 10_000;
const watching = 100;
const readers = 1000;
const rounds = 5;
/** Of those connected, so many have the conversation open, where the others receive counters. */
const looked = { connected: 5_000, looking: 10, rates: [1, 20], seconds: 10 } as const;
const prefix = "m";

/** Makes the conversation; then, the server started anew, activates it, sends in it beside one of ten, and marks it read. */
export async function benchLargeRoom(say: Say): Promise<readonly Figure[]> {
  using folder = temporaryFolder();
  say(`making ${members} people and one conversation of them all`);
  const made = await onParley<LargeMade>(folder.path, { kind: "largeMake", members, watching, prefix }, say);
  const { conversation } = made;
  const use = { kind: "largeUse", members, watching, prefix, conversation, readers, rounds } as const;
  const used = await onParley<LargeUsed>(folder.path, use, say);
  const lookedAt = await onParley<LargeLooked>(
    folder.path,
    { kind: "largeLooked", prefix, conversation, ...looked },
    say,
  );
  const { large, small } = used;
  if (large.faults + small.faults > 0) throw new Error("a load had faults");
  const perDelivery = (one: typeof large): number => (one.serverCpu * 1e6) / Math.max(1, one.deliveriesPerSecond);
  const here = `${watching} of ${members} connected`;
  return [
    figure("large-make", { ours: made.ackedSeconds, load: `${members} people added, 1,000 at once` }),
    figure("large-feeds", { ours: made.fedSeconds, load: "from the first add on" }),
    figure("large-activation", {
      ours: used.firstMs,
      load: `after a restart; once active ${used.againMs.toFixed(1)} ms`,
    }),
    figure("large-ack", { ours: large.ackP99Ms, baseline: small.ackP99Ms, cpuUsPerOp: large.cpuUsPerOp, load: here }),
    figure("large-delivery", {
      ours: perDelivery(large),
      baseline: perDelivery(small),
      p99Ms: large.deliveryP99Ms,
      load: here,
    }),
    figure("large-marks", {
      ours: used.marksPerSecond,
      p99Ms: used.markP99Ms,
      cpuUsPerOp: used.cpuUsPerMark,
      load: `${readers} readers, a message a second`,
    }),
    ...looked.rates.map((rate, i) =>
      figure("large-looked", {
        ours: lookedAt.looked[i] as number,
        baseline: lookedAt.all[i] as number,
        load: `${looked.connected} connected, ${looked.looking} have it open; ${rate} messages a second; baseline: all receive entries`,
      }),
    ),
  ];
}

type WithoutTarget<P> = P extends Plan ? Omit<P, "target"> : never;

async function onParley<T>(dataDir: string, plan: WithoutTarget<Plan>, say: Say): Promise<T> {
  await using serving = await startParley(dataDir);
  let outcome: unknown = null;
  await generate({ ...plan, target: serving.target } as Plan, (value) => (outcome = value));
  say(`${plan.kind}: ${JSON.stringify(outcome)}`);
  return outcome as T;
}
