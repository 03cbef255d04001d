// Loads that are about connections and reads: sign-ins with their sync, idle sessions, pages and syncs of one person.
import { Histogram } from "./histogram";
import { nowUs } from "./messages";
import { Person } from "./person";
import type { PeoplePlan, ReadsPlan, SessionsPlan } from "./plan";
import { cpuSeconds, residentKb } from "./process-stats";
import { signToken } from "./tokens";

type Report = (value: unknown) => void;

/** What one round of {@link runSessions} found. */
export interface SessionsMeasured {
  readonly perSecond: number;
  readonly p99Ms: number;
  readonly cpuUsPerOp: number;
  /** Resident memory of the server before anybody connected, and once all are idle. */
  readonly beforeKb: number;
  readonly afterKb: number;
}

/** Connects everybody, signs in and syncs, measures; between rounds everybody leaves. The last round's stay to the end. */
export async function runSessions(plan: SessionsPlan, report: Report): Promise<void> {
  for (let round = 0; round < plan.rounds; round++) {
    const { people, measured } = await connectAll(plan);
    report(measured);
    for (const person of people) person.leave();
    if (round + 1 < plan.rounds) await Bun.sleep(500);
  }
}

async function connectAll(plan: SessionsPlan): Promise<{ people: Person[]; measured: SessionsMeasured }> {
  const { target, sessions, prefix } = plan;
  const beforeKb = residentKb(target.pid);
  const people: Person[] = [];
  const times = new Histogram();
  // Issuing tokens is an application's work: done before the clock runs.
  const tokens = Array.from({ length: sessions }, (_, i) => signToken(`${prefix}${i}`, target.secret));
  const began = performance.now();
  const cpuBefore = cpuSeconds(target.pid);
  await inParallel(sessions, plan.inFlight, async (i) => {
    const start = nowUs();
    const person = await Person.connectAndSync(target, `${prefix}${i}`, tokens[i]!);
    times.add(nowUs() - start);
    people.push(person);
  });
  const seconds = (performance.now() - began) / 1000;
  const cpuUsPerOp = ((cpuSeconds(target.pid) - cpuBefore) * 1e6) / sessions;
  await Bun.sleep(plan.idleSeconds * 1000);
  const afterKb = residentKb(target.pid);
  return {
    people,
    measured: { perSecond: sessions / seconds, p99Ms: times.percentileMs(0.99), cpuUsPerOp, beforeKb, afterKb },
  };
}

/** One person's reads, one after the other. */
export async function runReads(plan: ReadsPlan, report: Report): Promise<void> {
  const person = await Person.connect(plan.target, plan.user);
  const times = new Histogram();
  const cpuBefore = cpuSeconds(plan.target.pid);
  const warmUp = Math.ceil(plan.times / 10);
  for (let i = 0; i < plan.times + warmUp; i++) {
    const start = nowUs();
    if (plan.operation === "sync") await person.ask("sync", [null, []]);
    else {
      const seq = 1 + Math.floor(Math.random() * plan.headSeq);
      const page = await person.ask("history", [plan.conversation, "before", seq, 50, null]);
      if (page[0].length < Math.min(50, seq - 2))
        throw new Error(`a page before ${seq} held ${page[0].length} messages`);
    }
    if (i >= warmUp) times.add(nowUs() - start);
  }
  const cpuUsPerOp = ((cpuSeconds(plan.target.pid) - cpuBefore) * 1e6) / (plan.times + warmUp);
  report({ p50Ms: times.percentileMs(0.5), p99Ms: times.percentileMs(0.99), cpuUsPerOp });
}

/** Makes people by signing them in, then groups: group g takes `groupSize` people from a place that moves on with g. */
export async function runPeople(plan: PeoplePlan, report: Report): Promise<void> {
  const { target, people, groupSize, prefix } = plan;
  const name = (i: number): string => `${prefix}${i % people}`;
  await inParallel(people, 64, async (i) => {
    const person = await Person.connect(target, name(i));
    person.leave();
  });
  const groups = Math.ceil((people * plan.groupsPerPerson) / groupSize);
  await inParallel(groups, 8, async (g) => {
    const creator = await Person.connect(target, name(g * groupSize));
    const others = Array.from({ length: groupSize - 1 }, (_, k) => name(g * groupSize + k + 1));
    const [conversation] = await creator.ask("create", ["group", `${prefix}g${g}`, { name: `Group ${g}` }, others]);
    await creator.ask("send", [conversation, [[`${prefix}m${g}`, ["a first message"]]]]);
    creator.leave();
  });
  report({ people, groups });
}

/** Runs `run` for 0 to `count` - 1, `width` at a time. */
export async function inParallel(count: number, width: number, run: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await run(next++);
  };
  await Promise.all(Array.from({ length: width }, lane));
}
