// The way of a conversation's writes into the store: staged in memory, one commit in flight, everything else behind it.
// Owned by the conversation actor. The output gate (G1): no answer and no entry leaves before the batch that holds it is stored.
import type { Clock } from "../lib/clock";
import { AppError, toAppError } from "../lib/errors";
import { isControlOn } from "../lib/failpoints";
import { encodeEntry } from "../protocol/codec";
import { entryKinds } from "../protocol/entry";
import type { MembersBody } from "../protocol/entry";
import type { ClientId, ConversationId, Epoch, Seq, UserId } from "../protocol/ids";
import type { Committed, ConversationWrite, CursorMove, CursorRow, HeadRow, Store } from "../storage/store";
import type { Reply } from "./actor";
import type { ConversationState, Head, Member, StagedEntry } from "./conversation-state";
import { usedForEntry } from "./conversation-used";

/**
 * One request that may append. `run` works on the staged state alone and may run again after a rollback, so it keeps nothing;
 * what it returns is evaluated once its batch is stored. It throws an AppError for a refusal, before it appends anything.
 */
export interface Work {
  readonly run: (draft: Draft) => () => unknown;
  readonly reply: Reply;
}

/** A read mark on its way, with who waits for the stored row. */
export interface Move {
  readonly move: CursorMove;
  readonly stored: (row: CursorRow) => void;
  readonly failed: (error: AppError) => void;
}

/** Totals to write beside the entries; exact through `through`, which is committed already. */
export interface Totals {
  readonly through: Seq;
  readonly rows: readonly { readonly user: UserId; readonly total: number }[];
}

/** What the pipeline needs from the actor. */
export interface CommitHost {
  readonly store: Store;
  readonly conversation: ConversationId;
  readonly epoch: Epoch;
  readonly clock: Clock;
  /** Membership entries up to here are in the feeds of those they name. */
  fedThrough(): Seq;
  /** Totals that should be written with the next batch, or null. */
  totalsDue(): Totals | null;
  /** They are in the store; called before the state takes over the batch that carried them. */
  totalsStored(totals: Totals): void;
  /** The batch is stored and the state has taken it over; publish it. */
  stored(batch: Batch): void;
  /** What is in the store is not known, or not ours to write any more: end this activation. */
  lost(outcome: "unknown" | "fenced"): void;
  /** As `lost`, because dealing with a stored batch threw: what is behind `handedOut` was perhaps not published. */
  broke(error: unknown, handedOut: Seq): void;
}

/** Entries in one commit of one conversation, at most: the first work that reaches half of it closes the batch. */
const batchEntriesMax = 512;
/** What may wait for the store, per conversation; past it a request is answered `overloaded`. */
const stagedEntriesMax = 4096;
const stagedBytesMax = 16 * 1024 * 1024;
/** Conflicts in a row on client ids before the activation gives up: each one teaches at least one id. */
const conflictsMax = 600;

/** Writes that become durable together. */
export class Batch {
  readonly works: { readonly work: Work; readonly answer: () => unknown }[] = [];
  readonly entries: StagedEntry[] = [];
  readonly changed = new Map<UserId, Member | null>();
  readonly moves: Move[] = [];
  bytes = 0;
  /** The staged head behind its last entry, once it is sealed. */
  head: Head | null = null;
  totals: Totals | null = null;

  get isEmpty(): boolean {
    return this.entries.length === 0 && this.moves.length === 0 && this.totals === null;
  }
}

/** What a {@link Work} appends with. */
export class Draft {
  readonly state: ConversationState;
  readonly #batch: Batch;
  readonly #now: number;

  constructor(state: ConversationState, batch: Batch, now: number) {
    this.state = state;
    this.#batch = batch;
    this.#now = now;
  }

  /** Stages one entry at the next seq. Time never decreases within a conversation, also when the clock steps back. */
  append(kind: number, counts: boolean, sender: UserId, clientId: ClientId | null, body: unknown): Seq {
    const head = this.state.staged;
    head.seq++;
    if (counts) head.ordinal++;
    head.time = Math.max(this.#now, head.time);
    const { seq, ordinal, time } = head;
    const bytes = encodeEntry([seq, ordinal, kind, counts, time, sender, null, clientId, null, body]);
    const members = kind === entryKinds.members ? (body as MembersBody) : null;
    this.#batch.entries.push({ row: { seq, ordinal, kind, counts, sender, clientId, bytes }, members });
    this.#batch.bytes += bytes.length;
    if (kind === entryKinds.message) {
      head.lastMessage = bytes;
      head.lastMessageSeq = seq;
    }
    return seq;
  }

  setMember(user: UserId, member: Member | null): void {
    const before = this.state.member(user);
    if (!before && member) this.state.staged.memberCount++;
    if (before && !member) this.state.staged.memberCount--;
    this.state.setMember(user, member);
    this.#batch.changed.set(user, member);
  }
}

/**
 * One commit in flight, everything else behind it, in the order submitted. Every work and move is answered exactly once:
 * stored, refused, retry or unknown; only {@link CommitPipeline.end} with null leaves them unanswered, to their deadline.
 */
export class CommitPipeline {
  readonly #state: ConversationState;
  readonly #host: CommitHost;
  /** The first is in flight while {@link #committing}; the last is open while its head is null. */
  readonly #queue: Batch[] = [];
  #committing = false;
  #inFlight: Promise<void> | null = null;
  #scheduled = false;
  #ended = false;
  #entries = 0;
  #bytes = 0;
  #conflicts = 0;
  /** Epoch in the stored head: 0 while the conversation is closed. */
  #openEpoch: Epoch = 0;

