// One node of a simulated cluster: real actors, router, gateway, hub and sessions, over a bus, a store and sockets in memory.
// Owned by fanout-world.ts, which decides who owns which partition and what goes wrong.
import { ClusterGateway } from "../../src/actors/cluster-gateway";
import { ClusterInbox } from "../../src/actors/cluster-inbox";
import { ClusterRouter } from "../../src/actors/cluster-router";
import { conversationKind } from "../../src/actors/conversation";
import { builtInTypes } from "../../src/actors/conversation-types";
import { Entrance } from "../../src/actors/entrance";
import type { InterestMeter, InterestView, SessionsHere } from "../../src/actors/interest";
import type { Placement } from "../../src/actors/placement";
import type { Phase } from "../../src/actors/placement-slot";
import { reopenAll } from "../../src/actors/reopen";
import { RowSource } from "../../src/actors/rows";
import type { SessionMeter, SessionWorld } from "../../src/actors/session-world";
import { createActorSystem } from "../../src/actors/system";
import type { ActorSystem } from "../../src/actors/system";
import { userKind } from "../../src/actors/user";
import type { Cancel, Clock } from "../../src/lib/clock";
import { silentLog } from "../../src/lib/log";
import { settings } from "../../src/lib/settings";
import type { ConversationId, Epoch, UserId } from "../../src/protocol/ids";
import { Hub } from "../../src/transport/hub";
import { HubSessions } from "../../src/transport/hub-sessions";
import { FanOutLine } from "./fanout-line";
import type { MemoryBus } from "./memory-bus";
import { MemoryStore } from "./memory-store";
import type { NodeHost } from "./fanout-host";

/** Idle actors go soon, so that conversations close and open again within a schedule. */
const kindLimits = { mailboxMax: 1_000, idleMs: 400, activeMax: 1_000 };
const config = settings.parse({});

/** Every recording function, doing nothing. */
const noMeter = new Proxy({}, { get: () => () => undefined });

/** See the head of this file. */
export class FanOutNode {
  readonly name: string;
  readonly bus: MemoryBus;
  readonly gateway: ClusterGateway;
  readonly world: SessionWorld;
  readonly hub: Hub;
  /** Partitions that this node believes to own. */
  readonly held = new Map<number, Epoch>();
  readonly #world: NodeHost;
  readonly #store: MemoryStore;
  readonly #system: ActorSystem;
  readonly #router: ClusterRouter;
  readonly #inbox: ClusterInbox;
  readonly #releasing = new Set<number>();
  readonly #abort = new AbortController();
  readonly #topics = new Map<string, Set<FanOutLine>>();
  #dead = false;

