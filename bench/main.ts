// `npm run bench -- NAME [--json]`: runs benches and their baselines in one go. The last line of stdout is a JSON array of
// figures; what goes on is told on stderr. Ends with 1 when a figure misses what is required.
import type { Figure } from "./figures";
import { tableOf } from "./figures";
import { benchClusterCost, benchClusterFanout, benchFailover, benchHandoff, benchStorm } from "./cluster-benches";
import { benchLargeRoom } from "./large-room";
import { endWithChildren } from "./processes";
import { benchPlacement } from "./placement-sim";
import { benchDurable, benchFanout, benchLag, benchLatency } from "./rooms-benches";
import type { Say } from "./rooms-benches";
import { benchConnect, benchHistory, benchMemory } from "./sessions-benches";

const benches: Readonly<Record<string, (say: Say) => Promise<readonly Figure[]>>> = {
  fanout: benchFanout,
  durable: benchDurable,
  latency: benchLatency,
  lag: benchLag,
  memory: benchMemory,
  connect: benchConnect,
  history: benchHistory,
  "large-room": benchLargeRoom,
  failover: benchFailover,
  handoff: benchHandoff,
  "cluster-cost": benchClusterCost,
  "cluster-fanout": benchClusterFanout,
  storm: benchStorm,
  "placement-sim": benchPlacement,
};

/** Runs what the arguments name: benches, or `all`. Answers the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const named = args.filter((arg) => !arg.startsWith("--"));
  const names = named.includes("all") ? Object.keys(benches) : named;
  const unknown = names.find((name) => !(name in benches));
  if (names.length === 0 || unknown !== undefined) {
    console.error(`usage: npm run bench -- NAME… [--json]\nNAME is one of ${Object.keys(benches).join(", ")}, all`);
    return 2;
  }
  const say: Say = (line) => console.error(line);
  const figures: Figure[] = [];
  for (const name of names) figures.push(...(await benches[name]!(say)));
  if (!args.includes("--json")) console.log(`${tableOf(figures)}\n`);
  console.log(JSON.stringify(figures));
  return figures.some((one) => one.reached === "missed") ? 1 : 0;
}

if (import.meta.main) {
  endWithChildren();
  process.exit(await main(process.argv.slice(2)));
}
