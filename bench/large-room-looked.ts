// What a message to a large conversation costs: everybody connected receives it, or only those who look, and the others counters.
// People are `prefix` and a number; 0 made the conversation and sends.
import { Person } from "./person";
import type { LargeLookedPlan } from "./plan";
import { cpuSeconds } from "./process-stats";
import { inParallel } from "./sessions-load";

const atOnce = 64;
/** After so long the server has cleaned up behind those who came, milliseconds. */
const settleMs = 7_000;
const text = "Somebody says something to a great many people, of whom a few look at it just now.";

/** Microseconds of the server's CPU a message, idle time taken off, by messages a second as the plan lists them. */
export interface LargeLooked {
  /** Every connection receives entries. */
  readonly all: readonly number[];
  /** `looking` connections do, the others counters. */
  readonly looked: readonly number[];
}

/** Measures both on connections of the same people, one after the other. */
export async function runLargeLooked(plan: LargeLookedPlan, report: (found: LargeLooked) => void): Promise<void> {
  const author = await Person.connect(plan.target, `${plan.prefix}0`);
  report({ all: await measure(plan, author, []), looked: await measure(plan, author, ["counters"]) });
}

async function measure(plan: LargeLookedPlan, author: Person, capabilities: readonly string[]): Promise<number[]> {
  const { target, prefix, connected, conversation } = plan;
  const people: Person[] = [];
  await inParallel(connected, atOnce, async (i) => {
    const person = await Person.connect(target, `${prefix}${i + 1}`, undefined, "", capabilities);
    people.push(person);
    await person.ask("sync", [null, []]);
    if (i < plan.looking) await person.ask("open", [[conversation]]);
  });
  await Bun.sleep(settleMs);
  const costs: number[] = [];
  for (const rate of plan.rates) costs.push(await costOf(plan, author, rate));
  for (const person of people) person.leave();
  return costs;
}

/** Microseconds a message at so many a second. */
async function costOf(
  { target, conversation, seconds }: LargeLookedPlan,
  author: Person,
  rate: number,
): Promise<number> {
  const idle = await cpuOver(target.pid, () => Bun.sleep(seconds * 1000));
  const messages = rate * seconds;
  const busy = await cpuOver(target.pid, async () => {
    const began = performance.now();
    for (let i = 0; i < messages; i++) {
      await Bun.sleep(Math.max(0, began + (i * 1000) / rate - performance.now()));
      await author.ask("send", [conversation, [[crypto.randomUUID(), [text]]]]);
    }
    // What was counted last is told within a second.
    await Bun.sleep(Math.max(0, began + seconds * 1000 + 1_000 - performance.now()));
  });
  return ((busy - (idle * (seconds + 1)) / seconds) * 1e6) / messages;
}

async function cpuOver(pid: number, run: () => Promise<unknown>): Promise<number> {
  const before = cpuSeconds(pid);
  await run();
  return cpuSeconds(pid) - before;
}
