// Faults of the store and of the ways to it. SQLite: another process holds the file, a writer dies behind its commit.
// MongoDB: the server is killed or stopped, and the way of a node to it loses, delays, or cuts behind what was applied.
import { join } from "node:path";
import { linkTroubles, mongoWrites } from "../crash/links";
import { told } from "./faults";
import type { Fault, Scene } from "./faults";

const heldMs = [500, 4_000] as const;
const stillMs = [500, 4_000] as const;
const downMs = [100, 1_500] as const;

/** Nobody writes while another process has begun to. */
const held: Fault = {
  name: "another process holds the store",
  group: "store",
  victims: ({ store }) => (store.file === null ? 0 : 1),
  play: (scene) =>
    told(scene, "another process holds the store", "the file", async () => {
      const ms = scene.random.between(...heldMs);
      const program = join(import.meta.dir, "lock-holder.ts");
      const holder = Bun.spawn([process.execPath, program, scene.cluster.store.file ?? "", String(ms)], {
        stdio: ["ignore", "ignore", "inherit"],
      });
      if ((await holder.exited) !== 0) scene.company.surprises.push("the file could not be held");
    }),
};

type Harm = (scene: Scene) => Promise<void>;

function ofServer(name: string, harm: Harm): Fault {
  return {
    name,
    group: "store",
    victims: ({ store }) => (store.server === null ? 0 : 1),
    play: (scene) => told(scene, name, "the database", () => harm(scene)),
  };
}

const stopped: Harm = async ({ cluster, random }) => {
  cluster.store.server?.stopSignal();
  await Bun.sleep(random.between(...stillMs));
  cluster.store.server?.continue();
};

const killed: Harm = async ({ cluster, random }) => {
  await cluster.store.server?.kill9();
  await Bun.sleep(random.between(...downMs));
  await cluster.store.server?.start();
};

/** All ways in which a link can be troubled, one after the other; see links.ts. */
const link: Fault = {
  name: "trouble between node and store",
  group: "store",
  victims: ({ store }) => (store.links.length === 0 ? 0 : linkTroubles(store.links[0]!, mongoWrites).length),
  play: async (scene, turn) => {
    const { nodes, store } = scene.cluster;
    const at = scene.random.int(nodes.length);
    const troubles = linkTroubles(store.links[at]!, mongoWrites);
    const trouble = troubles[turn % troubles.length]!;
    await told(scene, `way to the store: ${trouble.name}`, nodes[at]!.name, async () => {
      await trouble.begin();
      await Bun.sleep(scene.random.between(...trouble.lastsMs));
      await trouble.end();
    });
  },
};

/** A time-out of every node at once, with everything applied: the server's answers are held back. */
const answersHeld: Fault = {
  name: "applied, and not answered in time",
  group: "store",
  victims: ({ store }) => (store.links.length === 0 ? 0 : 1),
  play: (scene) =>
    told(scene, "applied, and not answered in time", "all nodes", async () => {
      const { links } = scene.cluster.store;
      for (const each of links) each.blackHole("toClient");
      await Bun.sleep(scene.random.between(2_000, 7_000));
      await Promise.all(links.map((each) => each.heal()));
    }),
};

/** Every fault of the store. */
export const storeFaults: readonly Fault[] = [
  held,
  ofServer("stop the database", stopped),
  ofServer("kill the database", killed),
  link,
  answersHeld,
];
