// Read marks and totals of one conversation: what unread is computed from (G5). Owned by the conversation actor.
// A mark moves only forward, never past the committed head, and is answered from the row that the store holds after the write.
import { AppError, toAppError } from "../lib/errors";
import type { Seq, UserId } from "../protocol/ids";
import type { MarkTuple, Results } from "../protocol/operations";
import { unreadOf } from "../protocol/unread";
import type { Mark } from "../protocol/unread";
import type { CursorRow } from "../storage/store";
import type { Reply } from "./actor";
import type { CommitHost, CommitPipeline, Totals } from "./conversation-commits";
import { CursorCache } from "./conversation-cursors";
import type { ConversationState } from "./conversation-state";

/** Where a mark goes once it is stored. */
export interface MarkListener {
  moved(user: UserId, cursor: CursorRow, unread: number): void;
}

/** Reads of the log run in steps of this many entries. */
const countStep = 10_000;

const nowhere: Mark = { seq: 0, ordinal: 0, own: 0 };

/** A mark as it stands on the wire. */
export function toMarkTuple({ seq, ordinal, own }: Mark): MarkTuple {
  return [seq, ordinal, own];
}

/** See the head of this file. Reads of the store run beside the mailbox; {@link ConversationMarks.isIdle} tells when none does. */
export class ConversationMarks {
  readonly #state: ConversationState;
  readonly #host: Pick<CommitHost, "store" | "conversation">;
  readonly #pipeline: CommitPipeline;
  readonly #listener: MarkListener;
  /** As stored, `total` exact through `state.totalsThrough`. */
  readonly #cursors = new CursorCache();
  /** Rises when totals are stored: a row read across it is read again. */
  #totalsVersion = 0;
  #busy = 0;
  #pushesRepeats = false;

  constructor(
    state: ConversationState,
    host: Pick<CommitHost, "store" | "conversation">,
    pipeline: CommitPipeline,
    listener: MarkListener,
  ) {
    this.#state = state;
    this.#host = host;
    this.#pipeline = pipeline;
    this.#listener = listener;
  }

  /** The activation before ended without knowing what was stored: a mark that stands already may be news to other devices. */
  pushRepeats(): void {
    this.#pushesRepeats = true;
  }

  /** Whether nothing is being read or moved. */
  get isIdle(): boolean {
    return this.#busy === 0;
  }

