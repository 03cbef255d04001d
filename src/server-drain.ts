// How a server ends its work: for good, or while its process stays, for an operator. Owned by server.ts.
// Others take over first, then what is under way is answered, then everybody is sent away, each told to come back after a moment of their own.
import { systemClock } from "./lib/clock";
import type { Log } from "./lib/log";
import type { RunningActors } from "./server-actors";
import type { SocketServer } from "./transport/websocket";

/** What ends. */
export interface Ending {
  readonly actors: RunningActors;
  readonly sockets: SocketServer;
  readonly log: Log;
  /** All the time there is, milliseconds. */
  readonly drainMs: number;
}

/** How the time of stopping is shared: what is under way, goodbyes, and last the store; the rest is for the actors. */
export const drainShares = { handOver: 0.4, answers: 0.3, goodbyes: 0.3, store: 0.2 } as const;
/** How often it is looked whether everything under way was answered, milliseconds. */
const answersLookMs = 5;

/** In a cluster others take over first; what is under way is answered, everybody is sent away, every actor makes its rows exact. */
export async function drainParts({ actors, sockets, log, drainMs }: Ending): Promise<void> {
  const beganAt = systemClock.monotonic();
  const elsewhere = hasOthers(actors);
  // Whoever is connected goes on through the new owners until they are sent away.
  await actors.node?.handOver(drainMs * drainShares.handOver);
  const totalMs = drainMs - (systemClock.monotonic() - beganAt);
  const ended = actors.drain(totalMs * (1 - drainShares.store));
  await within(totalMs * drainShares.answers, untilAnswered(actors));
  await within(totalMs * drainShares.goodbyes, sockets.drain(totalMs * drainShares.goodbyes, elsewhere));
  const { left, names } = await ended;
  if (left > 0) log.warn({ left, names }, "some actors were not done in time; the next start finishes for them");
}

/**
 * Gives all partitions to other nodes and sends everybody away; what still comes is answered through the others. Resolves once
 * that is done, `drainMs` later at the latest: answers whether nothing is owned here any more.
 */
export async function giveUpParts({ actors, sockets, drainMs }: Ending): Promise<boolean> {
  const elsewhere = hasOthers(actors);
  await actors.node?.handOver(drainMs * (1 - drainShares.goodbyes));
  await within(drainMs * drainShares.goodbyes, sockets.drain(drainMs * drainShares.goodbyes, elsewhere));
  const owned = actors.node?.stats().placement.phases.owned ?? 0;
  return owned === 0;
}

function hasOthers({ node }: RunningActors): boolean {
  return node !== null && node.stats().placement.others > 0;
}

async function untilAnswered(actors: RunningActors): Promise<void> {
  while (actors.stats().asksWaiting > 0) await Bun.sleep(answersLookMs);
}

/** Resolves with `work`, or without it after `ms`. */
export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const over = Promise.withResolvers<void>();
  // Holds the process until then: what is waited for may have nothing left that does.
  const timer = setTimeout(over.resolve, ms);
  await Promise.race([work, over.promise]).finally(() => clearTimeout(timer));
}
