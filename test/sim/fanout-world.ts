// A simulated cluster and the people on it: who owns what, who says what, and what goes wrong, all from one seed.
// Owned by fanout.test.ts. What clients receive is judged by themselves as it comes; what they have in the end, here.
import { partitionCount, partitionOf } from "../../src/lib/hash";
import type { ConversationId, UserId } from "../../src/protocol/ids";
import { FanOutClient } from "./fanout-client";
import type { ClientHost, NodeHost } from "./fanout-host";
import { FanOutNode } from "./fanout-node";
import { MemoryNet } from "./memory-bus";
import type { Schedule } from "./simulate";
import { WatchedData } from "./watched-data";

/** When a killed node's partitions are taken over, milliseconds. */
const takeOverMs = 800;
/** How long an owner that was overtaken does not know of it, at most, milliseconds. */
const zombieMs = 250;
/** How long everything may take to be right again once nothing goes wrong any more, milliseconds. */
const settleMs = 120_000;

/** See the head of this file. */
export class FanOutWorld implements ClientHost, NodeHost {
  readonly schedule: Schedule;
  readonly data = new WatchedData();
  /** Whether clients are told to sync again where something without a number may be lost: what hides that entries were. */
  readonly resyncs: boolean;
  readonly net: MemoryNet;
  readonly faults = { readFails: 0, loses: 0, delayMs: 3 };
  readonly nodes: FanOutNode[] = [];
  readonly clients: FanOutClient[] = [];
  /** Entries that clients received as pushes; gaps of links and conversations read because of something missed. */
  received = 0;
  gaps = 0;
  caughtUp = 0;
  readonly meter = {
    linkGap: () => void this.gaps++,
    caughtUp: (what: string) => void (what === "conversation" && this.caughtUp++),
  };
  readonly #owners = new Array<string | null>(partitionCount).fill(null);
  readonly #conversations: ConversationId[] = [];
  #broken: unknown = null;
  #named = 0;
  #sent = 0;

  constructor(schedule: Schedule) {
    this.schedule = schedule;
    const { clock, random } = schedule;
    this.resyncs = random.chance(0.5);
    this.net = new MemoryNet({
      clock,
      delayMs: () => random.next() * this.faults.delayMs,
      loses: (_from, _to, subject) =>
        (subject.startsWith("gw.") || subject === "answer") && random.chance(this.faults.loses),
    });
  }

  /** Something that must not happen has happened. The first counts. */
  broke(error: unknown): void {
    this.#broken ??= error;
  }

  /** Nodes, an even share of partitions, people on any of them, and some conversations. */
  begin(nodes: number, people: number): void {
    for (let i = 0; i < nodes; i++) this.start();
    for (let partition = 0; partition < partitionCount; partition++)
      this.#own(partition, this.nodes[partition % nodes] as FanOutNode);
    for (let i = 0; i < people; i++) {
      const user = `u${i}` as UserId;
      this.clients.push(new FanOutClient(this, user, "a", i % 2 === 0));
      if (i % 3 === 0) this.clients.push(new FanOutClient(this, user, "b", true));
    }
    for (const client of this.clients) client.connect();
    this.#until(() => this.clients.every(({ synced }) => synced), "everybody is in");
    for (let i = 0; i < 3; i++) this.#create();
    this.pass(200);
  }

  start(): FanOutNode {
    const node = new FanOutNode(this, `n${++this.#named}`);
    this.nodes.push(node);
    return node;
  }

  ownerOf(partition: number): string | null {
    return this.#owners[partition] ?? null;
  }

  anyNode(): FanOutNode | null {
    const up = this.nodes.filter(({ isDead }) => !isDead);
    return up.length === 0 ? null : this.schedule.random.pick(up);
  }

  /** An activation was fenced: its node looks soon whether the partition is another's. */
  suspected(name: string, partition: number): void {
    this.schedule.clock.after(5, () => {
      const node = this.nodes.find((one) => one.name === name);
      if (node) this.#audit(node, partition);
    });
  }

