// What a cluster of the real size does, one fault at a time, in virtual milliseconds: how long partitions stand still, and
// that nothing moves where nothing has to. Messages take up to 5 ms, an epoch or a claim as long there and back.
import { describe, expect, test } from "bun:test";
import { partitionCount } from "../../src/lib/hash";
import { placementTimes } from "../../src/actors/placement-events";
import type { SimMember } from "./placement-member";
import { failoverMsMax, PlacementWorld } from "./placement-world";
import { simulate } from "./simulate";

const seeds = [1, 2];
/** Until everybody may judge the others. */
const restMs = 7000;
/** A node that hangs: its lease is silent for long enough by a slow clock, then what a take-over takes. */
const hangMsMax = (placementTimes.suspectMs + 500) / 0.95;

/** A cluster at rest, and which of its partitions are not served at the moment. */
class Rested {
  readonly world: PlacementWorld;

  constructor(world: PlacementWorld, members: number) {
    this.world = world;
    world.calm();
    world.claims.brokenRate = 0;
    for (let i = 0; i < members; i++) world.start();
    world.passUntil(
      () => world.isEven(),
      10_000,
      () => "loads are even",
    );
    world.pass(restMs);
  }

  /** Time passes without anybody asking for anything. @returns the longest time for which any partition was not owned */
  longestStall(ms: number): number {
    const { clock } = this.world.schedule;
    const ownedAt = new Array<number>(partitionCount).fill(clock.monotonic());
    let longest = 0;
    for (let passed = 0; passed < ms; passed += 5) {
      clock.advance(5);
      this.world.judge();
      for (const partition of ownedAt.keys()) {
        const stall = clock.monotonic() - (ownedAt[partition] as number);
        longest = Math.max(longest, stall);
        if (this.world.ownerOf(partition)) ownedAt[partition] = clock.monotonic();
      }
    }
    return longest;
  }

  names(): readonly (string | undefined)[] {
    return this.world.owners().map((owner) => owner?.name);
  }

  get first(): SimMember {
    return this.world.running[0] as SimMember;
  }
}

function atRest(members: number, play: (cluster: Rested) => void): void {
  for (const seed of seeds)
    simulate(seed, (schedule) => {
      const cluster = new Rested(new PlacementWorld(schedule, null, partitionCount), members);
      play(cluster);
      for (const member of [...cluster.world.running]) cluster.world.kill(member);
    });
}

describe("a cluster of 256 partitions at rest", () => {
  test("writes one lease a second for each node, and nothing else", () => {
    atRest(5, ({ world }) => {
      const before = [world.claims.writes, world.members.writes] as const;
      world.pass(10_000);
      expect(world.claims.writes).toBe(before[0]);
      expect(Math.abs(world.members.writes - before[1] - 50)).toBeLessThanOrEqual(5);
    });
  });

  test("stands still for two seconds at most where a node is killed, though nobody asks for anything", () => {
    atRest(3, (cluster) => {
      cluster.world.kill(cluster.first);
      expect(cluster.longestStall(4000)).toBeLessThan(failoverMsMax);
    });
  });

  test("stands still for half a second at most where a node is killed and somebody asks for what it owned", () => {
    atRest(3, (cluster) => {
      const { world, first } = cluster;
      const partition = cluster.names().indexOf(first.name);
      world.kill(first);
      cluster.first.placement.unreachable(partition);
      expect(cluster.longestStall(3000)).toBeLessThan(500);
    });
  });

  test("takes over from a node that hangs once its lease has been silent for long enough", () => {
    atRest(3, (cluster) => {
      const { world, first } = cluster;
      first.process.pause(false);
      const others = world.running.slice(1);
      const served = (partition: number): boolean =>
        others.some(({ placement }) => placement.phaseOf(partition) === "owned");
      world.passUntil(
        () => [...cluster.names().keys()].every(served),
        hangMsMax,
        () => "others own all of it",
      );
      first.process.resume();
      world.passUntil(
        () => world.isEven(),
        10_000,
        () => "it is given its share again",
      );
    });
  });

  test("drains a node without any partition standing still for 150 ms", () => {
    atRest(3, (cluster) => {
      cluster.first.drain();
      const stall = cluster.longestStall(3000);
      expect(stall).toBeLessThan(150);
      expect(cluster.world.running).toHaveLength(2);
    });
  });

  test("gives a joiner its share without any partition standing still for 150 ms", () => {
    atRest(3, (cluster) => {
      cluster.world.start();
      const stall = cluster.longestStall(6000);
      expect(stall).toBeLessThan(150);
      expect(cluster.world.isEven()).toBe(true);
    });
  });

  test("hears of each member's level, and gives nothing to one whose state it does not know", () => {
    atRest(2, (cluster) => {
      const { world, first } = cluster;
      expect([...first.levels.values()]).toEqual([1, 1]);
      expect(world.members.get(first.name)?.value).toBe("serving 1");
      const before = cluster.names();
      // As a later release might write them, and as an earlier one did.
      for (let second = 0; second < 5; second++) {
        for (const [name, lease] of [
          ["later", "hibernating 7 more"],
          ["odd", "ailing x"],
          ["earlier", "draining"],
        ] as const)
          world.members.write(name, lease, null);
        world.pass(1000);
      }
      expect(["later", "odd", "earlier"].map((name) => first.levels.get(name))).toEqual([7, 0, 0]);
      expect(cluster.names()).toEqual(before);
      world.members.write("later", null, null);
      world.pass(1000);
      expect(first.levels.has("later")).toBe(false);
    });
  });

  test("serves on and moves nothing while the key-value store does not answer", () => {
    atRest(3, (cluster) => {
      const before = cluster.names();
      cluster.world.claims.available = false;
      cluster.world.members.available = false;
      expect(cluster.longestStall(10_000)).toBe(5);
      cluster.world.claims.available = true;
      cluster.world.members.available = true;
      expect(cluster.longestStall(10_000)).toBe(5);
      expect(cluster.names()).toEqual(before);
    });
  });

  test("serves on and moves nothing while NATS is away, and after it is back", () => {
    atRest(3, (cluster) => {
      const { world } = cluster;
      const before = cluster.names();
      for (const member of world.running) member.connectNats(false);
      expect(cluster.longestStall(5000)).toBe(5);
      for (const member of world.running) {
        member.connectNats(true);
        world.pass(100);
      }
      expect(cluster.longestStall(10_000)).toBe(5);
      expect(cluster.names()).toEqual(before);
    });
  });

  test("serves on where all claims were lost: whoever served claims them again", () => {
    atRest(3, (cluster) => {
      const { world } = cluster;
      const before = cluster.names();
      for (const member of world.running) member.connectNats(false);
      world.claims.wipe();
      for (const member of world.running) member.connectNats(true);
      world.pass(restMs);
      expect(cluster.names()).toEqual(before);
    });
  });

  test("takes the partitions of a node that cannot reach the store, and gives them back", () => {
    atRest(3, (cluster) => {
      const { world, first } = cluster;
      first.connectStore(false);
      world.pass(10_000);
      expect(world.owners().filter((owner) => owner === first || owner === null)).toEqual([]);
      first.connectStore(true);
      world.passUntil(
        () => world.isEven(),
        10_000,
        () => "loads are even again",
      );
    });
  });

  test("moves nothing where the store is away for everybody", () => {
    atRest(3, (cluster) => {
      const { world } = cluster;
      const before = cluster.names();
      for (const member of world.running) member.connectStore(false);
      world.pass(10_000);
      for (const member of world.running) member.connectStore(true);
      world.pass(5000);
      expect(cluster.names()).toEqual(before);
    });
  });
});
