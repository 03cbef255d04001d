// What nobody stores: who is typing, and others' read marks as they are pushed. Bounded; forgotten with the client.
// Owned by Conversation.
import type { Seq, UserId } from "../protocol/ids";
import type { ClientClock } from "./clock";

/** Somebody who says no more is no longer typing. */
const typingMs = 6_000;
const typingMax = 100;
/** Marks are pushed in conversations of at most `receiptMembersMax`; more than these only come from a faulty server. */
const cursorsMax = 1_000;

/** Typing and read marks of one conversation; `changed` is called after every change. */
export class Ephemera {
  readonly #clock: ClientClock;
  readonly #changed: () => void;
  readonly #typing = new Map<UserId, () => void>();
  #cursors: ReadonlyMap<UserId, Seq> = new Map();
  #readCount: { readonly seq: Seq; readonly readers: number } | null = null;

  constructor(clock: ClientClock, changed: () => void) {
    this.#clock = clock;
    this.#changed = changed;
  }

  get typing(): readonly UserId[] {
    return [...this.#typing.keys()];
  }

  get cursors(): ReadonlyMap<UserId, Seq> {
    return this.#cursors;
  }

  get readCount(): { readonly seq: Seq; readonly readers: number } | null {
    return this.#readCount;
  }

  countReaders(seq: Seq, readers: number): void {
    this.#readCount = { seq, readers };
    this.#changed();
  }

  startTyping(user: UserId): void {
    const present = this.#typing.get(user);
    present?.();
    if (!present && this.#typing.size >= typingMax) return;
    this.#typing.set(
      user,
      this.#clock.after(typingMs, () => this.stopTyping(user)),
    );
    if (!present) this.#changed();
  }

  stopTyping(user: UserId): void {
    const cancel = this.#typing.get(user);
    if (!cancel) return;
    cancel();
    this.#typing.delete(user);
    this.#changed();
  }

  /** Marks only move forward. */
  moveCursors(marks: readonly (readonly [UserId, Seq])[]): void {
    const cursors = new Map(this.#cursors);
    for (const [user, seq] of marks)
      if (seq > (cursors.get(user) ?? 0) && (cursors.has(user) || cursors.size < cursorsMax)) cursors.set(user, seq);
    this.#cursors = cursors;
    this.#changed();
  }

  clear(): void {
    for (const user of this.typing) this.stopTyping(user);
    this.#cursors = new Map();
    this.#readCount = null;
    this.#changed();
  }
}
