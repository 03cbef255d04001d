// The chaos run: a real cluster under load is harmed in every way there is, and the history of what its clients saw is judged.
// `npm run chaos -- --minutes 5 --seed 7`; also called by chaos.test.ts. docs/chaos.md says how to read what it prints.
import { rmSync } from "node:fs";
import { describeViolation } from "../history/checker";
import type { Violation } from "../history/checker";
import { compareProjections } from "../projections";
import { Random } from "../sim/random";
import { playChapter } from "./chapter";
import type { ChapterOutcome, Limits } from "./chapter";
import { ChaosCluster } from "./cluster";
import { briskPace, slowPace } from "./company";
import { readPlan, usage } from "./plan";
import type { ChaosPlan } from "./plan";
import { Schedule } from "./schedule";

/** What is promised after healing, on a machine of two busy cores. */
const limits: Limits = { recoveryMs: 60_000, settleMs: 90_000, memoryMib: 768 };

/** Violations of one chapter that are printed. */
const toldMax = 20;

/** What a run found; the last line of the command, as JSON. */
export interface ChaosOutcome {
  readonly acked: number;
  readonly marked: number;
  readonly received: number;
  /** Pushed below what the device had; clients leave such a mark out. */
  readonly lateCursorPushes: number;
  /** Plays by name. */
  readonly faults: Readonly<Record<string, number>>;
  readonly faultsPlayed: number;
  /** Whose moment did not come (a failpoint that no commit reached in time); played again, and not counted above. */
  readonly faultsMissed: number;
  readonly violations: number;
  /** Refusals and ends that nobody expects, and rows that do not follow from their logs. */
  readonly surprises: number;
  readonly longestStallMs: number;
  readonly longestRecoveryMs: number;
  readonly memoryMib: number;
  readonly chapters: number;
  readonly seed: number;
  readonly store: string;
  readonly nats: number;
  readonly nodes: number;
  readonly supervised: boolean;
  readonly seconds: number;
}

/** Everything a test wants to know of a run. */
export interface ChaosFindings {
  readonly outcome: ChaosOutcome;
  readonly violations: readonly Violation[];
  readonly surprises: readonly string[];
  /** The longest stall of each fault, by name, milliseconds. */
  readonly stalls: ReadonlyMap<string, number>;
}

/** Runs a plan to its end, on a cluster of its own. Rejects when the cluster does not come up. */
export async function runChaos(plan: ChaosPlan): Promise<ChaosFindings> {
  const began = performance.now();
  const random = new Random(plan.seed);
  if (plan.historyFile !== null) rmSync(plan.historyFile, { force: true });
  const chapters: ChapterOutcome[] = [];
  const unlike: string[] = [];
  let schedule: Schedule | null = null;
  const isOver = (): boolean => {
    const played = chapters.reduce((sum, chapter) => sum + chapter.played.length, 0);
    const acked = chapters.reduce((sum, chapter) => sum + chapter.acked, 0);
    const enough = played >= plan.faultsMin && (schedule?.rounds ?? 0) > 0 && acked >= plan.ackedMin;
    return enough && performance.now() - began >= plan.minutes * 60_000;
  };
  while (!isOver()) {
    await using cluster = await ChaosCluster.start(plan);
    const due: Schedule = schedule ?? new Schedule(random, cluster, plan.faults);
    schedule = due;
    do chapters.push(await nextChapter(plan, `c${chapters.length + 1}`, cluster, due, random));
    while (!isOver() && !soonFull(plan));
    const rows = await compareRows(cluster);
    for (const line of rows) plan.say(`unlike its log: ${line}`);
    unlike.push(...rows);
  }
  return findingsOf(plan, chapters, unlike, Math.round((performance.now() - began) / 1000));
}

/** The MongoDB-compatible server of the tests reads whole collections to find a row: each chapter has a database of its own. */
function soonFull({ store }: ChaosPlan): boolean {
  return store === "mongo";
}

