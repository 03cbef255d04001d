// The crash test: real servers are killed over and over under load, and the history of what their clients saw is judged.
// `npm run crash -- --store mongodb --faults parley,store,cache --kills 100 --seed 7 --history FILE`; also called by the tests
// of this folder and, for controls, with a spoilt server.
import { parseArgs } from "node:util";
import { describeViolation } from "../history/checker";
import type { Violation } from "../history/checker";
import { Recorder } from "../history/recorder";
import { compareProjections } from "../projections";
import { Random } from "../sim/random";
import { sqlite, storesByName } from "../stores";
import type { DataSet, StoreUnderTest } from "../stores";
import { briskPace, Crowd, pause, slowPace, until } from "./crowd";
import { faultTargets, playFault } from "./faults";
import type { FaultScene, FaultTarget } from "./faults";
import { readLogs } from "./read-logs";
import { ServerProcess } from "./server-process";

/** What a run does. */
export interface CrashPlan {
  /** Absent: SQLite. */
  readonly store?: StoreUnderTest;
  /** Faults in all, in turn over `faults`. */
  readonly kills: number;
  /** Faults that earlier rounds of the same run have played: the next ones come first. */
  readonly playedBefore?: number;
  /** What is hit; absent: Parley alone. */
  readonly faults?: readonly FaultTarget[];
  readonly seed: number;
  /** Where the history is written; null: nowhere. */
  readonly historyFile: string | null;
  /** Environment of every life of the server, such as a negative control. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Failpoints at which the server ends itself, in place of every other kill. */
  readonly failpoints?: readonly string[];
  /** How long clients may take to catch up in the end. */
  readonly settleMs?: number;
  readonly say?: (line: string) => void;
}

/** What a run found. */
export interface CrashOutcome {
  readonly violations: readonly Violation[];
  /** Whether everybody's sends were acknowledged, and everybody had everything, in the end. */
  readonly settled: boolean;
  /** Refusals that nobody expects, such as a read mark past the head of what was delivered. */
  readonly surprises: readonly string[];
  /** What the store holds beside its logs and does not follow from them, once the server had stopped. */
  readonly unlike: readonly string[];
  readonly acked: number;
  readonly marked: number;
  /** Faults played, by name. */
  readonly played: ReadonlyMap<string, number>;
}

/** Points of the server's code at which it is ended; see src/lib/failpoints.ts. */
export const crashPoints = ["commit.before", "commit.after", "ack.before-fanout"] as const;

const settleMs = 60_000;

/** Runs a plan to its end, on data of its own. Rejects when a server does not come back. */
export async function runCrashes(plan: CrashPlan): Promise<CrashOutcome> {
  const store = plan.store ?? sqlite;
  const data = await store.fresh(plan.faults);
  try {
    return await runOn(data, plan, store.name === "mongodb" ? slowPace : briskPace);
  } finally {
    await data.dispose();
  }
}

async function runOn(data: DataSet, plan: CrashPlan, pace: typeof briskPace): Promise<CrashOutcome> {
  const random = new Random(plan.seed);
  const recorder = new Recorder();
  const environment = { ...plan.environment };
  await using server = new ServerProcess({ PARLEY_STORE: data.setting, ...data.environment });
  await server.start({ environment });
  const crowd = new Crowd(server, recorder, random, pace);
  await crowd.begin();
  crowd.talk();
  const scene = { server, troubles: data.troubles, environment, failpoints: plan.failpoints ?? [], recorder, random };
  const played = await playFaults(plan, scene, crowd);
  await crowd.hush();
  const settled = await crowd.settles(plan.settleMs ?? settleMs);
  await readLogs(server, crowd, recorder, data.readEpochs);
  await crowd.leaveAll();
  await server.stop();
  const unlike = settled ? await unlikeLogs(data) : [];
  const violations = recorder.finish();
  if (plan.historyFile !== null) recorder.save(plan.historyFile);
  const marked = recorder.events.filter(({ e }) => e === "readack").length;
  return { violations, settled, surprises: crowd.surprises, unlike, acked: crowd.acked, marked, played };
}

/** Lets the servers work, plays a fault, and again. */
async function playFaults(plan: CrashPlan, scene: FaultScene, crowd: Crowd): Promise<ReadonlyMap<string, number>> {
  const played = new Map<string, number>();
  const targets = plan.faults ?? ["parley"];
  for (let at = 0; at < plan.kills; at++) {
    const before = crowd.acked;
    await until("sends are acknowledged again", () => crowd.acked > before);
    await pause(scene.random.between(20, 400));
    const turn = (plan.playedBefore ?? 0) + at;
    const target = targets[turn % targets.length] as FaultTarget;
    const name = await playFault(scene, target, turnsBefore(targets, turn, target));
    played.set(name, (played.get(name) ?? 0) + 1);
    plan.say?.(`${at + 1} of ${plan.kills}, ${name}: ${crowd.acked} sends acknowledged so far`);
  }
  return played;
}

