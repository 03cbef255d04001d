// Ends a server at a failpoint while it carries out every operation that needs several writes, starts it again, lets the
// operations be repeated, and judges what the store then holds: the answers given, and every row beside the logs.
import type { EntryRow, Store } from "../../src/storage/store";
import { compareProjections } from "../projections";
import type { DataSet } from "../stores";
import { Script } from "./script";
import type { AnsweredEntry } from "./script";
import { ServerProcess } from "./server-process";

/** What became of one failpoint. */
export interface Ended {
  /** The operation that was under way; null: the server stopped without having passed there that often. */
  readonly during: string | null;
  readonly faults: readonly string[];
}

/**
 * Ends a server on `data` when it passes `point` for the `hit`th time of a life. That life begins with what another one left
 * open, so that what is written while opening is reached too; `fresh`: it begins with no data at all.
 */
export async function endAt(data: DataSet, point: string, hit: number, fresh = false): Promise<Ended> {
  await using server = new ServerProcess({ PARLEY_STORE: data.setting, ...data.environment });
  const scripts = [new Script(server, `${point}-left`), new Script(server, `${point}-${hit}`)];
  if (!fresh) await leaveOpen(server, scripts[0] as Script);
  const during = await lifeUpTo(server, scripts, `${point}=exit@${hit}`);
  if (during === null) return { during, faults: [] };
  await server.start();
  const left = await playAll(scripts);
  if (left !== null) throw new Error(`the server ended by itself during ${left}: ${await server.errors()}`);
  const faults = await stopped(server, scripts);
  const store = await data.open();
  try {
    for (const { answered } of scripts) faults.push(...(await missing(store, answered)));
    faults.push(...(await compareProjections(store)).faults);
  } finally {
    await store.close();
  }
  return { during, faults };
}

/** A life that is killed in the middle of a script. */
async function leaveOpen(server: ServerProcess, script: Script): Promise<void> {
  await server.start();
  await script.play(0.6);
  await server.kill();
  script.close();
}

/** One life with the failpoint armed: to its end there, or to the end of the scripts and an orderly stop. */
async function lifeUpTo(server: ServerProcess, scripts: readonly Script[], armed: string): Promise<string | null> {
  try {
    await server.start({ environment: { PARLEY_FAILPOINTS: armed } });
  } catch {
    return "start";
  }
  const during = await playAll(scripts);
  if (during !== null) return during;
  return (await stopped(server, scripts)).length === 0 ? null : "stop";
}

async function playAll(scripts: readonly Script[]): Promise<string | null> {
  for (const script of scripts) {
    const during = await script.play();
    if (during !== null) return during;
  }
  return null;
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
