// The entrance of a server: sign-ins and syncs at a bounded rate, so that a storm of them (a node died, a network came back) is worked
// off in order, and whoever is in already hardly notices. One a server, used by sessions. Keeps G11.
import type { Clock } from "../lib/clock";
import type { Config } from "../lib/settings";
import { Turnstile } from "./turnstile";

/** What an entrance is made of. */
export interface EntranceDeps {
  readonly clock: Clock;
  readonly settings: Pick<Config, "connections">;
  readonly meter: { dropped(what: string): void };
  /** Absent: the runtime's own. */
  readonly random?: () => number;
}

/** See the head of this file. */
export class Entrance {
  readonly signIns: Turnstile;
  readonly syncs: Turnstile;

  constructor({ clock, settings, meter, random = Math.random }: EntranceDeps) {
    const { signInsMax, syncsMax, turnQueueMax, turnWaitMs, turnSlowMs } = settings.connections;
    const rule = { waitingMax: turnQueueMax, waitMs: turnWaitMs };
    this.signIns = new Turnstile(
      // One may wait for an owner elsewhere who is gone; others shall not wait with it.
      { ...rule, atOnce: signInsMax, slow: { ms: turnSlowMs, most: turnQueueMax } },
      {
        clock,
        random,
        // A sync follows a sign-in: while those wait, letting more people in would only move the row.
        mayBegin: () => this.syncs.waiting < syncsMax,
        onRoom: () => undefined,
        onRefused: () => meter.dropped("sign_in"),
      },
    );
    this.syncs = new Turnstile(
      { ...rule, atOnce: syncsMax, slow: null },
      {
        clock,
        random,
        mayBegin: () => true,
        onRoom: () => this.signIns.advance(),
        onRefused: () => meter.dropped("sync"),
      },
    );
  }

  /** Sign-ins and syncs that wait for their turn. */
  get waiting(): number {
    return this.signIns.waiting + this.syncs.waiting;
  }
}
