// A world of actors that do everything an actor may: answer late or never, throw, stop, fail to load, refuse to passivate.
// Owned by runtime.test.ts; keeps watch over what actor.ts promises about activations, order and answers.
import { AppError, toAppError } from "../../src/lib/errors";
import type { ActorKind, KindName, PlacedActor, PlacedContext, Reply } from "../../src/actors/actor";
import { askTimeoutMs, createActorSystem, sweepMs } from "../../src/actors/system";
import type { ActorSystem } from "../../src/actors/system";
import type { Schedule } from "./simulate";

type Act =
  | "answer"
  | "answerLater"
  | "slow"
  | "silent"
  | "throw"
  | "throwLater"
  | "stop"
  | "stopLater"
  | "chain"
  | "refuse";

interface Note {
  readonly sender: string;
  readonly n: number;
  readonly act: Act;
}

/** How often each act is drawn. */
const acts: Readonly<Record<Act, number>> = {
  answer: 10,
  answerLater: 5,
  slow: 4,
  silent: 1,
  throw: 1,
  throwLater: 1,
  stop: 1,
  stopLater: 1,
  chain: 3,
  refuse: 1,
};

const mailboxMax = 6;
/** The wheel's slot, one sweep and the clock's lateness: an ask may be answered this much after its deadline. */
const deadlineSlackMs = 50 + 2 * sweepMs + 10;

/** What is known of the one activation a key may have. */
interface Life {
  readonly id: number;
  phase: "loading" | "active" | "receiving" | "passivating" | "ended";
}

function check(holds: boolean, what: () => string): void {
  if (!holds) throw new Error(what());
}

/** See the head of this file. Anything broken is kept and thrown by {@link RuntimeWorld.finish}: actors run inside promises. */
export class RuntimeWorld {
  readonly system: ActorSystem;
  readonly #schedule: Schedule;
  readonly #lives = new Map<string, Life>();
  /** The last number received by a key from a sender. */
  readonly #received = new Map<string, number>();
  readonly #sent = new Map<string, number>();
  /** Answered after the activation had ended. */
  readonly #tooLate = new Set<Note>();
  #broken: unknown = null;
  #lifeCount = 0;
  #asked = 0;
  #answered = 0;
  readonly counts: Record<string, number> = {};

