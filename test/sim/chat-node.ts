// One life of a simulated server: a handle on the store, the router with both kinds of actors, reopening, a gateway.
// A crash silences it: no timer of it fires, no answer of it arrives, nothing it hands over is seen.
import type { KindName } from "../../src/actors/actor";
import { conversationKind } from "../../src/actors/conversation";
import { builtInTypes } from "../../src/actors/conversation-types";
import type { ConversationType } from "../../src/actors/conversation-types";
import { allPartitions } from "../../src/actors/local-placement";
import { startLocalRouter } from "../../src/actors/local-router";
import type { LocalRouter } from "../../src/actors/local-router";
import type { ConversationPeek } from "../../src/actors/messages";
import { reopenAll } from "../../src/actors/reopen";
import { userKind } from "../../src/actors/user";
import type { Cancel, Clock } from "../../src/lib/clock";
import { AppError } from "../../src/lib/errors";
import type { ConversationId, UserId } from "../../src/protocol/ids";
import { ChatGateway } from "./chat-gateway";
import type { StoreCall, StoreFault } from "./memory-store";
import type { Schedule } from "./simulate";
import { WatchedStore } from "./watched-data";
import type { WatchedData } from "./watched-data";

/** How a schedule treats its servers; `faultRate` may change while it runs. */
export interface Conditions {
  faultRate: number;
  readonly latencyMs: number;
  readonly idleMs: number;
  readonly activeMax: number;
  /** Runs every kind of actor's mailbox full where small. */
  readonly mailboxMax: number;
}

/** Faults of writes; reads only ever fail. The last two end an activation and are rare in life. */
const writeFaults = { refused: 4, unknownStored: 4, unknownLost: 4, conflict: 1, fenced: 1 } as const;

export const conversationTypes: ReadonlyMap<string, ConversationType> = new Map(
  Object.entries({
    ...builtInTypes,
    secret: { ...(builtInTypes["group"] as ConversationType), historyForNewMembers: false },
  }),
);

/** See the head of this file. */
export class ChatNode {
  readonly gateway: ChatGateway;
  readonly #schedule: Schedule;
  readonly #conditions: Conditions;
  readonly #store: WatchedStore;
  readonly #abort = new AbortController();
  #router: LocalRouter | null = null;
  #dead = false;
  steppedDown = false;
  reopened = false;

  constructor(
    schedule: Schedule,
    data: WatchedData,
    people: readonly UserId[],
    conditions: Conditions,
    broken: (error: unknown) => void,
  ) {
    this.#schedule = schedule;
    this.#conditions = conditions;
    this.gateway = new ChatGateway({
      data,
      broken,
      people: () => people,
      isDead: () => this.#dead,
      added: (user, conversation) => this.#added(user, conversation),
    });
    const options = {
      data,
      schedule: (step: () => void) => void this.clock.after(this.#schedule.random.int(conditions.latencyMs + 1), step),
      fault: (call: StoreCall) => this.#fault(call),
    };
    this.#store = new WatchedStore(options, broken);
  }

  readonly clock: Clock = {
    now: () => this.#schedule.clock.now(),
    monotonic: () => this.#schedule.clock.monotonic(),
    after: (ms: number, call: () => void): Cancel => this.#schedule.clock.after(ms, () => this.#alive(call)),
    endOfTurn: (call: () => void): void => this.#schedule.clock.endOfTurn(() => this.#alive(call)),
  };

  /** Whether it takes requests. */
  get isUp(): boolean {
    return this.#router !== null && !this.#dead && !this.steppedDown;
  }

  get router(): LocalRouter {
    return this.#router as LocalRouter;
  }

  /** Claims, begins to route, reopens what was left open. Tries again while the store is away. */
  start(): void {
    const { store, clock } = { store: this.#store, clock: this.clock };
    const { gateway } = this;
    const limits = this.#conditions;
    const reopen = (kind: KindName) => (key: string) => this.#router?.tellHere(kind, key, { op: "reopen" }) ?? true;
    // No bug goes unseen.
    const onFault = (_: string, error: unknown): void =>
      queueMicrotask(() => {
        throw error;
      });
    const kinds = [
      conversationKind(
        { store, clock, gateway, types: conversationTypes, onFault, reopen: reopen("conversation") },
        limits,
      ),
      userKind({ store, clock, gateway, reopen: reopen("user") }, limits),
    ];
    const events = {
      failed: (kind: KindName, key: string, phase: string, error: unknown): void =>
        this.#schedule.trace(() => `${kind} ${key} failed to ${phase}: ${String(error)}`),
      dropped: (): void => undefined,
    };
    const onSteppedDown = (): void => {
      this.steppedDown = true;
      this.#schedule.trace(() => "a node steps down");
    };
    startLocalRouter({ store, clock, kinds, events, onSteppedDown }).then(
      (router) => this.#started(router),
      () => void this.clock.after(200, () => this.start()),
    );
  }

  /** Answers as the network would: nothing from a dead node. Rejects with an AppError. */
  ask(kind: KindName, key: string, message: unknown, timeoutMs?: number): Promise<unknown> {
    if (!this.isUp) return Promise.reject(new AppError("outcome_unknown", "no server"));
    const silent =
      <T>(settle: (value: T) => unknown) =>
      (value: T) => {
        if (this.#dead) throw new AppError("outcome_unknown", "the connection is gone");
        return settle(value);
      };
    return this.router.ask(kind, key, message, timeoutMs).then(
      silent((value) => value),
      silent((error) => {
        throw error;
      }),
    );
  }

  /** kill -9. */
  crash(): void {
    this.#dead = true;
    this.#store.crash();
    this.#abort.abort();
    this.#router?.stop();
  }

  /** What SIGTERM does; then the life is over. @returns through `done`, how many actors did not passivate in time */
  drain(deadlineMs: number, done: (left: number) => void): void {
    void this.router.drain(deadlineMs).then(({ left }) => {
      this.crash();
      done(left);
    });
  }

  #started(router: LocalRouter): void {
    if (this.#dead) {
      router.stop();
      return;
    }
    this.#router = router;
    this.gateway.begin();
    void reopenAll({
      router,
      store: this.#store,
      clock: this.clock,
      partitions: () => allPartitions,
      signal: this.#abort.signal,
      onDelay: () => undefined,
    }).then(() => {
      this.reopened = true;
    });
  }

  /** As a session does it: interest begins once the conversation itself says that they are a member. */
  #added(user: UserId, conversation: ConversationId): void {
    const peek = this.#router?.peek("conversation", conversation) as ConversationPeek | null | undefined;
    if (peek) {
      if (peek.peek(user)) this.gateway.register(user, conversation);
      return;
    }
    this.ask("conversation", conversation, { op: "row", user }).then(
      () => this.gateway.register(user, conversation),
      () => undefined,
    );
  }

  #fault({ kind }: StoreCall): StoreFault | null {
    const { random } = this.#schedule;
    if (!random.chance(this.#conditions.faultRate)) return null;
    return kind === "read" ? "refused" : random.weighted(writeFaults);
  }

  #alive(call: () => void): void {
    if (!this.#dead) call();
  }
}
