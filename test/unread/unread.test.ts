import { afterAll, beforeAll, expect, test } from "bun:test";
import { ServerProcess } from "../crash/server-process";
import { Random } from "../sim/random";
import { World } from "./world";

const seeds = process.env["UNREAD_SEED"]
  ? [Number(process.env["UNREAD_SEED"])]
  : Array.from({ length: Number(process.env["UNREAD_RUNS"] ?? 3) }, () => Math.floor(Math.random() * 2 ** 31));
const rounds = 8;
const stepsPerRound = 25;
/** Of about 140, whatever the seed: what says that the world was not an empty one. */
const fewestAcked = 25;
/** Of two servers: to one nothing here is large, to the other everything, so that clients hear counters of what nobody looks at. */
const ordinary = new ServerProcess();
const counting = new ServerProcess({ PARLEY_COUNTERS_MEMBERS_ABOVE: "0", PARLEY_COUNTERS_EVERY_MS: "20" });
const servers = { "": ordinary, ", all of them large": counting };

beforeAll(() => Promise.all([ordinary.start(), counting.start()]));
afterAll(() => Promise.all([ordinary[Symbol.asyncDispose](), counting[Symbol.asyncDispose]()]));

for (const [seed, [how, server]] of seeds.flatMap((one) => Object.entries(servers).map((it) => [one, it] as const))) {
  test(`server, clients and a count over the log agree on every unread number${how} (UNREAD_SEED=${seed})`, async () => {
    const random = new Random(seed);
    await using world = await World.begin(server, random);
    const killedIn = random.int(rounds);
    for (let round = 0; round < rounds; round++) {
      for (let step = 0; step < stepsPerRound; step++) await world.step();
      if (round === killedIn) {
        await server.kill();
        await server.start();
      }
      await world.settle();
      const differences = await world.differences();
      if (differences.length > 0) console.error(`seed ${seed}, round ${round}:\n${world.trace.join("\n")}`);
      expect(differences).toEqual([]);
    }
    expect(world.acked).toBeGreaterThan(fewestAcked);
    expect(await world.size()).toBeGreaterThanOrEqual(world.acked);
  }, 120_000);
}
