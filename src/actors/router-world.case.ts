// A router whose other nodes, placement and clients are the test's: what the tests of routing are built on.
import { VirtualClock } from "../../test/sim/virtual-clock";
import { type AppError, toAppError } from "../lib/errors";
import { partitionOf } from "../lib/hash";
import type { Cancel } from "../lib/clock";
import type { ActorKind, AskSource } from "./actor";
import type { Bus, BusAnswer } from "./bus";
import { ClientPings } from "./client-pings";
import { ClusterRouter } from "./cluster-router";
import { decodeRequest, encodeFailure, encodeValue } from "./node-wire";
import type { Phase } from "./placement-slot";
import { createActorSystem } from "./system";

/** A request on its way to another node, for the test to answer. */
export interface Sent {
  readonly subject: string;
  readonly message: unknown;
  readonly timeoutMs: number;
  readonly epoch: number | null | undefined;
  answer(answer: BusAnswer): Promise<void>;
}

/** Echoes; keeps what is told to stay unanswered. */
const kind: ActorKind = {
  name: "conversation",
  mailboxMax: 100,
  idleMs: 60_000,
  activeMax: 100,
  isBacked: (message) => message === "stored",
  activate: async () => ({
    receive: (message, reply) => (message === "stay" ? undefined : reply.ok(`here ${String(message)}`)),
    passivate: async () => true,
    abort: () => undefined,
  }),
};

/** A router of node `me`; the actor `a` is `them`'s, unless the test says otherwise. */
export function routerWorld(given: { owner?: string | null; phase?: Phase; mayAnswer?: boolean } = {}) {
  const clock = new VirtualClock();
  const state = { owner: "them" as string | null, phase: "away" as Phase, mayAnswer: true, ...given };
  const sent: Sent[] = [];
  const published: unknown[] = [];
  const meter = { attempts: [] as string[], lost: 0, unreachable: 0 };
  const bus: Bus = {
    connected: true,
    connection: 3,
    publish: (_, bytes) => published.push(decodeRequest(bytes)?.message) > 0,
    request: (subject, bytes, timeoutMs) =>
      new Promise((resolve) => {
        const { message, epoch } = decodeRequest(bytes) ?? {};
        const answer = async (value: BusAnswer): Promise<void> => {
          resolve(value);
          await turns(clock);
        };
        sent.push({ subject, message, timeoutMs, epoch, answer });
      }),
    subscribe: () => ({ drain: async () => undefined, unsubscribe: () => undefined }),
    flush: async () => true,
    onConnection: (listener) => listener(true),
  };
  const placement = {
    phaseOf: () => state.phase,
    ownerOf: () => state.owner,
    mayAnswer: () => state.mayAnswer,
    unreachable: () => void meter.unreachable++,
    epochOf: () => (state.phase === "owned" ? 1 : null),
    suspect: () => undefined,
  };
  const system = createActorSystem({
    clock,
    kinds: [kind],
    placement,
    events: { failed: () => undefined, dropped: () => undefined },
  });
  const made = new ClusterRouter({
    self: "me",
    bus,
    clock,
    placement,
    system,
    meter: { attempted: (outcome) => void meter.attempts.push(outcome), tellLost: () => void meter.lost++ },
  });
  const answers: string[] = [];
  const ask = async (message: unknown, timeoutMs = 5000, source?: AskSource): Promise<void> => {
    made.ask("conversation", "a", message, timeoutMs, source).then(
      (value) => answers.push(String(value)),
      (error: unknown) => answers.push(`${toAppError(error).code} ${toAppError(error).outcome}`),
    );
    await turns(clock);
  };
  const advance = async (ms: number): Promise<void> => {
    clock.advance(ms);
    await turns(clock);
  };
  const partition = partitionOf("conversation", "a");
  return { clock, state, sent, published, meter, system, router: made, answers, ask, advance, partition };
}

/** Everything that promises and turns of the clock still have to do. */
export async function turns(clock: VirtualClock): Promise<void> {
  for (let turn = 0; turn < 10; turn++) {
    clock.settle();
    await Promise.resolve();
  }
}

export const absent: BusAnswer = { outcome: "absent" };
export const silent: BusAnswer = { outcome: "silent" };
export const answered = (value: unknown): BusAnswer => ({ outcome: "answered", bytes: encodeValue(value) });
export const refused = (error: AppError, epoch = 0): BusAnswer => ({
  outcome: "answered",
  bytes: encodeFailure(error, epoch),
});

/** A client that answers its pings when the test has it do so. */
export class Client implements AskSource {
  readonly #clock: VirtualClock;
  readonly #pings: ClientPings;
  readonly #sent: string[] = [];
  isHere = true;
  shownAt: number;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
    this.shownAt = clock.monotonic();
    this.#pings = new ClientPings(
      clock,
      (payload) => this.#sent.push(payload),
      (at) => (this.shownAt = at),
    );
  }

  isWanted(): boolean {
    return this.isHere;
  }

  show(enough: () => boolean, then: () => void): Cancel {
    return this.#pings.ask(enough, then);
  }

  /** Pings that it owes an answer to. */
  get owes(): number {
    return this.#sent.length;
  }

  /** Answers the first of them, or all. */
  async answers(count = Number.POSITIVE_INFINITY): Promise<void> {
    this.#clock.advance(0);
    for (const payload of this.#sent.splice(0, count)) this.#pings.answered(payload);
    await turns(this.#clock);
  }
}
