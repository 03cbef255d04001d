// People who chat on a server that fails in every way it may: slow and failing stores, crashed activations, dead processes.
// Owned by chat.test.ts. What must hold is judged by the data, the gateway and the sessions as it happens, and here at the end.
import { conversationIdFor } from "../../src/actors/conversation-id";
import { messageFlags } from "../../src/protocol/entry";
import type { ConversationId, Seq, UserId } from "../../src/protocol/ids";
import { unreadOf } from "../../src/protocol/unread";
import { ChatSession } from "./chat-client";
import type { ChatWorldView } from "./chat-client";
import { ChatNode, conversationTypes } from "./chat-node";
import type { Conditions } from "./chat-node";
import { ChatReads } from "./chat-reads";
import { checkRows, expectSame } from "./log-fold";
import { MemoryStore } from "./memory-store";
import type { Schedule } from "./simulate";
import { WatchedData } from "./watched-data";

/** What people do, and how often against everything else. */
const acts = {
  send: 30,
  flood: 0.4,
  replay: 5,
  read: 14,
  add: 4,
  remove: 4,
  join: 2,
  leave: 2,
  role: 2,
  update: 1,
  row: 3,
  entries: 2,
  history: 4,
  members: 1,
  readers: 1,
  settings: 1,
  signIn: 1,
} as const;

/** What the server suffers, and how often. */
const shocks = {
  throwIn: 1.5,
  crash: 0.5,
  takeOver: 0.3,
  restart: 0.3,
  stepClock: 0.5,
} as const;

/** More than an activation brings into memory, so that old client ids are known to the store alone. */
const floodMessages = 70;

/** Time in which everything must be settled once the store works again: deadlines, back-off of reopening, idle times. */
const healMsMax = 300_000;

const people = ["ann", "bob", "cat", "dan"] as UserId[];

/** See the head of this file. */
export class ChatWorld implements ChatWorldView {
  readonly schedule: Schedule;
  readonly data: WatchedData;
  readonly acked = new Map<ConversationId, Seq>();
  readonly ackedReads = new Map<string, Seq>();
  readonly counts: Record<string, number> = {};
  node: ChatNode;
  readonly #conditions: Conditions;
  readonly #sessions: ChatSession[];
  readonly #reads = new ChatReads(this);
  readonly #conversations: ConversationId[] = [];
  #broken: unknown = null;
  #pending = 0;

