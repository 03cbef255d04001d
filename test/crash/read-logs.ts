// What is left in the end, read through the public interface by connections that know nothing: whole logs and every count.
// Used by the crash test and the tests of faults; the recorder judges it.
import type { Recorder } from "../history/recorder";
import type { Results } from "../../src/protocol/operations";
import { Connection, Refused } from "./connection";
import { readMessage } from "./resuming-client";
import type { ResumingClient } from "./resuming-client";

/** The epoch of each entry of a conversation, by seq: read beside the server, where the store keeps it. */
export type ReadEpochs = (conversation: string) => Promise<ReadonlyMap<number, number>>;

const noEpochs: ReadEpochs = async () => new Map();

/** Where auditors connect: any node of a cluster. */
export interface AuditedServer {
  readonly url: string;
  token(user: string): string;
}

/** How long an auditor repeats what is answered "later", milliseconds. */
const patienceMs = 30_000;
const retryMs = 50;

/** Reads every log and every count through the public interface, with connections that know nothing. */
export async function readLogs(
  server: AuditedServer,
  crowd: { readonly clients: readonly ResumingClient[] },
  recorder: Recorder,
  readEpochs: ReadEpochs = noEpochs,
): Promise<void> {
  const logs = new Map<string, readonly LogEntry[]>();
  for (const client of crowd.clients) {
    const { user, device } = client.setup;
    const auditor = new Auditor(server, user);
    const asked = recorder.marksNow();
    const rows = await readRows(auditor);
    for (const row of rows) {
      const [conv, , [, [joinSeq]], , , [cursorSeq], , unread] = row;
      recorder.readAnswered("auditor", user, conv, cursorSeq, asked);
      const log = logs.get(conv) ?? (await readLog(auditor, conv, recorder, await readEpochs(conv)));
      logs.set(conv, log);
      const base = Math.max(cursorSeq, joinSeq);
      const oracle = log.filter((entry) => entry.counts && entry.seq > base && entry.sender !== user).length;
      recorder.unread(`${user}/${device}`, conv, { server: unread, client: client.unread(conv), oracle });
    }
    auditor.close();
  }
}

/** Who asks for what is left: a connection that knows nothing, or the tests' own. */
export interface Asker {
  ask: Connection["ask"];
}

/** Connects when it has something to ask, and again where its connection was ended: a node may send anybody away. */
class Auditor implements Asker {
  readonly #server: AuditedServer;
  readonly #user: string;
  #connection: Connection | null = null;

  constructor(server: AuditedServer, user: string) {
    this.#server = server;
    this.#user = user;
  }

  readonly ask: Connection["ask"] = async (operation, args) => {
    const { url } = this.#server;
    this.#connection ??= await Connection.open(url, this.#server.token(this.#user), "auditor", () => undefined);
    try {
      return await this.#connection.ask(operation, args);
    } catch (error) {
      if (error instanceof Refused && error.code === "connection_lost") this.close();
      throw error;
    }
  };

  close(): void {
    this.#connection?.close();
    this.#connection = null;
  }
}

/** All rows of a person, once none of them is said to be pending. */
async function readRows(connection: Asker): Promise<Results["sync"][1]> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const [, rows, next, , pending] = await patiently(() => connection.ask("sync", [null, []]));
    if (next !== null) throw new Error("these tests stay within one page of conversations");
    if (pending.length === 0 || performance.now() > deadline) return rows;
    await Bun.sleep(retryMs);
  }
}

/** Repeats what is refused for now. Rejects with what is refused for good, or is still refused after half a minute. */
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const later = error instanceof Refused && error.outcome !== "final";
      if (!later || performance.now() > deadline) throw error;
    }
    await Bun.sleep(retryMs);
  }
}

interface LogEntry {
  readonly seq: number;
  readonly counts: boolean;
  readonly sender: string;
}

/** Reads one whole log, and tells the recorder. */
export async function readLog(
  connection: Asker,
  conv: string,
  recorder: Recorder,
  epochs: ReadonlyMap<number, number>,
): Promise<readonly LogEntry[]> {
  const log: LogEntry[] = [];
  for (let from = 1, head = 1; from <= head; ) {
    const [entries, headSeq] = await patiently(() => connection.ask("entries", [conv, from, 200]));
    head = headSeq;
    for (const entry of entries) {
      const [seq, ordinal, kind, counts, , sender, , clientId] = entry;
      const body = readMessage(entry);
      const cid = body === null ? null : clientId;
      recorder.log({ conv, seq, ordinal, kind, cid, user: sender, body, epoch: epochs.get(seq) ?? null });
      log.push({ seq, counts, sender });
    }
    if (entries.length === 0) throw new Error(`the log of ${conv} has no entry at ${from}, its head is ${head}`);
    from = (entries.at(-1)?.[0] ?? head) + 1;
  }
  return log;
}
