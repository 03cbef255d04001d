// Large conversations over connections that break at random: whoever looks misses nothing, and no number is ever wrong for long.
import { expect, test } from "bun:test";
import type { ParleyClient } from "../../src/client";
import { Random } from "../sim/random";
import { LossyNetwork } from "./lossy-network";
import { Home, next, until } from "./real";

const firstSeed = Number(process.env.CLIENT_SEED ?? Math.floor(Math.random() * 2 ** 31));
const steps = 120;
const people = ["alice", "bob", "carol"];
/** Everything is large; counters come often. */
const settings = { PARLEY_COUNTERS_MEMBERS_ABOVE: "0", PARLEY_COUNTERS_EVERY_MS: "10" };

/** One device: looks and looks away, and remembers what it was told. */
class Device {
  readonly seqs: number[] = [];
  readonly starts: number[] = [];
  readonly client: ParleyClient;
  readonly #id: () => string;
  #away: (() => void) | null = null;

  constructor(client: ParleyClient, id: () => string) {
    this.client = client;
    this.#id = id;
    client.on("start", ({ from }) => void this.starts.push(from));
    client.on("entry", ({ entry }) => void this.seqs.push(entry[0]));
  }

  look(): void {
    this.#away ??= this.client.conversation(this.#id()).subscribe(() => undefined);
  }

  lookAway(): void {
    this.#away?.();
    this.#away = null;
  }

  get row() {
    return this.client.conversations.getSnapshot()[0];
  }

  /** Resolves once everything up to `seq` was told. */
  async reached(seq: number): Promise<void> {
    if ((this.seqs.at(-1) ?? 0) < seq) await next(this.client, "entry", ({ entry }) => entry[0] >= seq);
  }
}

/** Does one thing with one device; answers what it sent. */
function step(device: Device, id: string, random: Random): Promise<number> | null {
  const what = random.weighted({ send: 6, look: 3, away: 3, read: 1, rest: 4 });
  if (what === "look") device.look();
  if (what === "away") device.lookAway();
  if (what === "read") void device.client.conversation(id).markRead(random.between(1, device.row?.headSeq ?? 1));
  if (what !== "send") return null;
  const mentions = random.chance(0.2) ? [random.pick(people)] : [];
  return device.client.conversation(id).send({ text: "x", mentions, uncounted: random.chance(0.1) }).acked;
}

for (const seed of [firstSeed, firstSeed + 1, firstSeed + 2]) {
  test(`whoever looks away and back misses nothing, and every number is the server's (CLIENT_SEED=${seed})`, async () => {
    const random = new Random(seed);
    const network = new LossyNetwork(random);
    await using home = await Home.open(settings);
    let id = "";
    const options = { webSocket: network.webSocket, requestTimeoutMs: 1_000, backoff: { baseMs: 1, capMs: 5 } };
    const devices = [...people, "alice"].map((name) => new Device(home.client(name, options), () => id));
    const auditors = people.map((name) => home.client(name, { counters: false }));
    const clients = [...devices.map(({ client }) => client), ...auditors];
    await using _ = {
      [Symbol.asyncDispose]: async () => void (await Promise.all(clients.map((client) => client.close()))),
    };
    await Promise.all(clients.map((client) => client.ready()));
    id = await (clients[0] as ParleyClient).createGroup({ name: "Large" }, people.slice(1));
    await Promise.all(clients.map((client) => until(client.conversations, (rows) => rows.length === 1)));

    network.isLossy = true;
    const sent: Promise<number>[] = [];
    for (let i = 0; i < steps; i++) {
      const seq = step(random.pick(devices), id, random);
      if (seq) sent.push(seq);
      if (random.chance(0.3)) await Promise.all(sent.slice(-2));
      else await new Promise((resolve) => setImmediate(resolve));
    }
    const head = Math.max(...(await Promise.all(sent)));
    network.isLossy = false;
    await Promise.all(devices.map(({ client }) => until(client.outbox, (items) => items.length === 0)));

    // Before anybody looks again: numbers alone.
    for (const device of devices) {
      device.lookAway();
      const owner = auditors[people.indexOf(device.client.connection.getSnapshot().user as string)] as ParleyClient;
      const both = async (): Promise<readonly unknown[]> =>
        Promise.all(
          [device.client, owner].map(async (client) => {
            await client.ready();
            const row = client.conversations.getSnapshot()[0];
            return [row?.headSeq, row?.unread, row?.readSeq, client.totals.getSnapshot()];
          }),
        );
      await until(device.client.conversations, ([row]) => row?.headSeq === head);
      await until(owner.conversations, ([row]) => row?.headSeq === head && row.readSeq >= (device.row?.readSeq ?? 0));
      await until(
        device.client.conversations,
        ([row]) => row?.readSeq === owner.conversations.getSnapshot()[0]?.readSeq,
      );
      const [ours, theirs] = await both();
      expect(ours).toEqual(theirs);
    }
    for (const device of devices) {
      device.look();
      await device.reached(head);
      expect(device.starts).toHaveLength(1);
      const from = device.starts[0] as number;
      expect(device.seqs).toEqual(Array.from({ length: head + 1 - from }, (_, i) => from + i));
    }
    expect(network.breaks).toBeGreaterThan(0);
  }, 60_000);
}
