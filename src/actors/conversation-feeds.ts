// Tells people's actors about committed changes of their membership, until each has confirmed that its feed holds them.
// Owned by the conversation actor. While a change is unconfirmed the conversation stays open, so that a successor repeats it.
import type { Cancel } from "../lib/clock";
import { memberChanges } from "../protocol/entry";
import type { MembersBody } from "../protocol/entry";
import type { ConversationId, Seq, UserId } from "../protocol/ids";
import type { PlacedContext } from "./actor";
import type { ConversationState, Member } from "./conversation-state";
import type { MembershipTell } from "./messages";

/** Tells on their way at once, per conversation; the rest waits. */
const inFlightMax = 256;
const repeatMs = 1000;

const changeNames = {
  [memberChanges.added]: "added",
  [memberChanges.left]: "left",
  [memberChanges.removed]: "removed",
  [memberChanges.role]: "role",
} as const;

/** Told to itself by the actor, so that repeating runs in its own turn. */
export const repeatTells = { op: "repeatTells" } as const;

/** Repeats each change about once a second until it is confirmed; at most `inFlightMax` are on their way at once. */
export class ConversationFeeds {
  readonly #state: ConversationState;
  readonly #ctx: PlacedContext;
  readonly #conversation: ConversationId;
  /** The latest unconfirmed change of each person. */
  readonly #unconfirmed = new Map<UserId, MembershipTell>();
  readonly #inFlight = new Set<UserId>();
  readonly #waiting = new Set<UserId>();
  #cancelRepeat: Cancel | null = null;

  constructor(state: ConversationState, ctx: PlacedContext, conversation: ConversationId) {
    this.#state = state;
    this.#ctx = ctx;
    this.#conversation = conversation;
  }

  /** Whether every feed holds what the log says. */
  get isIdle(): boolean {
    return this.#unconfirmed.size === 0;
  }

  /** Every membership entry up to here is confirmed; `committedSeq` where nothing is outstanding. */
  fedThrough(): Seq {
    for (const { seq } of this.#unconfirmed.values()) return seq - 1; // kept in the order of seqs
    return this.#state.committed.seq;
  }

  /** Notes what a committed `members` entry changed; {@link pump} sends it. `members` are the memberships as the log has them now. */
  note(seq: Seq, by: UserId, body: MembersBody, memberOf: (user: UserId) => Member | null): void {
    for (const [change, user] of body) {
      const member = memberOf(user);
      this.#unconfirmed.delete(user);
      this.#unconfirmed.set(user, {
        op: "membership",
        conversation: this.#conversation,
        type: this.#state.committed.type,
        peer: this.#peerOf(user, body),
        seq,
        change: changeNames[change],
        role: member?.role ?? null,
        join: member?.join ?? { seq: 0, ordinal: 0, own: 0 },
        floor: member?.floor ?? 0,
        by,
      });
      this.#inFlight.delete(user);
      this.#waiting.add(user);
    }
  }

  /** The person's feed holds everything up to `seq`. */
  confirmed(user: UserId, seq: Seq): void {
    const tell = this.#unconfirmed.get(user);
    if (!tell || tell.seq > seq) return;
    this.#unconfirmed.delete(user);
    this.#inFlight.delete(user);
    this.#waiting.delete(user);
    this.pump();
  }

  /** Sends again what was not confirmed in time. */
  repeat(): void {
    this.#cancelRepeat = null;
    for (const user of this.#inFlight) this.#waiting.add(user);
    this.#inFlight.clear();
    this.pump();
  }

  /** Sends what waits, up to the bound. */
  pump(): void {
    for (const user of this.#waiting) {
      if (this.#inFlight.size >= inFlightMax) break;
      this.#waiting.delete(user);
      this.#inFlight.add(user);
      this.#ctx.tell("user", user, this.#unconfirmed.get(user));
    }
    if (this.#inFlight.size > 0) this.#cancelRepeat ??= this.#ctx.tellSelf(repeatMs, repeatTells);
  }

  end(): void {
    this.#cancelRepeat?.();
  }

  #peerOf(user: UserId, body: MembersBody): UserId | null {
    if (!this.#state.committed.type || !this.#conversation.startsWith("d")) return null;
    for (const [, other] of body) if (other !== user) return other;
    for (const other of this.#state.members.keys()) if (other !== user) return other;
    return null;
  }
}