  constructor(world: NodeHost, name: string) {
    const { clock } = this;
    this.#world = world;
    this.name = name;
    this.bus = world.net.join(name);
    const { random } = world.schedule;
    this.#store = new MemoryStore({
      data: world.data,
      schedule: (step) => void clock.after(random.int(4), step),
      fault: ({ kind }) => (kind === "read" && random.chance(world.faults.readFails) ? "refused" : null),
    });
    this.hub = new Hub({ clock, log: silentLog(), meter: noMeter as SessionMeter & never, settings: config });
    this.gateway = this.#openGateway();
    this.#system = createActorSystem({ ...this.#kinds(), clock, placement: this.#placement });
    const bus = this.bus;
    const common = { self: name, bus, clock, system: this.#system, meter: noMeter as never };
    this.#router = new ClusterRouter({ ...common, placement: this.#view });
    this.#inbox = new ClusterInbox({
      ...common,
      suspect: () => undefined,
      epochOf: (partition) => this.#placement.epochOf(partition),
      listener: this.gateway,
      reopen: () => undefined,
      moved: (partition) => this.#router.moved(partition),
    });
    this.world = this.#openSessions(this.gateway.interest);
    this.gateway.start();
  }

  /** The machine's clock, silent once the process is gone. */
  readonly clock: Clock = {
    now: () => this.#world.schedule.clock.now(),
    monotonic: () => this.#world.schedule.clock.monotonic(),
    after: (ms: number, call: () => void): Cancel => this.#world.schedule.clock.after(ms, () => this.#alive(call)),
    endOfTurn: (call: () => void): void => this.#world.schedule.clock.endOfTurn(() => this.#alive(call)),
  };

  get isDead(): boolean {
    return this.#dead;
  }

  /** A socket to this node. */
  line(take: (frame: Uint8Array) => void, closed: (retryMs: number) => void): FanOutLine {
    return new FanOutLine(this.#topics, this.clock, take, closed);
  }

  /** Owns it from now on, under a fresh epoch. */
  take(partition: number): void {
    if (this.#dead) return;
    const epoch = this.#world.data.claim([partition]);
    this.held.set(partition, epoch);
    void this.#inbox.subscribe(partition, epoch);
    void reopenAll({
      router: {
        tell: (...args) => this.#router.tell(...args),
        peek: (...args) => this.#system.peek(...args),
        recentlyActive: (...args) => this.#system.recentlyActive(...args),
      },
      store: this.#store,
      clock: this.clock,
      partitions: () => (this.held.get(partition) === epoch ? [partition] : []),
      signal: this.#abort.signal,
      onDelay: () => undefined,
    });
  }

  /** Gives it away; then `done`. */
  release(partition: number, done: () => void): void {
    this.#releasing.add(partition);
    void this.#inbox.release(partition).then(() => {
      this.#releasing.delete(partition);
      this.held.delete(partition);
      done();
    });
  }

  /** Learns that it is another's. */
  drop(partition: number): void {
    this.held.delete(partition);
    this.#releasing.delete(partition);
    if (!this.#dead) this.#inbox.drop(partition);
  }

  /** Another owner is known for it. */
  moved(partition: number): void {
    if (!this.#dead) this.#router.moved(partition);
  }

  /** kill -9. */
  crash(): void {
    this.#dead = true;
    this.#world.net.leave(this.name);
    this.#store.crash();
    this.#abort.abort();
    this.gateway.stop();
    this.#router.stop();
    this.#system.stop();
    for (const line of new Set([...this.#topics.values()].flatMap((lines) => [...lines]))) line.cut();
  }

  readonly #placement: Placement = {
    epochOf: (partition) => this.held.get(partition) ?? null,
    suspect: (partition) => this.#world.suspected(this.name, partition),
    mayAnswer: (partition) => this.#world.data.epochOf(partition) === this.held.get(partition),
  };

  readonly #view = {
    phaseOf: (partition: number): Phase =>
      this.held.has(partition) && !this.#releasing.has(partition) ? "owned" : "away",
    ownerOf: (partition: number) => this.#world.ownerOf(partition),
    mayAnswer: (partition: number) => this.#placement.mayAnswer(partition),
    unreachable: () => undefined,
  };

  #openGateway(): ClusterGateway {
    const { meter: counted } = this.#world;
    const meter = new Proxy({}, { get: (_, name) => Reflect.get(counted, name) ?? (() => undefined) }) as InterestMeter;
    return new ClusterGateway({
      self: this.name,
      bus: this.bus,
      clock: this.clock,
      store: this.#store,
      meter,
      sessions: this.#sessions(),
      owned: this.#placement,
      peek: (kind, key) => (this.#dead ? null : this.#router.peek(kind, key)),
      local: {
        standing: (...args) => this.#here.standing(...args),
        holds: (...args) => this.#here.holds(...args),
      },
    });
  }

  get #here(): RowSource {
    return new RowSource(this.#router, this.#store);
  }

  #sessions(): SessionsHere {
    const sessions = new HubSessions(this.hub, this.clock);
    if (!this.#world.resyncs) sessions.doubted = () => 0;
    return sessions;
  }

  #kinds() {
    const deps = { store: this.#store, clock: this.clock, gateway: this.gateway };
    const tellHere = (kind: "conversation" | "user") => (key: string) =>
      this.#router.tellHere(kind, key, { op: "reopen" });
    const onFault = (_: ConversationId, error: unknown): void => this.#world.broke(error);
    const types = new Map(Object.entries(builtInTypes));
    const events = {
      failed: (kind: string, key: string, phase: string, error: unknown) =>
        this.#world.schedule.trace(() => `${this.name}: ${kind} ${key} failed to ${phase}: ${String(error)}`),
      dropped: () => undefined,
    };
    const route = (kind: "conversation" | "user", key: string, message: unknown): void =>
      this.#router.tell(kind, key, message);
    const kinds = [
      conversationKind({ ...deps, types, onFault, reopen: tellHere("conversation") }, kindLimits),
      userKind({ ...deps, reopen: tellHere("user") }, kindLimits),
    ];
    return { kinds, events, route };
  }

  #openSessions(interest: InterestView): SessionWorld {
    const { clock, hub } = this;
    const rows = new RowSource(this.#router, this.#store, interest);
    hub.start(
      {
        publish: (topic, frame) => this.#publish(topic, frame),
        subscribers: (topic) => this.#topics.get(topic)?.size ?? 0,
      },
      rows,
    );
    const { random } = this.#world.schedule;
    const meter = noMeter as SessionMeter & { dropped(what: string): void };
    return {
      clock,
      log: silentLog(),
      meter,
      settings: config,
      router: this.#router,
      store: this.#store,
      rows,
      directory: hub,
      entrance: new Entrance({ clock, settings: config, meter, random: () => random.next() }),
      verifyToken: async (token) => ({ ok: true, user: token as UserId, issuedAt: 1e9, expiresAt: null }),
      server: "simulated",
    };
  }

  #publish(topic: string, frame: Uint8Array): number {
    for (const line of [...(this.#topics.get(topic) ?? [])]) line.published(frame);
    return 1;
  }

  #alive(call: () => void): void {
    if (!this.#dead) call();
  }
}
