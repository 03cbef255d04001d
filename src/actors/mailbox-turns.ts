// Whose turn it is to run: mailboxes run one after another, never one inside another.
// Owned by ActorSystem, one for all of its mailboxes; keeps a tell from running its receiver inside its sender.

/** Something that handles what waits in it, as far as it can without waiting. */
export interface Runnable {
  /** Must not throw. */
  run(): void;
}

/**
 * Runs what is started at once, or, when started from inside a run, right after that run, in the order started.
 * Everything started is run before the outermost {@link Turns.start} returns.
 */
export class Turns {
  readonly #ready: Runnable[] = [];
  #running = false;

  start(next: Runnable): void {
    if (this.#running) {
      this.#ready.push(next);
      return;
    }
    this.#running = true;
    next.run();
    // An array's iterator sees what is pushed while it runs.
    for (const later of this.#ready) later.run();
    this.#ready.length = 0;
    this.#running = false;
  }
}
