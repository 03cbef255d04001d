// Read marks of all conversations together: at most one bulk write and one majority read every 20 ms, however many move (G5).
// Owned by the MongoDB store. A mark is answered from what a majority holds after the write, never from memory.
import type { Cancel, Clock } from "../lib/clock";
import { failpoint } from "../lib/failpoints";
import type { ConversationId, UserId } from "../protocol/ids";
import type { MongoCommands } from "./mongo-commands";
import { WriteRefused } from "./mongo-failures";
import type { Attempt, Decided, MongoHealth } from "./mongo-health";
import { markUpdate } from "./mongo-participants";
import { cursorOf } from "./mongo-schema";
import type { Collections } from "./mongo-schema";
import type { CursorMove, CursorRow } from "./store";

/** Between the beginnings of two bulk writes, milliseconds, at least. */
const everyMs = 20;
/** Moves in one bulk write, at most. */
const batchMax = 250;
/** Moves that wait, at most; past it they are refused. */
const waitingMax = 20_000;

/** The moves of one write, and who waits for them. */
interface Waiting {
  readonly conversation: ConversationId;
  readonly moves: readonly CursorMove[];
  resolve(rows: Decided<readonly CursorRow[]>): void;
  reject(error: unknown): void;
}

/** Not thread-safe. One bulk write is in flight; what comes meanwhile is the next one. */
export class MongoCursors {
  readonly #collections: Collections;
  readonly #commands: MongoCommands;
  readonly #health: MongoHealth;
  readonly #clock: Clock;
  #queue: Waiting[] = [];
  #waiting = 0;
  #begunAt = Number.NEGATIVE_INFINITY;
  #inFlight = false;
  #timer: Cancel | null = null;

  constructor(collections: Collections, commands: MongoCommands, health: MongoHealth, clock: Clock) {
    this.#collections = collections;
    this.#commands = commands;
    this.#health = health;
    this.#clock = clock;
  }

  /**
   * Moves marks, each only forward, and answers the rows as stored afterwards, in the order of the moves; each is at or past
   * its move. Several writes that share a bulk are answered alike.
   */
  move(conversation: ConversationId, moves: readonly CursorMove[]): Promise<Decided<readonly CursorRow[]>> {
    if (this.#waiting + moves.length > waitingMax) {
      return Promise.resolve({ decided: false, certain: true, reason: "too many read marks wait for the database" });
    }
    this.#waiting += moves.length;
    return new Promise((resolve, reject) => {
      this.#queue.push({ conversation, moves, resolve, reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#inFlight || this.#timer !== null || this.#queue.length === 0) return;
    const waitMs = this.#begunAt + everyMs - this.#clock.monotonic();
    // At the end of the turn at the earliest: the moves of one turn go together.
    this.#timer = this.#clock.after(Math.max(0, Math.ceil(waitMs)), () => {
      this.#timer = null;
      // Timers may fire a little early; the bound is one of the store's load, and holds all the same.
      if (this.#clock.monotonic() < this.#begunAt + everyMs) this.#schedule();
      else void this.#flush();
    });
  }

  async #flush(): Promise<void> {
    const batch = this.#take();
    this.#inFlight = true;
    this.#begunAt = this.#clock.monotonic();
    try {
      const answer = await this.#health.decide(false, (attempt) => this.#write(batch, attempt));
      for (const waiting of batch) waiting.resolve(answerOf(waiting, answer));
    } catch (error) {
      for (const waiting of batch) waiting.reject(error);
    }
    this.#inFlight = false;
    this.#schedule();
  }

  #take(): readonly Waiting[] {
    let moves = 0;
    let count = 0;
    for (const waiting of this.#queue) {
      if (count > 0 && moves + waiting.moves.length > batchMax) break;
      moves += waiting.moves.length;
      count++;
    }
    this.#waiting -= moves;
    return this.#queue.splice(0, count);
  }

  async #write(batch: readonly Waiting[], attempt: Attempt): Promise<Rows> {
    const highest = new Map<ConversationId, Map<UserId, CursorMove>>();
    for (const { conversation, moves } of batch) {
      const people = highest.get(conversation) ?? new Map<UserId, CursorMove>();
      highest.set(conversation, people);
      for (const move of moves) if (move.seq >= (people.get(move.user)?.seq ?? 0)) people.set(move.user, move);
    }
    const updates = [...highest].flatMap(([conversation, people]) =>
      [...people.values()].map((move) => markUpdate(conversation, move)),
    );
    await this.#commands.upsert("participants", updates);
    attempt.landed();
    failpoint("mongo.cursors");
    return this.#read(highest);
  }

  /** Throws, to be asked again, while a majority does not show every move: a primary just elected may not know of it yet. */
  async #read(moved: ReadonlyMap<ConversationId, ReadonlyMap<UserId, CursorMove>>): Promise<Rows> {
    const clauses = [...moved].map(([conversation, people]) => ({ conversation, user: { $in: [...people.keys()] } }));
    const filter = clauses.length === 1 ? (clauses[0] as (typeof clauses)[0]) : { $or: clauses };
    const rows: Map<ConversationId, Map<UserId, CursorRow>> = new Map();
    const found = this.#collections.participants.find(filter, { batchSize: batchMax + 1 });
    for (const doc of await found.toArray()) {
      const people = rows.get(doc.conversation) ?? new Map<UserId, CursorRow>();
      rows.set(doc.conversation, people);
      const row = cursorOf(doc);
      if (row) people.set(doc.user, row);
    }
    for (const [conversation, people] of moved)
      for (const { user, seq } of people.values())
        if (!((rows.get(conversation)?.get(user)?.seq ?? -1) >= seq))
          throw new WriteRefused(0, "a majority does not show a read mark that it confirmed");
    return rows;
  }
}

type Rows = ReadonlyMap<ConversationId, ReadonlyMap<UserId, CursorRow>>;

function answerOf({ conversation, moves }: Waiting, answer: Decided<Rows>): Decided<readonly CursorRow[]> {
  if (!answer.decided) return answer;
  const people = answer.value.get(conversation);
  return { decided: true, value: moves.flatMap(({ user }) => people?.get(user) ?? []) };
}
