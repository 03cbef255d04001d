// Unread by brute force: the whole log is read through the public interface and counted, entry by entry.
import type { EntryTuple, MembersBody } from "../../src/protocol/entry";
import { entryKinds, memberChanges } from "../../src/protocol/entry";
import type { Connection } from "../crash/connection";

/** The whole log of a conversation, as its member reads it. */
export async function readWholeLog(connection: Connection, conversation: string): Promise<readonly EntryTuple[]> {
  const log: EntryTuple[] = [];
  for (;;) {
    const [entries, head] = await connection.ask("entries", [conversation, log.length + 1, 200]);
    log.push(...entries);
    if (log.length >= head) return log;
    if (entries.length === 0) throw new Error(`${conversation} answers nothing at ${log.length + 1} of ${head}`);
  }
}

/** Where a person's present membership began; null for who is no member. */
export function joinOf(log: readonly EntryTuple[], user: string): number | null {
  let joined: number | null = null;
  for (const [seq, , kind, , , , , , , body] of log) {
    if (kind !== entryKinds.members) continue;
    for (const [change, who] of body as MembersBody) {
      if (who !== user) continue;
      if (change === memberChanges.added) joined = seq;
      if (change === memberChanges.left || change === memberChanges.removed) joined = null;
    }
  }
  return joined;
}

/** Counted entries after the later of cursor and join that somebody else sent. */
export function countUnread(log: readonly EntryTuple[], user: string, cursor: number): number | null {
  const joined = joinOf(log, user);
  if (joined === null) return null;
  const base = Math.max(cursor, joined);
  return log.filter(([seq, , , counts, , sender]) => counts && seq > base && sender !== user).length;
}
