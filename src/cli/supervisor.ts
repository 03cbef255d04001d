// Keeps N node processes of this machine at work: starts them, watches them, restarts them one at a time, ends them in turn.
// Owned by `parley serve --nodes`. It serves nobody and keeps no data, so that it has nothing to lose and little to fail by.
import type { Cancel } from "../lib/clock";
import { SupervisedNode } from "./supervisor-node";
import type { ProcessEnd, SupervisedNodeOptions } from "./supervisor-node";
import { supervisorTimes as times } from "./supervisor-words";

/** What a supervisor is made of. */
export interface SupervisorOptions extends Omit<SupervisedNodeOptions, "name" | "onFenced"> {
  readonly names: readonly string[];
}

/** How the first start went: everything runs, or the first node ended before it listened. */
export type FirstStart = { readonly ok: true } | { readonly ok: false; readonly end: ProcessEnd };

/** See the head of this file. */
export class Supervisor {
  /** Settles when another server has taken the data over: starting a node again would take it back, and so on. */
  readonly fenced: Promise<ProcessEnd>;
  readonly #options: SupervisorOptions;
  readonly #nodes: readonly SupervisedNode[];
  #cancelLook: Cancel | null = null;
  #lookedAt: number;
  #rolling: Promise<void> | null = null;
  #rollAgain = false;
  #stopping: Promise<void> | null = null;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { promise, resolve: onFenced } = Promise.withResolvers<ProcessEnd>();
    this.fenced = promise;
    this.#nodes = options.names.map((name) => new SupervisedNode({ ...options, name, onFenced }));
    this.#lookedAt = options.clock.monotonic();
  }

  /** The nodes, in their order. */
  get nodes(): readonly Pick<SupervisedNode, "name" | "pid" | "ready" | "open">[] {
    return this.#nodes;
  }

  /**
   * Starts the first node, and once it listens the others: so the data is brought to its schema once, and what is wrong with
   * the configuration is said once. Where the first one ends before it listens, nothing is left running.
   */
  async start(): Promise<FirstStart> {
    this.#look();
    const [first, ...others] = this.#nodes;
    if (first === undefined) return { ok: true };
    first.start();
    const open = await first.untilOpen(times.firstStartMs);
    if (this.#stopping !== null) return { ok: true };
    if (!open && first.lastEnd !== null) {
      await this.stop();
      return { ok: false, end: first.lastEnd };
    }
    for (const node of others) node.start();
    return { ok: true };
  }

  /** Restarts all nodes, one at a time; asked again meanwhile it begins once more after. Never rejects. */
  restartAll(): Promise<void> {
    if (this.#rolling !== null) {
      this.#rollAgain = true;
      return this.#rolling;
    }
    this.#rolling = this.#roll().finally(() => {
      this.#rolling = null;
    });
    return this.#rolling;
  }

  /**
   * Ends all nodes: the next is told once the former is gone, or has taken its part of `drainMs`, so that all of it takes less
   * than twice `drainMs` and some seconds. Idempotent.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    const { clock, drainMs } = this.#options;
    const ends: Promise<void>[] = [];
    // Whoever told this process to end may have told all of them.
    for (const node of this.#nodes) node.retire();
    for (const node of this.#nodes) {
      const end = node.stop();
      ends.push(end);
      const share = Promise.withResolvers<void>();
      const cancel = clock.after(drainMs / this.#nodes.length, share.resolve);
      await Promise.race([end, share.promise]).finally(cancel);
    }
    await Promise.all(ends);
    this.#cancelLook?.();
  }

  async #roll(): Promise<void> {
    do {
      this.#rollAgain = false;
      if (!(await this.#rollOnce())) return;
    } while (this.#rollAgain && this.#stopping === null);
  }

  /** @returns false where it was given up */
  async #rollOnce(): Promise<boolean> {
    const { log } = this.#options;
    log.info("a rolling restart begins");
    // Those that are of no use now first: nothing is lost with them, and they may be what it is done for.
    const order = [...this.#nodes].sort((a, b) => Number(a.ready) - Number(b.ready));
    for (const node of order) {
      if (this.#stopping !== null) return false;
      await node.restart();
      if (await node.untilReady(times.readyMs)) continue;
      if (this.#stopping !== null) return false;
      const why = "a rolling restart was given up: the node did not become ready in time; the rest go on as they are";
      log.error({ node: node.name, reason: node.reason, ms: times.readyMs }, why);
      return false;
    }
    log.info("a rolling restart is done");
    return true;
  }

  #look(): void {
    const { clock } = this.#options;
    const now = clock.monotonic();
    // Whoever stood still has not read what the others said meanwhile.
    const trusted = now - this.#lookedAt <= times.lateMs;
    this.#lookedAt = now;
    for (const node of this.#nodes) node.look(trusted);
    this.#cancelLook = clock.after(times.lookMs, () => this.#look());
  }
}