  /** My counted entries in the whole committed log. The person's row is held, and `load` has brought it. */
  totalOf(user: UserId): number {
    return (this.#cursors.get(user)?.total ?? 0) + (this.#state.sent.get(user) ?? 0);
  }

  cursorOf(user: UserId): CursorRow {
    return this.#cursors.get(user) ?? { user, ...nowhere, total: 0 };
  }

  /** The rows of these people stay in memory once they are there, until the answered function is called. */
  hold(users: readonly UserId[]): () => void {
    return this.#cursors.hold(users);
  }

  /** Brings these people's rows into memory, where they stay as long as they are held, and beyond it where there is room. */
  async load(users: readonly UserId[]): Promise<void> {
    let missing = users.filter((user) => !this.#cursors.has(user));
    if (missing.length === 0) return;
    this.#busy++;
    try {
      while (missing.length > 0) {
        const version = this.#totalsVersion;
        const rows = await this.#host.store.readCursors(this.#host.conversation, missing);
        if (version !== this.#totalsVersion) continue;
        this.#keep(missing, rows);
        missing = [];
      }
    } finally {
      this.#busy--;
    }
  }

  /** Whoever has no row stands at nothing; what came into memory meanwhile is newer. */
  #keep(users: readonly UserId[], rows: readonly CursorRow[]): void {
    const found = new Map(rows.map((row) => [row.user, row]));
    for (const user of users)
      if (!this.#cursors.has(user)) this.#cursors.set(user, found.get(user) ?? { user, ...nowhere, total: 0 });
  }

  /** Stores a read mark at `seq` and answers the cursor as stored. Runs beside the mailbox; never rejects. */
  async read(user: UserId, seq: Seq, reply: Reply): Promise<void> {
    if (seq > this.#state.committed.seq)
      return reply.fail(new AppError("past_head", undefined, { details: { head: this.#state.committed.seq } }));
    this.#busy++;
    const release = this.hold([user]);
    try {
      await this.load([user]);
      const before = this.cursorOf(user);
      if (seq <= before.seq) return this.#repeated(user, seq, before, reply);
      const mark = await this.#markAt(user, seq, before);
      const row = await this.#store(user, mark);
      const stored: CursorRow = { ...row, total: this.#cursors.get(user)?.total ?? 0 };
      const current = this.#cursors.get(user);
      const news = !current || stored.seq > current.seq;
      if (news) this.#cursors.set(user, stored);
      const answer = this.#answer(user, stored);
      reply.ok(answer);
      if (news) this.#listener.moved(user, stored, answer[1]);
    } catch (thrown) {
      reply.fail(toAppError(thrown));
    } finally {
      release();
      this.#busy--;
    }
  }

  #repeated(user: UserId, seq: Seq, cursor: CursorRow, reply: Reply): void {
    const answer = this.#answer(user, cursor);
    reply.ok(answer);
    if (this.#pushesRepeats && seq === cursor.seq) this.#listener.moved(user, cursor, answer[1]);
  }

  /** Whether the rows of all these people are in memory. */
  holdsAll(users: readonly UserId[]): boolean {
    return users.every((user) => this.#cursors.has(user));
  }

  /** Totals of all who sent since they were last stored. Their rows must be in memory. */
  totals(): Totals {
    const rows = [...this.#state.sent.keys()].map((user) => ({ user, total: this.totalOf(user) }));
    return { through: this.#state.committed.seq, rows };
  }

  totalsStored({ through, rows }: Totals): void {
    this.#totalsVersion++;
    for (const { user, total } of rows) {
      const row = this.#cursors.get(user);
      if (row) this.#cursors.set(user, { ...row, total }); // let go of meanwhile, it is read with its total
    }
    this.#state.sent.clear();
    this.#state.totalsThrough = through;
  }

  unreadOf(user: UserId, cursor: Mark): number {
    const join = this.#state.members.get(user)?.join ?? nowhere;
    return unreadOf({ headOrdinal: this.#state.committed.ordinal, myTotal: this.totalOf(user), cursor, join });
  }

  /** Throws `no_access` for who is no member any more: left while the store was asked, they have no unread here. */
  #answer(user: UserId, cursor: CursorRow): Results["read"] {
    if (!this.#state.members.has(user)) throw new AppError("no_access");
    return [toMarkTuple(cursor), this.unreadOf(user, cursor)];
  }

  #store(user: UserId, mark: Mark): Promise<CursorRow> {
    return new Promise((stored, failed) => {
      this.#pipeline.move({ move: { user, ...mark }, stored, failed });
    });
  }

  /** The mark at a committed `seq`: from memory near the head, else counted from the cursor onward. */
  async #markAt(user: UserId, seq: Seq, before: CursorRow): Promise<Mark> {
    const ordinal = this.#state.ordinalAt(seq) ?? (await this.#storedOrdinal(seq));
    const after = this.#state.ownAfter(user, seq);
    if (after !== null) return { seq, ordinal, own: this.totalOf(user) - after };
    let own = before.own;
    for (let from = before.seq; from < seq; from += countStep) {
      const through = Math.min(seq, from + countStep);
      own += await this.#host.store.countOwn(this.#host.conversation, user, from, through);
    }
    return { seq, ordinal, own };
  }

  async #storedOrdinal(seq: Seq): Promise<number> {
    const { store, conversation } = this.#host;
    const range = await store.readRange({
      conversation,
      from: seq,
      direction: "up",
      limit: 1,
      bytesMax: 1,
      scanMax: 1,
    });
    const entry = range.entries[0];
    if (entry?.seq !== seq) throw new AppError("internal", undefined, { cause: `no entry at ${seq}` });
    return entry.ordinal;
  }
}
