// The load of one large conversation: making it, then sends and read marks in it. People are `prefix` and a number; 0 made it.
import { Histogram } from "./histogram";
import { nowUs } from "./messages";
import { Person } from "./person";
import type { LargeMakePlan, LargeUsePlan, Measured } from "./plan";
import { cpuSeconds } from "./process-stats";
import { positionOf, Room } from "./room";
import type { Tally } from "./room";
import { runLoad } from "./rooms-load";
import { inParallel } from "./sessions-load";

const addedAtOnce = 1000;
const smallMembers = 10;
const loneSender = { senders: 1, batch: 1, pauseMs: 5, seconds: 6 };

/** What making the conversation took. */
export interface LargeMade {
  readonly conversation: string;
  /** Seconds from the first request to the last acknowledgement, and until the feeds of all who watched held it. */
  readonly ackedSeconds: number;
  readonly fedSeconds: number;
}

/** What using it took, after the server began anew. */
export interface LargeUsed {
  /** The first request to the conversation, and the same request again. */
  readonly firstMs: number;
  readonly againMs: number;
  readonly large: Measured;
  readonly small: Measured;
  readonly marksPerSecond: number;
  readonly markP99Ms: number;
  readonly cpuUsPerMark: number;
}

/** Signs everybody in, then makes a group and adds them all. Watches through people spread evenly, the last one among them. */
export async function runLargeMake(plan: LargeMakePlan, report: (made: LargeMade) => void): Promise<void> {
  const { target, members } = plan;
  const name = (i: number): string => `${plan.prefix}${i}`;
  await inParallel(members, 64, async (i) => (await Person.connect(target, name(i))).leave());
  const creator = await Person.connect(target, name(0));
  const watching = await Promise.all(spread(plan.watching, members).map((i) => Person.connect(target, name(i))));
  const began = performance.now();
  const [conversation] = await creator.ask("create", ["group", "large", { name: "Large" }, []]);
  for (let from = 1; from < members; from += addedAtOnce) {
    const some = Array.from({ length: Math.min(addedAtOnce, members - from) }, (_, k) => name(from + k));
    await creator.ask("add", [conversation, `add${from}`, some]);
  }
  const ackedSeconds = (performance.now() - began) / 1000;
  for (const person of watching.toReversed()) await positionOf(person, conversation);
  report({ conversation, ackedSeconds, fedSeconds: (performance.now() - began) / 1000 });
}

/** Speaks to the conversation for the first time, sends in it and in one of ten beside it, and lets many read at once. */
export async function runLargeUse(plan: LargeUsePlan, report: (used: LargeUsed) => void): Promise<void> {
  const { target, conversation, prefix } = plan;
  const asking = await Person.connect(target, `${prefix}0`);
  const firstMs = await timed(() => asking.ask("members", [conversation, null, 1]));
  const againMs = await timed(() => asking.ask("members", [conversation, null, 1]));
  const tally: Tally = { acked: 0, delivered: 0, faults: 0, ackTimes: new Histogram(), deliveryTimes: new Histogram() };
  const large = new Room(tally);
  const watching = spread(plan.watching, plan.members).map((i) => `${prefix}${i}`);
  await large.enter(target, watching, conversation);
  const small = new Room(tally);
  await small.open(
    target,
    Array.from({ length: smallMembers }, (_, i) => `small${i}`),
    "small",
  );
  const ofSmall = await runLoad(loneSender, 0, [small], target, tally);
  const ofLarge = await runLoad(loneSender, 1, [large], target, tally);
  report({ firstMs, againMs, large: ofLarge, small: ofSmall, ...(await readByMany(plan, asking)) });
}

/** Each second one message, which all readers mark as read within that second. */
async function readByMany(plan: LargeUsePlan, author: Person) {
  const { target, conversation, readers, rounds } = plan;
  const people: Person[] = [];
  await inParallel(readers, 64, async (i) => {
    const person = await Person.connect(target, `${plan.prefix}${i + 1}`);
    await positionOf(person, conversation);
    people.push(person);
  });
  const times = new Histogram();
  const cpuBefore = cpuSeconds(target.pid);
  const began = performance.now();
  let seq = 0;
  for (let round = 0; round < rounds; round++) {
    const [stored] = await author.ask("send", [conversation, [[`round${round}`, ["read me"]]]]);
    seq = stored as number;
    await Promise.all(
      people.map(async (person, i) => {
        const dueMs = began + round * 1000 + (i * 1000) / readers;
        await Bun.sleep(Math.max(0, dueMs - performance.now()));
        const start = nowUs();
        await person.ask("read", [conversation, "read", seq]);
        times.add(nowUs() - start);
      }),
    );
  }
  const marks = readers * rounds;
  const seconds = (performance.now() - began) / 1000;
  const cpuUsPerMark = ((cpuSeconds(target.pid) - cpuBefore) * 1e6) / marks;
  const [read] = await author.ask("readers", [conversation, seq, null, 1000]);
  if (read.length !== Math.min(readers, 1000)) throw new Error(`${read.length} readers of ${readers}`);
  return { marksPerSecond: marks / seconds, markP99Ms: times.percentileMs(0.99), cpuUsPerMark };
}

/** `count` numbers below `of`, evenly apart, the last one included. */
function spread(count: number, of: number): number[] {
  return Array.from({ length: count }, (_, i) => Math.floor(((i + 1) * of) / count) - 1);
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}
