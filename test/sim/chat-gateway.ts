// The sockets' side of a simulated node: who receives what, judged as it is handed over.
// Keeps watch over the output gate (nothing before it is durable), gaps, and that nobody receives what came after their removal.
import type { EntrySpan, Gateway } from "../../src/actors/gateway";
import { decodeFrames } from "../../src/protocol/codec";
import type { EntryTuple } from "../../src/protocol/entry";
import type { ConversationId, Seq, UserId, UserSeq } from "../../src/protocol/ids";
import type { FeedTuple, MarkTuple } from "../../src/protocol/operations";
import { expectSame } from "./log-fold";
import type { WatchedData } from "./watched-data";

/** What a gateway needs of its node. */
export interface GatewayHost {
  readonly data: WatchedData;
  people(): readonly UserId[];
  isDead(): boolean;
  broken(error: unknown): void;
  /** The person was added: their session registers interest once it has seen that they are a member. */
  added(user: UserId, conversation: ConversationId): void;
}

/** One node's gateway, for one life of it. */
export class ChatGateway implements Gateway {
  readonly #host: GatewayHost;
  readonly #interest = new Map<ConversationId, Set<UserId>>();
  /** The last seq handed over, by conversation; the head at this life's start before anything was. */
  readonly #published = new Map<ConversationId, Seq>();
  readonly #cursors = new Map<string, Seq>();
  readonly #feeds = new Map<UserId, UserSeq>();
  #epoch = 0;

  constructor(host: GatewayHost) {
    this.#host = host;
  }

  /** Called once no older owner can append any more: what stands in the logs by now is fetched, not pushed. */
  begin(): void {
    this.#epoch = this.#host.data.epochOf(0);
    for (const { conversation, seq } of this.#host.data.heads()) this.#published.set(conversation, seq);
    for (const user of this.#host.people()) this.#feeds.set(user, this.#host.data.feed(user)?.user?.userSeq ?? 0);
  }

  register(user: UserId, conversation: ConversationId): void {
    this.#receivers(conversation).add(user);
  }

  /** The last seq that was published, or stood in the log when this life began. */
  published(conversation: ConversationId): Seq {
    return this.#published.get(conversation) ?? 0;
  }

  /** As {@link ChatGateway.published}, of a person's feed. */
  pushed(user: UserId): UserSeq {
    return this.#feeds.get(user) ?? 0;
  }

  publish(conversation: ConversationId, bytes: Uint8Array): void {
    this.#guard(() => {
      for (const frame of decodeFrames(bytes)) {
        if (frame[1] === "entries") for (const entry of frame[3] as EntryTuple[]) this.#entry(conversation, entry);
        if (frame[1] === "receipts")
          for (const [user, seq] of frame[3] as [UserId, Seq][]) this.#cursorIsStored(user, conversation, seq);
      }
    });
  }

  toUser(user: UserId, bytes: Uint8Array): void {
    this.#guard(() => {
      for (const frame of decodeFrames(bytes)) {
        if (frame[1] !== "cursor") continue;
        const [, , conversation, [seq]] = frame as unknown as [3, "cursor", ConversationId, MarkTuple];
        this.#cursorIsStored(user, conversation, seq);
        const name = `${user} ${conversation}`;
        const last = this.#cursors.get(name) ?? 0;
        if (seq < last) throw new Error(`${name}: a cursor push goes back from ${last} to ${seq}`);
        this.#cursors.set(name, seq);
      }
    });
  }

  entries(conversation: ConversationId, bytes: Uint8Array, { gone }: EntrySpan): void {
    this.publish(conversation, bytes);
    for (const user of gone) this.#receivers(conversation).delete(user);
  }

  headKnown(): void {
    // One node: whoever published less says so itself.
  }

  feedChanged(user: UserId, changes: readonly FeedTuple[]): void {
    this.#guard(() => {
      for (const change of changes) {
        const [userSeq, kind, subject, data] = change;
        const last = this.#feeds.get(user) ?? 0;
        if (userSeq > last + 1 && this.#isOwner())
          throw new Error(`feed of ${user}: ${userSeq} is pushed after ${last}`);
        this.#feeds.set(user, Math.max(userSeq, last));
        expectSame(`feed of ${user}: ${userSeq} as pushed`, change, this.#host.data.feed(user)?.changes[userSeq - 1]);
        if (kind === "membership" && data[0] === "added") this.#host.added(user, subject as ConversationId);
      }
    });
  }

  signedOut(): void {
    // Sockets are not simulated.
  }

  #entry(conversation: ConversationId, entry: EntryTuple): void {
    const [seq] = entry;
    const log = this.#host.data.logs.of(conversation);
    expectSame(`${conversation}: entry ${seq} as published`, entry, log.entry(seq));
    const last = this.published(conversation);
    if (seq > last + 1 && this.#isOwner()) throw new Error(`${conversation}: ${seq} is published after ${last}`);
    this.#published.set(conversation, Math.max(seq, last));
    for (const user of this.#receivers(conversation)) {
      if (!log.isMemberAt(user, seq) && !log.isMemberAt(user, seq - 1))
        throw new Error(`${conversation}: ${user} receives ${seq} and is no member`);
    }
  }

  #cursorIsStored(user: UserId, conversation: ConversationId, seq: Seq): void {
    const stored = this.#host.data.log(conversation)?.cursors.get(user)?.seq ?? 0;
    if (stored < seq) throw new Error(`${conversation}: cursor ${seq} of ${user} is shown, ${stored} is stored`);
  }

  /** A node that was taken over from shows gaps until it steps down: its clients see them, and fetch. */
  #isOwner(): boolean {
    return this.#host.data.epochOf(0) === this.#epoch;
  }

  #receivers(conversation: ConversationId): Set<UserId> {
    const users = this.#interest.get(conversation) ?? new Set();
    this.#interest.set(conversation, users);
    return users;
  }

  #guard(call: () => void): void {
    if (this.#host.isDead()) return;
    try {
      call();
    } catch (error) {
      this.#host.broken(error);
    }
  }
}
