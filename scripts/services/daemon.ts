// One process of a server: started, awaited until it takes requests, signalled and stopped by pid.
// It never outlives the process that started it, and what it writes goes to a log that is kept while it may explain something.
import type { Subprocess } from "bun";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { constants } from "node:os";
import { say } from "./catalog";

/** Long, as a first start may share two cores with a build and a test run. */
const readyTimeoutMs = 60_000;
const lookEveryMs = 15;
const stopTimeoutMs = 10_000;
const tailLines = 12;

/** How one process is started. */
export interface DaemonPlan {
  readonly name: string;
  readonly command: readonly string[];
  /** File that takes both outputs; a later life appends to it. */
  readonly log: string;
  /** Whether the process with this pid takes requests. Asked again and again until it says so. */
  ready(pid: number): Promise<boolean>;
  /** Asks it to end in order; SIGTERM where nothing is said. */
  readonly stopSignal?: NodeJS.Signals;
  /** Words in the log of a start that failed because a killed life is not all gone; the start is tried again then. */
  readonly againOn?: string;
  /** The system user to run as; needs root. Nobody else's, where nothing is said. */
  readonly user?: string;
}

/** One life of one process. */
export class Daemon {
  readonly #plan: DaemonPlan;
  readonly #child: Subprocess;
  #ending = false;

  private constructor(plan: DaemonPlan, child: Subprocess) {
    this.#plan = plan;
    this.#child = child;
  }

  /** Starts it and waits until it is ready. Rejects with the end of its log where it ends before or takes too long. */
  static async start(plan: DaemonPlan): Promise<Daemon> {
    const deadline = performance.now() + stopTimeoutMs;
    for (;;) {
      try {
        return await Daemon.#launch(plan);
      } catch (error) {
        const again = plan.againOn !== undefined && String(error).includes(plan.againOn);
        if (!again || performance.now() > deadline) throw error;
        await Bun.sleep(lookEveryMs);
      }
    }
  }

  static async #launch(plan: DaemonPlan): Promise<Daemon> {
    const log = openSync(plan.log, "a");
    try {
      const child = Bun.spawn([...wrapper(plan), ...plan.command], {
        stdio: ["ignore", log, log],
        cwd: "/",
        // Out of the terminal's group: Ctrl-C reaches us, and we stop the servers in order.
        detached: true,
      });
      const daemon = new Daemon(plan, child);
      await daemon.#becomeReady();
      void daemon.#reportDeath();
      return daemon;
    } finally {
      closeSync(log);
    }
  }

  get name(): string {
    return this.#plan.name;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Sends a signal; false where the process is gone. */
  signal(signal: NodeJS.Signals): boolean {
    if (this.#gone) return false;
    this.#child.kill(constants.signals[signal]);
    return true;
  }

  /** `kill -9`, also where it is stopped; resolves once it is gone. */
  async kill9(): Promise<void> {
    this.#ending = true;
    this.signal("SIGKILL");
    await this.#child.exited;
  }

  /** Ends it in order, by force where it does not within 10 s; resolves once it is gone. */
  async stop(): Promise<void> {
    this.#ending = true;
    this.signal(this.#plan.stopSignal ?? "SIGTERM");
    this.signal("SIGCONT");
    const force = setTimeout(() => this.signal("SIGKILL"), stopTimeoutMs);
    await this.#child.exited;
    clearTimeout(force);
  }

  get #gone(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async #becomeReady(): Promise<void> {
    const deadline = performance.now() + readyTimeoutMs;
    while (!this.#gone && performance.now() < deadline) {
      if (await this.#plan.ready(this.pid)) return;
      await Bun.sleep(lookEveryMs);
    }
    const how = this.#gone ? "ended at once" : "did not become ready";
    await this.kill9();
    throw new Error(`${this.name} ${how}; ${this.#plan.log} ends with:\n${tail(this.#plan.log)}`);
  }

  async #reportDeath(): Promise<void> {
    const code = await this.#child.exited;
    if (this.#ending) return;
    say(`${this.name} (pid ${this.pid}) ended by itself with ${code}; ${this.#plan.log} ends with:`);
    process.stderr.write(`${tail(this.#plan.log)}\n`);
  }
}

/** Runs the command as another user where that is asked for, and ends it with its parent. It keeps the pid: `setpriv` execs. */
function wrapper(plan: DaemonPlan): readonly string[] {
  const setpriv = Bun.which("setpriv");
  if (setpriv === null) {
    if (plan.user !== undefined)
      throw new Error(`${plan.name} must not run as root, and there is no setpriv (package util-linux)`);
    return [];
  }
  const user = plan.user !== undefined ? [`--reuid=${plan.user}`, `--regid=${plan.user}`, "--init-groups"] : [];
  return [setpriv, ...user, `--pdeathsig=${(plan.stopSignal ?? "SIGKILL").slice(3)}`, "--"];
}

/** The last lines of a log. */
function tail(log: string): string {
  return existsSync(log) ? readFileSync(log, "utf8").trimEnd().split("\n").slice(-tailLines).join("\n") : "(no log)";
}

/** Whether somebody accepts connections on this loopback port. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const answer = (taken: boolean) => () => {
      socket.destroy();
      resolve(taken);
    };
    socket.once("connect", answer(true)).once("error", answer(false));
  });
}
