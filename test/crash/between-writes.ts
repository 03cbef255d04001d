// Ends a server at a failpoint while it carries out every operation that needs several writes, starts it again, lets the
// operations be repeated, and judges what the store then holds: the answers given, and every row beside the logs.
import { allPartitions } from "../../src/actors/local-placement";
import type { EntryRow, Store } from "../../src/storage/store";
import { compareProjections } from "../projections";
import type { DataSet } from "../stores";
import { pause } from "./crowd";
import { Script } from "./script";
import type { AnsweredEntry } from "./script";
import { ServerProcess } from "./server-process";

/** What became of one failpoint. */
export interface Ended {
  /** The operation that was under way; null: the server stopped without having passed there that often. */
  readonly during: string | null;
  readonly faults: readonly string[];
}

/** How a failpoint is reached. */
export interface Ending {
  readonly point: string;
  /** On which passing there, in the life that ends at it. */
  readonly hit: number;
  /** A life before it leaves things open: killed amid a script, or at this failpoint. Null: there is none, and no data. */
  readonly before: "killed" | `${string}=exit@${number}` | null;
  /** What is passed only in time: the server is given this long before it is stopped, milliseconds. */
  readonly lingerMs?: number;
}

/** What is let go soon after its last message, so that everything left open is seen to be closed. */
const soonIdle = { PARLEY_ACTORS_IDLE_MS: "200" };
const closedMsMax = 30_000;

/** Ends a server on `data`, starts it again, lets everything be finished and closed, and judges what the store holds. */
export async function endAt(data: DataSet, { point, hit, before, lingerMs = 0 }: Ending): Promise<Ended> {
  await using server = new ServerProcess({ PARLEY_STORE: data.setting, ...data.environment });
  const scripts = [new Script(server, "left"), new Script(server, "new")];
  if (before === null) scripts.shift();
  else await leaveOpen(server, scripts[0] as Script, before);
  const during = await lifeUpTo(server, scripts, `${point}=exit@${hit}`, lingerMs);
  if (during === null) return { during, faults: [] };
  await server.start({ environment: soonIdle });
  const left = await playAll(scripts);
  if (left !== null) throw new Error(`the server ended by itself during ${left}: ${await server.errors()}`);
  const store = await data.open();
  try {
    const faults = await untilClosed(store);
    faults.push(...(await stopped(server, scripts)));
    for (const { answered } of scripts) faults.push(...(await missing(store, answered)));
    faults.push(...(await compareProjections(store)).faults);
    return { during, faults };
  } finally {
    await store.close();
  }
}

/** A life that ends in the middle of a script. */
async function leaveOpen(server: ServerProcess, script: Script, ending: string): Promise<void> {
  await server.start(ending === "killed" ? {} : { environment: { PARLEY_FAILPOINTS: ending } });
  await script.play(ending === "killed" ? 0.6 : 1);
  await server.kill();
  script.close();
}

/** One life with the failpoint armed: to its end there, or to the end of the scripts and an orderly stop. */
async function lifeUpTo(
  server: ServerProcess,
  scripts: readonly Script[],
  armed: string,
  lingerMs: number,
): Promise<string | null> {
  try {
    await server.start({ environment: { PARLEY_FAILPOINTS: armed } });
  } catch {
    return "start";
  }
  const during = await playAll(scripts);
  if (during !== null) return during;
  const ended = server.exited.then(() => true);
  if (lingerMs > 0 && (await Promise.race([ended, pause(lingerMs).then(() => false)]))) return "nothing";
  return (await stopped(server, scripts)).length === 0 ? null : "stop";
}

async function playAll(scripts: readonly Script[]): Promise<string | null> {
  for (const script of scripts) {
    const during = await script.play();
    if (during !== null) return during;
  }
  return null;
}

/** Everything that was left open is finished and closed by itself. */
async function untilClosed(store: Store): Promise<string[]> {
  const deadline = performance.now() + closedMsMax;
  for (;;) {
    const open = await store.listOpen(allPartitions, null, 10);
    if (open.length === 0) return [];
    if (performance.now() > deadline) return open.map((conversation) => `${conversation}: is not closed by itself`);
    await pause(20);
  }
}

/** Everybody leaves and the server stops in order; answers what it says where it does not. */
async function stopped(server: ServerProcess, scripts: readonly Script[]): Promise<string[]> {
  for (const script of scripts) script.close();
  const code = await server.stop();
  return code === 0 ? [] : [`the server stopped with ${code}: ${await server.errors()}`];
}

/** Answers that do not stand in the log at the seq that was told. */
async function missing(store: Store, answered: readonly AnsweredEntry[]): Promise<readonly string[]> {
  const faults: string[] = [];
  for (const { conversation, user, clientId, seq } of answered) {
    const request = { from: seq, direction: "up", limit: 1, bytesMax: 1_000_000, scanMax: 1 } as const;
    const { entries } = await store.readRange({ conversation: conversation as never, ...request });
    const [row] = entries as readonly EntryRow[];
    if (row?.sender === user && row.clientId === clientId) continue;
    faults.push(`${conversation}: ${clientId} of ${user} was answered ${seq}, where ${row?.clientId} stands`);
  }
  return faults;
}
