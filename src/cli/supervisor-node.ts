// One node process through all its lives: started, watched, killed where it is silent, started again after a crash.
// Owned by Supervisor, which decides when it is restarted and stopped.
import type { Cancel, Clock } from "../lib/clock";
import type { Log } from "../lib/log";
import { exitCodes } from "./context";
import { readNodeBeat, supervisorTimes as times } from "./supervisor-words";

/** How a process ended. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: string | null;
  /** The last line it wrote to standard error; null: none. */
  readonly said: string | null;
}

/** One life. */
export interface NodeProcess {
  readonly pid: number;
  readonly ended: Promise<ProcessEnd>;
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

/** Starts a process; throws where the system cannot. @param hear is handed every message of its channel */
export type StartProcess = (name: string, hear: (message: unknown) => void) => NodeProcess;

/** What a supervised node is made of. */
export interface SupervisedNodeOptions {
  readonly name: string;
  readonly start: StartProcess;
  readonly clock: Clock;
  readonly log: Log;
  /** It ended and starting it again would do harm: another server has its data. Called once a life, instead of a restart. */
  readonly onFenced: (end: ProcessEnd) => void;
  /** From 0 to 1, for jitter. */
  readonly random: () => number;
  readonly drainMs: number;
}

/** What happened last that somebody may wait for. */
type Change = "open" | "ready" | "ended" | "stopped";

interface Life {
  readonly process: NodeProcess;
  heardAt: number;
  spoke: boolean;
  open: boolean;
  ready: boolean;
  reason: string | null;
  readySince: number | null;
  /** Told to end: its end is no crash. */
  told: boolean;
  killAt: number;
}

/** See the head of this file. One event loop. */
export class SupervisedNode {
  readonly name: string;
  readonly #options: SupervisedNodeOptions;
  #life: Life | null = null;
  #failures = 0;
  #again: Cancel | null = null;
  #stopped = false;
  #lastEnd: ProcessEnd | null = null;
  #waiting: readonly ((change: Change) => void)[] = [];

  constructor(options: SupervisedNodeOptions) {
    this.name = options.name;
    this.#options = options;
  }

  get pid(): number | null {
    return this.#life?.process.pid ?? null;
  }

  /** Whether it listens and has its data. */
  get open(): boolean {
    return this.#life?.open === true;
  }

  get ready(): boolean {
    return this.#life?.ready === true;
  }

