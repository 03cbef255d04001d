// One chapter of a chaos run: a company of its own talks while faults are played; then everything is healed, everybody gets
// everything, and the history is judged and forgotten, so that a long run needs no more memory than a short one.
import type { HistoryEvent } from "../history/events";
import type { Violation } from "../history/checker";
import { Recorder } from "../history/recorder";
import { readLogs } from "../crash/read-logs";
import type { Random } from "../sim/random";
import type { ChaosCluster } from "./cluster";
import { Company } from "./company";
import type { Pace } from "./company";
import type { Fault, Scene } from "./faults";
import { readOwners } from "./owners";
import type { Due, Schedule } from "./schedule";

/** What is promised of a healed cluster, and looked at after every fault. */
export interface Limits {
  /** How long a send may still wait after a fault was healed, milliseconds. */
  readonly recoveryMs: number;
  /** How long it may take until everybody has everything, milliseconds. */
  readonly settleMs: number;
  readonly memoryMib: number;
}

/** What a chapter is played with. */
export interface ChapterPlan {
  readonly name: string;
  readonly cluster: ChaosCluster;
  readonly schedule: Schedule;
  readonly random: Random;
  readonly pace: Pace;
  readonly limits: Limits;
  /** Faults in this chapter, at least; the last draw may bring one more. */
  readonly faults: number;
  readonly supervised: boolean;
  /** Whether two faults may be played at once. */
  readonly together: boolean;
  /** Where the history is appended; null: nowhere. */
  readonly historyFile: string | null;
  say(line: string): void;
}

/** One fault that was played, and how the company fared. */
export interface Played {
  readonly name: string;
  /** The longest time that sends of one conversation went without an acknowledgement, from before the fault to recovery. */
  readonly stallMs: number;
  /** From healing to the first acknowledgement of everything that waited. */
  readonly recoveryMs: number;
}

/** What a chapter found. */
export interface ChapterOutcome {
  readonly violations: readonly Violation[];
  readonly surprises: readonly string[];
  readonly acked: number;
  readonly marked: number;
  readonly received: number;
  /** Read marks that were pushed below what their device had, which the protocol tells clients to leave out. */
  readonly lateMarks: number;
  readonly played: readonly Played[];
  /** Faults whose moment did not come; they are due again. */
  readonly missed: readonly string[];
  readonly memoryMib: number;
}

const lookEveryMs = 50;
const betweenMs = [100, 800] as const;
const newDeviceChance = 0.2;
/** How often the moment of one fault may not come in a chapter. */
const missesMax = 4;

/** Plays a chapter to its end, on a cluster that is whole before and behind it. */
export async function playChapter(plan: ChapterPlan): Promise<ChapterOutcome> {
  const { name, cluster, random, pace, limits } = plan;
  const recorder = new Recorder();
  const urls = cluster.nodes.map(({ url }) => url);
  const company = new Company(name, { urls }, recorder, random, pace);
  const endsBefore = cluster.ends.length;
  // Looked at before and behind all that happens: an epoch that goes back is seen by the second.
  recorder.cluster(await readOwners(cluster));
  await company.begin();
  company.talk();
  const scene: Scene = { cluster, company, recorder, random, supervised: plan.supervised, missed: [] };
  const played: Played[] = [];
  while (played.length < plan.faults) played.push(...(await playDue(plan, scene, plan.schedule.next(plan.together))));
  await quiesce(scene, limits);
  await readAll(scene);
  await company.leaveAll();
  await lookAtCluster(scene, limits);
  const violations = recorder.finish();
  if (plan.historyFile !== null) recorder.save(plan.historyFile, "append");
  const { events } = recorder;
  return {
    violations,
    surprises: [...company.surprises, ...cluster.ends.slice(endsBefore)],
    acked: count(events, "ack"),
    marked: count(events, "readack"),
    received: count(events, "recv"),
    lateMarks: company.clients.reduce((sum, client) => sum + client.lateMarks, 0),
    played,
    missed: scene.missed,
    memoryMib: events.reduce((most, event) => (event.e === "memory" ? Math.max(most, event.mib) : most), 0),
  };
}