  constructor(schedule: Schedule, data: WatchedData) {
    const { random } = schedule;
    this.schedule = schedule;
    this.data = data;
    this.#conditions = {
      faultRate: random.pick([0, 0.02, 0.1, 0.25]),
      latencyMs: random.pick([0, 5, 60, 400]),
      idleMs: random.pick([300, 3000, 60_000]),
      activeMax: random.pick([2, 4, 100]),
      mailboxMax: random.pick([4, 100]),
    };
    this.node = this.#newNode();
    this.#sessions = people.flatMap((user) => [
      new ChatSession(this, user, `${user}1`),
      new ChatSession(this, user, `${user}2`),
    ]);
  }

  broken(error: unknown): void {
    this.#broken ??= error;
    this.schedule.trace(() => `broken: ${String(error)}`);
  }

  readonly count = (what: string): void => {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  };

  /** People and conversations: everybody exists, each type of conversation is about to. */
  begin(): void {
    const { clock } = this.schedule;
    this.node.start();
    this.#up();
    for (const user of people) this.#retry(() => this.node.ask("user", user, { op: "ensure" }));
    clock.runUntil(() => this.#pending === 0, healMsMax, "everybody exists");
    for (const type of ["group", "secret", "channel", "direct"]) this.#create(type);
  }

  /** One thing happens, then some time passes. Throws what is broken. */
  step(): void {
    const { random, clock } = this.schedule;
    const what = random.weighted({ ...acts, ...shocks });
    if (what in shocks) this.#shake(what as keyof typeof shocks);
    else this.#act(what as keyof typeof acts);
    clock.advance(random.pick([0, 0, 1, 5, 30, 30, 200, 1500]));
    if (!this.node.isUp) this.#up();
    this.#judge();
  }

  /** The store works again and nobody starts anything new: everything settles, then all of it must be right. */
  end(): void {
    const { clock } = this.schedule;
    this.#conditions.faultRate = 0;
    const settled = (): boolean => {
      this.#judge();
      if (!this.node.isUp) this.#up();
      return this.#pending === 0 && this.node.reopened && this.#sessions.every((session) => session.isIdle);
    };
    clock.runUntil(settled, healMsMax, "every request is answered finally");
    const closed = (): boolean => this.data.heads().every(({ openEpoch }) => openEpoch === 0);
    clock.runUntil(closed, healMsMax, () => `every conversation is closed: ${JSON.stringify(this.#open())}`);
    clock.runUntil(() => this.#published(), healMsMax, "everything durable is published");
    this.#judge();
    this.#checkRows();
    this.#checkUnread();
    this.node.crash();
  }

  /** Something goes wrong, or is done to the server. */
  #shake(what: keyof typeof shocks): void {
    const { random, clock } = this.schedule;
    switch (what) {
      case "throwIn": {
        const conversation = random.pick(this.#conversations);
        random.pick(this.#sessions).send(conversation, null);
        clock.after(random.int(20), () => this.#throwIn(conversation));
        return;
      }
      case "crash":
        return this.#crash();
      case "takeOver":
        return this.#takeOver();
      case "restart":
        return this.#restart();
      case "stepClock":
        return clock.stepWall(random.between(-3_600_000, 3_600_000));
    }
  }

  /** Somebody does something. */
  #act(what: keyof typeof acts): void {
    const { random, clock } = this.schedule;
    const conversation = random.pick(this.#conversations);
    const session = random.pick(this.#sessions);
    const log = this.data.logs.of(conversation);
    const other = random.pick(people);
    switch (what) {
      case "send":
        for (let i = random.between(1, 4); i > 0; i--)
          session.send(conversation, random.chance(0.2) ? messageFlags.uncounted : null);
        return;
      case "flood":
        for (let i = floodMessages; i > 0; i--) session.send(conversation, null);
        return;
      case "replay":
        return session.replay();
      case "read":
        if (random.chance(0.4)) this.#asOther(session).read(conversation, random.int(log.head + 1));
        return session.read(conversation, Math.max(0, log.head - random.int(random.pick([1, 4, 30]))));
      case "add":
        return this.#asAdmin(conversation).operate(conversation, "add", session.nextId(), [other], null);
      case "remove":
        return this.#asAdmin(conversation).operate(conversation, "remove", session.nextId(), [other]);
      case "join":
      case "leave":
        return session.operate(conversation, what, session.nextId());
      case "role":
        return this.#asAdmin(conversation).operate(
          conversation,
          "role",
          session.nextId(),
          other,
          random.pick(["owner", "admin", "member"]),
        );
      case "update":
        return this.#asAdmin(conversation).operate(conversation, "update", session.nextId(), {
          name: `name ${random.int(9)}`,
        });
      case "row":
      case "entries":
      case "history":
      case "members":
      case "readers":
        return this.#reads[what](session.user, conversation);
      case "settings":
        return this.#retry(() =>
          this.node.ask("user", other, { op: "settings", args: [conversation, { muted: random.chance(0.5) }] }),
        );
      case "signIn":
        return this.#retry(() =>
          this.node.ask("user", other, {
            op: "signIn",
            device: `d${random.int(3)}`,
            platform: null,
            issuedAt: clock.now() / 1000,
          }),
        );
    }
  }

  /** What no session sends ends the activation, mostly while something is on its way to the store. */
  #throwIn(conversation: ConversationId): void {
    this.schedule.trace(() => `a fault in the activation of ${conversation.slice(0, 4)}`);
    this.node.ask("conversation", conversation, { op: "send", user: people[0], args: null }).catch(() => undefined);
  }

  #create(type: string): void {
    const { random } = this.schedule;
    const creator = random.pick(this.#sessions);
    const others = people.filter((user) => user !== creator.user);
    const members = type === "direct" ? [random.pick(others)] : others.filter(() => random.chance(0.5));
    const clientId = creator.nextId();
    const direct = conversationTypes.get(type)?.direct ?? false;
    const conversation = conversationIdFor(direct, creator.user, clientId, members);
    this.#conversations.push(conversation);
    creator.operate(conversation, "create", type, clientId, direct ? null : { name: type }, members);
  }

  /** Another session of the same person, or the same one. */
  #asOther({ user }: ChatSession): ChatSession {
    return this.schedule.random.pick(this.#sessions.filter((session) => session.user === user));
  }

  /** Somebody who may do it, mostly. */
  #asAdmin(conversation: ConversationId): ChatSession {
    const { random } = this.schedule;
    const log = this.data.logs.of(conversation);
    const members = log.membersAt(log.head);
    const admins = this.#sessions.filter(({ user }) => ["owner", "admin"].includes(members.get(user)?.role ?? ""));
    return admins.length > 0 && random.chance(0.85) ? random.pick(admins) : random.pick(this.#sessions);
  }

  #newNode(): ChatNode {
    return new ChatNode(this.schedule, this.data, people, this.#conditions, (error) => this.broken(error));
  }

  /** Gets the node up, or another one where this one was fenced by a fault. */
  #up(): void {
    if (this.node.steppedDown) this.#crash();
    this.schedule.clock.runUntil(() => this.node.isUp, healMsMax, "a server starts");
  }

  #crash(): void {
    this.schedule.trace(() => "the server is killed");
    this.count("crash");
    this.node.crash();
    this.#replace();
  }

  /** A second server on the same data, while the first one still runs: the store fences the first. */
  #takeOver(): void {
    const { clock, random, trace } = this.schedule;
    trace(() => "a second server takes over");
    this.count("takeOver");
    const old = this.node;
    this.#replace();
    clock.after(random.int(20_000), () => old.crash());
  }

  #restart(): void {
    const { clock, random, trace } = this.schedule;
    if (!this.node.isUp) return;
    trace(() => "the server is restarted");
    this.count("restart");
    let left = -1;
    const faultRate = this.#conditions.faultRate;
    if (random.chance(0.5)) this.#conditions.faultRate = 0;
    this.node.drain(20_000, (count) => {
      left = count;
    });
    clock.runUntil(() => left >= 0, 21_000, "a drain ends");
    if (this.#conditions.faultRate === 0 && left === 0) this.#checkRows();
    this.#conditions.faultRate = faultRate;
    this.#replace();
  }

  #replace(): void {
    this.node = this.#newNode();
    this.node.start();
    this.#up();
  }

  /** Asks until it is answered finally. */
  #retry(ask: () => Promise<unknown>): void {
    const { clock, random } = this.schedule;
    this.#pending += 1;
    const attempt = (): void => {
      ask().then(
        () => {
          this.#pending -= 1;
        },
        (error: { readonly retryable?: boolean }) => {
          if (error.retryable === true) clock.after(random.between(50, 500), attempt);
          else this.#pending -= 1;
        },
      );
    };
    attempt();
  }

  /** Conversations left open, and what the node has of them. */
  #open(): readonly unknown[] {
    const open = this.data.heads().filter(({ openEpoch }) => openEpoch !== 0);
    const stats = this.node.router.stats();
    return [
      ...open.map(({ conversation, seq, openEpoch, fedThrough }) => ({ conversation, seq, openEpoch, fedThrough })),
      stats,
    ];
  }

  #published(): boolean {
    const { gateway } = this.node;
    const logs = this.data.heads().every(({ conversation, seq }) => gateway.published(conversation) === seq);
    return logs && people.every((user) => gateway.pushed(user) === (this.data.feed(user)?.user?.userSeq ?? 0));
  }

  #checkRows(): void {
    for (const { conversation, openEpoch } of this.data.heads())
      checkRows(this.data, conversation, this.data.logs.of(conversation), openEpoch === 0);
  }

  /** The counters of a sync against a count over the log, for everybody in every conversation. */
  #checkUnread(): void {
    const store = new MemoryStore({ data: this.data });
    for (const user of people) {
      void store.readSync(user, null, 100, true).then(({ rows, counts: others }) =>
        this.#guard(() => {
          const counts = [...rows, ...others];
          const memberships = [...(this.data.feed(user)?.memberships.values() ?? [])].filter(
            ({ role }) => role !== null,
          );
          expectSame(`conversations of ${user}`, counts.length, memberships.length);
          for (const { conversation, headOrdinal, myTotal, cursor, join } of counts)
            expectSame(
              `unread of ${user} in ${conversation}`,
              unreadOf({ headOrdinal, myTotal, cursor, join }),
              this.data.logs.of(conversation).unread(user, cursor.seq),
            );
          this.count("synced");
        }),
      );
    }
    this.schedule.clock.settle();
    this.#judge();
  }

  #judge(): void {
    // What is wrong in the data comes first: all else may follow from it.
    if (this.data.broken !== null) throw this.data.broken;
    if (this.#broken !== null) throw this.#broken;
  }

  #guard(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.broken(error);
    }
  }
}

/** One schedule, from the first start to the last check. @returns what happened how often */
export function runChatWorld(schedule: Schedule, data = new WatchedData()): Readonly<Record<string, number>> {
  const world = new ChatWorld(schedule, data);
  world.begin();
  for (let steps = schedule.random.between(10, 70); steps > 0; steps--) world.step();
  world.end();
  return world.counts;
}
