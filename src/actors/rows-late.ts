// Rows that sync could not show in time: asked for again, and pushed with the totals that then include them.
// Belongs to one session; ends with it.
import { toAppError } from "../lib/errors";
import { encodePush } from "../protocol/codec";
import type { ConversationId, UserId } from "../protocol/ids";
import type { TotalsTuple } from "../protocol/operations";
import { toRow } from "./rows";
import { sessionLimits } from "./session-world";
import type { SessionHandle } from "./session-world";

/** Owners asked at once for one session. */
const askedAtOnce = 8;
/** Rounds over those that still do not answer, and the wait between two, milliseconds. */
const roundsMax = 30;
const roundMs = 1_000;

/** Asks on until every row was pushed, its membership is gone, or the owners stayed silent for all rounds. */
export function pushLateRows(
  session: SessionHandle,
  conversations: readonly ConversationId[],
  totals: TotalsTuple | null,
): void {
  if (conversations.length > 0) new LateRows(session, totals).round([...conversations], roundsMax);
}

class LateRows {
  readonly #session: SessionHandle;
  #totals: TotalsTuple | null;

  constructor(session: SessionHandle, totals: TotalsTuple | null) {
    this.#session = session;
    this.#totals = totals;
  }

  round(waiting: ConversationId[], roundsLeft: number): void {
    const silent: ConversationId[] = [];
    const workers = Array.from({ length: askedAtOnce }, () => this.#work(waiting, silent));
    void Promise.all(workers).then(() => {
      if (silent.length === 0 || this.#session.state !== "open") return;
      const { clock, meter } = this.#session.world;
      if (roundsLeft > 1) clock.after(roundMs, () => this.round(silent, roundsLeft - 1));
      else meter.dropped("row_given_up");
    });
  }

  async #work(waiting: ConversationId[], silent: ConversationId[]): Promise<void> {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (this.#session.state !== "open") return;
      await this.#push(next).catch((error) => this.#silent(next as ConversationId, silent, error));
    }
  }

  async #push(conversation: ConversationId): Promise<void> {
    const session = this.#session;
    const { rows } = session.world;
    const user = session.user as UserId;
    await rows.settled(conversation, user, sessionLimits.askMs, (part, settings) => {
      if (part === null || session.state !== "open") return;
      const row = toRow(conversation, part, settings);
      if (this.#totals) this.#totals = addTo(this.#totals, row[7], settings[0]);
      const large = session.world.directory.receive(session, conversation, part.info[4]);
      session.line.sendNow(large ? encodePush("row", row, this.#totals, true) : encodePush("row", row, this.#totals));
    });
  }

  #silent(conversation: ConversationId, silent: ConversationId[], error: unknown): void {
    silent.push(conversation);
    this.#session.world.log.debug({ err: toAppError(error), conversation }, "a late row is still missing");
  }
}

function addTo([unread, mutedUnread]: TotalsTuple, more: number, muted: boolean): TotalsTuple {
  return muted ? [unread, mutedUnread + more] : [unread + more, mutedUnread];
}