async function nextChapter(
  plan: ChaosPlan,
  name: string,
  cluster: ChaosCluster,
  schedule: Schedule,
  random: Random,
): Promise<ChapterOutcome> {
  const usual = plan.store === "mongo" ? slowPace : briskPace;
  const promised = { ...limits, settleMs: plan.settleMs ?? limits.settleMs };
  const pace = plan.rate === null ? usual : { ...usual, rate: plan.rate };
  const faults = plan.perChapter;
  const chapter = await playChapter({ ...plan, name, cluster, schedule, random, pace, limits: promised, faults });
  const { acked, received, memoryMib, violations, surprises } = chapter;
  for (const violation of violations.slice(0, toldMax)) plan.say(describeViolation(violation));
  if (violations.length > toldMax) plan.say(`and ${violations.length - toldMax} more violations`);
  for (const surprise of surprises) plan.say(`nobody expected: ${surprise}`);
  plan.say(`${name}: ${acked} acknowledged, ${received} received, ${violations.length} violations, ${memoryMib} MiB`);
  return chapter;
}

/** Every node leaves in order; then each row must follow from its log. */
async function compareRows({ nodes, store }: ChaosCluster): Promise<readonly string[]> {
  const codes = await Promise.all(nodes.map(async (node) => [node.name, await node.terminate()] as const));
  const wrong = codes.filter(([, code]) => code !== 0).map(([name, code]) => `${name} stopped with ${code}`);
  const opened = await store.open();
  try {
    return [...wrong, ...(await compareProjections(opened)).faults];
  } finally {
    await opened.close();
  }
}

function findingsOf(
  plan: ChaosPlan,
  chapters: readonly ChapterOutcome[],
  unlike: readonly string[],
  seconds: number,
): ChaosFindings {
  const { seed, store, nats, nodes, supervised } = plan;
  const played = chapters.flatMap((chapter) => chapter.played);
  const violations = chapters.flatMap((chapter) => chapter.violations);
  const surprises = [...chapters.flatMap((chapter) => chapter.surprises), ...unlike];
  const sum = (of: (chapter: ChapterOutcome) => number): number => chapters.reduce((all, one) => all + of(one), 0);
  const byName = Map.groupBy(played, ({ name }) => name);
  const outcome: ChaosOutcome = {
    acked: sum(({ acked }) => acked),
    marked: sum(({ marked }) => marked),
    received: sum(({ received }) => received),
    lateCursorPushes: sum(({ lateMarks }) => lateMarks),
    faults: Object.fromEntries([...byName].sort().map(([name, plays]) => [name, plays.length])),
    faultsPlayed: played.length,
    faultsMissed: sum(({ missed }) => missed.length),
    violations: violations.length,
    surprises: surprises.length,
    longestStallMs: Math.max(0, ...played.map(({ stallMs }) => stallMs)),
    longestRecoveryMs: Math.max(0, ...played.map(({ recoveryMs }) => recoveryMs)),
    memoryMib: Math.max(0, ...chapters.map(({ memoryMib }) => memoryMib)),
    chapters: chapters.length,
    ...{ seed, store, nats, nodes, supervised, seconds },
  };
  const stalls = new Map([...byName].map(([name, plays]) => [name, Math.max(...plays.map(({ stallMs }) => stallMs))]));
  return { outcome, violations, surprises, stalls };
}

/** The command. Answers the exit code: 1 when anything was violated. */
async function main(): Promise<number> {
  const plan = readPlan(process.argv.slice(2), (line) => console.log(line));
  if (plan === null) {
    console.error(usage);
    return 2;
  }
  console.log(`seed ${plan.seed}`);
  const { outcome, stalls } = await runChaos(plan);
  for (const [name, ms] of [...stalls].sort(([, a], [, b]) => b - a)) console.log(`${name}: stalled ${ms} ms at most`);
  if (outcome.violations + outcome.surprises > 0) console.log(`again with --seed ${plan.seed}`);
  console.log(JSON.stringify(outcome));
  return outcome.violations + outcome.surprises > 0 ? 1 : 0;
}

if (import.meta.main) process.exit(await main());
