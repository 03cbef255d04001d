// Faults of Parley's own processes: killed, also at a failpoint; stopped, also amid a commit; drained, restarted, flapping;
// and clocks that step.
import { told } from "./faults";
import type { Fault, Scene } from "./faults";
import { armedMsMax } from "./faults";
import type { ChaosNode } from "./node";

/** How long a stopped node stands still, and after what time a supervisor kills it, milliseconds. */
const stopMs = 10_000;
const supervisorMs = 3_000;
const clockStepMs = 3_600_000;
const lookEveryMs = 10;
/** Which passing of a failpoint is meant, where there are many and where there are few. */
const hits = { many: [3, 60], few: [1, 8] } as const;

/** Answers false where the moment that it is about did not come. */
type Harm = (scene: Scene, node: ChaosNode) => Promise<unknown>;

function ofNode(name: string, harm: Harm, victims: (nodes: number) => number = () => 1): Fault {
  return {
    name,
    group: "node",
    victims: ({ nodes }) => victims(nodes.length),
    play: (scene, turn) => {
      const { nodes } = scene.cluster;
      const node = victims(nodes.length) > 1 ? nodes[turn % nodes.length]! : scene.random.pick(nodes);
      return told(scene, name, node.name, () => harm(scene, node));
    },
  };
}

/** Starts a node again after a while. */
async function back({ random }: Scene, node: ChaosNode, ms: readonly [number, number] = [50, 1_500]): Promise<void> {
  await Bun.sleep(random.between(...ms));
  await node.start();
}

const killed: Harm = async (scene, node) => {
  await node.kill();
  await back(scene, node);
};

/** A life that ends at a failpoint, on one of the first passings there. */
function killedAt(point: string, action: "exit" | "end" = "exit"): Harm {
  return async (scene, node) => {
    await node.kill();
    node.launch(`${point}=${action}@${passing(scene)}`);
    const reached = await Promise.race([node.exited.then(() => true), Bun.sleep(armedMsMax).then(() => false)]);
    if (!reached) await node.kill();
    await back(scene, node);
    return reached;
  };
}

/** Which passing of a failpoint it shall be. */
function passing({ random, cluster }: Scene): number {
  const [first, last] = cluster.store.file === null ? hits.few : hits.many;
  return random.between(first, last);
}

/** The store's writing thread ends behind a commit: nobody on the node knows whether it was done. */
const writerDies: Harm = async (scene, node) => {
  await node.kill();
  node.launch(`commit.after=end@${passing(scene)}`);
  await node.ready();
  await Bun.sleep(scene.random.between(1_000, 3_000));
};

async function standStill(node: ChaosNode, supervised: boolean): Promise<void> {
  await Bun.sleep(supervised ? supervisorMs : stopMs);
  if (!supervised) {
    node.thaw();
    return;
  }
  await node.kill();
  await node.start();
}

function stopped(supervised: boolean): Harm {
  return async (scene, node) => {
    node.freeze();
    await standStill(node, supervised && scene.supervised);
  };
}

/** A life that stops itself in the middle of a commit. */
function stoppedAt(points: readonly string[], supervised: boolean): Harm {
  return async (scene, node) => {
    await node.kill();
    node.launch(`${scene.random.pick(points)}=stop@${passing(scene)}`);
    const deadline = performance.now() + armedMsMax;
    while (!node.stopped && performance.now() < deadline) await Bun.sleep(lookEveryMs);
    if (!node.stopped) {
      // It is armed still, and would stop in the middle of another fault.
      await node.kill();
      await back(scene, node);
      return false;
    }
    await standStill(node, supervised && scene.supervised);
    await node.ready();
    return true;
  };
}

const drained: Harm = async (scene, node) => {
  const code = await node.terminate();
  if (code !== 0) scene.company.surprises.push(`${node.name} was drained and ended with ${code}`);
  await back(scene, node);
};

const rolled: Harm = async (scene) => {
  for (const node of scene.cluster.nodes) {
    const code = await node.terminate();
    if (code !== 0) scene.company.surprises.push(`${node.name} was drained and ended with ${code}`);
    await node.start();
  }
};

/** Comes and goes without ever getting far. */
const flapping: Harm = async ({ random }, node) => {
  for (let turn = 0; turn < 4; turn++) {
    await node.kill();
    node.launch();
    await Bun.sleep(random.between(100, 1_500));
  }
  await node.ready();
};

function clockSteps(ms: number): Harm {
  return async ({ random }, node) => {
    node.stepClock(ms);
    await Bun.sleep(random.between(1_000, 4_000));
    node.stepClock(0);
    await Bun.sleep(random.between(200, 1_000));
  };
}

/** Every fault of a node. Where a node is alone, nobody takes over from it: it comes back and goes on. */
export const nodeFaults: readonly Fault[] = [
  ofNode("kill", killed, (nodes) => nodes),
  ofNode("kill before commit", killedAt("commit.before")),
  ofNode("kill between commit and ack", killedAt("commit.after")),
  ofNode("kill between ack and fan-out", killedAt("ack.before-fanout")),
  ofNode("stop 10 s", stopped(false)),
  ofNode("stop, supervised", stopped(true)),
  ofNode("stop amid a commit 10 s", stoppedAt(["commit.before", "commit.after"], false)),
  ofNode("stop amid a commit, supervised", stoppedAt(["commit.before", "commit.after"], true)),
  ofNode("drain and rejoin", drained),
  ofNode("rolling restart", rolled),
  ofNode("flapping", flapping),
  ofNode("clock an hour ahead", clockSteps(clockStepMs)),
  ofNode("clock an hour behind", clockSteps(-clockStepMs)),
];

/** Only where the store is a thread of the node. */
export const writerFault: Fault = {
  ...ofNode("writer dies behind a commit", writerDies),
  victims: ({ store }) => (store.file === null ? 0 : 1),
};