/** How often it was the turn of `target` before `turn`: each of its faults is played before one comes again. */
function turnsBefore(targets: readonly FaultTarget[], turn: number, target: FaultTarget): number {
  const among = (some: readonly FaultTarget[]): number => some.filter((one) => one === target).length;
  const whole = Math.floor(turn / targets.length);
  return whole * among(targets) + among(targets.slice(0, turn % targets.length));
}

async function unlikeLogs(data: DataSet): Promise<readonly string[]> {
  const store = await data.open();
  try {
    return (await compareProjections(store)).faults;
  } finally {
    await store.close();
  }
}

/** What the command line asks for; null: it cannot be understood. */
interface Asked {
  readonly store: StoreUnderTest;
  readonly faults: readonly FaultTarget[];
  readonly seed: number;
  readonly kills: number;
  readonly perRound: number;
  readonly historyFile: string | null;
}

/** Kills in one round, on data of its own: a database that scans must not grow large. */
const perRound = { memory: 1_000, sqlite: 1_000, mongodb: 10 } as const;

function asked(): Asked | null {
  const { values } = parseArgs({
    options: {
      kills: { type: "string", default: "100" },
      seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
      history: { type: "string" },
      store: { type: "string", default: "sqlite" },
      faults: { type: "string", default: "parley" },
    },
  });
  const [seed, kills] = [Number(values.seed), Number(values.kills)];
  const store = storesByName.get(values.store);
  const faults = values.faults.split(",").map((name) => faultTargets.find((target) => target === name));
  const known = faults.filter((target) => target !== undefined);
  const numbers = Number.isSafeInteger(seed) && Number.isSafeInteger(kills) && kills >= 0;
  if (!numbers || !store || known.length !== faults.length) return null;
  return { store, faults: known, seed, kills, perRound: perRound[store.name], historyFile: values.history ?? null };
}

/** Totals over the rounds of a command. */
class Tally {
  readonly #played = new Map<string, number>();
  #acked = 0;
  #marked = 0;
  #violations = 0;
  #failed = false;

  add({ violations, surprises, unlike, settled, acked, marked, played }: CrashOutcome): void {
    for (const violation of violations) console.log(describeViolation(violation));
    for (const surprise of surprises) console.log(`nobody expected: ${surprise}`);
    for (const fault of unlike) console.log(`unlike its log: ${fault}`);
    if (!settled) console.log(`the clients did not catch up within ${settleMs / 1000} s`);
    for (const [name, count] of played) this.#played.set(name, (this.#played.get(name) ?? 0) + count);
    this.#acked += acked;
    this.#marked += marked;
    this.#violations += violations.length;
    this.#failed ||= !settled || violations.length + surprises.length + unlike.length > 0;
  }

  /** Prints the totals and answers the exit code. */
  close(): number {
    for (const [name, count] of [...this.#played].sort()) console.log(`${count} × ${name}`);
    console.log(
      `${this.#acked} acknowledged sends, ${this.#marked} acknowledged read marks, ${this.#violations} violations`,
    );
    return this.#failed ? 1 : 0;
  }
}

/** The command line. Answers the exit code: 1 when anything was violated. */
async function main(): Promise<number> {
  const what = asked();
  if (what === null) {
    const usage = `[--store sqlite|mongodb] [--faults ${faultTargets.join(",")}] [--kills N] [--seed N] [--history FILE]`;
    console.error(`usage: bun test/crash/run.ts ${usage}`);
    return 2;
  }
  console.log(`seed ${what.seed}`);
  const tally = new Tally();
  for (let done = 0, round = 0; done < what.kills || round === 0; round++) {
    const kills = Math.min(what.perRound, what.kills - done);
    const historyFile = what.historyFile !== null && round > 0 ? `${what.historyFile}.${round}` : what.historyFile;
    const { store, faults } = what;
    const plan = { store, faults, kills, playedBefore: done, seed: what.seed + round, failpoints: crashPoints };
    tally.add(await runCrashes({ ...plan, historyFile, say: (line) => console.log(line) }));
    done += kills;
  }
  return tally.close();
}

if (import.meta.main) process.exit(await main());
