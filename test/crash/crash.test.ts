import { describe, expect, test } from "bun:test";
import { describeViolation } from "../history/checker";
import type { InvariantName } from "../history/checker";
import { crashPoints, runCrashes } from "./run";

const seed = Number(process.env["CRASH_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const timeoutMs = 180_000;

test(
  `ten kills under load, at random moments and at failpoints, break no promise (CRASH_SEED=${seed})`,
  async () => {
    const { violations, acked } = await runCrashes({ kills: 10, seed, historyFile: null, failpoints: crashPoints });

    expect(violations.map(describeViolation)).toEqual([]);
    expect(acked).toBeGreaterThan(100);
  },
  timeoutMs,
);

/** What a spoilt server must be caught at, and at which point it has to die for that. */
const controls: readonly (readonly [control: string, caughtAs: InvariantName, point: string])[] = [
  ["negative.ackBeforeCommit", "I1", "commit.before"],
  ["negative.noUniqueIndex", "I2", "commit.after"],
  ["negative.cursorWithoutMax", "I7", "commit.after"],
  ["negative.fanoutBeforeCommit", "I6", "commit.before"],
];

describe("negative controls: a server without one of its guarantees is caught", () => {
  for (const [control, caughtAs, point] of controls) {
    test(
      `${control} is caught as ${caughtAs} (CRASH_SEED=${seed})`,
      async () => {
        const environment = { PARLEY_FAILPOINTS: control };
        const { violations } = await runCrashes({
          kills: 4,
          seed,
          historyFile: null,
          failpoints: [point],
          environment,
        });

        expect(violations.map(({ name }) => name)).toContain(caughtAs);
      },
      timeoutMs,
    );
  }
});
