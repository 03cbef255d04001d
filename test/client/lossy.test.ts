// Connections that break at random, before a request arrives or before its answer does: what must hold all the same.
import { expect, test } from "bun:test";
import type { ParleyClient } from "../../src/client";
import { Random } from "../sim/random";
import { LossyNetwork } from "./lossy-network";
import { Home, next, until } from "./real";

const firstSeed = Number(process.env.CLIENT_SEED ?? Math.floor(Math.random() * 2 ** 31));
const sendsEach = 80;

/** What one client's application was told. */
class Heard {
  readonly seqs: number[] = [];
  readonly starts: number[] = [];
  readonly #client: ParleyClient;

  constructor(client: ParleyClient) {
    this.#client = client;
    client.on("start", ({ from }) => void this.starts.push(from));
    client.on("entry", ({ entry }) => void this.seqs.push(entry[0]));
  }

  /** Resolves once `seq` was delivered. */
  async reached(seq: number): Promise<void> {
    if ((this.seqs.at(-1) ?? 0) < seq) await next(this.#client, "entry", ({ entry }) => entry[0] >= seq);
  }
}

/** Sends in bursts; answers what was acknowledged, in the order sent. */
async function chatter(client: ParleyClient, id: string, who: number, random: Random): Promise<[number, string][]> {
  const sent: [number, string][] = [];
  while (sent.length < sendsEach) {
    const burst = Math.min(random.between(1, 6), sendsEach - sent.length);
    const texts = Array.from({ length: burst }, (_, i) => `${who} ${sent.length + i}`);
    const seqs = await Promise.all(texts.map((text) => client.conversation(id).send(text).acked));
    for (const [i, seq] of seqs.entries()) sent.push([seq, texts[i] as string]);
  }
  return sent;
}

for (const seed of [firstSeed, firstSeed + 1, firstSeed + 2]) {
  test(`every message is stored once, in its sender's order, and delivered once to everybody (CLIENT_SEED=${seed})`, async () => {
    const random = new Random(seed);
    const network = new LossyNetwork(random);
    await using home = await Home.open();
    const options = { webSocket: network.webSocket, requestTimeoutMs: 1_000, backoff: { baseMs: 1, capMs: 5 } };
    const names = ["alice", "bob", "carol"];
    const clients = names.map((name) => home.client(name, options));
    await using _ = {
      [Symbol.asyncDispose]: async () => void (await Promise.all(clients.map((client) => client.close()))),
    };
    const [alice] = clients as [ParleyClient];
    await Promise.all(clients.map((client) => client.ready()));
    const heard = clients.map((client) => new Heard(client));
    const id = await alice.createGroup({ name: "Lossy" }, ["bob", "carol"]);
    await Promise.all(clients.map((client) => until(client.conversations, (rows) => rows.length === 1)));

    network.isLossy = true;
    const acked = await Promise.all(clients.map((client, who) => chatter(client, id, who, random)));
    network.isLossy = false;
    const total = names.length * sendsEach;
    await Promise.all(heard.map((one) => one.reached(total + 2)));
    await Promise.all(clients.map((client) => client.ready()));
    await Promise.all(clients.map((client) => client.conversation(id).markRead()));

    expect(network.breaks).toBeGreaterThan(0);
    const bySeq = new Map(acked.flat());
    expect(bySeq.size).toBe(total);
    for (const sent of acked) expect(sent.map(([seq]) => seq)).toEqual(sent.map(([seq]) => seq).sort((a, b) => a - b));
    for (const [who, { seqs, starts }] of heard.entries()) {
      expect(starts).toHaveLength(1);
      const from = starts[0] as number;
      expect(seqs).toEqual(Array.from({ length: total + 3 - from }, (_, i) => from + i));
      const state = (clients[who] as ParleyClient).conversation(id).getSnapshot();
      expect(state.messages.filter(({ status }) => status !== "sent")).toEqual([]);
      expect((clients[who] as ParleyClient).totals.getSnapshot()).toEqual({ unread: 0, mutedUnread: 0 });
    }
    await using reader = home.client("alice", { resumeEntriesMax: Number.POSITIVE_INFINITY });
    await reader.ready();
    const view = reader.conversation(id);
    await view.loadBefore();
    while (view.getSnapshot().hasBefore) await view.loadBefore();
    const stored = view.getSnapshot().messages.map(({ seq, text }) => [seq, text] as const);
    expect(stored as [number, string][]).toEqual([...bySeq].sort(([a], [b]) => a - b));
  }, 60_000);
}
