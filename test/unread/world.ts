// Devices of two people, with the SDK, on networks that fail, and the random things they do: for the unread property.
import { createClient, memoryStorage } from "../../src/client";
import type { ClientStorage, ParleyClient } from "../../src/client";
import { Connection } from "../crash/connection";
import { pause, until } from "../crash/crowd";
import type { ServerProcess } from "../crash/server-process";
import type { Random } from "../sim/random";
import { FlakyNetwork } from "./flaky-network";
import { countUnread, readWholeLog } from "./oracle";

const requestTimeoutMs = 2_000;

/** A device: its client comes and goes, its storage and its network stay. */
export class Device {
  readonly user: string;
  readonly name: string;
  readonly network = new FlakyNetwork();
  readonly #storage: ClientStorage = memoryStorage();
  readonly #server: ServerProcess;
  client: ParleyClient;

  constructor(server: ServerProcess, user: string, name: string) {
    this.user = user;
    this.name = name;
    this.#server = server;
    this.client = this.#open();
  }

  #open(): ParleyClient {
    return createClient({
      url: this.#server.url,
      token: () => Promise.resolve(this.#server.token(this.user)),
      deviceId: this.name,
      storage: this.#storage,
      webSocket: this.network.webSocket,
      backoff: { baseMs: 5, capMs: 50 },
      requestTimeoutMs,
    });
  }

  /** The application ends and begins again with what it had stored. */
  async restart(): Promise<void> {
    await this.client.close();
    this.client = this.#open();
  }

  get settled(): boolean {
    const { state, synced } = this.client.connection.getSnapshot();
    return state === "online" && synced && this.client.outbox.getSnapshot().every(({ status }) => status === "failed");
  }
}

/** One difference between what should be equal. */
export interface Difference {
  readonly user: string;
  readonly conversation: string;
  readonly server: number | null;
  readonly client: number | null;
  readonly oracle: number | null;
  readonly device: string;
}

/** The world of one seed. */
export class World implements AsyncDisposable {
  readonly devices: readonly Device[];
  /** What happened, for whoever reads a failure. */
  readonly trace: string[] = [];
  /** Messages that somebody was told are stored. */
  acked = 0;
  readonly #server: ServerProcess;
  readonly #random: Random;
  readonly #run: string;
  #direct = "";
  #group = "";
  #channel = "";
  /** The highest mark acknowledged, by person and conversation: what the oracle takes for the cursor. */
  readonly #marks = new Map<string, number>();
  readonly #marking = new Set<Promise<void>>();
  /** Views that somebody looks at, by device and conversation, and how to look away. */
  readonly #looking = new Map<string, () => void>();
  #serial = 0;

  private constructor(server: ServerProcess, random: Random) {
    this.#server = server;
    this.#random = random;
    this.#run = `u${random.int(2 ** 30).toString(36)}`;
    const [ann, bob] = [`ann-${this.#run}`, `bob-${this.#run}`];
    this.devices = [
      new Device(server, ann, "phone"),
      new Device(server, ann, "laptop"),
      new Device(server, bob, "phone"),
    ];
  }

  /** Signs everybody in and makes a direct conversation, a group and a channel. */
  static async begin(server: ServerProcess, random: Random): Promise<World> {
    const world = new World(server, random);
    await Promise.all(world.devices.map(({ client }) => client.ready()));
    const ann = world.devices[0]!.client;
    const bob = world.devices[2]!.user;
    world.#direct = await ann.openDirect(bob);
    world.#group = await ann.createGroup({ name: "group" }, [bob]);
    world.#channel = await ann.createChannel({ name: "channel" }, [bob]);
    await world.settle();
    return world;
  }

  get #conversations(): readonly string[] {
    return [this.#direct, this.#group, this.#channel];
  }

