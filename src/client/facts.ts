// What a row says of one conversation, kept up to date by entries, cursors and settings between syncs (G5).
// Owned by Conversation. Unread comes from the same function as the server's.
import type { EntryTuple, Role } from "../protocol/entry";
import { entryKinds, memberChanges } from "../protocol/entry";
import { isMap } from "../protocol/fields";
import type { ConversationId, Seq, UserId, UserSeq } from "../protocol/ids";
import type { MarkTuple, RowTuple, SettingsTuple } from "../protocol/operations";
import { unreadOf } from "../protocol/unread";
import type { Mark } from "../protocol/unread";
import { isMessage, previewOf } from "./message";
import type { ConversationRow } from "./types";

/** What is queued and not yet stored: shown as if it were. */
export interface Overlay {
  readonly readSeq: Seq | null;
  readonly muted: boolean | null;
  readonly markedUnread: boolean | null;
}

interface State {
  readonly info: RowTuple[1];
  readonly role: Role;
  readonly join: Mark;
  readonly floor: Seq;
  readonly settings: SettingsTuple;
  /** Ordinal and my total are exact as of this seq. Its message is the newest one known, and may lie before others. */
  readonly head: RowTuple[4];
  readonly cursor: Mark;
  readonly myTotal: number;
  /** Info is exact as of this seq, where my total was `own`: the head's, but where counters told of the head alone. */
  readonly seen: Seq;
  readonly own: number;
}

/** The newest marks at which ordinal and own are known, for read marks in the middle: one per entry or counter. */
const marksMax = 256;

/** The row of one conversation and what changed it since. Numbers are exact as of the head it knows. */
export class Facts {
  #state: State;
  #settingsSeq: UserSeq = 0;
  #marks: Mark[] = [];

  constructor(row: RowTuple) {
    this.#state = stateOf(row);
  }

  get floor(): Seq {
    return this.#state.floor;
  }

  get joinSeq(): Seq {
    return this.#state.join.seq;
  }

  get headSeq(): Seq {
    return this.#state.head[0];
  }

  get cursorSeq(): Seq {
    return this.#state.cursor.seq;
  }

  get memberCount(): number {
    return this.#state.info[4];
  }

  /** The row as sync, get or a feed gave it. What live entries have told since then stays. */
  apply(row: RowTuple): void {
    const told = stateOf(row);
    const known = this.#state;
    const older = told.head[0] < known.head[0] && told.join.seq <= known.join.seq;
    const cursor = told.cursor.seq >= known.cursor.seq ? told.cursor : known.cursor;
    if (!older) {
      this.#state = { ...told, cursor };
      this.#marks = [];
      return;
    }
    const { info, seen, own } = told.seen >= known.seen ? told : known;
    const [seq, ordinal, time, last] = known.head;
    const head = [seq, ordinal, time, newest(last, told.head[3])] as const;
    this.#state = { ...told, head, myTotal: known.myTotal, info, seen, own, cursor };
  }

  /** As {@link apply}, after the log turned out to be another one. */
  replace(row: RowTuple): void {
    this.#state = stateOf(row);
    this.#marks = [];
  }

  /** An entry, in order. What the row counted already changes nothing. */
  applyEntry(entry: EntryTuple, me: UserId | null): void {
    const [seq, ordinal, kind, , time, , , , , body] = entry;
    const isCounted = seq <= this.#state.head[0];
    this.applyCounter(seq, ordinal, time, entry, me);
    const known = this.#state;
    if (seq <= known.seen) return;
    const own = known.own + isMine(entry, me);
    this.#state = { ...known, seen: seq, own };
    if (kind === entryKinds.members) this.#applyMembers(body, me);
    if (kind === entryKinds.conversation) this.#applyInfo(body);
    if (isCounted) this.#mark({ seq, ordinal, own });
  }

  /**
   * Where the conversation stands: its head and no more. `entry`, where it is known, is the one at `seq`; between two of them, none
   * of mine may be left out. What is counted already changes nothing but the newest message.
   */
  applyCounter(seq: Seq, ordinal: number, time: number, entry: EntryTuple | null, me: UserId | null): void {
    const known = this.#state;
    const [headSeq, headOrdinal, headTime, last] = known.head;
    const message = newest(last, entry && isMessage(entry) ? entry : null);
    if (seq <= headSeq) {
      if (message !== last) this.#state = { ...known, head: [headSeq, headOrdinal, headTime, message] };
      return;
    }
    const myTotal = known.myTotal + (entry ? isMine(entry, me) : 0);
    this.#state = { ...known, head: [seq, ordinal, time, message], myTotal };
    this.#mark({ seq, ordinal, own: myTotal });
  }

