// The conversation actor: log head, members, cursors, client ids, group commit (G1–G5, G12). One activation owns it at a time.
// Requests come from sessions through the router; what leaves goes through the gateway, after the commit.
import type { Clock } from "../lib/clock";
import { AppError, toAppError } from "../lib/errors";
import { diesBehind } from "../lib/failpoints";
import { decode, encodePush } from "../protocol/codec";
import type { ClientId, ConversationId, Seq, UserId } from "../protocol/ids";
import type { InfoTuple, MembershipTuple } from "../protocol/operations";
import type { CursorRow, OpenedConversation, Store } from "../storage/store";
import type { ActorKind, PlacedActor, PlacedContext, Reply } from "./actor";
import { CommitPipeline } from "./conversation-commits";
import { behind, runChange } from "./conversation-changes";
import type { Change } from "./conversation-changes";
import type { Batch, CommitHost, Draft, Totals } from "./conversation-commits";
import { ConversationFanout } from "./conversation-fanout";
import { ConversationFeeds } from "./conversation-feeds";
import { LostActivations } from "./lost-activations";
import { ConversationMarks, toMarkTuple } from "./conversation-marks";
import { ConversationTotals } from "./conversation-totals";
import { admissible, unknownAmong } from "./conversation-people";
import { ConversationReads, peerOf, readableLast } from "./conversation-reads";
import { ConversationReceipts } from "./conversation-receipts";
import { send, strangersIn } from "./conversation-send";
import { ConversationState } from "./conversation-state";
import type { Member } from "./conversation-state";
import { usedForEntry } from "./conversation-used";
import { builtInTypes } from "./conversation-types";
import type { ConversationType, ConversationTypes } from "./conversation-types";
import type { Gateway } from "./gateway";
import { isBacked } from "./messages";
import type { ConversationAsk, ConversationPeek, ConversationTell, RowPart } from "./messages";
import { ConversationRefusals, Refusals } from "./refusals";

/** What every conversation shares. */
export interface ConversationDeps {
  readonly store: Store;
  /** Whom a conversation may take in exists by this look-up's word. Absent: the store's. */
  readonly people?: Pick<Store, "unknownUsers">;
  readonly gateway: Gateway;
  readonly types: ConversationTypes;
  readonly clock: Clock;
  /** Checked against people's feeds, so a burst may pass it by what is on its way. Absent: as in `limits`. */
  readonly conversationsPerUserMax?: number;
  /** Something threw where no message was being handled. The activation ends; must not throw. */
  readonly onFault: (conversation: ConversationId, error: unknown) => void;
  /** The store refused a write, as another owner has a newer epoch. For metrics. */
  readonly onFenced?: () => void;
  /** Tells the conversation's actor `{ op: "reopen" }`, through the router; false where it is another node's by now. */
  readonly reopen: (conversation: string) => boolean;
}

/** How many activations there may be, and how long they stay. */
export interface KindLimits {
  readonly mailboxMax: number;
  readonly idleMs: number;
  readonly activeMax: number;
}

type Message =
  | ConversationAsk
  | ConversationTell
  | { readonly op: "repeatTells" | "flushReceipts" | "countReaders" | "refreshTotals" };

/** Entries brought in at activation: retries and read marks near the head need no look-up. */
const tailEntries = 64;

const noUsers: ReadonlySet<UserId> = new Set();

/** The kind to hand to the actor system. */
export function conversationKind(deps: ConversationDeps, kindLimits: KindLimits): ActorKind {
  const lost = new LostActivations(deps.clock, deps.reopen);
  const refusals = new Refusals(deps.clock);
  return {
    name: "conversation",
    ...kindLimits,
    stop: () => lost.stop(),
    isBacked,
    activate: (ctx) =>
      lost.takeOver(ctx.key, async (after) => {
        const opened = await deps.store.openConversation(ctx.key as ConversationId, ctx.epoch, tailEntries);
        const conversation = new Conversation(deps, ctx, lost, refusals);
        if (opened) await conversation.load(opened, after);
        return conversation;
      }),
  };
}

class Conversation implements PlacedActor, ConversationPeek {
  readonly #deps: ConversationDeps;
  readonly #lost: LostActivations;
  readonly #ctx: PlacedContext;
  readonly #id: ConversationId;
  readonly #state = new ConversationState();
  readonly #pipeline: CommitPipeline;
  readonly #marks: ConversationMarks;
  readonly #totals: ConversationTotals;
  readonly #feeds: ConversationFeeds;
  readonly #reads: ConversationReads;
  readonly #receipts: ConversationReceipts;
  readonly #fanout: ConversationFanout;
  readonly #refusals: ConversationRefusals;