  /** Does one thing, chosen at random. What fails because somebody is no member just now is part of it. */
  async step(): Promise<void> {
    const what = this.#random.weighted({
      send: 10,
      silent: 2,
      read: 6,
      part: 1,
      whole: 1,
      leave: 1,
      come: 2,
      cut: 1,
      mend: 3,
      restart: 1,
      mute: 1,
      look: 3,
      rest: 8,
    });
    const device = this.#random.pick(this.devices);
    const conversation = this.#random.pick(this.#conversations);
    this.trace.push(`${device.user}/${device.name} ${what} ${conversation}`);
    switch (what) {
      case "send":
        return this.#send(device, conversation, this.#random.between(1, 5), false);
      case "silent":
        return this.#send(device, conversation, 1, true);
      case "read":
        return this.#read(device, conversation);
      case "part":
      case "whole":
        return this.#sendBehindTheBack(device, conversation, what === "whole");
      case "leave":
        return this.#change(
          this.devices[2]!.client.conversation(this.#random.pick([this.#group, this.#channel])).leave(),
        );
      case "come":
        return this.#comeBack();
      case "cut":
        return device.network.cut();
      case "mend":
        device.network.mend();
        return device.client.connect();
      case "restart":
        return device.restart();
      case "look":
        return this.#look(device, conversation);
      case "rest":
        return pause(this.#random.between(1, 10));
      case "mute":
        return this.#change(device.client.conversation(conversation).settings({ muted: this.#random.chance(0.5) }));
    }
  }

  #send(device: Device, conversation: string, count: number, uncounted: boolean): void {
    const view = device.client.conversation(conversation);
    for (let i = 0; i < count; i++) {
      const { acked } = view.send({ text: `${this.#serial++}`, uncounted });
      this.#change(acked.then(() => void this.acked++));
    }
  }

  /** A late outbox: queued while cut off, sent by a later life of the application. */
  async #sendBehindTheBack(device: Device, conversation: string, restart: boolean): Promise<void> {
    device.network.cut();
    this.#send(device, conversation, 2, false);
    this.#read(device, conversation);
    await device.client.flush();
    if (restart) await device.restart();
  }

  #read(device: Device, conversation: string): void {
    const view = device.client.conversation(conversation);
    const row = device.client.conversations.getSnapshot().find(({ id }) => id === conversation);
    if (!row || row.headSeq === 0) return;
    const seq = this.#random.chance(0.5) ? row.headSeq : this.#random.between(1, row.headSeq);
    const key = `${device.user} ${conversation}`;
    const note = (mark: { seq: number }): void =>
      void this.#marks.set(key, Math.max(this.#marks.get(key) ?? 0, mark.seq));
    this.#change(view.markRead(seq).then(note));
  }

  /** Begins to look at a conversation, or looks away. */
  #look(device: Device, conversation: string): void {
    const key = `${device.user}/${device.name} ${conversation}`;
    const away = this.#looking.get(key);
    away?.();
    if (away) this.#looking.delete(key);
    else
      this.#looking.set(
        key,
        device.client.conversation(conversation).subscribe(() => undefined),
      );
  }

  #comeBack(): void {
    const [ann, , bob] = this.devices as [Device, Device, Device];
    this.#change(ann.client.conversation(this.#group).add([bob.user]));
    this.#change(bob.client.conversation(this.#channel).join());
  }

  /** Refusals are part of the game: what counts is what the log says in the end. */
  #change(done: Promise<unknown>): void {
    const settled: Promise<void> = done.then(
      () => undefined,
      () => undefined,
    );
    this.#marking.add(settled);
    void settled.finally(() => this.#marking.delete(settled));
  }

  /** Entries in all logs: how much the counts are about. */
  async size(): Promise<number> {
    const connection = await this.#ask(this.devices[0]!.user);
    let entries = 0;
    for (const conversation of this.#conversations) entries += (await readWholeLog(connection, conversation)).length;
    connection.close();
    return entries;
  }

  /** Mends every network and waits until nothing is queued and everybody has heard everything. */
  async settle(): Promise<void> {
    for (const device of this.devices) {
      device.network.mend();
      device.client.connect();
    }
    await until("every outbox is empty", () => this.devices.every((device) => device.settled));
  }

  /** Compares the three counts of every device and conversation, until they agree or a deadline passes. */
  async differences(): Promise<readonly Difference[]> {
    const deadline = performance.now() + 5_000;
    for (;;) {
      const found = await this.#compare();
      if (found.length === 0 || performance.now() > deadline) return found;
      await Bun.sleep(10);
    }
  }

  async #compare(): Promise<readonly Difference[]> {
    const found: Difference[] = [];
    const owner = await this.#ask(this.devices[0]!.user);
    const logs = new Map<string, Awaited<ReturnType<typeof readWholeLog>>>();
    for (const conversation of this.#conversations) logs.set(conversation, await readWholeLog(owner, conversation));
    owner.close();
    for (const device of this.devices) {
      const connection = await this.#ask(device.user);
      const [, rows, , totals] = await connection.ask("sync", [null, []]);
      connection.close();
      for (const conversation of this.#conversations) {
        const row = rows.find(([id]) => id === conversation);
        const own = device.client.conversations.getSnapshot().find(({ id }) => id === conversation);
        const shown = row?.[5][0] ?? 0;
        const cursor = Math.max(shown, row ? (this.#marks.get(`${device.user} ${conversation}`) ?? 0) : 0);
        const oracle = countUnread(logs.get(conversation)!, device.user, cursor);
        if (shown < cursor) found.push(this.#difference(device, `cursor of ${conversation}`, shown, null, cursor));
        const [server, client] = [row?.[7] ?? null, own?.unread ?? null];
        if (server === oracle && client === oracle) continue;
        found.push(this.#difference(device, conversation, server, client, oracle));
      }
      const sums = device.client.totals.getSnapshot();
      if (totals && (sums.unread !== totals[0] || sums.mutedUnread !== totals[1])) {
        found.push(this.#difference(device, "total", totals[0], sums.unread, null));
        found.push(this.#difference(device, "muted total", totals[1], sums.mutedUnread, null));
      }
    }
    return found;
  }

  #difference(
    { user, name }: Device,
    conversation: string,
    server: number | null,
    client: number | null,
    oracle: number | null,
  ): Difference {
    return { user, device: name, conversation, server, client, oracle };
  }

  #ask(user: string): Promise<Connection> {
    return Connection.open(this.#server.url, this.#server.token(user), "auditor", () => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.devices.map(({ client }) => client.close()));
  }
}
