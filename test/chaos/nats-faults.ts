// Faults of the NATS servers and of the ways to them: killed, stopped, two of three, a wiped disk; black holes with late
// delivery, one way too.
import { wipeJetStream } from "../services/services";
import type { Service } from "../services/services";
import { told } from "./faults";
import type { Fault, Scene } from "./faults";

const downMs = [300, 4_000] as const;
const stillMs = [1_000, 10_000] as const;
/** Some end before anybody is suspected, some after somebody else took over. */
const holeMs = [500, 9_000] as const;
const wholeMsMax = 30_000;
const lookEveryMs = 50;

type Harm = (scene: Scene, servers: readonly Service[]) => Promise<void>;

/** @param many how many servers at once; each server has its turn to be the first of them */
function ofServers(name: string, many: number, harm: Harm): Fault {
  return {
    name,
    group: "nats",
    victims: ({ nats }) => (nats.length < many || (many > 1 && nats.length < 3) ? 0 : many > 1 ? 1 : nats.length),
    play: (scene, turn) => {
      const { nats } = scene.cluster;
      const hit = Array.from({ length: many }, (_, at) => nats[(turn + at) % nats.length]!);
      const target = hit.map((server) => `nats ${nats.indexOf(server) + 1}`).join(" and ");
      return told(scene, name, target, async () => {
        await harm(scene, hit);
        await whole(scene);
      });
    },
  };
}

/**
 * A server that lost its memory, or its disk, has caught up with the others, or had its time for it: the next fault of a server is to meet
 * a cluster that is whole. What happens where it does not is open (docs/chaos.md, what runs have found).
 */
async function whole({ cluster }: Scene): Promise<void> {
  const deadline = performance.now() + wholeMsMax;
  while (performance.now() < deadline && !(await cluster.natsIsWhole())) await Bun.sleep(lookEveryMs);
}

const killed: Harm = async ({ random }, servers) => {
  await Promise.all(servers.map((server) => server.kill9()));
  await Bun.sleep(random.between(...downMs));
  await Promise.all(servers.map((server) => server.start()));
};

const stopped: Harm = async ({ random }, servers) => {
  for (const server of servers) server.stopSignal();
  await Bun.sleep(random.between(...stillMs));
  for (const server of servers) server.continue();
};

const wiped: Harm = async ({ random }, servers) => {
  for (const server of servers) {
    await server.kill9();
    wipeJetStream(server);
    await Bun.sleep(random.between(...downMs));
    await server.start();
  }
};

type Hole = "both" | "toServer" | "toClient" | "cut" | "delay";

function ofLinks(name: string, hole: Hole): Fault {
  return {
    name,
    group: "nats link",
    victims: ({ natsLinks }) => (natsLinks.some((links) => links.length > 0) ? 1 : 0),
    play: async (scene) => {
      const { nodes, natsLinks } = scene.cluster;
      const at = scene.random.int(nodes.length);
      await told(scene, name, nodes[at]!.name, async () => {
        for (const link of natsLinks[at]!) {
          if (hole === "cut") link.cut();
          else if (hole === "delay") link.delay({ toServerMs: 150, toClientMs: 150 });
          else link.blackHole(hole);
        }
        if (hole !== "cut") await Bun.sleep(scene.random.between(...holeMs));
        await Promise.all(natsLinks[at]!.map((link) => link.heal()));
      });
    },
  };
}

/** Every fault of the servers, and of the ways between them and one node. */
export const natsFaults: readonly Fault[] = [
  ofServers("kill a NATS server", 1, killed),
  ofServers("stop a NATS server", 1, stopped),
  ofServers("kill two NATS servers", 2, killed),
  ofServers("stop two NATS servers", 2, stopped),
  ofServers("wipe a NATS server", 1, wiped),
  ofLinks("black hole between node and NATS", "both"),
  ofLinks("black hole from node to NATS", "toServer"),
  ofLinks("black hole from NATS to node", "toClient"),
  ofLinks("connections to NATS cut", "cut"),
  ofLinks("slow way to NATS", "delay"),
];
