// The public face of one conversation. Owned by the client, which makes one for each id.
import type { ConversationId, Seq } from "../protocol/ids";
import type { Role } from "../protocol/entry";
import type { Results } from "../protocol/operations";
import type { ClientClock } from "./clock";
import type { Connection } from "./connection";
import type { Conversation } from "./conversation";
import { bodyOf } from "./message";
import { checkedArgs } from "./operation";
import type { DurableName } from "./operation";
import type { Outbox } from "./outbox";
import type { Pages } from "./pages";
import type {
  ConversationChange,
  ConversationState,
  ConversationView,
  Member,
  MessageDraft,
  Page,
  PageRequest,
  Reader,
  ReadMark,
  SendHandle,
  Unsubscribe,
} from "./types";

/** What a view acts through. */
export interface ViewWorld {
  readonly clock: ClientClock;
  readonly connection: Connection;
  readonly outbox: Outbox;
  readonly pages: Pages;
  readonly ids: () => string;
}

/** The same person is told at most this often that somebody types. */
const typingEveryMs = 3_000;

/** A {@link ConversationView} over a conversation and the queues and requests of its client. */
export class View implements ConversationView {
  readonly id: ConversationId;
  readonly getSnapshot: () => ConversationState;
  readonly subscribe: (listener: () => void) => Unsubscribe;
  readonly #conversation: Conversation;
  readonly #world: ViewWorld;
  #typedAt = Number.NEGATIVE_INFINITY;

  constructor(conversation: Conversation, world: ViewWorld) {
    this.id = conversation.id;
    this.getSnapshot = conversation.state.getSnapshot;
    this.subscribe = conversation.state.subscribe;
    this.#conversation = conversation;
    this.#world = world;
  }

  loadBefore(): Promise<void> {
    return this.#world.pages.before(this.#conversation);
  }

  send(draft: MessageDraft | string): SendHandle {
    const handle = this.#world.outbox.send(this.id, bodyOf(draft));
    this.#typedAt = Number.NEGATIVE_INFINITY;
    return handle;
  }

  async markRead(seq?: Seq): Promise<ReadMark> {
    const upTo = seq ?? this.#conversation.headSeq;
    const { cursorSeq, unread } = this.#conversation;
    // What is stored already needs no write; what is unknown is asked for.
    if (upTo <= cursorSeq) return { seq: cursorSeq, unread };
    checkedArgs("read", [this.id, "read", upTo]);
    const [cursor, left] = await this.#world.outbox.read(this.id, upTo);
    return { seq: cursor[0], unread: left };
  }

  signal(kind: string, data: unknown = null): void {
    this.#world.connection.tell("signal", checkedArgs("signal", [this.id, kind, data]));
  }

  typing(): void {
    const now = this.#world.clock.monotonic();
    if (now - this.#typedAt < typingEveryMs) return;
    this.#typedAt = now;
    this.signal("typing");
  }

  async settings(set: { readonly muted?: boolean; readonly markedUnread?: boolean }): Promise<void> {
    await this.#ask("settings", [{ ...set }]);
  }

  async members({ after = null, limit = 100 }: PageRequest = {}): Promise<Page<Member>> {
    const args = checkedArgs("members", [this.id, after, limit]);
    const [members, next] = await this.#world.connection.ask("members", args);
    return { items: members.map(([user, role, joinSeq]) => ({ user, role, joinSeq })), next };
  }

  async readers(seq: Seq, { after = null, limit = 100 }: PageRequest = {}): Promise<Page<Reader>> {
    const args = checkedArgs("readers", [this.id, seq, after, limit]);
    const [readers, next] = await this.#world.connection.ask("readers", args);
    this.#conversation.ephemera.moveCursors(readers);
    return { items: readers.map(([user, at]) => ({ user, seq: at })), next };
  }

  join(): Promise<Seq> {
    return this.#change("join");
  }

  leave(): Promise<Seq> {
    return this.#change("leave");
  }

  add(users: readonly string[], role?: "admin" | "member"): Promise<Seq> {
    return this.#change("add", users, role ?? null);
  }

  remove(users: readonly string[]): Promise<Seq> {
    return this.#change("remove", users);
  }

  role(user: string, role: Role): Promise<Seq> {
    return this.#change("role", user, role);
  }

  update(set: ConversationChange): Promise<Seq> {
    return this.#change("update", { ...set });
  }

  async #change(
    name: "join" | "leave" | "add" | "remove" | "role" | "update",
    ...args: readonly unknown[]
  ): Promise<Seq> {
    const [seq] = await this.#ask(name, [this.#world.ids(), ...args]);
    return seq;
  }

  async #ask<N extends Exclude<DurableName, "send" | "read">>(name: N, args: readonly unknown[]): Promise<Results[N]> {
    return this.#world.outbox.ask(name, this.id, checkedArgs(name, [this.id, ...args]).slice(1));
  }
}
