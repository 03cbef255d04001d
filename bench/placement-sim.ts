// The bench of placement without a network: how evenly partitions lie, what moves when a node comes or goes, what it costs NATS.
// Virtual time and seeds: the same figures on every machine. Nothing is required of them but what the simulation's tests hold.
import { partitionCount } from "../src/lib/hash";
import { simulate } from "../test/sim/simulate";
import { figure } from "./figures";
import type { Figure } from "./figures";
import { PlacementCluster } from "./placement-cluster";
import type { Change, Changed } from "./placement-cluster";
import type { Say } from "./rooms-benches";

const sizes = [3, 20, 200] as const;
const seed = 1;
const restSeconds = 10;
const changes = ["join", "drain", "kill", "kill, asked"] as const satisfies readonly Change[];

/** Skew, moves, writes to the key-value store and time without an owner, for clusters of 3, 20 and 200 nodes. */
export async function benchPlacement(say: Say): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const nodes of sizes) simulate(seed, (schedule) => play(new PlacementCluster(schedule, nodes), nodes));
  return figures;

  function play(cluster: PlacementCluster, nodes: number): void {
    const { most, least } = cluster.loads();
    say(`${nodes} nodes at rest: ${least} to ${most} partitions each`);
    const load = `${nodes} nodes`;
    figures.push(
      figure("placement-skew", { ours: most, baseline: partitionCount / nodes, load }),
      figure("placement-writes", {
        ours: cluster.writesAtRest(restSeconds),
        baseline: nodes,
        load: `${load}, at rest`,
      }),
    );
    for (const change of changes) {
      const changed = cluster.change(change);
      say(`${nodes} nodes, ${change}: ${JSON.stringify(changed)}`);
      figures.push(...figuresOf(changed, `${load}, ${change}`));
    }
    cluster.end();
  }
}

function figuresOf(changed: Changed, load: string): readonly Figure[] {
  return [
    figure("placement-moved", { ours: changed.moved, baseline: changed.movedLeast, load }),
    figure("placement-writes", { ours: changed.writesPerSecond, load }),
    figure("placement-unowned", { ours: changed.unownedMs, load }),
  ];
}
