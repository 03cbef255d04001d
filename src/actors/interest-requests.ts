// Questions to owners of partitions: what is asked of one in a turn goes as one request, so that a storm costs few of them.
// Owned by the registrar. Whoever is not answered learns that nobody knows whether it was registered.
import type { Clock } from "../lib/clock";
import type { UserId } from "../protocol/ids";
import type { Bus } from "./bus";
import type { InterestMeter } from "./interest";
import { answersIn, looksOut } from "./interest-wire";
import type { LookAnswer, LookAsk, LookQuestion } from "./interest-wire";
import type { NodeLinks } from "./node-links";
import type { Incarnation } from "./placement-shares";

/** Bounds of requests. */
export const requestLimits = {
  /** Keys in one request, unless a single question has more. */
  keysMax: 5_000,
  /** Where nobody listened, nobody is asked again for so long, unless it speaks itself, milliseconds. */
  absentMs: 250,
} as const;

/** What it is made of. */
export interface LookRequestsOptions {
  readonly bus: Pick<Bus, "connection">;
  readonly clock: Clock;
  readonly meter: InterestMeter;
  readonly links: Pick<NodeLinks, "request" | "toldNumbers">;
}

/** One question of several in a request. */
interface Asked {
  readonly question: LookQuestion;
  readonly answer: (answers: readonly LookAnswer[] | null) => void;
}

/** What one turn asks of one owner. */
interface Gathered {
  readonly asked: Asked[];
  keys: number;
  timeoutMs: number;
}

/** See the head of this file. Holds the questions of one turn. */
export class LookRequests {
  readonly #options: LookRequestsOptions;
  readonly #gathered = new Map<Incarnation, Gathered>();
  /** Owners that were not there, and when they may be asked again, monotonic milliseconds. */
  readonly #absent = new Map<Incarnation, number>();

  constructor(options: LookRequestsOptions) {
    this.#options = options;
  }

  /** That node is there: it spoke. */
  heard(node: Incarnation): void {
    this.#absent.delete(node);
  }

  /** Resolves with an answer for each partition asked for; null: nobody knows. Never rejects. */
  ask(
    owner: Incarnation,
    viewer: UserId | null,
    asks: readonly LookAsk[],
    timeoutMs: number,
  ): Promise<readonly LookAnswer[] | null> {
    const { clock } = this.#options;
    if (clock.monotonic() < (this.#absent.get(owner) ?? 0)) return Promise.resolve(null);
    const { promise, resolve: answer } = Promise.withResolvers<readonly LookAnswer[] | null>();
    const keys = asks.reduce((sum, { conversations, people }) => sum + conversations.length + people.length, 0);
    const gathered = this.#roomFor(owner, keys);
    gathered.asked.push({ question: { viewer, asks }, answer });
    gathered.keys += keys;
    gathered.timeoutMs = Math.max(gathered.timeoutMs, timeoutMs);
    return promise;
  }

  #roomFor(owner: Incarnation, keys: number): Gathered {
    const known = this.#gathered.get(owner);
    if (known && known.keys + keys <= requestLimits.keysMax) return known;
    const fresh: Gathered = { asked: [], keys: 0, timeoutMs: 0 };
    this.#gathered.set(owner, fresh);
    this.#options.clock.endOfTurn(() => {
      if (this.#gathered.get(owner) === fresh) this.#gathered.delete(owner);
      void this.#send(owner, fresh);
    });
    return fresh;
  }

  async #send(owner: Incarnation, { asked, keys, timeoutMs }: Gathered): Promise<void> {
    const { links, bus, meter } = this.#options;
    const questions = asked.map(({ question }) => question);
    const reply = await links.request(owner, "look", looksOut(bus.connection, questions), timeoutMs);
    meter.registered(keys, reply.outcome);
    if (reply.outcome === "absent") this.#noteAbsent(owner);
    const answers = reply.outcome === "answered" ? this.#read(owner, reply.value) : [];
    for (const [i, { answer }] of asked.entries()) answer(answers[i] ?? null);
  }

  #read(owner: Incarnation, value: unknown): readonly (readonly LookAnswer[])[] {
    try {
      const { numbers, answers } = answersIn(value);
      this.#options.links.toldNumbers(owner, numbers);
      return answers;
    } catch {
      this.#options.meter.ignored("malformed");
      return [];
    }
  }

  /** Forgets those that may be asked again: what is kept is of the last moment. */
  #noteAbsent(owner: Incarnation): void {
    const now = this.#options.clock.monotonic();
    for (const [node, until] of this.#absent) if (until <= now) this.#absent.delete(node);
    this.#absent.set(owner, now + requestLimits.absentMs);
  }
}