  /** Why it is not ready. */
  get reason(): string {
    if (this.#life === null) return "not running";
    return this.#life.reason ?? "starting";
  }

  /** How its last life ended; null before that. */
  get lastEnd(): ProcessEnd | null {
    return this.#lastEnd;
  }

  /** Starts it at once, unless it runs or was stopped for good. */
  start(): void {
    if (this.#life !== null || this.#stopped) return;
    this.#again?.();
    this.#again = null;
    const { clock, log, start } = this.#options;
    try {
      const process = start(this.name, (message) => this.#hear(life, message));
      const life: Life = {
        process,
        heardAt: clock.monotonic(),
        ...{ spoke: false, open: false, ready: false, told: false },
        ...{ reason: null, readySince: null, killAt: Number.POSITIVE_INFINITY },
      };
      this.#life = life;
      log.info({ node: this.name, pid: process.pid }, "a node was started");
      void process.ended.then((end) => this.#ended(life, end));
    } catch (error) {
      this.#lastEnd = { code: null, signal: null, said: error instanceof Error ? error.message : String(error) };
      this.#crashed(this.#lastEnd);
      this.#changed("ended");
    }
  }

  /**
   * Looks at the time: kills whoever is silent, or took too long to end.
   * @param trusted false: this process itself stood still, so that silence says nothing
   */
  look(trusted: boolean): void {
    const life = this.#life;
    if (life === null) return;
    const now = this.#options.clock.monotonic();
    if (!trusted) {
      life.heardAt = now;
      return;
    }
    const silentMs = now - life.heardAt;
    const patienceMs = life.spoke ? times.silentMs : times.firstWordMs;
    const why =
      now >= life.killAt ? "it did not end in time" : silentMs >= patienceMs ? `silent for ${patienceMs} ms` : null;
    if (why === null) return;
    this.#options.log.error({ node: this.name, pid: life.process.pid, why }, "a node is killed");
    // Once is enough, but a process that cannot be killed now may be later.
    life.heardAt = now;
    life.process.kill("SIGKILL");
  }

  /** Has it drain and end, killed where it takes longer than that may; starts it again at once. Resolves when it was started. */
  async restart(): Promise<void> {
    await this.#end();
    this.#failures = 0;
    this.start();
  }

  /** It is started no more, whyever it ends; what runs goes on. */
  retire(): void {
    this.#stopped = true;
    this.#again?.();
    this.#again = null;
    this.#changed("stopped");
  }

  /** Has it drain and end for good. Resolves when it is gone. */
  async stop(): Promise<void> {
    this.retire();
    await this.#end();
  }

  /** Resolves true once it is ready; false where it is not within `ms`, or is stopped. */
  untilReady(ms: number): Promise<boolean> {
    if (this.ready) return Promise.resolve(true);
    return this.#until(ms, (change) => (change === "ready" ? true : change === "stopped" ? false : null));
  }

  /** Resolves true once it is open; false where its life ends before, or neither happens within `ms`. */
  untilOpen(ms: number): Promise<boolean> {
    if (this.open) return Promise.resolve(true);
    return this.#until(ms, (change) => (change === "open" ? true : change === "ready" ? null : false));
  }

  /** @param verdict null: wait on */
  #until(ms: number, verdict: (change: Change) => boolean | null): Promise<boolean> {
    if (this.#stopped) return Promise.resolve(false);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const cancel = this.#options.clock.after(ms, () => resolve(false));
    const hear = (change: Change): void => {
      const answer = verdict(change);
      if (answer !== null) resolve(answer);
    };
    this.#waiting = [...this.#waiting, hear];
    return promise.finally(() => {
      cancel();
      this.#waiting = this.#waiting.filter((each) => each !== hear);
    });
  }

  #changed(change: Change): void {
    for (const hear of this.#waiting) hear(change);
  }

  async #end(): Promise<void> {
    const life = this.#life;
    if (life === null) return;
    if (!life.told) {
      life.told = true;
      life.killAt = this.#options.clock.monotonic() + this.#options.drainMs + times.graceMs;
      life.process.kill("SIGTERM");
    }
    const over = Promise.withResolvers<"stuck">();
    const cancel = this.#options.clock.after(this.#options.drainMs + times.stuckMs, () => over.resolve("stuck"));
    const how = await Promise.race([life.process.ended, over.promise]).finally(cancel);
    // The system holds it, in a disk that does not answer for one: nothing here can do more.
    if (how === "stuck") this.#options.log.error({ node: this.name, pid: life.process.pid }, "a node cannot be killed");
  }

  #hear(life: Life, message: unknown): void {
    const beat = readNodeBeat(message);
    if (beat === null || this.#life !== life) return;
    life.heardAt = this.#options.clock.monotonic();
    life.spoke = true;
    life.reason = beat.reason;
    if (beat.at !== null && !life.open) {
      life.open = true;
      this.#options.log.info({ node: this.name, ...beat.at }, "a node listens");
      this.#changed("open");
    }
    if (beat.ready === life.ready) return;
    life.ready = beat.ready;
    life.readySince = beat.ready ? life.heardAt : null;
    const told = { node: this.name, reason: beat.reason };
    if (beat.ready) this.#options.log.info(told, "a node is ready");
    else this.#options.log.warn(told, "a node is not ready any more");
    if (beat.ready) this.#changed("ready");
  }

  #ended(life: Life, end: ProcessEnd): void {
    this.#life = null;
    this.#lastEnd = end;
    const { clock, log } = this.#options;
    if (life.told || this.#stopped) log.info({ node: this.name, code: end.code, signal: end.signal }, "a node ended");
    else if (end.code === exitCodes.fenced) this.#options.onFenced(end);
    else {
      if (life.readySince !== null && clock.monotonic() - life.readySince >= times.wellMs) this.#failures = 0;
      this.#crashed(end);
    }
    this.#changed("ended");
  }

  #crashed({ code, signal, said }: ProcessEnd): void {
    if (this.#stopped) return;
    this.#failures += 1;
    const grown = Math.min(times.backOffMs * 2 ** Math.min(this.#failures - 1, 20), times.backOffMaxMs);
    const afterMs = Math.round(grown * (0.5 + this.#options.random()));
    const told = { node: this.name, code, signal, said, inARow: this.#failures, afterMs };
    this.#options.log.error(told, "a node crashed; it is started again");
    this.#again = this.#options.clock.after(afterMs, () => {
      this.#again = null;
      this.start();
    });
  }
}
