// A running server with its processes, data folder and logs: what `npm run services` and the tests hold in their hands.
// Owned by whoever started it; disposing stops its processes by pid and removes its data, never its logs.
import { rmSync } from "node:fs";
import type { ServiceName } from "./catalog";
import { accepts, Daemon, type DaemonPlan } from "./daemon";

/** Below the range that systems give to outgoing connections, so that a server finds its port free when it starts again. */
const firstPort = 20_000;
const lastPort = 30_999;
const portTries = 50;

/** What a server needs to start; the processes start in order and stop in reverse. */
export interface ServicePlan {
  readonly name: ServiceName;
  readonly port: number;
  /** Address as its clients take it, without a database. */
  readonly uri: string;
  readonly folder: string;
  readonly logs: readonly string[];
  /** The last one is the one clients talk to. */
  readonly daemons: readonly DaemonPlan[];
}

/** One server through all its lives: the same port and the same data in each. */
export class Service implements AsyncDisposable {
  readonly name: ServiceName;
  readonly port: number;
  readonly uri: string;
  /** Its data; removed when it is disposed. */
  readonly folder: string;
  /** Its log files; they stay. */
  readonly logs: readonly string[];
  readonly #plan: ServicePlan;
  #running: Daemon[] = [];

  constructor(plan: ServicePlan) {
    this.#plan = plan;
    ({ name: this.name, port: this.port, uri: this.uri, folder: this.folder, logs: this.logs } = plan);
  }

  /** Process id of the process that clients talk to; 0 while it is down. */
  get pid(): number {
    return this.#running.at(-1)?.pid ?? 0;
  }

  /** Process ids of all its processes by name, such as `postgresql` behind `mongodb`. */
  get pids(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#running.map(({ name, pid }) => [name, pid]));
  }

  /** Starts it on its port and data; resolves once it takes requests. Rejects where it is running, or cannot start. */
  async start(): Promise<void> {
    if (this.#running.length > 0) throw new Error(`${this.name} is running`);
    try {
      for (const plan of this.#plan.daemons) this.#running.push(await Daemon.start(plan));
    } catch (error) {
      await this.kill9();
      throw error;
    }
  }

  /** `kill -9` to all its processes, stopped or not; resolves once they are gone. */
  async kill9(): Promise<void> {
    const ended = this.#running;
    this.#running = [];
    await Promise.all(ended.map((daemon) => daemon.kill9()));
  }

  /** SIGSTOP to the process that clients talk to: connections stay, and nothing is answered. */
  stopSignal(): void {
    this.#running.at(-1)?.signal("SIGSTOP");
  }

  /** SIGCONT: goes on where {@link stopSignal} stopped it. */
  continue(): void {
    this.#running.at(-1)?.signal("SIGCONT");
  }

  /** Ends it in order; the data stays. Resolves once it is gone. */
  async stop(): Promise<void> {
    for (const daemon of this.#running.splice(0).reverse()) await daemon.stop();
  }

  /** Stops it where it runs, and starts it on the same port and data. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A loopback port that nobody listens on, at random, so that two processes that ask at once hardly get the same. */
export async function freePort(): Promise<number> {
  for (let i = 0; i < portTries; i++) {
    const port = firstPort + Math.floor(Math.random() * (lastPort - firstPort + 1));
    if (!(await accepts(port))) return port;
  }
  throw new Error(`no free port between ${firstPort} and ${lastPort}`);
}
