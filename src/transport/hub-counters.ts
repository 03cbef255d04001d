// Counters instead of entries, for sessions that named the capability and have a large conversation not open (capability `counters`).
// Owned by the hub. Such a session is subscribed to the conversation's entries or to its counters, never to both and never to neither.
import { takesCounters } from "../actors/session-world";
import type { SessionHandle } from "../actors/session-world";
import type { Clock } from "../lib/clock";
import type { Config } from "../lib/settings";
import { decode, encodePush } from "../protocol/codec";
import { entryKinds } from "../protocol/entry";
import type { EntryTuple, MessageBody } from "../protocol/entry";
import { frameTypes } from "../protocol/frames";
import type { ConversationId, Seq, UserId } from "../protocol/ids";

/** What counters need of the hub. */
export interface CountersDeps {
  readonly clock: Clock;
  readonly settings: Pick<Config, "counters">;
  /** To everybody subscribed to the topic. */
  publish(topic: string, frame: Uint8Array): void;
  /** How many sockets are subscribed to the topic. */
  subscribers(topic: string): number;
  /** A person's sessions here. */
  sessionsOf(user: UserId): Iterable<SessionHandle>;
}

/** A conversation of which somebody here receives counters. */
interface Room {
  /** Where it stands, as far as was published here while somebody received counters; null before that. */
  head: readonly [seq: Seq, ordinal: number, time: number] | null;
  /** Whether `head` is yet to be told. */
  due: boolean;
  /** Monotonic milliseconds. */
  toldAt: number;
}

/** Rooms kept before those that nobody receives counters of any more are looked for. */
const roomsLookedAt = 1_024;
/** Connections of which each receives a counter as often as the settings say; where there are more, it is as much less often. */
const receiversAtFullRate = 1_000;
/** Where the mentions stand in a message's body. */
const mentionsAt = 4;

/** The topic of a conversation's counters; no conversation's id ends like that. */
export function counterTopic(conversation: ConversationId): string {
  return `${conversation}#`;
}

/** All counters of one node. Everything here is synchronous: what a session is subscribed to and what it was told are of one moment. */
export class Counters {
  readonly #deps: CountersDeps;
  readonly #rooms = new Map<ConversationId, Room>();
  #lookAt = roomsLookedAt;

  constructor(deps: CountersDeps) {
    this.#deps = deps;
  }

  /**
   * The session is shown the conversation as it stands, and receives from here on what it is to receive of it. Answers whether the
   * conversation is large to it: then that is counters while it has not opened it.
   */
  receive(session: SessionHandle, conversation: ConversationId, memberCount: number): boolean {
    const { line, lookedAt } = session;
    if (!takesCounters(session)) {
      line.subscribe(conversation);
      return false;
    }
    const large = memberCount > this.#deps.settings.counters.membersAbove;
    const isOpen = lookedAt?.has(conversation) ?? false;
    if (isOpen) lookedAt?.set(conversation, large);
    if (large && !isOpen) this.#count(session, conversation);
    else this.#show(session, conversation);
    return large;
  }