  /** My stored cursor; never moves back. Answers whether it moved. */
  applyCursor([seq, ordinal, own]: MarkTuple): boolean {
    if (seq <= this.#state.cursor.seq) return false;
    this.#state = { ...this.#state, cursor: { seq, ordinal, own } };
    return true;
  }

  /** Stored settings as of `userSeq`; older ones are ignored. */
  applySettings(userSeq: UserSeq, set: { readonly muted?: boolean; readonly markedUnread?: boolean }): void {
    if (userSeq < this.#settingsSeq) return;
    this.#settingsSeq = userSeq;
    const [muted, markedUnread] = this.#state.settings;
    this.#state = { ...this.#state, settings: [set.muted ?? muted, set.markedUnread ?? markedUnread] };
  }

  applyRole(role: Role): void {
    this.#state = { ...this.#state, role };
  }

  /** With what is queued in place. */
  unread(readSeq: Seq | null = null): number {
    const { head, myTotal, join, cursor } = this.#state;
    return unreadOf({ headOrdinal: head[1], myTotal, join, cursor: this.#cursorAt(readSeq) ?? cursor });
  }

  /** @param pending whether the server has yet to say how it stands */
  toRow(id: ConversationId, overlay: Overlay, pending: boolean): ConversationRow {
    const { info, role, floor, settings, head, cursor } = this.#state;
    const [type, name, picture, fields, memberCount, peer] = info;
    return {
      id,
      type,
      name,
      picture,
      fields,
      peer,
      memberCount,
      role,
      floor,
      pending,
      muted: overlay.muted ?? settings[0],
      markedUnread: overlay.markedUnread ?? settings[1],
      unread: this.unread(overlay.readSeq),
      lastMessage: previewOf(head[3]),
      activityAt: head[2],
      headSeq: head[0],
      readSeq: this.#cursorAt(overlay.readSeq)?.seq ?? cursor.seq,
    };
  }

  /** For the cache: as the wire has it. */
  toTuple(id: ConversationId): RowTuple {
    const { info, role, join, floor, settings, head, cursor, myTotal } = this.#state;
    return [id, info, [role, tupleOf(join), floor], settings, head, tupleOf(cursor), myTotal, this.unread()];
  }

  /** A mark at `seq` that lies above the stored cursor, where it is known what stood there. */
  #cursorAt(seq: Seq | null): Mark | null {
    const { head, myTotal, cursor } = this.#state;
    if (seq === null || seq <= cursor.seq) return null;
    if (seq === head[0]) return { seq, ordinal: head[1], own: myTotal };
    return this.#marks.find((mark) => mark.seq === seq) ?? null;
  }

  #mark(mark: Mark): void {
    this.#marks.push(mark);
    if (this.#marks.length > 2 * marksMax) this.#marks = this.#marks.slice(-marksMax);
  }

  #applyMembers(body: unknown, me: UserId | null): void {
    if (!Array.isArray(body)) return;
    for (const change of body) {
      if (!Array.isArray(change)) continue;
      const [what, user, role] = change as unknown[];
      const step =
        what === memberChanges.added ? 1 : what === memberChanges.left || what === memberChanges.removed ? -1 : 0;
      const [type, name, picture, fields, memberCount, peer] = this.#state.info;
      this.#state = { ...this.#state, info: [type, name, picture, fields, Math.max(0, memberCount + step), peer] };
      if (user === me && what === memberChanges.role && isRole(role)) this.applyRole(role);
    }
  }

  #applyInfo(body: unknown): void {
    const set: unknown = Array.isArray(body) ? body[1] : null;
    if (!isMap(set)) return;
    const [type, name, picture, fields, memberCount, peer] = this.#state.info;
    const info: RowTuple[1] = [
      type,
      "name" in set ? textOrNull(set.name) : name,
      "picture" in set ? textOrNull(set.picture) : picture,
      "fields" in set ? (isMap(set.fields) ? set.fields : null) : fields,
      memberCount,
      peer,
    ];
    this.#state = { ...this.#state, info };
  }
}

/** Whether a value of the wire is a role that this client knows. */
export function isRole(value: unknown): value is Role {
  return value === "owner" || value === "admin" || value === "member";
}

/** What an entry adds to my total. */
function isMine([, , , counts, , sender]: EntryTuple, me: UserId | null): 0 | 1 {
  return counts && sender === me ? 1 : 0;
}

function newest(one: EntryTuple | null, other: EntryTuple | null): EntryTuple | null {
  return (other?.[0] ?? 0) > (one?.[0] ?? 0) ? other : one;
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function markOf([seq, ordinal, own]: MarkTuple): Mark {
  return { seq, ordinal, own };
}

function tupleOf({ seq, ordinal, own }: Mark): MarkTuple {
  return [seq, ordinal, own];
}

function stateOf([, info, [role, join, floor], settings, head, cursor, myTotal]: RowTuple): State {
  const marks = { join: markOf(join), cursor: markOf(cursor) };
  return { info, role, floor, settings, head, myTotal, seen: head[0], own: myTotal, ...marks };
}