  pass(ms: number): void {
    this.schedule.clock.advance(ms);
    if (this.#broken !== null) throw this.#broken;
    if (this.data.broken !== null) throw this.data.broken;
  }

  /** One thing that people or faults do. */
  step(): void {
    const { random } = this.schedule;
    const what = random.weighted({
      send: 40, read: 8, members: 10, create: 2, leave: 4, loss: 4, cut: 4, hand: 4, overtake: 3, kill: 1, start: 2, store: 2,
    }); // biome-ignore format: one table
    this.#do(what);
    this.pass(random.pick([5, 50, 400]));
  }

  /** Nothing goes wrong any more. */
  heal(): void {
    Object.assign(this.faults, { readFails: 0, loses: 0, delayMs: 3 });
    for (const node of this.nodes) if (!node.isDead) node.bus.reconnect();
    if (this.anyNode() === null) this.start();
  }

  /** Waits until everybody has everything. Throws with what is missing. */
  settle(): void {
    this.#until(
      () => this.#missing() === null,
      () => this.#missing() ?? "nothing is missing",
    );
  }

  #do(what: string): void {
    const { random, trace } = this.schedule;
    const client = random.pick(this.clients);
    switch (what) {
      case "send":
        return this.#send(client);
      case "read":
        return this.#read(client);
      case "members":
        return this.#changeMembers();
      case "create":
        return this.#create();
      case "leave":
        return client.leave();
      case "loss":
        this.faults.loses = random.pick([0, 0.02, 0.2]);
        this.faults.delayMs = random.pick([1, 5, 60]);
        return;
      case "store":
        this.faults.readFails = random.pick([0, 0, 0.2]);
        return;
      case "cut":
        return this.#cut();
      case "hand":
      case "overtake":
        return this.#move(what === "hand");
      case "kill":
        return this.#kill();
      default:
        trace(() => "a node starts");
        if (this.nodes.filter(({ isDead }) => !isDead).length < 4) this.#share(this.start());
    }
  }

  #send(client: FanOutClient): void {
    const shown = [...client.shown.keys()];
    if (shown.length > 0) this.#sendTo(client, this.schedule.random.pick(shown));
  }

  #sendTo(client: FanOutClient, conversation: ConversationId): void {
    const { random } = this.schedule;
    const items = Array.from({ length: random.pick([1, 1, 1, 5]) }, () => [`m${++this.#sent}`, [`text ${this.#sent}`]]);
    void client.request("send", conversation, items).catch(() => undefined);
  }

  #read(client: FanOutClient): void {
    const shown = [...client.shown];
    if (shown.length === 0) return;
    const [conversation, seq] = this.schedule.random.pick(shown);
    void client.request("read", conversation, "read", seq).catch(() => undefined);
  }

  /** Somebody who may adds or removes somebody. */
  #changeMembers(): void {
    const { random } = this.schedule;
    if (this.#conversations.length === 0) return;
    const conversation = random.pick(this.#conversations);
    const named = random.pick(this.clients).user;
    const creator = this.clients.find(({ shown }) => shown.has(conversation));
    if (!creator || creator.user === named) return;
    const log = this.data.logs.of(conversation);
    const isMember = log.isMemberAt(named, log.head);
    const args = isMember
      ? ["remove", conversation, `c${++this.#sent}`, [named]]
      : ["add", conversation, `c${++this.#sent}`, [named], null];
    this.schedule.trace(() => `${creator.user} ${args[0]}s ${named} in ${conversation}`);
    void creator.request(args[0] as string, ...args.slice(1)).catch(() => undefined);
    // What follows at once is not for those who are removed.
    if (random.chance(0.5)) this.#sendTo(creator, conversation);
  }

  #create(): void {
    const { random } = this.schedule;
    const client = random.pick(this.clients);
    if (!client.synced) return;
    const others = [...new Set(this.clients.map(({ user }) => user))].filter(
      (user) => user !== client.user && random.chance(0.6),
    );
    void client
      .request("create", "group", `g${++this.#sent}`, null, others)
      .then((answer) => this.#conversations.push((answer as [ConversationId])[0]))
      .catch(() => undefined);
  }

  #cut(): void {
    const { random, clock, trace } = this.schedule;
    const node = this.anyNode();
    if (!node) return;
    trace(() => `${node.name} loses its connection`);
    node.bus.disconnect();
    clock.after(random.pick([20, 300, 2_500]), () => {
      if (!node.isDead) node.bus.reconnect();
    });
  }

  /** Some partitions go from one node to another, of which half the time somebody cares. */
  #move(graceful: boolean): void {
    const { random, trace } = this.schedule;
    const to = this.anyNode();
    if (!to) return;
    const wanted = [
      ...this.#conversations.map((conversation) => partitionOf("conversation", conversation)),
      ...this.clients.map(({ user }) => partitionOf("user", user)),
    ];
    for (let i = random.between(1, 6); i > 0; i--) {
      const partition = random.pick(wanted);
      const from = this.nodes.find((node) => node.held.has(partition));
      if (!from || from === to || from.isDead || this.ownerOf(partition) !== from.name) continue;
      trace(() => `${partition} goes from ${from.name} to ${to.name}${graceful ? "" : ", unasked"}`);
      if (graceful) from.release(partition, () => this.#own(partition, to.isDead ? this.anyNode() : to));
      else {
        this.#own(partition, to);
        this.schedule.clock.after(random.int(zombieMs), () => this.#audit(from, partition));
      }
    }
  }

  #kill(): void {
    const { clock, trace } = this.schedule;
    const node = this.anyNode();
    if (!node || this.nodes.filter(({ isDead }) => !isDead).length < 2) return;
    trace(() => `${node.name} is killed`);
    const held = [...node.held.keys()];
    node.crash();
    for (const client of this.clients) if (client.node === node) client.leave();
    clock.after(takeOverMs, () => {
      for (const other of this.nodes) if (!other.isDead) other.gateway.nodeGone(node.name);
      for (const partition of held) if (this.ownerOf(partition) === node.name) this.#own(partition, this.anyNode());
    });
  }

  /** A newcomer gets a share. */
  #share(node: FanOutNode): void {
    for (let partition = 0; partition < partitionCount; partition += 4) {
      const from = this.nodes.find((one) => one.held.has(partition) && !one.isDead);
      if (from && from !== node && this.ownerOf(partition) === from.name)
        from.release(partition, () => this.#own(partition, node.isDead ? this.anyNode() : node));
    }
  }

  #own(partition: number, node: FanOutNode | null): void {
    if (node === null) return void this.schedule.clock.after(takeOverMs, () => this.#own(partition, this.anyNode()));
    this.#owners[partition] = node.name;
    node.take(partition);
    for (const other of this.nodes) if (other !== node) other.moved(partition);
  }

  #audit(node: FanOutNode, partition: number): void {
    const epoch = node.held.get(partition);
    if (epoch !== undefined && this.data.epochOf(partition) !== epoch) node.drop(partition);
  }

  /** What somebody lacks; null: nothing. */
  #missing(): string | null {
    for (const client of this.clients) {
      if (!client.synced) return `${client.name} is not in`;
      for (const conversation of this.#conversations) {
        const log = this.data.logs.of(conversation);
        const shown = client.shown.get(conversation);
        const isMember = log.isMemberAt(client.user, log.head);
        if (!isMember && shown !== undefined) return `${client.name} still shows ${conversation}`;
        if (isMember && shown !== log.head) return `${client.name} has ${shown} of ${log.head} in ${conversation}`;
        const cursor = this.data.log(conversation)?.cursors.get(client.user)?.seq ?? 0;
        if (this.resyncs && isMember && (client.cursors.get(conversation) ?? 0) < cursor)
          return `${client.name} has not heard of the mark at ${cursor} in ${conversation}`;
      }
      const userSeq = this.data.feed(client.user)?.user?.userSeq ?? 0;
      if (client.userSeq < userSeq) return `${client.name} has ${client.userSeq} of ${userSeq} changes`;
    }
    return null;
  }

  #until(done: () => boolean, what: string | (() => string)): void {
    const { clock } = this.schedule;
    const until = clock.monotonic() + settleMs;
    while (!done()) {
      if (clock.monotonic() > until) throw new Error(`never: ${typeof what === "string" ? what : what()}`);
      this.pass(100);
    }
  }
}
