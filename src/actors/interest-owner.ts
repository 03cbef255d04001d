// For partitions that live here: on which other nodes somebody is interested in a conversation, or a person has sessions.
// Owned by ClusterGateway. Kept by the partition and dropped with it; activates nothing, and costs a list a key.
import { partitionOf } from "../lib/hash";
import type { ConversationId, Epoch, Seq, UserId } from "../protocol/ids";
import type { OwnedView, Peek } from "./interest";
import { seenOut } from "./interest-wire";
import type { LookAnswer, LookAsk, LookedConversation } from "./interest-wire";
import type { ConversationPeek } from "./messages";
import type { Incarnation } from "./placement-shares";

/** Keys of all partitions together, counted once for each node; past it a registration is refused, and repeated. */
const keysMax = 4_000_000;

/** One partition that is served here. */
interface OwnedPartition {
  readonly epoch: Epoch;
  readonly conversations: Map<string, readonly Incarnation[]>;
  readonly people: Map<string, readonly Incarnation[]>;
}

/** What it is made of. */
export interface InterestOwnerOptions {
  readonly owned: Pick<OwnedView, "mayAnswer">;
  readonly peek: Peek;
}

const nobody: readonly Incarnation[] = [];

/** See the head of this file. */
export class InterestOwner {
  readonly #options: InterestOwnerOptions;
  readonly #partitions = new Map<number, OwnedPartition>();
  /** Partitions that were taken from here, and under which epoch they were served. */
  readonly #taken = new Map<number, Epoch>();
  #keys = 0;

  constructor(options: InterestOwnerOptions) {
    this.#options = options;
  }

  /** Keys registered by other nodes, counted once for each. */
  get keys(): number {
    return this.#keys;
  }

  /** Under which epoch a partition is served here; 0: it is not. */
  epochOf(partition: number): Epoch {
    return this.#partitions.get(partition)?.epoch ?? 0;
  }

  /** What is owned here now. */
  list(): readonly (readonly [partition: number, epoch: Epoch])[] {
    return [...this.#partitions].map(([partition, { epoch }]) => [partition, epoch] as const);
  }

  /**
   * What was taken from here, under the epoch it had: it is another's by a newer one, and whoever hears of both knows that this node
   * did not give it up in order.
   */
  taken(): readonly (readonly [partition: number, epoch: Epoch])[] {
    return [...this.#taken];
  }

  /** The partition is served here from now on; nobody is registered with it yet. */
  begin(partition: number, epoch: Epoch): void {
    this.end(partition, true);
    this.#taken.delete(partition);
    this.#partitions.set(partition, { epoch, conversations: new Map(), people: new Map() });
  }

  /** Forgets whoever is registered. Idempotent. @param graceful whether it was given away with everything said */
  end(partition: number, graceful: boolean): void {
    const known = this.#partitions.get(partition);
    if (!known) return;
    this.#partitions.delete(partition);
    if (!graceful) this.#taken.set(partition, known.epoch);
    for (const keys of [known.conversations, known.people])
      for (const nodes of keys.values()) this.#keys -= nodes.length;
  }

  /** Forgets a node everywhere. */
  nodeGone(node: Incarnation): void {
    for (const { conversations, people } of this.#partitions.values()) {
      for (const key of conversations.keys()) this.#remove(conversations, key, node);
      for (const key of people.keys()) this.#remove(people, key, node);
    }
  }

  /** Other nodes where somebody is interested. */
  nodesOf(conversation: ConversationId): readonly Incarnation[] {
    return this.#partitions.get(partitionOf("conversation", conversation))?.conversations.get(conversation) ?? nobody;
  }

  /** Other nodes where the person has sessions. */
  nodesOfUser(user: UserId): readonly Incarnation[] {
    return this.#partitions.get(partitionOf("user", user))?.people.get(user) ?? nobody;
  }

  /**
   * Registers a node, or none where this one looks itself, and tells what is active. A partition that is not served here under
   * that epoch, or may not speak now, is refused.
   * @param viewer whose rows are told beside the heads
   * @param budget bytes that rows may take; what they take is taken off
   */
  look(
    node: Incarnation | null,
    viewer: UserId | null,
    asks: readonly LookAsk[],
    budget: { left: number },
  ): LookAnswer[] {
    return asks.map(({ partition, epoch, conversations, people }) => {
      const known = this.#partitions.get(partition);
      const adds = conversations.length + people.length;
      const refused = known?.epoch !== epoch || !this.#options.owned.mayAnswer(partition);
      if (known === undefined || refused || (node !== null && this.#keys + adds > keysMax))
        return { partition, taken: false, active: [], late: false };
      if (node !== null) this.#add(known, node, conversations, people);
      const active: LookedConversation[] = [];
      for (const conversation of conversations) {
        const seen = this.#see(conversation, viewer, budget.left);
        if (seen === null) continue;
        budget.left -= seen.bytes;
        active.push(seen.looked);
      }
      return { partition, taken: true, active, late: false };
    });
  }

  /** Nobody of that node is interested in these any more. */
  forget(node: Incarnation, partition: number, conversations: readonly string[], people: readonly string[]): void {
    const known = this.#partitions.get(partition);
    if (!known) return;
    for (const key of conversations) this.#remove(known.conversations, key, node);
    for (const key of people) this.#remove(known.people, key, node);
  }

  #see(
    conversation: ConversationId,
    viewer: UserId | null,
    bytesLeft: number,
  ): { readonly looked: LookedConversation; readonly bytes: number } | null {
    const actor = this.#options.peek("conversation", conversation) as Partial<ConversationPeek> | null;
    if (!actor?.peek) return null;
    const head = actor.headSeq as Seq;
    if (viewer === null) return { looked: { conversation, head, seen: "unseen" }, bytes: 0 };
    const seen = actor.peek(viewer);
    if (seen === null) return { looked: { conversation, head, seen: "stranger" }, bytes: 0 };
    const row = seenOut(seen);
    if (row.length > bytesLeft) return { looked: { conversation, head, seen: "unseen" }, bytes: 0 };
    return { looked: { conversation, head, seen: row }, bytes: row.length };
  }

  #add(
    { conversations, people }: OwnedPartition,
    node: Incarnation,
    addedConversations: readonly string[],
    addedPeople: readonly string[],
  ): void {
    for (const key of addedConversations) this.#join(conversations, key, node);
    for (const key of addedPeople) this.#join(people, key, node);
  }

  #join(keys: Map<string, readonly Incarnation[]>, key: string, node: Incarnation): void {
    const nodes = keys.get(key) ?? nobody;
    if (nodes.includes(node)) return;
    keys.set(key, [...nodes, node]);
    this.#keys++;
  }

  #remove(keys: Map<string, readonly Incarnation[]>, key: string, node: Incarnation): void {
    const nodes = keys.get(key);
    if (!nodes?.includes(node)) return;
    const others = nodes.filter((one) => one !== node);
    if (others.length === 0) keys.delete(key);
    else keys.set(key, others);
    this.#keys--;
  }
}