  constructor(state: ConversationState, host: CommitHost) {
    this.#state = state;
    this.#host = host;
  }

  /** Whether anything waits for the store. */
  get isIdle(): boolean {
    return this.#queue.length === 0;
  }

  /** Whether the stored head says open, or may say so. */
  get isOpen(): boolean {
    return this.#openEpoch !== 0 || this.#committing;
  }

  /** The commit the store has not answered yet, or null. Never rejects. */
  get inFlight(): Promise<void> | null {
    return this.#inFlight;
  }

  /** Counted entries of a person that are staged and not committed. */
  stagedBy(user: UserId): number {
    let own = 0;
    for (const { entries } of this.#queue) for (const { row } of entries) if (row.counts && row.sender === user) own++;
    return own;
  }

  /** Marks the stored head as open: it must be closed, even if nothing is appended. */
  wasOpen(epoch: Epoch): void {
    this.#openEpoch = epoch;
  }

  /** Stages a work and answers it once its batch is stored. */
  submit(work: Work): void {
    if (this.#entries >= stagedEntriesMax || this.#bytes >= stagedBytesMax)
      return work.reply.fail(new AppError("overloaded", undefined, { retryAfterMs: 100 }));
    this.#stage(work);
    this.#schedule();
  }

  /** Adds a read mark to the next commit. */
  move(move: Move): void {
    this.#open().moves.push(move);
    this.#schedule();
  }

  /** Commits though nothing may wait: totals that are due. */
  refresh(): void {
    if (this.#ended) return;
    this.#open();
    this.#schedule();
  }

  /** Writes the head closed, with these totals, where it is open or they are news. Called while idle, by passivation. */
  async close(totals: Totals): Promise<Committed["outcome"]> {
    if (this.#openEpoch === 0 && totals.rows.length === 0) return "stored";
    const head = { ...this.#headRow(this.#state.committed, totals.through), openEpoch: 0 };
    const { outcome } = await this.#host.store.commit({ ...this.#write(new Batch()), head, totals: totals.rows });
    if (outcome !== "stored") return outcome;
    this.#openEpoch = 0;
    this.#host.totalsStored(totals);
    return outcome;
  }

  /** Ends it: what waits is answered with `error`; null: without a word. */
  end(error: AppError | null): void {
    if (this.#ended) return;
    this.#ended = true;
    const queue = this.#queue.splice(0);
    if (error) for (const batch of queue) this.#fail(batch, error);
  }

  #stage(work: Work): void {
    const batch = this.#open();
    const before = batch.entries.length;
    const bytes = batch.bytes;
    let answer: () => unknown;
    try {
      answer = work.run(new Draft(this.#state, batch, this.#host.clock.now()));
    } catch (thrown) {
      const error = toAppError(thrown);
      if (batch.entries.length !== before) throw thrown;
      answer = () => {
        throw error;
      };
    }
    batch.works.push({ work, answer });
    this.#entries += batch.entries.length - before;
    this.#bytes += batch.bytes - bytes;
    if (batch.entries.length >= batchEntriesMax / 2) this.#seal(batch);
  }

  #open(): Batch {
    const last = this.#queue.at(-1);
    if (last && last.head === null) return last;
    const batch = new Batch();
    this.#queue.push(batch);
    return batch;
  }

  #seal(batch: Batch): void {
    batch.head ??= { ...this.#state.staged };
  }

  /** Commits at the end of the turn, so that everything that arrived in it shares the commit. */
  #schedule(): void {
    if (this.#scheduled || this.#committing) return;
    this.#scheduled = true;
    this.#host.clock.endOfTurn(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (!this.#committing && !this.#ended) {
      const batch = this.#queue[0];
      if (!batch) return;
      this.#seal(batch);
      batch.totals = this.#host.totalsDue();
      if (batch.isEmpty) {
        this.#takeOver(batch, []);
        continue;
      }
      this.#committing = true;
      if (isControlOn("negative.fanoutBeforeCommit")) this.#host.stored(batch);
      if (isControlOn("negative.ackBeforeCommit"))
        for (const { work, answer } of batch.works) answerWith(work.reply, answer);
      const handedOut = this.#state.committed.seq;
      const settle = (result: Committed): void => {
        this.#committing = false;
        this.#inFlight = null;
        try {
          if (!this.#ended) this.#settle(batch, result);
        } catch (thrown) {
          // A bug, in here or in who is published to: it ends this activation, not the process.
          this.end(new AppError("outcome_unknown", undefined, { cause: thrown }));
          this.#host.broke(thrown, handedOut);
        }
      };
      this.#inFlight = this.#host.store.commit(this.#write(batch)).then(settle, (thrown) => {
        settle({ outcome: "unknown", reason: String(thrown) });
      });
    }
  }

  #write(batch: Batch): ConversationWrite {
    const { conversation, epoch } = this.#host;
    const writesHead = batch.entries.length > 0 || batch.totals !== null;
    return {
      conversation,
      epoch,
      entries: batch.entries.map(({ row }) => row),
      head:
        writesHead && batch.head ? this.#headRow(batch.head, batch.totals?.through ?? this.#state.totalsThrough) : null,
      members: [...batch.changed].map(([user, member]) => memberRow(user, member, batch)),
      cursors: batch.moves.map(({ move }) => move),
      totals: batch.totals?.rows ?? [],
    };
  }

  #headRow(head: Head, totalsThrough: Seq): HeadRow {
    const { conversation, epoch } = this.#host;
    return { ...head, conversation, openEpoch: epoch, fedThrough: this.#host.fedThrough(), totalsThrough };
  }

  #settle(batch: Batch, result: Committed): void {
    switch (result.outcome) {
      case "stored":
        if (batch.entries.length > 0 || batch.totals) this.#openEpoch = this.#host.epoch;
        this.#conflicts = 0;
        this.#takeOver(batch, result.cursors);
        return this.#flush();
      case "conflict":
        if (result.duplicates.length > 0 && this.#conflicts++ < conflictsMax) {
          this.#state.learnIds(result.duplicates, usedForEntry);
          return this.#again();
        }
        return this.#lose(new AppError("store_unavailable", "another owner writes this conversation"));
      case "refused":
        return this.#refuse(result.reason);
      case "unknown":
        return this.#lose(new AppError("outcome_unknown"));
      case "fenced":
        this.end(null);
        return this.#host.lost("fenced");
    }
  }

  #takeOver(batch: Batch, cursors: readonly CursorRow[]): void {
    this.#queue.shift();
    this.#entries -= batch.entries.length;
    this.#bytes -= batch.bytes;
    if (batch.totals) this.#host.totalsStored(batch.totals);
    this.#state.commit(batch.head as Head, batch.entries, batch.changed);
    batch.moves.forEach(({ stored, failed }, i) => {
      const row = cursors[i];
      if (row) stored(row);
      else failed(new AppError("internal"));
    });
    for (const { work, answer } of batch.works) answerWith(work.reply, answer);
    this.#host.stored(batch);
  }

  /** After a conflict over client ids that are known by now: everything runs again on the committed state. */
  #again(): void {
    const queue = this.#queue.splice(0);
    this.#entries = 0;
    this.#bytes = 0;
    this.#state.rollback();
    for (const { works } of queue) for (const { work } of works) this.#stage(work);
    this.#open().moves.unshift(...queue.flatMap(({ moves }) => moves));
    this.#flush();
  }

