// What is left in the end, read through the public interface by connections that know nothing: whole logs and every count.
// Used by the crash test and the tests of faults; the recorder judges it.
import type { Recorder } from "../history/recorder";
import { Connection } from "./connection";
import type { Crowd } from "./crowd";
import { readMessage } from "./resuming-client";
import type { ServerProcess } from "./server-process";

/** The epoch of each entry of a conversation, by seq: read beside the server, where the store keeps it. */
export type ReadEpochs = (conversation: string) => Promise<ReadonlyMap<number, number>>;

const noEpochs: ReadEpochs = async () => new Map();

/** Reads every log and every count through the public interface, with connections that know nothing. */
export async function readLogs(
  server: ServerProcess,
  crowd: Crowd,
  recorder: Recorder,
  readEpochs: ReadEpochs = noEpochs,
): Promise<void> {
  const logs = new Map<string, readonly LogEntry[]>();
  for (const client of crowd.clients) {
    const { user, device } = client.setup;
    const connection = await Connection.open(server.url, server.token(user), "auditor", () => undefined);
    const asked = recorder.marksNow();
    const [, rows] = await connection.ask("sync", [null, []]);
    for (const row of rows) {
      const [conv, , [, [joinSeq]], , , [cursorSeq], , unread] = row;
      recorder.readAnswered("auditor", user, conv, cursorSeq, asked);
      const log = logs.get(conv) ?? (await readLog(connection, conv, recorder, await readEpochs(conv)));
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

/** Reads one whole log, and tells the recorder. */
export async function readLog(
  connection: Connection,
  conv: string,
  recorder: Recorder,
  epochs: ReadonlyMap<number, number>,
): Promise<readonly LogEntry[]> {
  const log: LogEntry[] = [];
  for (let from = 1, head = 1; from <= head; ) {
    const [entries, headSeq] = await connection.ask("entries", [conv, from, 200]);
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
