// The nodes of a cluster as an operator sees them through any of them, and a drain of one that stays up.
import { expect, test } from "bun:test";
import type { ListedNode } from "../../src/transport/cluster-nodes";
import type { RunningServer } from "../../src/server";
import { describeWith, startNats } from "../services/services";
import { ClusterWorld } from "./cluster-world";

const adminSecret = "the-secret-of-the-operator-of-these-tests";
const timeoutMs = 60_000;

interface Listed {
  readonly self: string;
  readonly unclaimed: number;
  readonly nodes: readonly ListedNode[];
}

function operate(node: RunningServer, method: string, path: string): Promise<Response> {
  return fetch(node.url + path, { method, headers: { authorization: `Bearer ${adminSecret}` } });
}

async function list(node: RunningServer): Promise<Listed> {
  const answer = await operate(node, "GET", "/v1/nodes");
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  return (await answer.json()) as Listed;
}

/** Asks again until what is listed is as wanted. */
async function listUntil(node: RunningServer, wanted: (listed: Listed) => boolean): Promise<Listed> {
  for (;;) {
    const listed = await list(node);
    if (wanted(listed)) return listed;
  }
}

const owns = (nodes: readonly ListedNode[]): readonly number[] =>
  nodes.map(({ report }) => report?.owned.length ?? -1).toSorted((a, b) => a - b);

async function readiness(node: RunningServer): Promise<readonly unknown[]> {
  const answer = await fetch(`${node.url}/readyz`);
  const { reason } = (await answer.json()) as { readonly reason: string | null };
  return [answer.status, reason];
}

describeWith(["nats", "own nats"], "the nodes of a cluster", () => {
  test(
    "are listed by each of them; one is drained through another, sends its clients away and owns nothing",
    async () => {
      await using world = await ClusterWorld.open(0);
      const [one, two, three] = await Promise.all(
        Array.from({ length: 3 }, () => world.start({ PARLEY_ADMIN_SECRET: adminSecret })),
      );
      if (!one || !two || !three) throw new Error("three nodes were started");
      const shared = await listUntil(one, ({ nodes }) => owns(nodes).join() === "85,85,86");
      const { self: idOfTwo, nodes } = await list(two);
      expect(nodes.map(({ id }) => id).toSorted()).toEqual(shared.nodes.map(({ id }) => id).toSorted());
      expect(nodes.map(({ report }) => report?.state)).toEqual(["ready", "ready", "ready"]);
      const partitions = nodes.flatMap(({ report }) => report?.owned.map(([partition]) => partition) ?? []);
      expect(new Set(partitions).size).toBe(256);

      const bob = await world.signIn(world.nodes.indexOf(two), "bob");
      const ann = await world.signIn(world.nodes.indexOf(one), "ann");
      const goodbye = bob.push("goodbye");
      const answer = await operate(three, "POST", `/v1/nodes/${idOfTwo}/drain`);
      expect([answer.status, await answer.json()]).toEqual([202, { id: idOfTwo }]);
      const [code, retryAfterMs] = await goodbye;
      // There are other nodes, and few who come: nobody has to wait for long.
      expect([code, typeof retryAfterMs === "number" && retryAfterMs < 100]).toEqual([4000, true]);
      expect(await bob.closed).toBe(4000);

      const drained = await listUntil(one, (listed) => owns(listed.nodes).join() === "0,128,128");
      expect(drained.unclaimed).toBe(0);
      const left = await listUntil(two, (listed) => stateOf(listed, idOfTwo) === "drained");
      expect(left.self).toBe(idOfTwo);
      expect(await readiness(two)).toEqual([503, "drained"]);
      expect([await readiness(one), await readiness(three)]).toEqual([
        [200, null],
        [200, null],
      ]);

      // Bob is elsewhere now, and hears what Ann sends, wherever their conversation lives.
      const again = await world.signIn(world.nodes.indexOf(three), "bob");
      await again.request("sync", null, []);
      const added = again.push("feed");
      const [conversation] = await ann.request("create", "group", "g", null, ["bob"]);
      await added;
      const heard = again.push(
        "entries",
        ([id, entries]) => id === conversation && bodiesIn(entries).includes("hello"),
      );
      expect(await ann.request("send", conversation, [["m", ["hello"]]])).toEqual([3]);
      await heard;
    },
    timeoutMs,
  );

  test(
    "are not drained where nobody could take over, and a node that stops is listed no more",
    async () => {
      await using world = await ClusterWorld.open(0);
      const one = await world.start({ PARLEY_ADMIN_SECRET: adminSecret });
      const two = await world.start({ PARLEY_ADMIN_SECRET: adminSecret });
      await listUntil(one, ({ nodes }) => owns(nodes).join() === "128,128");
      await two.stop();
      const { self, nodes } = await listUntil(one, (listed) => owns(listed.nodes).join() === "256");
      expect(nodes.map(({ id }) => id)).toEqual([self]);
      const refused = await operate(one, "POST", `/v1/nodes/${self}/drain`);
      expect([refused.status, await refused.json()]).toMatchObject([409, { error: { code: "limit_reached" } }]);
      expect(await readiness(one)).toEqual([200, null]);
    },
    timeoutMs,
  );

  test(
    "are ready only while they reach NATS",
    async () => {
      await using nats = await startNats();
      await using world = await ClusterWorld.open(0);
      const node = await world.start({ PARLEY_NATS: nats.uri });
      expect(await readiness(node)).toEqual([200, null]);
      await nats.kill9();
      await readyUntil(node, ([status, reason]) => status === 503 && reason === "not connected to NATS");
      await nats.start();
      await readyUntil(node, ([status]) => status === 200);
    },
    timeoutMs,
  );
});

/** Asks again until readiness is as wanted. */
async function readyUntil(node: RunningServer, wanted: (readiness: readonly unknown[]) => boolean): Promise<void> {
  while (!wanted(await readiness(node)));
}

function stateOf({ nodes }: Listed, wanted: string): string | undefined {
  return nodes.find(({ id }) => id === wanted)?.report?.state;
}

/** The texts of messages in a push. */
function bodiesIn(entries: unknown): readonly unknown[] {
  return (entries as readonly (readonly unknown[])[]).map((entry) => (entry[9] as readonly unknown[] | null)?.[0]);
}
