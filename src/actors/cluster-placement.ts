// Runs a node's placement: does what the state machine wants through ports, and tells it what came of it.
// One of these a node in a cluster; a node that is alone has local-placement.ts, and needs none of this.
import type { Cancel, Clock } from "../lib/clock";
import type { Epoch } from "../protocol/ids";
import type { Placement } from "./placement";
import { placementTimes } from "./placement-events";
import type {
  Holding,
  MemberState,
  PingOutcome,
  PlacementCommand,
  PlacementEvent,
  PlacementNews,
} from "./placement-events";
import type { KeyValue, KvWatch } from "./placement-kv";
import { PlacementNode } from "./placement-node";
import type { PlacementStats } from "./placement-node";
import type { Incarnation } from "./placement-shares";
import type { Phase } from "./placement-slot";

/** What a cluster's placement asks of the store. Rejects where the store cannot answer; answers within a bounded time. */
export interface EpochStore {
  /** As `Store.claim`. */
  claim(partitions: readonly number[]): Promise<Epoch>;
  /** Those of `held` whose epoch is not the newest any more; with none, whether the store answers at all. */
  auditAll(held: readonly Holding[]): Promise<readonly number[]>;
}

/** What the placement has done on its node. Nothing throws; what answers does so within a bounded time. */
export interface PlacementHost {
  /** Listens on the partition's subject, in a plain subscription. False: it cannot now. */
  subscribe(partition: number, epoch: Epoch): Promise<boolean>;
  /** Drains the subscription, has handled what arrived, has finished commits and ended the partition's activations. */
  release(partition: number, epoch: Epoch): Promise<void>;
  /** The partition is another's: unsubscribes, ends its activations without a word. */
  drop(partition: number, epoch: Epoch): void;
  /** Reopens, throttled, what the predecessor left open; ends by itself when the epoch does. */
  reopen(partition: number, epoch: Epoch): void;
  /** Asks whether a node listens on its own subject. */
  ping(member: Incarnation): Promise<PingOutcome>;
  /** Another owner than before: what is in flight to the partition is resent. */
  moved(partition: number, owner: Incarnation | null): void;
}

/** What a cluster's placement is made of. */
export interface ClusterPlacementOptions {
  readonly self: Incarnation;
  readonly partitions: number;
  readonly clock: Clock;
  /** One key a partition, its number: whose it is. */
  readonly claims: KeyValue;
  /** One key a member, its incarnation: what it says of itself. */
  readonly members: KeyValue;
  readonly store: EpochStore;
  readonly host: PlacementHost;
  readonly levels: MemberLevels;
}

/** The levels of features that members support, as their leases tell. */
export interface MemberLevels {
  /** This release's, which stands in this node's lease. */
  readonly level: number;
  /** A lease was written, again and again, this node's own too; 0 where it names no level. */
  seen(member: Incarnation, level: number): void;
  /** It was taken back, or deleted by one that found the member dead; never told of what expires. */
  gone(member: Incarnation): void;
}

/** See the head of this file. Made before the connection stands; tell it with {@link ClusterPlacement.connection}. */
export class ClusterPlacement implements Placement {
  readonly #options: ClusterPlacementOptions;
  readonly #node: PlacementNode;
  readonly #watches: readonly KvWatch[];
  readonly #departed = Promise.withResolvers<void>();
  #cancelTick: Cancel;
  #soon = false;
  #closed = false;

