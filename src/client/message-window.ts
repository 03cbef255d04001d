// The messages of one conversation that this client holds: a gapless stretch of the log that ends where delivery stands.
// Owned by Conversation. Grows at the end by entries, at the beginning by pages, and is bounded (G11).
import type { EntryTuple } from "../protocol/entry";
import type { Seq, UserId } from "../protocol/ids";
import type { FoldedTuple } from "../protocol/operations";
import { isMessage, messageOf } from "./message";
import type { Message } from "./types";

/** Messages held of a conversation that nobody looks at: its last page, which is also what the cache keeps. */
export const lastPageMax = 50;
/** Messages held of a conversation that is on a screen. */
const shownMax = 5_000;

interface Held {
  readonly folded: FoldedTuple;
  readonly message: Message;
}

/** The stretch of messages that is held; from `first` to the position of delivery nothing is left out. */
export class MessageWindow {
  #held: Held[] = [];
  #first: Seq = 1;

  /** First seq that the window covers; everything from here to the position of delivery is held or is no message. */
  get first(): Seq {
    return this.#first;
  }

  get count(): number {
    return this.#held.length;
  }

  get messages(): readonly Message[] {
    return this.#held.map(({ message }) => message);
  }

  /** The newest messages, for the cache. */
  lastPage(): { readonly first: Seq; readonly page: readonly FoldedTuple[] } {
    if (this.#held.length <= lastPageMax) return { first: this.#first, page: this.#held.map(({ folded }) => folded) };
    const page = this.#held.slice(-lastPageMax).map(({ folded }) => folded);
    return { first: (page[0] as FoldedTuple)[0][0], page };
  }

  /** Holds nothing; covers what comes from `first` on. */
  reset(first: Seq): void {
    this.#held = [];
    this.#first = first;
  }

  /** The next entry of the log. One whose kind is unknown shows nothing. */
  append(entry: EntryTuple, me: UserId | null): void {
    if (isMessage(entry)) this.#held.push({ folded: [entry, entry[0]], message: messageOf(entry, me) });
  }

  /** An older page that reaches back to `first`; what the window covers already is left out. */
  prepend(page: readonly FoldedTuple[], first: Seq, me: UserId | null): void {
    const older = page
      .filter(([entry]) => isMessage(entry) && entry[0] < this.#first && entry[0] >= first)
      .sort(([a], [b]) => a[0] - b[0])
      .filter(([entry], i, all) => entry[0] !== all[i - 1]?.[0][0]);
    this.#held = [...older.map((folded) => ({ folded, message: messageOf(folded[0], me) })), ...this.#held];
    this.#first = Math.min(this.#first, first);
  }

  /** Lets go of the oldest messages over the limit. */
  trim(shown: boolean): void {
    const max = shown ? shownMax : lastPageMax;
    // Some slack, so that not every message of a busy conversation copies the list.
    if (this.#held.length <= max + lastPageMax) return;
    this.#held = this.#held.slice(-max);
    this.#first = this.#held[0]?.folded[0][0] ?? this.#first;
  }
}
