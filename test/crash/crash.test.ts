import { describe, expect, test } from "bun:test";
import { describeViolation } from "../history/checker";
import type { InvariantName } from "../history/checker";
import { crashPoints, runCrashes } from "./run";

const seed = Number(process.env["CRASH_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const timeoutMs = 180_000;

test(
  `ten kills under load, at random moments and at failpoints, break no promise (CRASH_SEED=${seed})`,
  async () => {
    const { violations, settled, surprises, unlike, acked } = await runCrashes({
      kills: 10,
      seed,
      historyFile: null,
      failpoints: crashPoints,
    });

    expect(violations.map(describeViolation)).toEqual([]);
    expect(settled).toBe(true);
    expect(surprises).toEqual([]);
    expect(unlike).toEqual([]);
    expect(acked).toBeGreaterThan(100);
  },
  timeoutMs,
);

/**
 * What a spoilt server must be caught at. Where something leaves before it is durable, commits are slowed down: a kill then
 * falls between the two for sure.
 */
const controls: readonly (readonly [failpoints: string, caughtAs: InvariantName])[] = [
  ["negative.ackBeforeCommit,commit.before=delay:20", "I1"],
  ["negative.noUniqueIndex", "I2"],
  ["negative.cursorWithoutMax", "I7"],
  ["negative.fanoutBeforeCommit,commit.before=delay:20", "I6"],
];

describe("negative controls: a server without one of its guarantees is caught", () => {
  for (const [failpoints, caughtAs] of controls) {
    test(
      `${failpoints} is caught as ${caughtAs} (CRASH_SEED=${seed})`,
      async () => {
        const { violations } = await runCrashes({
          kills: 2,
          seed,
          historyFile: null,
          settleMs: 3_000,
          environment: { PARLEY_FAILPOINTS: failpoints },
        });

        expect(violations.map(({ name }) => name)).toContain(caughtAs);
      },
      timeoutMs,
    );
  }
});
