// Pushes changes of people's feeds to their sessions, in order of userSeq, with the rows of conversations they were added to.
// Owned by the hub. Whom a row is shown to is the owner's word at that moment, never the feed's (G12).
import { noSettings, toRow } from "../actors/rows";
import { pushLateRows } from "../actors/rows-late";
import type { RowSource } from "../actors/rows";
import type { Looks } from "../actors/interest";
import type { RowPart } from "../actors/messages";
import { sessionLimits } from "../actors/session-world";
import type { SessionHandle } from "../actors/session-world";
import type { Log } from "../lib/log";
import { encode, Encoded, encodePush } from "../protocol/codec";
import type { ConversationId, UserId } from "../protocol/ids";
import { limits } from "../protocol/limits";
import type { FeedTuple, RowTuple } from "../protocol/operations";

/** Bytes of one feed push that rows may take; the others follow one by one. */
const rowBytesMax = limits.frameBytesMax / 2;
/** Changes in one feed push, so that they take less than the other half. */
const changesMax = 400;

/** A batch of changes for all sessions, or the wish to catch one session up. */
type Turn = { readonly changes: readonly FeedTuple[] } | { readonly session: SessionHandle };

/** A row that its owner has told, encoded. */
interface Told {
  readonly conversation: ConversationId;
  readonly part: RowPart;
  readonly row: Encoded;
  readonly looks: Looks;
}

/** One person's feed on this node. Exists while pushes wait. */
export class PersonFeed {
  readonly #user: UserId;
  readonly #rows: RowSource;
  readonly #log: Log;
  readonly #sessions: () => Iterable<SessionHandle>;
  readonly #turns: Turn[] = [];
  /** What sessions that are syncing have to wait for. */
  readonly #held = new Map<SessionHandle, readonly FeedTuple[]>();
  #running = false;

  constructor(user: UserId, rows: RowSource, log: Log, sessions: () => Iterable<SessionHandle>) {
    this.#user = user;
    this.#rows = rows;
    this.#log = log;
    this.#sessions = sessions;
  }

  /** Whether nothing waits: it may be forgotten. */
  get idle(): boolean {
    return !this.#running && this.#held.size === 0;
  }

  /** Pushes these after everything before. Answers whether too much waits already. */
  push(changes: readonly FeedTuple[]): "taken" | "full" {
    if (this.#turns.length >= sessionLimits.feedBatchesMax) return "full";
    this.#turns.push({ changes });
    this.#run();
    return "taken";
  }

  /** The session's sync was answered. */
  synced(session: SessionHandle): void {
    if (!this.#held.has(session)) return;
    this.#turns.push({ session });
    this.#run();
  }

  forget(session: SessionHandle): void {
    this.#held.delete(session);
  }

  #run(): void {
    if (this.#running) return;
    this.#running = true;
    void this.#drain();
  }

  async #drain(): Promise<void> {
    for (let turn = this.#turns.shift(); turn !== undefined; turn = this.#turns.shift()) {
      const { changes, sessions } = this.#forTurn(turn);
      for (let at = 0; at < changes.length; at += changesMax) {
        const some = changes.slice(at, at + changesMax);
        this.#deliver(some, await this.#told(some), sessions());
      }
    }
    this.#running = false;
  }

  #forTurn(turn: Turn): { changes: readonly FeedTuple[]; sessions: () => Iterable<SessionHandle> } {
    if ("changes" in turn) return { changes: turn.changes, sessions: this.#sessions };
    const { session } = turn;
    const changes = this.#held.get(session) ?? [];
    this.#held.delete(session);
    return { changes, sessions: () => [session] };
  }

  /** The rows of conversations that `changes` add, from their owners. */
  async #told(changes: readonly FeedTuple[]): Promise<readonly (Told | ConversationId)[]> {
    const added = new Set(changes.flatMap((change) => (isAdded(change) ? [change[2] as ConversationId] : [])));
    if (added.size === 0) return [];
    try {
      const ahead = this.#rows.look(this.#user, [...added], sessionLimits.rowMs);
      const looks = ahead instanceof Promise ? await ahead : ahead;
      const settings = await this.#rows.settings(this.#user, [...added]);
      return await Promise.all(
        [...added].map(async (conversation) => {
          const part = await this.#rows.ask(conversation, this.#user, sessionLimits.rowMs).catch(() => undefined);
          if (part === null || part === undefined) return part === null ? [] : [conversation];
          const row = toRow(conversation, part, settings.get(conversation) ?? noSettings);
          return [{ conversation, part, row: new Encoded(encode(row)), looks }];
        }),
      ).then((all) => all.flat());
    } catch (error) {
      this.#log.debug({ err: error }, "rows of a feed follow later");
      return [...added];
    }
  }

  /** One step: what is shown is subscribed to as it stands. */
  #deliver(
    changes: readonly FeedTuple[],
    told: readonly (Told | ConversationId)[],
    sessions: Iterable<SessionHandle>,
  ): void {
    const { shown, late } = this.#fresh(told);
    const rows = shown.map(({ row }) => row as unknown as RowTuple);
    const frame = encodePush("feed", changes, rows);
    let frameWithLarge: Uint8Array | null = null;
    for (const session of sessions) {
      if (session.state !== "open" || !session.interested) continue;
      const held = this.#held.get(session);
      if (held !== undefined || session.syncing > 0) {
        this.#hold(session, [...(held ?? []), ...changes]);
        continue;
      }
      const { directory } = session.world;
      const large = shown.flatMap(({ conversation, part }) =>
        directory.receive(session, conversation, part.info[4]) ? [conversation] : [],
      );
      // What is large is the same for all that take counters.
      if (large.length > 0) frameWithLarge ??= encodePush("feed", changes, rows, large);
      session.line.sendNow(large.length > 0 && frameWithLarge ? frameWithLarge : frame);
      pushLateRows(session, late, null);
    }
  }

  #hold(session: SessionHandle, changes: readonly FeedTuple[]): void {
    this.#held.set(session, changes);
    if (changes.length > sessionLimits.feedBatchesMax) session.end("tooSlow");
  }

  /** Which rows still hold and fit into one push; the others are asked for again, one by one. */
  #fresh(told: readonly (Told | ConversationId)[]): { shown: Told[]; late: ConversationId[] } {
    const shown: Told[] = [];
    const late: ConversationId[] = [];
    let bytes = 0;
    for (const one of told) {
      if (typeof one === "string") late.push(one);
      else if (!one.looks.holds(one.conversation, this.#user, one.part)) late.push(one.conversation);
      else if (bytes + one.row.bytes.length > rowBytesMax) late.push(one.conversation);
      else {
        bytes += one.row.bytes.length;
        one.looks.shows(one.conversation, one.part.head[0]);
        shown.push(one);
      }
    }
    return { shown, late };
  }
}

function isAdded([, kind, , data]: FeedTuple): boolean {
  return kind === "membership" && data[0] === "added";
}
