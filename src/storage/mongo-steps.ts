// One write that takes several steps: what each step's failure means for the whole of it (G1). Used by commits and feeds.
import type { Decided } from "./mongo-health";

/** What every write may be answered when a step of it fails. */
export type Failed = { readonly outcome: "refused" | "unknown"; readonly reason: string };

/** Ends a write with an outcome, from within a step. */
export class Ended<C> extends Error {
  readonly answer: C;

  constructor(answer: C) {
    super("a write has ended early");
    this.answer = answer;
  }
}

/** The steps of one write. `refused` is answered only while nothing of it is stored, nor can be. */
export class Steps {
  /** Whether something of the write is stored. */
  stored = false;

  /** What a step came to that stores nothing of the write. */
  readonly before = <T>(step: Decided<T>): T => {
    if (step.decided) return step.value;
    throw new Ended<Failed>({ outcome: this.stored ? "unknown" : "refused", reason: step.reason });
  };

  /** What a step came to that stores something of the write. */
  readonly storing = <T>(step: Decided<T>): T => {
    if (!step.decided && !step.certain) this.stored = true;
    const value = this.before(step);
    this.stored = true;
    return value;
  };
}
