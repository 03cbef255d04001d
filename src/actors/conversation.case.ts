// The conversation and user actors over a store in memory, and what left them: for tests of the conversation.
// Used by conversation.test.ts and its neighbours only.
import { MemoryStore } from "../../test/sim/memory-store";
import type { StoreCall, StoreFault } from "../../test/sim/memory-store";
import { systemClock } from "../lib/clock";
import type { Clock } from "../lib/clock";
import type { AppError } from "../lib/errors";
import { decodeFrames } from "../protocol/codec";
import type { EntryTuple } from "../protocol/entry";
import type { ClientId, ConversationId, Seq, UserId } from "../protocol/ids";
import type { ErrorTuple, FeedTuple } from "../protocol/operations";
import { conversationKind } from "./conversation";
import { conversationIdFor } from "./conversation-id";
import { builtInTypes } from "./conversation-types";
import type { ConversationType } from "./conversation-types";
import type { EntrySpan, Gateway } from "./gateway";
import { startLocalRouter } from "./local-router";
import type { RowPart } from "./messages";
import { userKind } from "./user";

/** Four people who exist. */
export const [ann, bob, cat, dan] = ["ann", "bob", "cat", "dan"] as UserId[] as [UserId, UserId, UserId, UserId];
const id = (name: string): ClientId => name as ClientId;

/** Everything that left the actors, in order. */
class Recorder implements Gateway {
  readonly published: EntryTuple[] = [];
  readonly trace: string[] = [];
  /** Every push but entries: to a conversation, or to a person. */
  readonly pushes: (readonly unknown[])[] = [];
  readonly feeds: FeedTuple[] = [];
  onFeed: () => void = () => undefined;

  publish(_conversation: ConversationId, bytes: Uint8Array): void {
    for (const frame of decodeFrames(bytes)) {
      if (frame[1] !== "entries") {
        this.pushes.push(frame.slice(1));
        continue;
      }
      const entries = frame[3] as EntryTuple[];
      this.published.push(...entries);
      this.trace.push(`publish ${entries.map(([seq]) => seq).join(",")}`);
    }
  }
  toUser(user: UserId, bytes: Uint8Array): void {
    for (const frame of decodeFrames(bytes)) {
      this.trace.push(`to ${user}: ${frame[1]}`);
      this.pushes.push([user, ...frame.slice(1)]);
    }
  }
  entries(conversation: ConversationId, bytes: Uint8Array, { gone }: EntrySpan): void {
    this.publish(conversation, bytes);
    if (gone.length > 0) this.trace.push(`drop ${gone.join(",")}`);
  }
  headKnown(_conversation: ConversationId, seq: Seq): void {
    this.trace.push(`head ${seq}`);
  }
  feedChanged(_user: UserId, changes: readonly FeedTuple[]): void {
    this.feeds.push(...changes);
    this.onFeed();
  }
  signedOut(): void {
    this.trace.push("signed out");
  }
}

/** What a test decides; what it leaves out does the plain thing. */
export interface WorldOptions {
  readonly fault?: (kind: string) => StoreFault | null;
  /** Runs each step of a call to the store; absent: as a microtask. */
  readonly schedule?: (step: () => void, call: StoreCall) => void;
  readonly conversationsPerUserMax?: number;
  readonly clock?: Clock;
}

const limits = { mailboxMax: 1000, idleMs: 60_000, activeMax: 1000 };

/** The built-in types and two more: one whose new members see nothing older, one of three members at most. */
function conversationTypes(): ReadonlyMap<string, ConversationType> {
  const secret = { ...(builtInTypes.group as ConversationType), historyForNewMembers: false };
  const small = { ...(builtInTypes.group as ConversationType), membersMax: 3 };
  return new Map(Object.entries({ ...builtInTypes, secret, small }));
}

/** One node of both kinds of actors. */
export async function world(options: WorldOptions = {}) {
  const { fault = () => null, conversationsPerUserMax = 10_000, clock = systemClock } = options;
  const schedule = options.schedule ?? ((step: () => void) => queueMicrotask(step));
  const store = new MemoryStore({ fault: (call) => fault(call.kind), schedule });
  const gateway = new Recorder();
  /** What was thrown beside the mailbox. */
  const faults: string[] = [];
  /** Kinds whose writes were refused as another owner has a newer epoch. */
  const fenced: string[] = [];
  const onFenced = (kind: string) => () => void fenced.push(kind);
  const onFault = (_: string, error: unknown) => void faults.push((error as Error).message);
  const types = conversationTypes();
  const reopen = (conversation: string): boolean =>
    state.router.tellHere("conversation", conversation, { op: "reopen" });
  const deps = { store, gateway, clock, conversationsPerUserMax };
  const start = () =>
    startLocalRouter({
      store,
      clock,
      kinds: [
        conversationKind({ ...deps, types, reopen, onFault, onFenced: onFenced("conversation") }, limits),
        userKind({ ...deps, reopen: () => true, onFenced: onFenced("user") }, limits),
      ],
      events: { failed: (...what) => gateway.trace.push(`failed ${what}`), dropped: () => undefined },
      onSteppedDown: () => undefined,
    });
  const state = { router: await start() };
  const ask = <T = readonly [Seq]>(
    conversation: ConversationId,
    op: string,
    user: UserId,
    ...args: unknown[]
  ): Promise<T> =>
    state.router.ask("conversation", conversation, { op, user, args: [conversation, ...args] }) as Promise<T>;
  const create = async (
    type: string,
    creator: UserId,
    name: string,
    members: readonly UserId[],
  ): Promise<ConversationId> => {
    const key = conversationIdFor(type === "direct", creator, id(name), members);
    await state.router.ask("conversation", key, {
      op: "create",
      user: creator,
      args: [type, name, type === "direct" ? null : { name }, members],
    });
    return key;
  };
  const row = (conversation: ConversationId, user: UserId) =>
    state.router.ask("conversation", conversation, { op: "row", user }) as Promise<RowPart>;
  const send = (conversation: ConversationId, user: UserId, ...names: string[]) =>
    ask<(Seq | ErrorTuple)[]>(
      conversation,
      "send",
      user,
      names.map((name) => [name, [`text ${name}`]]),
    );
  const restart = async () => {
    await state.router.drain(1000);
    state.router = await start();
  };
  /** Makes people exist, as their first sign-in does. */
  const ensure = async (users: readonly UserId[]) => {
    for (const user of users) await state.router.ask("user", user, { op: "ensure" });
  };
  await ensure([ann, bob, cat, dan]);
  return { store, gateway, faults, fenced, ask, create, row, send, restart, ensure };
}

/** The code of the error that a promise rejects with, or `ok`. */
export const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "ok",
    (error) => (error as AppError).code,
  );
