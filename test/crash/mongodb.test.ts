// The crash test over MongoDB: Parley, its database and its cache are killed and stopped under load, the network between them
// is spoiled, and the same checker judges what clients saw. That it can tell is shown by mongo-controls.test.ts.
import { expect, test } from "bun:test";
import { describeViolation } from "../history/checker";
import { describeWith } from "../services/services";
import { mongodb } from "../stores";
import type { FaultTarget } from "./faults";
import { crashPoints, runCrashes } from "./run";

const seed = Number(process.env["CRASH_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const timeoutMs = 180_000;

type Run = readonly [says: string, faults: readonly FaultTarget[], kills: number, kinds: number];

/** What is hit in turn, how often in all, and in how many ways: every one there is. */
const runs: readonly Run[] = [
  ["kill -9 and SIGSTOP of Parley, its database and its cache", ["parley", "store", "cache"], 6, 6],
  ["a network that delays, swallows, resets and cuts", ["store-link", "store-link", "cache-link"], 18, 16],
];

describeWith(["own mongodb", "own redis"], "over MongoDB and Redis", () => {
  for (const [says, faults, kills, kinds] of runs) {
    test(
      `${says}: nothing is lost, doubled or reordered, and no read mark goes back (CRASH_SEED=${seed})`,
      async () => {
        const plan = { store: mongodb, kills, faults, seed, historyFile: null, failpoints: crashPoints };
        const { violations, settled, surprises, unlike, acked, marked, played } = await runCrashes(plan);

        expect(violations.map(describeViolation)).toEqual([]);
        expect(settled).toBe(true);
        expect(surprises).toEqual([]);
        expect(unlike).toEqual([]);
        expect(played.size).toBe(kinds);
        expect([...played.values()].reduce((sum, count) => sum + count)).toBe(kills);
        expect(Math.min(acked, marked)).toBeGreaterThan(20);
      },
      timeoutMs,
    );
  }
});
