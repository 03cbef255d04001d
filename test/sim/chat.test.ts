// Both kinds of actors on the real runtime, under random schedules, faults and crashes: the invariants of the design hold.
import { expect, test } from "bun:test";
import { runChatWorld } from "./chat-world";
import { simulateAll } from "./simulate";

const schedules = 1000;

/** Ample for a hundred times as many schedules. */
const timeoutMs = 3_600_000;

test(
  "whatever fails, an acknowledged message stands at its seq, a read mark sticks, and every number follows from the log",
  () => {
    const seen: Record<string, number> = {};
    const ran = simulateAll(schedules, (schedule) => {
      for (const [what, count] of Object.entries(runChatWorld(schedule))) seen[what] = (seen[what] ?? 0) + count;
    });

    // A world in which nothing goes wrong proves little: each of these has to come up.
    const done = ["sent", "read", "join", "leave", "add", "remove", "crash", "takeOver", "restart", "synced"];
    const asked = ["row", "entries", "history", "members", "readers"];
    const faults = ["send store_unavailable", "send outcome_unknown", "send internal", "send unknown_user"];
    if (ran > 500) expect([...done, ...asked, ...faults].filter((what) => !seen[what])).toEqual([]);
  },
  timeoutMs,
);
