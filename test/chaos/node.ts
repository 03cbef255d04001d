// One Parley node of a chaos run, through all its lives: a process on a port, a data folder and a log that outlive it.
// The harness is its supervisor: an end that nobody ordered is told, and the node is started again.
import type { Subprocess } from "bun";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { benchSecret } from "../../bench/tokens";

const root = join(import.meta.dir, "../..");
/** A node does not outlive a run that was interrupted, also where it stands still. `setpriv` execs: the pid is the node's. */
const endsWithUs = Bun.which("setpriv") === null ? [] : ["setpriv", "--pdeathsig=KILL", "--"];
const readyTimeoutMs = 60_000;
const lookEveryMs = 20;
const bytesPerPage = 4096;
const oneMib = 1024 * 1024;

/** What a node is made of. */
export interface NodePlan {
  readonly name: string;
  readonly port: number;
  /** For its data and the offset of its clock. */
  readonly folder: string;
  /** Its log, which stays. */
  readonly log: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Hears that it ended by itself, and with what code. */
  readonly onEnd: (code: number) => void;
}

/** Disposing kills it. */
export class ChaosNode implements AsyncDisposable {
  readonly name: string;
  readonly port: number;
  readonly log: string;
  readonly #plan: NodePlan;
  readonly #clock: string;
  #child: Subprocess | null = null;
  /** The life whose end was ordered: its code surprises nobody. */
  #expected: Subprocess | null = null;

  constructor(plan: NodePlan) {
    this.#plan = plan;
    ({ name: this.name, port: this.port } = plan);
    mkdirSync(join(plan.folder, plan.name), { recursive: true });
    this.log = plan.log;
    this.#clock = join(plan.folder, `${plan.name}.clock`);
    this.stepClock(0);
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}/v1/ws`;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Whether there is a process, which may stand still. */
  get alive(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Whether it stands still by a signal. */
  get stopped(): boolean {
    return this.alive && /^State:\s+T/m.test(readStatus(this.pid));
  }

  /** Resident memory, MiB; 0 without a process. */
  get mib(): number {
    const pages = this.alive ? Number(readProc(this.pid, "statm").split(" ")[1] ?? 0) : 0;
    return Math.round((pages * bytesPerPage) / oneMib);
  }

  /** Settles once the present life ended. */
  get exited(): Promise<number> {
    return this.#child?.exited ?? Promise.resolve(0);
  }

  /** From now on its wall clock is off by this much. */
  stepClock(ms: number): void {
    writeFileSync(this.#clock, String(ms));
  }

  /**
   * Begins a life; it may not be ready yet.
   * @param failpoints see src/lib/failpoints.ts; an end at one of them is expected
   */
  launch(failpoints = ""): void {
    const { name, folder, environment } = this.#plan;
    const log = openSync(this.log, "a");
    const preload = join(import.meta.dir, "stepped-clock.ts");
    const child = Bun.spawn([...endsWithUs, process.execPath, "--preload", preload, "src/main.ts", "serve"], {
      cwd: root,
      env: {
        ...foreignVariables(),
        PARLEY_PORT: String(this.port),
        PARLEY_DATA_DIR: join(folder, name),
        PARLEY_AUTH_SECRET: benchSecret,
        ...environment,
        ...(failpoints === "" ? {} : { PARLEY_FAILPOINTS: joined(environment["PARLEY_FAILPOINTS"], failpoints) }),
        CHAOS_CLOCK: this.#clock,
      },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    this.#child = child;
    if (/=exit/.test(failpoints)) this.#expected = child;
    void child.exited.then((code) => this.#ended(child, code));
  }

  /** Resolves once it takes requests. Rejects where it ended, or takes longer than a minute. */
  async ready(): Promise<void> {
    const deadline = performance.now() + readyTimeoutMs;
    for (;;) {
      if (!this.alive) throw new Error(`${this.name} ended before it was ready; its log is ${this.log}`);
      const signal = AbortSignal.timeout(1_000);
      const answer = await fetch(`http://127.0.0.1:${this.port}/readyz`, { signal }).catch(() => null);
      if (answer?.ok) return;
      if (performance.now() > deadline) throw new Error(`${this.name} is not ready after a minute; see ${this.log}`);
      await Bun.sleep(lookEveryMs);
    }
  }

  async start(): Promise<void> {
    this.launch();
    await this.ready();
  }

  /** `kill -9`, also where it stands still; resolves once it is gone. */
  async kill(): Promise<void> {
    this.#expected = this.#child;
    this.#child?.kill("SIGKILL");
    await this.exited;
  }

  /** Asks it to stop in order; resolves with its code. */
  async terminate(): Promise<number> {
    this.#expected = this.#child;
    this.#child?.kill("SIGTERM");
    return await this.exited;
  }

  freeze(): void {
    if (this.alive) this.#child?.kill("SIGSTOP");
  }

  thaw(): void {
    if (this.alive) this.#child?.kill("SIGCONT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #ended(child: Subprocess, code: number): void {
    if (child === this.#child && child !== this.#expected) this.#plan.onEnd(code);
  }
}

function joined(some: string | undefined, more: string): string {
  return some === undefined ? more : `${some},${more}`;
}

function readStatus(pid: number): string {
  return readProc(pid, "status");
}

function readProc(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return "";
  }
}

/** Without settings of Parley, and without the addresses of servers that tests stand on. */
function foreignVariables(): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("PARLEY_")));
}