  constructor(schedule: Schedule) {
    this.#schedule = schedule;
    const idleMs = schedule.random.pick([200, 2000, 60_000]);
    const activeMax = schedule.random.pick([2, 4, 100]);
    this.system = createActorSystem({
      clock: schedule.clock,
      kinds: (["conversation", "user"] as const).map((name) => this.#kind(name, idleMs, activeMax)),
      placement: { epochOf: () => 1, suspect: () => undefined, mayAnswer: () => true },
      events: {
        failed: (kind, key, phase) => {
          this.#count(`failed ${phase}`);
          schedule.trace(() => `${kind} ${key} failed to ${phase}`);
        },
        dropped: (_kind, _key, reason) => this.#count(`dropped ${reason}`),
      },
    });
  }

  ask(sender: string): void {
    const { random, clock, trace } = this.#schedule;
    const kind = random.pick(["conversation", "user"] as const);
    const key = random.pick(["a", "b", "c", "d", "e"]);
    const timeoutMs = random.pick([undefined, 100, 700]);
    const note = this.#next(kind, key, sender);
    const deadline = clock.monotonic() + (timeoutMs ?? askTimeoutMs);
    this.#asked += 1;
    trace(() => `${sender} asks ${kind} ${key} ${note.n} ${note.act}`);
    const settled = (answer: unknown): void => this.#guard(() => this.#answer(note, deadline, answer));
    this.system.ask(kind, key, note, timeoutMs).then(settled, settled);
  }

  tell(sender: string): void {
    const { random } = this.#schedule;
    const kind = random.pick(["conversation", "user"] as const);
    const key = random.pick(["a", "b", "c", "d", "e"]);
    this.system.tell(kind, key, this.#next(kind, key, sender));
  }

  /** Throws what broke, if anything; then what must hold of mailboxes at any time. */
  finishStep(): void {
    if (this.#broken !== null) throw this.#broken;
    for (const figures of Object.values(this.system.stats().kinds)) {
      // Messages to oneself come on top: each actor here has at most a few.
      check((figures?.deepest ?? 0) <= mailboxMax + 8, () => `a mailbox holds ${figures?.deepest}`);
    }
  }

  /** Whether every ask was answered and no cell is left. */
  get isAtRest(): boolean {
    const { kinds } = this.system.stats();
    return this.#answered === this.#asked && Object.values(kinds).every((figures) => figures?.cells === 0);
  }

  /** To be called once nothing is sent any more and time enough has passed for everything to end. */
  finish(): void {
    this.finishStep();
    check(this.#answered === this.#asked, () => `${this.#asked} asks, ${this.#answered} answers`);
    const alive = [...this.#lives].filter(([, life]) => life.phase !== "ended").map(([name]) => name);
    check(alive.length === 0, () => `still alive: ${alive.join(", ")}`);
    const stats = this.system.stats();
    check(stats.asksWaiting === 0, () => `${stats.asksWaiting} asks wait in the wheel`);
    for (const figures of Object.values(stats.kinds))
      check(figures?.cells === 0, () => `${figures?.cells} cells are left`);
  }

  #next(kind: KindName, key: string, sender: string): Note {
    const to = `${sender} ${kind} ${key}`;
    const n = (this.#sent.get(to) ?? 0) + 1;
    this.#sent.set(to, n);
    return { sender, n, act: this.#schedule.random.weighted(acts) };
  }

  #answer(note: Note, deadline: number, answer: unknown): void {
    const now = this.#schedule.clock.monotonic();
    this.#answered += 1;
    check(now <= deadline + deadlineSlackMs, () => `answered ${now - deadline} ms after its deadline`);
    if (!(answer instanceof Error)) {
      this.#count("answered");
      check(!this.#tooLate.has(note), () => `${note.sender} ${note.n} is answered by an activation that has ended`);
      check(answer === note, () => `${note.sender} ${note.n} got another's answer`);
      return;
    }
    const { code } = toAppError(answer);
    this.#count(`answered ${code}`);
    const expected = ["internal", "outcome_unknown", "overloaded", "store_unavailable", "shutting_down", "forbidden"];
    check(expected.includes(code), () => `answered ${code}`);
  }

  #kind(name: KindName, idleMs: number, activeMax: number): ActorKind {
    return { name, mailboxMax, idleMs, activeMax, activate: (ctx) => this.#activate(name, ctx) };
  }

  async #activate(kind: KindName, ctx: PlacedContext): Promise<PlacedActor> {
    const { random } = this.#schedule;
    const name = `${kind} ${ctx.key}`;
    const before = this.#lives.get(name);
    this.#guard(() =>
      check(
        !before || before.phase === "ended",
        () => `${name} has two activations: ${before?.id} is ${before?.phase}`,
      ),
    );
    const life: Life = { id: ++this.#lifeCount, phase: "loading" };
    this.#lives.set(name, life);
    this.#schedule.trace(() => `${name} loads as ${life.id}`);
    if (random.chance(0.5)) await this.#sleep(random.int(300));
    if (random.chance(0.1)) {
      life.phase = "ended";
      throw random.chance(0.5) ? new AppError("store_unavailable") : new Error("no luck");
    }
    if (random.chance(0.02)) ctx.stop();
    life.phase = "active";
    return {
      receive: (message, reply) => this.#receive(name, life, ctx, message as Note | "self", reply),
      passivate: () => this.#passivate(name, life),
      abort: () => this.#abort(kind, ctx.key, life),
    };
  }

  #receive(name: string, life: Life, ctx: PlacedContext, note: Note | "self", reply: Reply): Promise<void> | void {
    this.#guard(() => check(life.phase === "active", () => `${name} receives while ${life.phase}`));

    if (note === "self") return;
    this.#guard(() => {
      const from = `${note.sender} ${name}`;
      const last = this.#received.get(from) ?? 0;
      check(note.n > last, () => `${name} gets ${note.n} from ${note.sender} after ${last}`);
      this.#received.set(from, note.n);
    });
    life.phase = "receiving";
    this.#schedule.trace(() => `${name} (${life.id}) receives ${note.sender} ${note.n} ${note.act}`);
    const done = (): void => {
      life.phase = "active";
    };
    let pending: Promise<void> | void;
    try {
      pending = this.#act(life, ctx, note, reply);
    } finally {
      done();
    }
    if (!pending) return;
    life.phase = "receiving";
    return pending.finally(done);
  }

  #act(life: Life, ctx: PlacedContext, note: Note, reply: Reply): Promise<void> | void {
    const { random, clock } = this.#schedule;
    switch (note.act) {
      case "answer":
        return reply.ok(note);
      case "answerLater":
        clock.after(random.int(400), () => {
          if (life.phase === "ended") this.#tooLate.add(note);
          reply.ok(note);
        });
        return;
      case "slow":
        return this.#sleep(random.int(900)).then(() => reply.ok(note));
      case "silent":
        ctx.tellSelf(random.int(3000), "self");
        return;
      case "throw":
        throw new Error("boom");
      case "throwLater":
        return this.#sleep(random.int(300)).then(() => Promise.reject(new Error("late boom")));
      case "stop":
        return ctx.stop();
      case "stopLater":
        clock.after(random.int(500), () => ctx.stop());
        return reply.ok(note);
      case "chain":
        ctx.tell(random.pick(["conversation", "user"] as const), random.pick(["a", "b", "c"]), "self");
        return reply.ok(note);
      case "refuse":
        reply.fail(new AppError("forbidden"));
        return reply.ok("a second answer");
    }
  }

  async #passivate(name: string, life: Life): Promise<boolean> {
    const { random, trace } = this.#schedule;
    this.#guard(() => check(life.phase === "active", () => `${name} passivates while ${life.phase}`));
    life.phase = "passivating";
    trace(() => `${name} (${life.id}) passivates`);
    if (random.chance(0.6)) await this.#sleep(random.int(300));
    if (random.chance(0.05)) throw new Error("cannot passivate");
    if (random.chance(0.2)) {
      life.phase = "active";
      return false;
    }
    life.phase = "ended";
    return true;
  }

  #abort(kind: KindName, key: string, life: Life): void {
    const name = `${kind} ${key}`;
    const phase = life.phase;
    // A passivation that threw is aborted too; nothing else ends while its own code runs.
    this.#guard(() => check(phase === "active" || phase === "passivating", () => `${name} is aborted while ${phase}`));
    life.phase = "ended";
    this.#count("aborted");
    this.#schedule.trace(() => `${name} (${life.id}) is aborted`);
    if (this.#schedule.random.chance(0.3)) this.system.tell(kind, key, "self");
    if (this.#schedule.random.chance(0.1)) throw new Error("cannot abort");
  }

  #sleep(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#schedule.clock.after(ms, resolve);
    return promise;
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#broken ??= error;
      this.#schedule.trace(() => `broken: ${String(error)}`);
    }
  }
}
