// Entries of conversations on their way to this node's sessions: in the order of seqs, each once, none behind a removal (G6, G12).
// Owned by ClusterGateway. What is missing in between is read from the store, so no client is needed to repair it.
import type { Clock } from "../lib/clock";
import type { ConversationId, Seq } from "../protocol/ids";
import { membersIn, publishEntries } from "./conversation-fanout";
import type { EntrySpan } from "./gateway";
import type { InterestMeter, InterestStore, SessionsHere } from "./interest";
import type { ConversationHere, InterestTable } from "./interest-table";

/** Bounds of reading what was missed. */
export const catchUpLimits = {
  /** Conversations read at once; the others wait in line. */
  atOnce: 8,
  /** What is further behind is left to clients, which resume by seq. */
  entriesMax: 1_000,
  bytesMax: 1024 * 1024,
  /** One read. */
  stepEntries: 1_000,
  stepBytes: 128 * 1024,
  /** Between two reads where the store cannot answer, or does not show yet what is known to exist, milliseconds. */
  retryMs: 200,
  triesMax: 50,
  /** Sessions of what is too far behind come back within this, milliseconds. */
  comeBackMs: 2_000,
} as const;

/** What it is made of. */
export interface EntriesHereOptions {
  readonly table: InterestTable;
  readonly sessions: SessionsHere;
  readonly store: Pick<InterestStore, "readRange">;
  readonly clock: Clock;
  readonly meter: InterestMeter;
}

/** See the head of this file. */
export class EntriesHere {
  readonly #options: EntriesHereOptions;
  readonly #waiting: ConversationId[] = [];
  readonly #tooFar = new Set<ConversationId>();
  #reading = 0;
  #stopped = false;

  constructor(options: EntriesHereOptions) {
    this.#options = options;
  }

  /** Entries from their owner. False: nobody here is interested. */
  take(conversation: ConversationId, frame: Uint8Array, span: EntrySpan): boolean {
    const here = this.#options.table.conversation(conversation);
    if (!here) return false;
    const { first, last } = span;
    if (here.through === null) here.through = last;
    else if (here.target !== null) here.target = Math.max(here.target, last);
    else if (first === here.through + 1) this.#publish(conversation, here, frame, span);
    else if (last > here.through) this.#catchUp(conversation, here, last);
    return true;
  }

  /** The log reaches to `seq`: what did not pass through here is read, and no row is shown that does not reach so far. */
  headKnown(conversation: ConversationId, seq: Seq): void {
    const here = this.#options.table.conversation(conversation);
    if (!here || seq <= (here.through ?? 0)) return;
    if (here.through === null) here.through = seq;
    else if (here.target !== null) here.target = Math.max(here.target, seq);
    else this.#catchUp(conversation, here, seq);
  }

  /** Reads nothing any more. Idempotent. */
  stop(): void {
    this.#stopped = true;
    this.#waiting.length = 0;
  }

  #publish(conversation: ConversationId, here: ConversationHere, frame: Uint8Array, { last, gone }: EntrySpan): void {
    const { sessions } = this.#options;
    here.through = last;
    sessions.publish(conversation, frame);
    if (gone.length > 0) sessions.dropInterest(conversation, gone);
  }

  #catchUp(conversation: ConversationId, here: ConversationHere, target: Seq): void {
    if (this.#stopped) return;
    here.target = target;
    this.#waiting.push(conversation);
    if (this.#reading < catchUpLimits.atOnce) void this.#work();
  }

  async #work(): Promise<void> {
    this.#reading++;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) await this.#read(next);
    this.#reading--;
  }

  /** Reads until nothing is known to be missing; ends where the conversation was forgotten, or nobody receives it any more. */
  async #read(conversation: ConversationId): Promise<void> {
    const here = this.#options.table.conversation(conversation);
    if (!here) return;
    let bytes = 0;
    let tries = 0;
    for (;;) {
      const { through, target } = here;
      if (through === null || target === null || through >= target) break;
      const isFar = target - through > catchUpLimits.entriesMax || bytes > catchUpLimits.bytesMax;
      if (isFar || tries > catchUpLimits.triesMax) return this.#giveUp(conversation);
      if (this.#options.sessions.interestedIn(conversation) === 0) {
        here.through = null;
        break;
      }
      const read = await this.#step(conversation, here, through);
      if (this.#stopped || this.#options.table.conversation(conversation) !== here) return;
      bytes += read ?? 0;
      // A store that is away is waited for: to send everybody away would not bring it back.
      if (read === 0) tries++;
      if (!read) await this.#pause();
    }
    here.target = null;
  }

  /** Publishes what the store has behind `through`; answers its bytes, 0 where it has nothing yet, null where it does not answer. */
  async #step(conversation: ConversationId, here: ConversationHere, through: Seq): Promise<number | null> {
    const { store, table, meter } = this.#options;
    const range = await store
      .readRange({
        conversation,
        from: through + 1,
        direction: "up",
        limit: catchUpLimits.stepEntries,
        bytesMax: catchUpLimits.stepBytes,
        scanMax: catchUpLimits.stepEntries,
      })
      .catch(() => null);
    if (range === null) return null;
    const rows = range.entries;
    const isNext = rows[0]?.seq === through + 1 && here.through === through;
    if (!isNext || this.#stopped || table.conversation(conversation) !== here) return 0;
    meter.caughtUp("conversation", rows.length);
    const entries = rows.map((row) => ({ row, members: membersIn(row) }));
    publishEntries(conversation, entries, (frame, span) => this.#publish(conversation, here, frame, span));
    return rows.reduce((sum, row) => sum + row.bytes.length, 0);
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#options.clock.after(catchUpLimits.retryMs, resolve));
  }

  /** All that are too far behind at the end of this turn are left to their clients by one look at everybody. */
  #giveUp(conversation: ConversationId): void {
    if (this.#tooFar.size === 0) this.#options.clock.endOfTurn(() => this.#sendAway());
    this.#tooFar.add(conversation);
  }

  #sendAway(): void {
    const { table, sessions, meter } = this.#options;
    const gone = new Set(this.#tooFar);
    this.#tooFar.clear();
    if (this.#stopped) return;
    meter.caughtTooFar(gone.size);
    sessions.endReceivers(gone, catchUpLimits.comeBackMs);
    // Whoever comes back is shown a head that they, and everybody after them, begin behind.
    for (const conversation of gone) {
      const here = table.conversation(conversation);
      if (!here) continue;
      here.through = null;
      here.target = null;
    }
  }
}
