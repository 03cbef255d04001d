// When the totals beside the cursors are written while a conversation is open: after so many entries or so long, with the next
// commit, or by themselves where none comes. Owned by the conversation actor; keeps what a successor has to count small.
import type { Cancel } from "../lib/clock";
import type { PlacedContext } from "./actor";
import type { CommitPipeline, Totals } from "./conversation-commits";
import type { ConversationMarks } from "./conversation-marks";
import type { ConversationState } from "./conversation-state";

/** Totals are written at least this often, so that reopening counts little. */
const everyEntries = 1000;
const everyMs = 5000;

/** Told to itself by the actor when it appended something that long ago. */
export const refreshTotals = { op: "refreshTotals" } as const;

/** See the head of this file. At most one timer; none while nothing was appended since the totals were written. */
export class ConversationTotals {
  readonly #state: ConversationState;
  readonly #marks: ConversationMarks;
  readonly #pipeline: CommitPipeline;
  readonly #ctx: Pick<PlacedContext, "clock" | "tellSelf">;
  /** Monotonic milliseconds: since when entries are stored that the totals lack; null: none. */
  #behindSince: number | null = null;
  #cancelTimer: Cancel | null = null;
  #loading = false;

  constructor(
    state: ConversationState,
    marks: ConversationMarks,
    pipeline: CommitPipeline,
    ctx: Pick<PlacedContext, "clock" | "tellSelf">,
  ) {
    this.#state = state;
    this.#marks = marks;
    this.#pipeline = pipeline;
    this.#ctx = ctx;
  }

  /** Whether nothing is read whose arrival begins a commit. */
  get isIdle(): boolean {
    return !this.#loading;
  }

  /** Entries were stored. */
  appended(): void {
    if (this.#behindSince !== null) return;
    this.#behindSince = this.#ctx.clock.monotonic();
    this.#cancelTimer ??= this.#ctx.tellSelf(everyMs, refreshTotals);
  }

  /** Totals to write with the next batch: when they are due and every sender's row is in memory. */
  due(): Totals | null {
    if (!this.#isDue()) return null;
    const senders = [...this.#state.sent.keys()];
    if (this.#marks.holdsAll(senders)) return this.#marks.totals();
    void this.#load();
    return null;
  }

  /** They are in the store; what the batch that carried them appended is told by {@link ConversationTotals.appended}. */
  stored(totals: Totals): void {
    this.#behindSince = null;
    this.#marks.totalsStored(totals);
  }

  /** The timer: writes totals now where no commit did. */
  refresh(): void {
    this.#cancelTimer = null;
    if (this.#behindSince === null) return;
    const left = this.#behindSince + everyMs - this.#ctx.clock.monotonic();
    // Again after a while, in case the store cannot take them now.
    this.#cancelTimer = this.#ctx.tellSelf(left > 0 ? left : everyMs, refreshTotals);
    if (left <= 0) this.#pipeline.refresh();
  }

  end(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  #isDue(): boolean {
    if (this.#state.committed.seq - this.#state.totalsThrough >= everyEntries) return true;
    return this.#behindSince !== null && this.#ctx.clock.monotonic() - this.#behindSince >= everyMs;
  }

  /** Brings the senders' rows; the next commit, or one without entries, then takes the totals along. */
  async #load(): Promise<void> {
    if (this.#loading) return;
    this.#loading = true;
    try {
      await this.#marks.load([...this.#state.sent.keys()]);
      this.#loading = false;
      this.#pipeline.refresh();
    } catch {
      this.#loading = false; // the store cannot answer now; the timer tries again
    }
  }
}
