// The crash test: a real server is killed over and over under load, and the history of what its clients saw is judged.
// `bun test/crash/run.ts --kills 100 --seed 7 --history FILE`; also called by crash.test.ts and, for controls, with a spoilt server.
import { parseArgs } from "node:util";
import { describeViolation } from "../history/checker";
import type { Violation } from "../history/checker";
import { Recorder } from "../history/recorder";
import { Random } from "../sim/random";
import { Connection } from "./connection";
import { Crowd, pause, until } from "./crowd";
import { readMessage } from "./resuming-client";
import { ServerProcess } from "./server-process";

/** What a run does. */
export interface CrashPlan {
  readonly kills: number;
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
  readonly acked: number;
  readonly kills: number;
}

/** Points of the server's code at which it is ended; see src/lib/failpoints.ts. */
export const crashPoints = ["commit.before", "commit.after", "ack.before-fanout"] as const;

const settleMs = 60_000;

/** Runs a plan to its end. Rejects when the server does not come back. */
export async function runCrashes(plan: CrashPlan): Promise<CrashOutcome> {
  const random = new Random(plan.seed);
  const recorder = new Recorder();
  await using server = new ServerProcess();
  await server.start(plan.environment ? { environment: plan.environment } : {});
  const crowd = new Crowd(server, recorder, random);
  await crowd.begin();
  crowd.talk();
  for (let kill = 0; kill < plan.kills; kill++) {
    await crash(plan, kill, server, crowd, recorder, random);
    plan.say?.(`kill ${kill + 1} of ${plan.kills}: ${crowd.acked} sends acknowledged so far`);
  }
  await crowd.hush();
  const settled = await crowd.settles(plan.settleMs ?? settleMs);
  await readLogs(server, crowd, recorder);
  await crowd.leaveAll();
  const violations = recorder.finish();
  if (plan.historyFile !== null) recorder.save(plan.historyFile);
  return { violations, settled, surprises: crowd.surprises, acked: crowd.acked, kills: plan.kills };
}

/** Lets the server work, ends it, and starts it again. */
async function crash(
  plan: CrashPlan,
  kill: number,
  server: ServerProcess,
  crowd: Crowd,
  recorder: Recorder,
  random: Random,
): Promise<void> {
  const before = crowd.acked;
  await until("sends are acknowledged again", () => crowd.acked > before);
  await pause(random.between(20, 400));
  recorder.fault("kill -9", "server");
  await server.kill();
  const points = plan.failpoints ?? [];
  if (points.length > 0 && kill % 2 === 1) await lifeUpTo(random.pick(points), plan, server, recorder, random);
  await server.start({ environment: { ...plan.environment } });
  recorder.fault("restarted", "server");
}

/** One life that ends itself at a failpoint, on the nth time it passes there. */
async function lifeUpTo(
  point: string,
  plan: CrashPlan,
  server: ServerProcess,
  recorder: Recorder,
  random: Random,
): Promise<void> {
  const armed = `${point}=exit@${random.between(5, 60)}`;
  const failpoints = [plan.environment?.["PARLEY_FAILPOINTS"] ?? "", armed].join(",");
  await server.start({ environment: { ...plan.environment, PARLEY_FAILPOINTS: failpoints } });
  const ended = server.exited.then(() => "ended" as const);
  const outcome = await Promise.race([ended, pause(20_000).then(() => "alive" as const)]);
  if (outcome === "alive") throw new Error(`the server did not end itself at ${armed}`);
  recorder.fault(`killed at ${armed}`, "server");
}

/** Reads every log and every count through the public interface, with connections that know nothing. */
async function readLogs(server: ServerProcess, crowd: Crowd, recorder: Recorder): Promise<void> {
  const logs = new Map<string, readonly LogEntry[]>();
  for (const client of crowd.clients) {
    const { user, device } = client.setup;
    const connection = await Connection.open(server.url, server.token(user), "auditor", () => undefined);
    const asked = recorder.marksNow();
    const [, rows] = await connection.ask("sync", [null, []]);
    for (const row of rows) {
      const [conv, , [, [joinSeq]], , , [cursorSeq], , unread] = row;
      recorder.readAnswered("auditor", user, conv, cursorSeq, asked);
      const log = logs.get(conv) ?? (await readLog(connection, conv, recorder));
      logs.set(conv, log);
      const base = Math.max(cursorSeq, joinSeq);
      const oracle = log.filter((entry) => entry.counts && entry.seq > base && entry.sender !== user).length;
      recorder.unread(`${user}/${device}`, conv, { server: unread, client: client.unread(conv), oracle });
    }
    connection.close();
  }
}

interface LogEntry {
  readonly seq: number;
  readonly counts: boolean;
  readonly sender: string;
}

async function readLog(connection: Connection, conv: string, recorder: Recorder): Promise<readonly LogEntry[]> {
  const log: LogEntry[] = [];
  for (let from = 1, head = 1; from <= head; ) {
    const [entries, headSeq] = await connection.ask("entries", [conv, from, 200]);
    head = headSeq;
    for (const entry of entries) {
      const [seq, ordinal, kind, counts, , sender, , clientId] = entry;
      const body = readMessage(entry);
      recorder.log({ conv, seq, ordinal, kind, cid: body === null ? null : clientId, user: sender, body, epoch: null });
      log.push({ seq, counts, sender });
    }
    if (entries.length === 0) throw new Error(`the log of ${conv} has no entry at ${from}, its head is ${head}`);
    from = (entries.at(-1)?.[0] ?? head) + 1;
  }
  return log;
}

/** The command line. Answers the exit code: 1 when anything was violated. */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { kills: { type: "string", default: "100" }, seed: { type: "string" }, history: { type: "string" } },
  });
  const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
  const kills = Number(values.kills);
  if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(kills) || kills < 0) {
    console.error("usage: bun test/crash/run.ts [--kills N] [--seed N] [--history FILE]");
    return 2;
  }
  console.log(`seed ${seed}`);
  const historyFile = values.history ?? null;
  const outcome = await runCrashes({
    kills,
    seed,
    historyFile,
    failpoints: crashPoints,
    say: (line) => console.log(line),
  });
  for (const violation of outcome.violations) console.log(describeViolation(violation));
  for (const surprise of outcome.surprises) console.log(`nobody expected: ${surprise}`);
  if (!outcome.settled) console.log(`the clients did not catch up within ${settleMs / 1000} s`);
  console.log(`${outcome.kills} kills, ${outcome.acked} acknowledged sends, ${outcome.violations.length} violations`);
  return outcome.settled && outcome.violations.length + outcome.surprises.length === 0 ? 0 : 1;
}

if (import.meta.main) process.exit(await main());
