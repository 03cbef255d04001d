// The storm: everybody of one node loses their connection at once and comes to the others, while people there go on talking.
import { Histogram } from "./histogram";
import { nowUs } from "./messages";
import type { Node, StormPlan } from "./plan";
import { inParallel } from "./sessions-load";
import { StormSession } from "./storm-session";
import type { StormWorld } from "./storm-session";
import { signToken } from "./tokens";

/** What is told of it: once all are connected, and when it is over. */
export interface StormReport {
  readonly stage: "steady" | "over";
  readonly cutOff: number;
  /** From the first lost connection until everybody was signed in and lacked nothing. */
  readonly seconds: number;
  /** 99 of 100 of those who were cut off were back after this. */
  readonly p99Ms: number;
  readonly overloaded: number;
  readonly resyncs: number;
  readonly gaps: number;
  /** Sessions that lack something in the end, and answers that nobody should get. */
  readonly faults: number;
}

const connectingAtOnce = 64;
const settleMsMax = 20_000;
const faultsShown = 5;

/** Runs the plan; `report` is told {@link StormReport} twice. */
export async function runStorm(plan: StormPlan, report: (told: StormReport) => void): Promise<void> {
  const storm = new Storm(plan);
  await storm.connect();
  storm.talk();
  await Bun.sleep(5000);
  report(storm.report("steady"));
  await storm.pass();
  report(storm.report("over"));
}

class Storm implements StormWorld {
  readonly #plan: StormPlan;
  readonly #sessions: readonly StormSession[];
  readonly #first: Node;
  readonly #others: readonly Node[];
  readonly #counts = { overloaded: 0, resync: 0, gap: 0 };
  /** Those whose connection ended, and those of them who are back. */
  readonly #away = new Set<StormSession>();
  readonly #back = new Set<StormSession>();
  readonly #times = new Histogram();
  /** The highest seq that was acknowledged, by conversation. */
  readonly #heads = new Map<string, number>();
  #beganUs = 0;
  #endedUs = 0;
  #faults = 0;
  #talking = false;
  #serial = 0;

  constructor(plan: StormPlan) {
    const [first, ...others] = plan.target.nodes ?? [];
    if (!first || others.length === 0) throw new Error("a storm needs several nodes");
    this.#plan = plan;
    this.#first = first;
    this.#others = others;
    this.#sessions = Array.from(
      { length: plan.sessions },
      (_, i) => new StormSession(i, signToken(`${plan.prefix}${i}`, plan.target.secret), this),
    );
  }

  /** Every second one is at the first node, until it is gone. */
  portFor({ index }: StormSession): number {
    const isFirst = index % 2 === 0 && this.#beganUs === 0;
    const turn = this.#beganUs === 0 ? Math.floor(index / 2) : index + Math.floor(index / 2);
    return (isFirst ? this.#first : (this.#others[turn % this.#others.length] as Node)).port;
  }

  cutOff(session: StormSession): void {
    if (this.#beganUs === 0) this.#beganUs = nowUs();
    this.#away.add(session);
    this.#back.delete(session);
  }

  complete(session: StormSession): void {
    if (!this.#away.has(session) || this.#back.has(session)) return;
    this.#back.add(session);
    this.#times.add(nowUs() - this.#beganUs);
  }

  note(what: "overloaded" | "resync" | "gap"): void {
    this.#counts[what]++;
  }

  fault(what: string): void {
    this.#faults++;
    if (this.#faults <= faultsShown) console.error(what);
  }

  connect(): Promise<void> {
    return inParallel(this.#sessions.length, connectingAtOnce, (i) => (this.#sessions[i] as StormSession).begin());
  }

  /** People at the other nodes say something in one of their conversations, all the time. */
  talk(): void {
    this.#talking = true;
    const timer = setInterval(() => {
      if (this.#talking) void this.#say();
      else clearInterval(timer);
    }, 1000 / this.#plan.rate);
  }

  /** Resolves when it is over, or the deadline is. */
  async pass(): Promise<void> {
    const deadline = performance.now() + this.#plan.deadlineSeconds * 1000;
    const half = Math.ceil(this.#sessions.length / 2);
    while (performance.now() < deadline) {
      if (this.#away.size >= half && this.#sessions.every(({ isComplete }) => isComplete)) break;
      await Bun.sleep(20);
    }
    this.#endedUs = nowUs();
    this.#talking = false;
    await this.#settle();
  }

  report(stage: StormReport["stage"]): StormReport {
    const { overloaded, resync: resyncs, gap: gaps } = this.#counts;
    const seconds = (this.#endedUs - this.#beganUs) / 1e6;
    const p99Ms = this.#times.percentileMs(0.99);
    return { stage, cutOff: this.#away.size, seconds, p99Ms, overloaded, resyncs, gaps, faults: this.#faults };
  }

  /** Whoever still lacks what was acknowledged, once nothing is said any more, is a fault. */
  async #settle(): Promise<void> {
    const lacks = (session: StormSession): boolean =>
      !session.isComplete || [...session.positions].some(([conv, position]) => position < (this.#heads.get(conv) ?? 0));
    const deadline = performance.now() + settleMsMax;
    while (this.#sessions.some(lacks) && performance.now() < deadline) await Bun.sleep(100);
    for (const session of this.#sessions) if (lacks(session)) this.fault(`session ${session.index} lacks entries`);
  }

  async #say(): Promise<void> {
    const at = 2 * Math.floor((Math.random() * this.#sessions.length) / 2) + 1;
    const session = this.#sessions[at] as StormSession;
    const conversations = [...session.positions.keys()];
    const conv = conversations[Math.floor(Math.random() * conversations.length)];
    if (conv === undefined) return;
    const items = [[`storm${this.#serial++}`, ["somebody says something"]]];
    try {
      const [seq] = await session.ask("send", [conv, items]);
      if (typeof seq === "number") this.#heads.set(conv, Math.max(seq, this.#heads.get(conv) ?? 0));
    } catch {
      // Unanswered: nobody is owed it.
    }
  }
}
