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

/** Ends a server on `data` when it passes `point` for the `hit`th time. */
export async function endAt(data: DataSet, point: string, hit: number): Promise<Ended> {
  await using server = new ServerProcess({ PARLEY_STORE: data.setting, ...data.environment });
  const script = new Script(server, `${point}-${hit}`);
  const during = await lifeUpTo(server, script, `${point}=exit@${hit}`);
  if (during === null) return { during, faults: [] };
  await server.start();
  const left = await script.play();
  if (left !== null) throw new Error(`the server ended by itself during ${left}: ${await server.errors()}`);
  script.close();
  const code = await server.stop();
  const faults = code === 0 ? [] : [`the server stopped with ${code}: ${await server.errors()}`];
  const store = await data.open();
  try {
    faults.push(...(await missing(store, script.answered)), ...(await compareProjections(store)).faults);
  } finally {
    await store.close();
  }
  return { during, faults };
}

/** One life with the failpoint armed: to its end there, or to the end of the script and an orderly stop. */
async function lifeUpTo(server: ServerProcess, script: Script, armed: string): Promise<string | null> {
  try {
    await server.start({ environment: { PARLEY_FAILPOINTS: armed } });
  } catch {
    return "start";
  }
  const during = await script.play();
  if (during !== null) return during;
  script.close();
  return (await server.stop()) === 0 ? null : "stop";
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