  constructor(options: ClusterPlacementOptions) {
    const { self, partitions, clock, claims, members } = options;
    this.#options = options;
    this.#node = new PlacementNode({ self, partitions, now: clock.monotonic() });
    this.#cancelTick = clock.after(placementTimes.tickMs, () => this.#tick());
    this.#watches = [
      claims.watch({
        restarted: () => this.#hear({ type: "claimsRestarted" }),
        entry: (key, value, revision) => this.#claimSeen(key, value, revision),
        current: () => this.#hear({ type: "claimsCurrent" }),
      }),
      members.watch({
        restarted() {},
        entry: (member, value, revision) => this.#memberSeen(member, value, revision),
        current: () => this.#hear({ type: "membersCurrent" }),
      }),
    ];
  }

  epochOf(partition: number): Epoch | null {
    return this.#closed ? null : this.#node.epochOf(partition);
  }

  suspect(partition: number): void {
    this.#tell({ type: "suspected", partition });
  }

  /** Where a partition is in its way here and away. New work goes to it in `owned`, and in `subscribing`, from this node. */
  phaseOf(partition: number): Phase {
    return this.#node.phaseOf(partition);
  }

  /** Whose it is, as far as this node has heard. */
  ownerOf(partition: number): Incarnation | null {
    return this.#node.claimOf(partition).owner;
  }

  /** The revision at which its owner is known; 0: there is no claim. */
  revisionOf(partition: number): number {
    return this.#node.claimOf(partition).revision;
  }

  /** As {@link PlacementNode.mayAnswer}. */
  mayAnswer(partition: number): boolean {
    return !this.#closed && this.#node.mayAnswer(partition, this.#options.clock.monotonic());
  }

  /** As {@link PlacementNode.knowsMembers}. */
  knowsMembers(): boolean {
    return !this.#closed && this.#node.knowsMembers(this.#options.clock.monotonic());
  }

  stats(): PlacementStats {
    return this.#node.stats();
  }

  /** The connection to NATS stands, or was lost. Told by whoever holds it, before the watches begin afresh. */
  connection(stands: boolean): void {
    this.#tell({ type: stands ? "connected" : "disconnected" });
  }

  /** The router found nobody listening on the partition's subject. */
  unreachable(partition: number): void {
    this.#tell({ type: "unreachable", partition });
  }

  /**
   * Gives every partition to the others and leaves. Resolves when nothing is claimed here any more; never, while NATS is away:
   * the caller has a deadline, and closes. Idempotent.
   */
  drain(): Promise<void> {
    this.#tell({ type: "drain" });
    return this.#departed.promise;
  }

  /** Does and says nothing any more, and owns nothing. What is still claimed is taken over by those who miss it. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#cancelTick();
    for (const watch of this.#watches) watch.stop();
  }

  #tick(): void {
    this.#cancelTick = this.#options.clock.after(placementTimes.tickMs, () => this.#tick());
    this.#tell({ type: "tick" });
  }

  #tell(event: PlacementEvent): void {
    if (!this.#closed) this.#do(this.#node.handle(event, this.#options.clock.monotonic()));
  }

  #hear(news: PlacementNews): void {
    if (!this.#closed) this.#do(this.#node.hear(news, this.#options.clock.monotonic()));
  }

  #do(commands: readonly PlacementCommand[]): void {
    for (const command of commands) this.#run(command);
    if (!this.#node.dirty || this.#soon) return;
    // A burst of news is looked at once.
    this.#soon = true;
    this.#options.clock.endOfTurn(() => {
      this.#soon = false;
      this.#tell({ type: "tick" });
    });
  }

  #run(command: PlacementCommand): void {
    const { self, claims, members, store, host, clock, levels } = this.#options;
    const beganAt = clock.monotonic();
    switch (command.op) {
      case "renew":
        this.#answer(members.put(self, leaseOf(command.state, levels.level)), (written) => ({
          type: "renewed",
          ok: written?.outcome === "written",
          beganAt,
        }));
        return;
      case "leave":
        void members.delete(self, null);
        return;
      case "expel":
        void members.delete(command.member, command.revision);
        return;
      case "claim": {
        const { partition, owner, revision, attempt } = command;
        this.#answer(claims.update(String(partition), owner ?? nobody, revision), (answer) => ({
          type: "claimAnswered",
          partition,
          attempt,
          answer: answer ?? { outcome: "unknown" },
        }));
        return;
      }
      case "bump": {
        const { partitions } = command;
        this.#answer(store.claim(partitions), (epoch) => ({ type: "bumped", partitions, epoch, beganAt }));
        return;
      }
      case "audit": {
        const { held } = command;
        this.#answer(store.auditAll(held), (lost) => ({ type: "audited", held, lost, beganAt }));
        return;
      }
      case "subscribe": {
        const { partition, epoch } = command;
        const subscribed = host.subscribe(partition, epoch);
        this.#answer(subscribed, (ok) => ({ type: "subscribed", partition, epoch, ok: ok === true }));
        return;
      }
      case "release": {
        const { partition, epoch } = command;
        this.#answer(host.release(partition, epoch), () => ({ type: "released", partition, epoch }));
        return;
      }
      case "ping":
        clock.after(command.afterMs, () => this.#ping(command.member));
        return;
      default:
        this.#pass(command);
    }
  }

  /** What has no answer. */
  #pass(command: Extract<PlacementCommand, { op: "drop" | "reopen" | "moved" | "rewatch" | "departed" }>): void {
    const { host } = this.#options;
    switch (command.op) {
      case "drop":
        host.drop(command.partition, command.epoch);
        return;
      case "reopen":
        host.reopen(command.partition, command.epoch);
        return;
      case "moved":
        host.moved(command.partition, command.owner);
        return;
      case "rewatch":
        this.#watches[0]?.restart();
        return;
      case "departed":
        this.#departed.resolve();
    }
  }

  #ping(member: Incarnation): void {
    if (this.#closed) return;
    const pinged = this.#options.host.ping(member);
    this.#answer(pinged, (outcome) => ({ type: "pinged", member, outcome: outcome ?? "silent" }));
  }

  /** A rejection, as null, is an answer too: without one the machine would wait for ever. */
  #answer<T>(pending: Promise<T>, eventOf: (value: T | null) => PlacementEvent): void {
    pending.then(
      (value) => this.#tell(eventOf(value)),
      () => this.#tell(eventOf(null)),
    );
  }

  #claimSeen(key: string, value: string | null, revision: number): void {
    const partition = Number(key);
    // Keys that are no partition's, such as notes of the cluster's own, are none of ours.
    if (!Number.isInteger(partition) || partition < 0 || partition >= this.#options.partitions) return;
    const owner = value === null || value === nobody ? null : value;
    this.#hear({ type: "claimSeen", partition, owner, revision });
  }

  #memberSeen(member: Incarnation, value: string | null, revision: number): void {
    if (this.#closed) return;
    const { levels } = this.#options;
    if (value === null) {
      levels.gone(member);
      return this.#hear({ type: "memberGone", member });
    }
    const lease = readLease(value);
    levels.seen(member, lease.level);
    this.#hear({ type: "memberSeen", member, state: lease.state, revision });
  }
}

/** What a claim holds that nobody has. */
const nobody = "-";

/** What stands in a lease: what the member says of itself, and the level of features that its release supports. */
export function leaseOf(state: MemberState, level: number): string {
  return `${state} ${level}`;
}

/** A state that a later release knows is one in which it takes no partitions, as far as this one can tell. */
function readLease(value: string): { readonly state: MemberState; readonly level: number } {
  const [said, named] = value.split(" ");
  const level = Number(named);
  return {
    state: said === "serving" || said === "ailing" ? said : "draining",
    level: Number.isSafeInteger(level) && level > 0 ? level : 0,
  };
}