  #refuse(reason: string): void {
    const queue = this.#queue.splice(0);
    this.#entries = 0;
    this.#bytes = 0;
    this.#state.rollback();
    const error = new AppError("store_unavailable", undefined, { cause: reason, retryAfterMs: 500 });
    for (const batch of queue) this.#fail(batch, error);
  }

  /** The first batch has an outcome nobody knows; those behind it were never written. */
  #lose(error: AppError): void {
    const [first, ...behind] = this.#queue.splice(0);
    if (first) this.#fail(first, error);
    for (const batch of behind) this.#fail(batch, new AppError("store_unavailable"));
    this.#ended = true;
    this.#host.lost("unknown");
  }

  #fail(batch: Batch, error: AppError): void {
    for (const { work } of batch.works) work.reply.fail(error);
    for (const { failed } of batch.moves) failed(error);
  }
}

function answerWith(reply: Reply, answer: () => unknown): void {
  try {
    reply.ok(answer());
  } catch (thrown) {
    reply.fail(toAppError(thrown));
  }
}

function memberRow(user: UserId, member: Member | null, batch: Batch) {
  if (member) return { user, ...member };
  const last = batch.entries.findLast(({ members }) => members?.some(([, named]) => named === user));
  return { user, role: null, join: { seq: 0, ordinal: 0, own: 0 }, floor: 0, changedSeq: last?.row.seq ?? 0 };
}
