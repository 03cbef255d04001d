// Negative controls: with a guarantee switched off the simulation must fail, and replaying its seed must fail the same way.
import { afterEach, expect, test } from "bun:test";
import { configureFailpoints } from "../../src/lib/failpoints";
import { runChatWorld } from "./chat-world";
import { simulate } from "./simulate";
import type { World } from "./simulate";
import { WatchedData } from "./watched-data";

/** Far more than any of these needs. */
const schedulesMax = 300;
/** On a machine that has other things to do. */
const timeoutMs = 120_000;

afterEach(() => configureFailpoints(""));

/** What the first failing schedule says, and its seed. */
function firstFailure(world: World): { readonly seed: number; readonly says: string } | null {
  for (let seed = 1; seed <= schedulesMax; seed++) {
    try {
      simulate(seed, world);
    } catch (error) {
      return { seed, says: (error as Error).message };
    }
  }
  return null;
}

/** The first line that a broken invariant gave. */
function whyOf(says: string | undefined): string | undefined {
  return says?.split("\n").find((line) => line.startsWith("Error: "));
}

test(
  "an acknowledgement before the commit is caught",
  () => {
    configureFailpoints("negative.ackBeforeCommit");
    const failure = firstFailure((schedule) => runChatWorld(schedule));

    expect(whyOf(failure?.says)).toMatch(/acknowledged at|answered seq/);
  },
  timeoutMs,
);

test(
  "fan-out before the commit is caught",
  () => {
    configureFailpoints("negative.fanoutBeforeCommit");
    const failure = firstFailure((schedule) => runChatWorld(schedule));

    expect(whyOf(failure?.says)).toMatch(/as published/);
  },
  timeoutMs,
);

test(
  "a cursor written without max is caught",
  () => {
    const failure = firstFailure((schedule) => runChatWorld(schedule, new WatchedData("cursorWithoutMax")));

    expect(whyOf(failure?.says)).toMatch(/cursor of \w+ went back|goes back|is stored$|is answered/);
  },
  timeoutMs,
);

test(
  "client ids that the store does not keep unique are caught",
  () => {
    const failure = firstFailure((schedule) => runChatWorld(schedule, new WatchedData("idsNotUnique")));

    expect(whyOf(failure?.says)).toMatch(/stands twice/);
  },
  timeoutMs,
);

test(
  "a failing schedule names its seed, and that seed fails the same way again",
  () => {
    configureFailpoints("negative.fanoutBeforeCommit");
    const failure = firstFailure((schedule) => runChatWorld(schedule));
    const again = (): void => simulate(failure?.seed ?? 0, (schedule) => runChatWorld(schedule));

    expect(failure?.says).toContain(`PARLEY_SIM_SEED=${failure?.seed}`);
    expect(again).toThrow(failure?.says);
  },
  timeoutMs,
);