  /** Replaces what the session has open. Where an opened conversation stands is told before its next entry. */
  lookAt(session: SessionHandle, conversations: readonly ConversationId[]): void {
    if (!takesCounters(session)) return;
    const before = session.lookedAt;
    const now = new Map(conversations.map((one) => [one, before?.get(one) ?? this.#opens(session, one)]));
    session.lookedAt = now.size === 0 ? null : now;
    for (const [one, large] of before ?? []) {
      // Whoever was removed meanwhile is subscribed to nothing, and stays so.
      if (large && !now.has(one) && session.line.isSubscribed(one)) this.#count(session, one);
    }
  }

  /** The session receives nothing of the conversation from here on. */
  drop(session: SessionHandle, conversation: ConversationId): void {
    session.line.unsubscribe(conversation);
    if (takesCounters(session)) session.line.unsubscribe(counterTopic(conversation));
  }

  /** How many sessions receive the conversation, in either form. */
  interestedIn(conversation: ConversationId): number {
    return this.#deps.subscribers(conversation) + this.#deps.subscribers(counterTopic(conversation));
  }

  /** A frame was published to the conversation: entries in it are counted. */
  published(conversation: ConversationId, frame: Uint8Array): void {
    const room = this.#rooms.get(conversation);
    if (!room) return;
    const receivers = this.#deps.subscribers(counterTopic(conversation));
    if (receivers === 0) return void this.#rooms.delete(conversation);
    const entries = entriesIn(frame);
    for (const entry of entries) {
      this.#tellConcerned(conversation, entry);
      room.head = [entry[0], entry[1], entry[4]];
    }
    if (entries.length > 0) this.#schedule(conversation, room, receivers);
  }

  /** Answers whether the session received counters of it until now, and so counts it as large. */
  #opens(session: SessionHandle, conversation: ConversationId): boolean {
    if (!session.line.isSubscribed(counterTopic(conversation))) return false;
    const room = this.#rooms.get(conversation);
    if (room?.due && room.head) session.line.sendNow(encodePush("counter", conversation, ...room.head));
    this.#show(session, conversation);
    return true;
  }

  #show({ line }: SessionHandle, conversation: ConversationId): void {
    line.subscribe(conversation);
    line.unsubscribe(counterTopic(conversation));
  }

  #count({ line }: SessionHandle, conversation: ConversationId): void {
    if (!this.#rooms.has(conversation)) {
      if (this.#rooms.size >= this.#lookAt) this.#forgetUnheard();
      this.#rooms.set(conversation, { head: null, due: false, toldAt: Number.NEGATIVE_INFINITY });
    }
    line.subscribe(counterTopic(conversation));
    line.unsubscribe(conversation);
  }

  #forgetUnheard(): void {
    for (const conversation of this.#rooms.keys())
      if (this.#deps.subscribers(counterTopic(conversation)) === 0) this.#rooms.delete(conversation);
    this.#lookAt = Math.max(roomsLookedAt, 2 * this.#rooms.size);
  }

  /** At once where nothing was told for a while, yet after all that is published in this turn; else once the while is over. */
  #schedule(conversation: ConversationId, room: Room, receivers: number): void {
    if (room.due) return;
    room.due = true;
    const { clock, settings } = this.#deps;
    const everyMs = settings.counters.everyMs * Math.max(1, receivers / receiversAtFullRate);
    const waitMs = room.toldAt + everyMs - clock.monotonic();
    const tell = (): void => this.#tell(conversation, room);
    if (waitMs > 0) clock.after(waitMs, tell);
    else clock.endOfTurn(tell);
  }

  #tell(conversation: ConversationId, room: Room): void {
    room.due = false;
    room.toldAt = this.#deps.clock.monotonic();
    if (room.head) this.#deps.publish(counterTopic(conversation), encodePush("counter", conversation, ...room.head));
  }

  /**
   * Whoever sent a counted entry needs it for their own total, and whoever is mentioned shall see it: told now, so that no counter
   * which includes it comes first.
   */
  #tellConcerned(conversation: ConversationId, entry: EntryTuple): void {
    const [seq, ordinal, , counts, time, sender] = entry;
    const concerned = new Set<UserId>(mentionsIn(entry));
    if (counts) concerned.add(sender);
    let frame: Uint8Array | null = null;
    for (const user of concerned) {
      for (const session of this.#deps.sessionsOf(user)) {
        if (!takesCounters(session) || !session.line.isSubscribed(counterTopic(conversation))) continue;
        frame ??= encodePush("counter", conversation, seq, ordinal, time, entry);
        session.line.sendNow(frame);
      }
    }
  }
}

/** The entries of a frame that the server made itself; none where it carries something else. */
function entriesIn(frame: Uint8Array): readonly EntryTuple[] {
  const [type, name, , entries] = decode(frame) as readonly unknown[];
  return type === frameTypes.push && name === "entries" ? (entries as readonly EntryTuple[]) : [];
}

function mentionsIn([, , kind, , , , , , , body]: EntryTuple): readonly UserId[] {
  if (kind !== entryKinds.message) return [];
  return (body as MessageBody | null)?.[mentionsAt] ?? [];
}
