// The benches of connections and reads: memory, sign-ins, pages of a long log, sync of many conversations.
import { figure } from "./figures";
import type { Figure } from "./figures";
import { generate, startParley, startRawServer, temporaryFolder } from "./processes";
import type { Serving } from "./processes";
import type { Plan, Seeded, SessionsPlan } from "./plan";
import type { Say } from "./rooms-benches";
import type { SessionsMeasured } from "./sessions-load";

const idleSessions = 10_000;
/** Longer than the server keeps the feed of somebody who does nothing (`actors.idleMs`, 60 s). */
const connectSessions = 3_000;
/** How connections come: so many being made at once, how often from the start, how long they idle before memory is read. */
type Storm = Pick<SessionsPlan, "inFlight" | "rounds" | "idleSeconds">;
const arriving: Storm = { inFlight: 64, rounds: 1, idleSeconds: 75 };
const storming: Storm = { inFlight: 256, rounds: 2, idleSeconds: 0 };
/** How often the baseline and Parley take turns, so that a neighbour's load meets both. */
const turns = 4;
const groupSize = 100;
const groupsPerPerson = 20;
const storedMessages = 1_000_000;
const manyConversations = 500;
const reader = "reader";

/** KB of resident memory per idle, signed-in session with 20 conversations; the server is started afresh for it. */
export async function benchMemory(say: Say): Promise<readonly Figure[]> {
  using folder = temporaryFolder();
  await makePeople(folder.path, idleSessions, say);
  const raw = await sessionsOn(() => startRawServer(), idleSessions, say, arriving);
  const ours = await sessionsOn(() => startParley(folder.path), idleSessions, say, arriving);
  const each = (one: SessionsMeasured): number => (one.afterKb - one.beforeKb) / idleSessions;
  return [figure("memory", { ours: each(ours), baseline: each(raw), load: `${idleSessions} sessions` })];
}

/** Sign-in and sync of 20 conversations, sessions per second, against raw upgrades. */
export async function benchConnect(say: Say): Promise<readonly Figure[]> {
  using folder = temporaryFolder();
  await makePeople(folder.path, connectSessions, say);
  await using rawServer = await startRawServer();
  await using parley = await startParley(folder.path);
  const outcomes: { readonly raw: SessionsMeasured; readonly ours: SessionsMeasured }[] = [];
  for (let turn = 0; turn < turns; turn++) {
    const raw = await stormOn(rawServer, connectSessions, say, storming);
    outcomes.push({ raw, ours: await stormOn(parley, connectSessions, say, storming) });
  }
  const raw = bestOf(outcomes.map((one) => one.raw));
  const ours = bestOf(outcomes.map((one) => one.ours));
  const { perSecond, p99Ms, cpuUsPerOp } = ours;
  return [figure("connect", { ours: perSecond, baseline: raw.perSecond, p99Ms, cpuUsPerOp, load: "256 at once" })];
}

/** A page of 50 anywhere in a log, 1 M messages being stored, and a sync of 500 conversations. */
export async function benchHistory(say: Say): Promise<readonly Figure[]> {
  using folder = temporaryFolder();
  say(`storing ${storedMessages} messages in ${manyConversations} conversations`);
  const seeded = await seed(folder.path);
  await using serving = await startParley(folder.path);
  const { target } = serving;
  const common = { kind: "reads", target, user: reader, ...seeded } as const;
  const page = await readsOf({ ...common, operation: "history", times: 2000 }, say);
  const sync = await readsOf({ ...common, operation: "sync", times: 300 }, say);
  return [
    figure("history-page", { ours: page.p99Ms, ...page, load: `${storedMessages} messages stored` }),
    figure("sync-500", { ours: sync.p99Ms, ...sync, load: `${manyConversations} conversations` }),
  ];
}

/** Through the protocol, as people would; then the server is stopped, so that the reads begin with nothing in memory. */
async function seed(dataDir: string): Promise<Seeded> {
  await using serving = await startParley(dataDir);
  let seeded: unknown = null;
  const plan = { kind: "seed", reader, conversations: manyConversations, messages: storedMessages } as const;
  await generate({ ...plan, target: serving.target }, (value) => (seeded = value));
  return seeded as Seeded;
}

export async function makePeople(dataDir: string, people: number, say: Say): Promise<void> {
  await using serving = await startParley(dataDir);
  say(`making ${people} people with ${groupsPerPerson} conversations each`);
  const plan: Plan = { kind: "people", target: serving.target, people, groupsPerPerson, groupSize, prefix: "p" };
  await generate(plan, () => undefined);
}

async function sessionsOn(start: () => Promise<Serving>, sessions: number, say: Say, storm: Storm) {
  await using serving = await start();
  // Awaited here: the server ends with this block.
  return await stormOn(serving, sessions, say, storm);
}

/** The best of some rounds by rate. */
async function stormOn({ target }: Serving, sessions: number, say: Say, storm: Storm): Promise<SessionsMeasured> {
  const outcomes: SessionsMeasured[] = [];
  await generate({ kind: "sessions", target, sessions, ...storm, prefix: "p" }, (value) => {
    outcomes.push(value as SessionsMeasured);
    say(`${target.raw ? "raw   " : "parley"} ${JSON.stringify(value)}`);
  });
  return bestOf(outcomes);
}

function bestOf(outcomes: readonly SessionsMeasured[]): SessionsMeasured {
  return outcomes.reduce((best, one) => (one.perSecond > best.perSecond ? one : best));
}

async function readsOf(plan: Plan, say: Say): Promise<{ p99Ms: number; cpuUsPerOp: number }> {
  let outcome: unknown = null;
  await generate(plan, (value) => (outcome = value));
  say(`${plan.kind}: ${JSON.stringify(outcome)}`);
  return outcome as { p99Ms: number; cpuUsPerOp: number };
}
