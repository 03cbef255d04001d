// Changes of people's feeds on their way to their sessions here: in the order of userSeq, each once.
// Owned by ClusterGateway. What is missing is read from the store; a sign-out that was missed sends the session to hello again.
import type { Clock } from "../lib/clock";
import type { ConversationId, UserId, UserSeq } from "../protocol/ids";
import type { FeedTuple } from "../protocol/operations";
import type { EntriesHere } from "./interest-entries";
import type { InterestMeter, InterestStore, SessionsHere } from "./interest";
import type { InterestTable, PersonHere } from "./interest-table";

/** Bounds of reading feeds. */
export const feedRepair = {
  /** People read at once; the others wait in line. */
  atOnce: 8,
  step: 500,
  /** Where the store cannot answer, or does not show yet what is known to exist, milliseconds. */
  retryMs: 200,
  triesMax: 50,
  /** Sessions whose device was signed out come back, or not, within this, milliseconds. */
  comeBackMs: 1_000,
} as const;

/** What it is made of. */
export interface FeedsHereOptions {
  readonly table: InterestTable;
  readonly sessions: SessionsHere;
  readonly entries: Pick<EntriesHere, "headKnown">;
  readonly store: Pick<InterestStore, "readFeed">;
  readonly clock: Clock;
  readonly meter: InterestMeter;
}

/** See the head of this file. */
export class FeedsHere {
  readonly #options: FeedsHereOptions;
  readonly #waiting: UserId[] = [];
  #reading = 0;
  #stopped = false;

  constructor(options: FeedsHereOptions) {
    this.#options = options;
  }

  /** Changes from their owner, ascending without a gap. False: nobody here is that person. */
  take(user: UserId, changes: readonly FeedTuple[]): boolean {
    const here = this.#options.table.person(user);
    if (!here) return false;
    const { through, target } = here;
    const last = changes.at(-1)?.[0] ?? 0;
    if (target !== null) {
      here.target = Math.max(target, last);
      return true;
    }
    const news = through === null ? changes : changes.filter(([userSeq]) => userSeq > through);
    const [first] = news;
    if (first === undefined) return true;
    if (through !== null && first[0] !== through + 1) this.check(user);
    else this.#push(user, here, news);
    return true;
  }

  /** Where a person's feed stands for their sessions, if it was not known yet. */
  at(user: UserId, userSeq: UserSeq): void {
    const here = this.#options.table.person(user);
    if (here && here.through === null) here.through = userSeq;
  }

  /** Reads what the person's sessions may have missed. */
  check(user: UserId): void {
    const here = this.#options.table.person(user);
    // Nobody was told anything yet: whoever signs in, or syncs, reads what there is.
    if (this.#stopped || !here || here.target !== null || here.through === null) return;
    here.target = here.through;
    this.#waiting.push(user);
    if (this.#reading < feedRepair.atOnce) void this.#work();
  }

  /** Reads nothing any more. Idempotent. */
  stop(): void {
    this.#stopped = true;
    this.#waiting.length = 0;
  }

  #push(user: UserId, here: PersonHere, changes: readonly FeedTuple[]): void {
    here.through = changes.at(-1)?.[0] ?? here.through;
    // The log says it too: a row from before may not be shown behind this.
    for (const [, kind, conversation, [, seq]] of changes)
      if (kind === "membership" && typeof seq === "number")
        this.#options.entries.headKnown(conversation as ConversationId, seq);
    this.#options.sessions.feedChanged(user, changes);
  }

  async #work(): Promise<void> {
    this.#reading++;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) await this.#repair(next);
    this.#reading--;
  }

  async #repair(user: UserId): Promise<void> {
    const { store, table, clock, meter } = this.#options;
    const here = table.person(user);
    if (!here) return;
    for (let tries = 0; tries < feedRepair.triesMax; ) {
      const changes = await store.readFeed(user, here.through ?? 0, feedRepair.step).then(
        (read) => read.changes,
        () => null,
      );
      if (this.#stopped || table.person(user) !== here) return;
      if (changes !== null) {
        meter.caughtUp("feed", changes.length);
        if (changes.length > 0) this.#found(user, here, changes);
        if (changes.length === feedRepair.step) continue;
        // What came while it was read is stored, perhaps behind what was read.
        if ((here.through ?? 0) >= (here.target ?? 0)) break;
        tries++;
      }
      await new Promise<void>((resolve) => clock.after(feedRepair.retryMs, resolve));
    }
    here.target = null;
  }

  #found(user: UserId, here: PersonHere, changes: readonly FeedTuple[]): void {
    const { sessions } = this.#options;
    this.#push(user, here, changes);
    // They may have signed in again since: hello knows.
    for (const [, kind, device, data] of changes)
      if (kind === "device" && data[0] === "signedOut") sessions.endDevice(user, device, feedRepair.comeBackMs);
  }
}