async function playDue(plan: ChapterPlan, scene: Scene, due: readonly Due[]): Promise<readonly Played[]> {
  const { company, recorder, random } = scene;
  const missedBefore = scene.missed.length;
  company.takeStall();
  if (random.chance(newDeviceChance)) await company.join();
  await Promise.all(
    due.map(async ({ fault, turn }, at) => {
      if (at > 0) await Bun.sleep(random.between(...betweenMs));
      await fault.play(scene, turn);
    }),
  );
  const what = due.map(({ fault }) => fault.name).join(", with ");
  const recoveryMs = await recovered(scene, plan.limits);
  recorder.cluster({ e: "settled", what: `sends after: ${what}`, ms: recoveryMs, limitMs: plan.limits.recoveryMs });
  const stallMs = Math.round(company.takeStall());
  const recovery = recoveryMs === null ? `not within ${plan.limits.recoveryMs}` : `${recoveryMs}`;
  plan.say(
    `${what}: stalled ${stallMs} ms, recovered in ${recovery} ms, ${company.acked} acknowledged in this chapter`,
  );
  await Bun.sleep(random.between(...betweenMs));
  return due
    .filter(({ fault }) => !isDueAgain(plan, scene, fault, missedBefore))
    .map(({ fault: { name } }) => ({ name, stallMs, recoveryMs: recoveryMs ?? plan.limits.recoveryMs }));
}

/** A fault whose moment did not come just now is due again; where it never comes, something is wrong with the fault. */
function isDueAgain({ schedule }: ChapterPlan, { missed, company }: Scene, fault: Fault, from: number): boolean {
  if (!missed.slice(from).includes(fault.name)) return false;
  const misses = missed.filter((name) => name === fault.name).length;
  if (misses >= missesMax) company.surprises.push(`${fault.name} did not come about ${misses} times`);
  else schedule.again(fault);
  return misses < missesMax;
}

/** How long it took until nothing waits that waited when the last fault was healed; null: longer than is allowed. */
async function recovered({ company }: Scene, { recoveryMs }: Limits): Promise<number | null> {
  const healedAt = performance.now();
  for (;;) {
    const waitedMs = performance.now() - healedAt;
    if (company.waitingMs < waitedMs) return Math.round(waitedMs);
    if (waitedMs > recoveryMs) return null;
    await Bun.sleep(lookEveryMs);
  }
}

/** Everybody falls silent, and has everything in the end. */
async function quiesce(scene: Scene, { settleMs }: Limits): Promise<void> {
  const { cluster, company, recorder } = scene;
  await cluster.healLinks();
  const healedAt = performance.now();
  const deadline = AbortSignal.timeout(settleMs);
  const settled = (async () => {
    await company.hush();
    while (!deadline.aborted && !(await company.isSettled())) await Bun.sleep(lookEveryMs);
  })();
  const late = new Promise<void>((resolve) => deadline.addEventListener("abort", () => resolve()));
  // What does not end by itself ends with its clients, and has been told by then.
  settled.catch(() => undefined);
  await Promise.race([settled, late]);
  const ms = deadline.aborted ? null : Math.round(performance.now() - healedAt);
  recorder.cluster({ e: "settled", what: "everybody to have everything", ms, limitMs: settleMs });
  if (ms === null) company.surprises.push(...(await company.missing()));
}

/** What is left, through connections that know nothing. Servers that do not let it be read have broken something by that. */
async function readAll({ cluster, company, recorder }: Scene): Promise<void> {
  const audited = { url: cluster.nodes[0]!.url, token: (user: string): string => company.token(user) };
  try {
    await readLogs(audited, company, recorder, cluster.store.readEpochs ?? undefined);
  } catch (error) {
    company.surprises.push(`the logs could not be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** One owner a partition, and no more memory than is allowed. */
async function lookAtCluster({ cluster, recorder }: Scene, { memoryMib }: Limits): Promise<void> {
  for (const [node, mib] of cluster.takeMemoryPeaks()) {
    recorder.cluster({ e: "memory", node, mib, limitMib: memoryMib });
  }
  recorder.cluster(await readOwners(cluster));
}

function count(events: readonly HistoryEvent[], kind: HistoryEvent["e"]): number {
  return events.reduce((sum, { e }) => (e === kind ? sum + 1 : sum), 0);
}