  constructor(deps: ConversationDeps, ctx: PlacedContext, lost: LostActivations, refusals: Refusals) {
    this.#deps = deps;
    this.#lost = lost;
    this.#ctx = ctx;
    this.#id = ctx.key as ConversationId;
    this.#refusals = new ConversationRefusals(refusals, this.#state, this.#id, ctx.epoch);
    const host = this.#host();
    this.#pipeline = new CommitPipeline(this.#state, host);
    this.#marks = new ConversationMarks(this.#state, host, this.#pipeline, {
      moved: (user, cursor, unread) => this.#moved(user, cursor, unread),
    });
    this.#totals = new ConversationTotals(this.#state, this.#marks, this.#pipeline, ctx);
    this.#feeds = new ConversationFeeds(this.#state, ctx, this.#id);
    this.#reads = new ConversationReads(deps.store, this.#id, this.#state, () => this.#type());
    this.#receipts = new ConversationReceipts(deps, ctx, this.#id, this.#state);
    this.#fanout = new ConversationFanout(deps, this.#id, this.#state);
  }

  /**
   * Takes over what the store has; what a predecessor left open is counted and told again, and what it could not publish
   * any more, everything behind `after`, is published.
   */
  async load({ head, members, tail }: OpenedConversation, after: Seq | null): Promise<void> {
    this.#state.load({ ...head }, members, tail, usedForEntry);
    this.#state.totalsThrough = head.totalsThrough;
    this.#pipeline.wasOpen(head.openEpoch);
    // Who had it open may have ended between its commit and telling the other nodes.
    if (head.openEpoch !== 0) this.#deps.gateway.headKnown(this.#id, head.seq);
    if (head.totalsThrough < head.seq)
      for (const { user, count } of await this.#deps.store.countBySender(this.#id, head.totalsThrough))
        this.#state.sent.set(user, count);
    if (head.totalsThrough < head.seq) this.#totals.appended();
    // Published before anybody is told: whoever was added begins to receive at their entry, not at those before it.
    if (after !== null) {
      this.#marks.pushRepeats();
      await this.#fanout.publishAfter(after);
    }
    if (head.fedThrough < head.seq) await this.#fanout.tellAgain(head.fedThrough, this.#feeds);
  }

  receive(message: unknown, reply: Reply): void | Promise<void> {
    const ask = message as Message;
    switch (ask.op) {
      case "send":
        return this.#send(ask, reply);
      case "fed":
        return this.#feeds.confirmed(ask.user, ask.seq);
      case "reopen":
        return;
      case "repeatTells":
        return this.#feeds.repeat();
      case "flushReceipts":
        return this.#receipts.flush();
      case "refreshTotals":
        return this.#totals.refresh();
      case "countReaders":
        return void this.#receipts.count();
      case "create":
      case "join":
      case "leave":
      case "add":
      case "remove":
      case "role":
      case "update":
        return this.#change(ask, reply);
      default:
        return this.#ofMember(ask, reply);
    }
  }

  async passivate(): Promise<boolean> {
    const parts = [this.#pipeline, this.#marks, this.#totals, this.#feeds, this.#reads, this.#receipts];
    if (!parts.every((part) => part.isIdle)) return false;
    const senders = [...this.#state.sent.keys()];
    const release = this.#marks.hold(senders);
    try {
      await this.#marks.load(senders);
    } catch {
      release();
      return false; // the store cannot answer now; the totals would be lost until the next opening counts them
    }
    const outcome = await this.#pipeline.close(this.#marks.totals());
    release();
    if (outcome === "refused") return false;
    // Nobody knows whether it is closed: the next activation sees to it.
    if (outcome !== "stored") this.#lost.lost(this.#id, this.#state.committed.seq);
    this.#end();
    return true;
  }

  abort(error: AppError): void {
    const write = this.#pipeline.inFlight;
    if (write) this.#lost.lostWriting(this.#id, this.#state.committed.seq, write);
    // Left open, with feeds that may not have heard of everything: another activation finishes and closes it.
    else if (this.#pipeline.isOpen) this.#lost.lost(this.#id, this.#state.committed.seq);
    this.#pipeline.end(error);
    this.#end();
  }

  get headSeq(): Seq {
    return this.#state.committed.seq;
  }

  peek(user: UserId) {
    const member = this.#state.members.get(user);
    if (!member) return null;
    return {
      ...this.#seenBy(user, member),
      totalsThrough: this.#state.totalsThrough,
      sentSince: this.#state.sent.get(user) ?? 0,
    };
  }

  #host(): CommitHost {
    return {
      store: this.#deps.store,
      conversation: this.#id,
      epoch: this.#ctx.epoch,
      clock: this.#ctx.clock,
      fedThrough: () => this.#feeds.fedThrough(),
      totalsDue: () => this.#totals.due(),
      totalsStored: (totals: Totals) => this.#totals.stored(totals),
      stored: (batch) => this.#stored(batch),
      lost: (outcome) => {
        if (outcome === "unknown") this.#lost.lost(this.#id, this.#state.committed.seq);
        else this.#deps.onFenced?.();
        this.#ctx.stop();
      },
      broke: (error, handedOut) => {
        this.#lost.lost(this.#id, handedOut);
        this.#ctx.stop();
        this.#deps.onFault(this.#id, error);
      },
    };
  }

  #type(): ConversationType {
    return this.#typeNamed(this.#state.staged.type) ?? (builtInTypes.group as ConversationType);
  }

  #typeNamed(name: string): ConversationType | null {
    return this.#deps.types.get(name) ?? null;
  }

  #send(ask: Extract<ConversationAsk, { op: "send" }>, reply: Reply): void | Promise<void> {
    const { user, args } = ask;
    const items = args[1];
    let unknown: ReadonlySet<UserId> = noUsers;
    const { assertNew } = this.#refusals;
    const run = (draft: Draft) => {
      const results = send(draft, { type: this.#type(), unknown, assertNew }, user, items);
      return () => this.#refusals.kept(user, items, results);
    };
    const strangers = strangersIn(items, (named) => this.#state.member(named) !== null);
    const isMember = this.#state.member(user) !== null;
    if (isMember && strangers.length === 0) return this.#pipeline.submit({ run, reply });
    // While this is awaited nothing else is received, so no later send comes first (G4).
    const ids = isMember ? [] : items.map(([clientId]) => clientId);
    return this.#learn(user, ids, reply, async () => {
      unknown = await unknownAmong(this.#deps, strangers);
      this.#pipeline.submit({ run, reply });
    });
  }

  /** Whoever is no member may still repeat what they did as one: their ids are looked up first. */
  async #learn(user: UserId, ids: readonly ClientId[], reply: Reply, then: () => void | Promise<void>): Promise<void> {
    try {
      const unseen = ids.filter((id) => !this.#state.used(user, id)).map((id) => [user, id] as const);
      if (this.#state.exists && unseen.length > 0)
        this.#state.learnIds(await this.#deps.store.findClientIds(this.#id, unseen), usedForEntry);
      await then();
    } catch (thrown) {
      reply.fail(toAppError(thrown));
    }
  }

  #change(ask: Change, answer: Reply): Promise<void> {
    const { user } = ask;
    // Whoever comes has their total counted on: a rollback may run the change again.
    const told = this.#refusals.keeping(ask, answer);
    const reply = behind(told, this.#marks.hold(ask.op === "add" ? ask.args[2] : [user]));
    return this.#learn(user, this.#state.member(user) ? [] : [ask.args[1]], reply, async () => {
      try {
        await this.#prepare(ask);
        this.#pipeline.submit({ run: (draft) => this.#runChange(draft, ask), reply });
      } catch (thrown) {
        reply.fail(toAppError(thrown));
      }
    });
  }

  /** What a change needs from the store before it is staged: that the named exist, and what those who come had sent before. */
  async #prepare(ask: Change): Promise<void> {
    if (ask.op === "create") {
      if (!this.#typeNamed(ask.args[0])) throw new AppError("bad_request", `there is no type ${ask.args[0]}`);
      return this.#admissible([ask.user, ...(ask.args[3] ?? [])]);
    }
    if (ask.op === "join") {
      await this.#admissible([ask.user]);
      return this.#marks.load([ask.user]);
    }
    if (ask.op !== "add" || !this.#state.member(ask.user)) return;
    await this.#admissible(ask.args[2]);
    await this.#marks.load(ask.args[2]);
  }

  /** Whether these people exist and have room for one conversation more; members already are not asked. */
  #admissible(users: readonly UserId[]): Promise<void> {
    const coming = users.filter((user) => !this.#state.member(user));
    return admissible(this.#deps, coming);
  }

  #runChange(draft: Draft, ask: Change): () => unknown {
    const ownTotal = (user: UserId): number => this.#marks.totalOf(user) + this.#pipeline.stagedBy(user);
    const name = ask.op === "create" ? ask.args[0] : this.#state.staged.type;
    const rules = { type: this.#typeNamed(name) ?? this.#type(), ownTotal };
    if (!this.#state.used(ask.user, ask.args[1])) this.#refusals.assertNew(ask.user, ask.args[1]);
    if (ask.op !== "create" && !this.#state.exists) throw new AppError("no_access");
    const seq = runChange(draft, rules, ask);
    return () => (ask.op === "create" ? [this.#id, seq] : [seq]);
  }

  #ofMember(ask: OfMember, reply: Reply): void {
    const member = this.#state.members.get(ask.user);
    if (!member) return reply.fail(new AppError("no_access"));
    switch (ask.op) {
      case "history":
        return this.#reads.history(member, ask.args, reply);
      case "entries":
        return this.#reads.entries(member, ask.args, reply);
      case "members":
        return this.#reads.members(ask.args, reply);
      case "readers":
        return this.#reads.readers(ask.args, reply);
      case "read":
        if (ask.args[1] !== "read") return reply.fail(new AppError("reserved"));
        return void this.#marks.read(ask.user, ask.args[2], reply);
      case "signal":
        return this.#signal(ask, reply);
      case "row":
        return void this.#row(ask.user, reply);
      default:
        return reply.fail(new AppError("unknown_operation")); // of a later release's node
    }
  }

  #signal({ user, args: [, kind, data] }: Extract<ConversationAsk, { op: "signal" }>, reply: Reply): void {
    if (!this.#type().signals || !this.#receipts.isSmall) return reply.fail(new AppError("not_supported"));
    this.#deps.gateway.publish(this.#id, encodePush("signal", this.#id, user, kind, data));
    reply.ok([]);
  }

  async #row(user: UserId, reply: Reply): Promise<void> {
    const release = this.#marks.hold([user]);
    try {
      await this.#marks.load([user]);
      const member = this.#state.members.get(user);
      if (!member) return reply.fail(new AppError("no_access"));
      const cursor = toMarkTuple(this.#marks.cursorOf(user));
      reply.ok({ ...this.#seenBy(user, member), cursor, myTotal: this.#marks.totalOf(user) } satisfies RowPart);
    } catch (thrown) {
      reply.fail(toAppError(thrown));
    } finally {
      release();
    }
  }

  #seenBy(user: UserId, member: Member): Pick<RowPart, "info" | "membership" | "head"> {
    const { type, seq, ordinal, time, name, picture, fields, memberCount } = this.#state.committed;
    const custom = fields ? (decode(fields) as InfoTuple[3]) : null;
    const info: InfoTuple = [type, name, picture, custom, memberCount, peerOf(this.#state, this.#type().direct, user)];
    const own: MembershipTuple = [member.role, toMarkTuple(member.join), member.floor];
    return { info, membership: own, head: [seq, ordinal, time, readableLast(this.#state.committed, member.floor)] };
  }

  #moved(user: UserId, cursor: CursorRow, unread: number): void {
    this.#deps.gateway.toUser(user, encodePush("cursor", this.#id, toMarkTuple(cursor), unread), this.#id);
    if (this.#type().receipts) this.#receipts.moved(user, cursor.seq);
  }

  #stored({ entries }: Batch): void {
    if (entries.length > 0) this.#totals.appended();
    const dies = diesBehind("ack.before-fanout");
    if (!dies) this.#fanout.publish(entries);
    for (const { row, members } of entries)
      if (members) this.#feeds.note(row.seq, row.sender, members, (user) => this.#state.members.get(user) ?? null);
    // Noted all the same: the next commit of a dying process must not say that these feeds were told.
    if (!dies) this.#feeds.pump();
  }

  #end(): void {
    this.#feeds.end();
    this.#receipts.end();
    this.#totals.end();
  }
}

type OfMember = Exclude<ConversationAsk, Change | { op: "send" }>;
