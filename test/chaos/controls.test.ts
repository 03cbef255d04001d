// Negative controls of the cluster: each guarantee taken away, in a story in which it matters, and the checker names what is
// broken. The same story with the guarantee in its place breaks nothing.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { connect } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import { decodeRequest, encodeRequest } from "../../src/actors/node-wire";
import type { Bus, BusAnswer, BusSubscription } from "../../src/actors/bus";
import type { Violation } from "../history/checker";
import type { HistoryEvent } from "../history/events";
import { describeWith } from "../services/services";
import { until } from "../until";
import { ControlWorld, openPlainNats } from "./control-world";
import type { ControlParts } from "./control-world";
import type { Fault } from "./faults";
import { readOwners } from "./owners";
import { runChaos } from "./run";
import type { NatsNode } from "../../src/transport/nats";

const timeoutMs = 120_000;
const conversations = 12;

function namesOf(violations: readonly Violation[]): readonly string[] {
  return [...new Set(violations.map(({ name }) => name))].sort();
}

/** A node's place on NATS with another bus. */
function withBus(node: NatsNode, change: Partial<Bus>): NatsNode {
  const { bus } = node;
  const changed: Bus = {
    get connected() {
      return bus.connected;
    },
    get connection() {
      return bus.connection;
    },
    publish: (subject, bytes) => bus.publish(subject, bytes),
    request: (subject, bytes, ms) => bus.request(subject, bytes, ms),
    subscribe: (subject, handle) => bus.subscribe(subject, handle),
    flush: () => bus.flush(),
    onConnection: (listener) => bus.onConnection(listener),
    ...change,
  };
  return { ...node, bus: changed };
}

/** An owner loses its way to NATS but not to the store, others take over, and both are asked. */
async function loseOwner(parts: ControlParts): Promise<readonly Violation[]> {
  await using world = await ControlWorld.open(2, parts);
  (await world.signIn(1, "bob")).close();
  const ann = await world.signIn(0, "ann");
  await world.create(ann, ["bob"], conversations);
  const bob = await world.signIn(1, "bob");
  world.links[0]!.blackHole("both");
  const both = (): Promise<readonly number[]> =>
    Promise.all([world.sendEverywhere(ann, "ann"), world.sendEverywhere(bob, "bob")]);
  while ((await both())[1]! < conversations);
  await both();
  await world.links[0]!.heal();
  return world.judge();
}

/** How long a request may take on a busy machine, milliseconds. */
const patienceMs = 10_000;

/** A node leaves in order while the others ask it for much, over a slow way. */
async function drainUnderLoad(
  change: (subscription: BusSubscription) => BusSubscription,
  environment: Readonly<Record<string, string>> = {},
): Promise<readonly Violation[]> {
  const asked: Asked[] = [];
  await using world = await ControlWorld.open(2, {
    environment,
    openNats: async (config, at) => {
      const node = await openPlainNats(config);
      const { bus } = node;
      const subscribe: Bus["subscribe"] = (subject, handle) => {
        const subscription = bus.subscribe(subject, handle);
        return subject.startsWith("p.") ? change(subscription) : subscription;
      };
      // Waits for longer than the router does: what is silent then was lost, and not only slow.
      const request: Bus["request"] = (subject, bytes, ms) => {
        if (!subject.startsWith("p.")) return bus.request(subject, bytes, ms);
        const answer = bus.request(subject, bytes, Math.max(ms, patienceMs));
        asked.push({ number: decodeRequest(bytes)?.number ?? 0, answer });
        return answer;
      };
      return withBus(node, at === 0 ? { subscribe } : { request });
    },
  });
  (await world.signIn(1, "bob")).close();
  const ann = await world.signIn(1, "ann");
  await world.create(ann, ["bob"], conversations * 4);
  // What is on its way when a subscription ends is what it is about: there must be some.
  world.links[0]!.delay({ toClientMs: 30 });
  let leaving = true;
  const left = world.nodes[0]!.stop().then(() => {
    leaving = false;
  });
  while (leaving) await world.sendEverywhere(ann, "ann");
  await left;
  world.recorder.cluster({ e: "handoff", node: "n1", lost: await countLost(asked) });
  return world.judge();
}

/** One attempt at an ask of another node. */
interface Asked {
  readonly number: number;
  readonly answer: Promise<BusAnswer>;
}

/** Asks that were not answered. One that a slow owner is asked again meanwhile is answered once, by the last attempt. */
async function countLost(asked: readonly Asked[]): Promise<number> {
  const outcomes = await Promise.all(
    asked.map(async ({ number, answer }) => [number, (await answer).outcome] as const),
  );
  const answered = new Set(outcomes.filter(([, outcome]) => outcome === "answered").map(([number]) => number));
  return outcomes.filter(([number, outcome]) => outcome === "silent" && !answered.has(number)).length;
}

const unsubscribing = (subscription: BusSubscription): BusSubscription => ({
  drain: async () => subscription.unsubscribe(),
  unsubscribe: () => subscription.unsubscribe(),
});

/** Subscribes to partitions as one of a group: the server picks one of those who listen. */
function inGroup(connection: NatsConnection): Bus["subscribe"] {
  return (subject, handle) => {
    const callback = (_: Error | null, { data, reply }: { data: Uint8Array; reply?: string }): void =>
      handle({ bytes: data, answer: (bytes) => void (reply && connection.publish(reply, bytes)) });
    const subscription = connection.subscribe(`parley.${subject}`, { queue: "owners", callback });
    return { drain: () => subscription.drain(), unsubscribe: () => subscription.unsubscribe() };
  };
}

