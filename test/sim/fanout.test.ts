// Entries, removals and feeds through a cluster that loses messages, connections, owners and nodes: every client sees each
// conversation in order without a gap, nobody anything behind their removal, and in the end everybody has everything.
import { describe, expect, spyOn, test } from "bun:test";
import { EntriesHere } from "../../src/actors/interest-entries";
import { LinkIn } from "../../src/actors/node-link-in";
import { HubSessions } from "../../src/transport/hub-sessions";
import { FanOutWorld } from "./fanout-world";
import { simulate, simulateAll } from "./simulate";
import type { Schedule } from "./simulate";

const schedules = 60;
const timeoutMs = 3_600_000;

function run(schedule: Schedule): FanOutWorld {
  const { random } = schedule;
  using _chance = spyOn(Math, "random").mockImplementation(() => random.next());
  const world = new FanOutWorld(schedule);
  world.begin(random.between(2, 4), random.between(2, 5));
  for (let i = random.between(30, 90); i > 0; i--) world.step();
  world.heal();
  world.settle();
  return world;
}

test(
  "under loss, delay, broken connections, moved partitions and killed nodes everybody receives everything once, in order",
  () => {
    const seen = { received: 0, gaps: 0, caughtUp: 0 };
    simulateAll(schedules, (schedule) => {
      const { received, gaps, caughtUp } = run(schedule);
      seen.received += received;
      seen.gaps += gaps;
      seen.caughtUp += caughtUp;
    });
    expect(seen.received).toBeGreaterThan(0);
    expect(seen.gaps).toBeGreaterThan(0);
    expect(seen.caughtUp).toBeGreaterThan(0);
  },
  timeoutMs,
);

/** The first schedule that fails within so many, as the sentence that says why. */
function firstFailure(most: number): string {
  for (let seed = 1; seed <= most; seed++) {
    try {
      simulate(seed, (schedule) => void run(schedule));
    } catch (error) {
      return (error as Error).message;
    }
  }
  return "";
}

describe("the simulation notices", () => {
  test("nodes that take no notice of gaps", () => {
    using _message = spyOn(LinkIn.prototype, "message").mockReturnValue("next");
    using _told = spyOn(LinkIn.prototype, "told").mockReturnValue("same");
    expect(firstFailure(40)).toMatch(/never: /);
  });

  test("nodes that learn of heads and do not read what is missing", () => {
    using _head = spyOn(EntriesHere.prototype, "headKnown").mockReturnValue(undefined);
    expect(firstFailure(40)).toMatch(/never: /);
  });

  test("nodes that go on handing entries to people who were removed", () => {
    using _drop = spyOn(HubSessions.prototype, "dropInterest").mockReturnValue(undefined);
    expect(firstFailure(40)).toMatch(/no member/);
  });
});
