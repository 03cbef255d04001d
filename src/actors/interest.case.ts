// What unit tests of interest share: sessions that note what is done with them, a log in memory, ids.
// Test code only.
import { encodeEntry } from "../protocol/codec";
import { entryKinds, memberChanges } from "../protocol/entry";
import type { ConversationId, Seq, UserId } from "../protocol/ids";
import { AppError } from "../lib/errors";
import type { EntryRow, Range, RangeRequest } from "../storage/store";
import { decodeFrames } from "../protocol/codec";
import type { FeedTuple } from "../protocol/operations";
import type { InterestMeter, SessionsHere } from "./interest";

/** A conversation, and the people of these tests. */
export const room = `g${"A".repeat(22)}` as ConversationId;
export const [ann, bob] = ["ann", "bob"] as UserId[] as [UserId, UserId];

/** Notes what reaches sessions, in words. Everybody is here and receives everything until said otherwise. */
export class NotedSessions implements SessionsHere {
  readonly notes: string[] = [];
  receivers = 1;
  readonly away = new Set<UserId>();

  publish(_conversation: ConversationId, frame: Uint8Array): void {
    for (const [, name, , entries] of decodeFrames(frame))
      this.notes.push(name === "entries" ? (entries as Seq[][]).map(([seq]) => seq).join(" ") : String(name));
  }
  toUser(user: UserId): void {
    this.notes.push(`to ${user}`);
  }
  dropInterest(_conversation: ConversationId, users: readonly UserId[]): void {
    this.notes.push(`without ${users.join(" ")}`);
  }
  feedChanged(user: UserId, changes: readonly FeedTuple[]): void {
    this.notes.push(`${user}: ${changes.map(([userSeq]) => userSeq).join(" ")}`);
  }
  signedOut(user: UserId, device: string | null): void {
    this.notes.push(`${user} signed out: ${device}`);
  }
  interestedIn(): number {
    return this.receivers;
  }
  isHere(user: UserId): boolean {
    return !this.away.has(user);
  }
  endReceivers(conversations: ReadonlySet<ConversationId>): void {
    this.notes.push(`sent away: ${conversations.size}`);
  }
  endDevice(user: UserId, device: string | null): void {
    this.notes.push(`${user} checked again: ${device}`);
  }
  doubted(): number {
    this.notes.push("doubted");
    return 0;
  }
}

/** Notes what is recorded, by name. */
export function notedMeter(notes: string[]): InterestMeter {
  const note =
    (name: string) =>
    (...args: readonly unknown[]): void =>
      void notes.push([name, ...args.filter((arg) => typeof arg === "string")].join(" "));
  return new Proxy({}, { get: (_, name) => note(String(name)) }) as InterestMeter;
}

/** A stored entry; `gone` makes it one that removes people. */
export function entry(seq: Seq, gone: readonly UserId[] = []): EntryRow {
  const kind = gone.length > 0 ? entryKinds.members : entryKinds.message;
  const body = gone.length > 0 ? gone.map((user) => [memberChanges.removed, user, null, null]) : [`text ${seq}`];
  const bytes = encodeEntry([seq, seq, kind, true, 1, ann, null, null, null, body] as never);
  return { seq, ordinal: seq, kind, counts: true, sender: ann, clientId: null, bytes };
}

/** A log that grows in a test's hand; `fails` times it does not answer. */
export class GrowingLog {
  readonly entries: EntryRow[] = [];
  reads = 0;
  fails = 0;

  /** Appends up to `seq`; those of `gone` are removed by the entry at their seq. */
  grow(seq: Seq, gone: Readonly<Record<Seq, readonly UserId[]>> = {}): void {
    for (let next = this.entries.length + 1; next <= seq; next++) this.entries.push(entry(next, gone[next]));
  }

  readonly readRange = async ({ from, limit, bytesMax }: RangeRequest): Promise<Range> => {
    this.reads++;
    if (this.fails > 0) {
      this.fails--;
      throw new AppError("store_unavailable");
    }
    const entries: EntryRow[] = [];
    let bytes = 0;
    for (const row of this.entries.slice(from - 1, from - 1 + limit)) {
      bytes += row.bytes.length;
      if (entries.length > 0 && bytes > bytesMax) break;
      entries.push(row);
    }
    return { entries, scannedTo: entries.at(-1)?.seq ?? 0 };
  };
}