/** Two nodes that both believe to own everything, in one queue group, and a third that asks whoever listens. */
async function shareByGroup(): Promise<readonly Violation[]> {
  await using opened = new AsyncDisposableStack();
  await using world = await ControlWorld.open(3, {
    unfenced: true,
    openNats: async (config, at) => {
      const node = await openPlainNats(config);
      const connection = await connect({ servers: config.nats ?? "" });
      opened.defer(() => connection.close());
      const grouped = withBus(node, {
        subscribe: grouping(node.bus, inGroup(connection)),
        request: ofAnyEpoch(node.bus),
      });
      if (at !== 1) return grouped;
      // The second one hears nothing of the others' claims and leases.
      const apart = await openPlainNats({ ...config, natsPrefix: "apart" });
      opened.defer(() => apart.close());
      return { ...grouped, claims: apart.claims, members: apart.members };
    },
  });
  (await world.signIn(0, "bob")).close();
  const ann = await world.signIn(2, "ann");
  await world.create(ann, ["bob"], conversations);
  for (let round = 0; round < 5; round++) await world.sendEverywhere(ann, "ann");
  world.recorder.cluster(await readOwners({ nats: [world.nats], nodes: world.nodes }, 3_000));
  return world.judge();
}

/** Asks any owner, whatever epoch it serves under: else all but the newest would refuse, and do no harm. */
function ofAnyEpoch(bus: Bus): Bus["request"] {
  return (subject, bytes, ms) => {
    const request = subject.startsWith("p.") ? decodeRequest(bytes) : null;
    return bus.request(subject, request ? encodeRequest({ ...request, epoch: null }) : bytes, ms);
  };
}

function grouping(bus: Bus, subscribe: Bus["subscribe"]): Bus["subscribe"] {
  return (subject, handle) => (subject.startsWith("p.") ? subscribe(subject, handle) : bus.subscribe(subject, handle));
}

describeWith("own nats", "an owner that only NATS has lost", () => {
  test(
    "is fenced: nothing is lost, doubled or reordered",
    async () => {
      expect(namesOf(await loseOwner({}))).toEqual([]);
    },
    timeoutMs,
  );

  test(
    "negative control: with no unique index and no epoch check the checker names I2",
    async () => {
      expect(namesOf(await loseOwner({ unfenced: true }))).toContain("I2");
    },
    timeoutMs,
  );
});

describeWith("own nats", "a node that drains under load", () => {
  test(
    "leaves no request unanswered",
    async () => {
      expect(namesOf(await drainUnderLoad((subscription) => subscription))).toEqual([]);
    },
    timeoutMs,
  );

  test(
    "leaves no request unanswered where its time is too short for a hand-over",
    async () => {
      const environment = { PARLEY_DRAIN_MS: "900" };
      expect(namesOf(await drainUnderLoad((subscription) => subscription, environment))).toEqual([]);
    },
    timeoutMs,
  );

  test(
    "negative control: with unsubscribe in place of drain the checker names I9",
    async () => {
      expect(namesOf(await drainUnderLoad(unsubscribing))).toEqual(["I9"]);
    },
    timeoutMs,
  );
});

describeWith("own nats", "negative control: queue groups with two owners", () => {
  test(
    "the checker names I2, and I9: two nodes answer for one partition",
    async () => {
      expect(namesOf(await shareByGroup())).toEqual(expect.arrayContaining(["I2", "I9"]));
    },
    timeoutMs,
  );
});

/** Every node dies while another process holds the store: what was sent and acknowledged meanwhile was committed nowhere. */
const killedUncommitted: Fault = {
  name: "kill while the store is held",
  group: "node",
  victims: () => 1,
  play: async ({ cluster, recorder }) => {
    const program = join(import.meta.dir, "lock-holder.ts");
    const holder = Bun.spawn([process.execPath, program, cluster.store.file ?? "", String(timeoutMs)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await holder.stdout.getReader().read();
    const from = recorder.events.length;
    await until(() => hasAckOfSend(recorder.events.slice(from)));
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    holder.kill();
    await holder.exited;
    await Promise.all(cluster.nodes.map((node) => node.start()));
  },
};

/** Whether something was both sent and acknowledged within these events. */
function hasAckOfSend(events: readonly HistoryEvent[]): boolean {
  const sent = new Set(events.map((event) => (event.e === "invoke" ? event.cid : null)));
  return events.some((event) => event.e === "ack" && sent.has(event.cid));
}

describeWith("own nats", "negative control: acknowledgement before commit", () => {
  test(
    "the checker names I1 once the owners are killed",
    async () => {
      const { violations } = await runChaos({
        store: "sqlite",
        nodes: 2,
        nats: 1,
        minutes: 0,
        seed: 1,
        faults: [killedUncommitted],
        historyFile: null,
        supervised: true,
        rate: 200,
        faultsMin: 0,
        ackedMin: 0,
        perChapter: 1,
        together: false,
        settleMs: 5_000,
        environment: { PARLEY_FAILPOINTS: "negative.ackBeforeCommit" },
        say: () => undefined,
      });
      expect(namesOf(violations)).toContain("I1");
    },
    timeoutMs,
  );
});
