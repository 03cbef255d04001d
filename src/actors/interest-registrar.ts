// Keeps what this node receives registered with whoever owns it: after an owner's change, and after every gap in what it sent.
// Owned by ClusterGateway. What may have been missed meanwhile is learnt from heads and feeds, so nothing rests on any message.
import type { Clock } from "../lib/clock";
import type { ConversationId, Epoch, UserId } from "../protocol/ids";
import type { Bus } from "./bus";
import type { EntriesHere } from "./interest-entries";
import type { FeedsHere } from "./interest-feeds";
import { InterestHeads } from "./interest-heads";
import type { InterestMeter, InterestStore, SessionsHere } from "./interest";
import type { InterestOwner } from "./interest-owner";
import type { InterestTable, PartitionHere } from "./interest-table";
import { LookRequests } from "./interest-requests";
import type { LookAnswer, LookAsk } from "./interest-wire";
import type { NodeLinks, Owned } from "./node-links";
import type { Incarnation } from "./placement-shares";

/** Times and bounds of registering. */
export const registering = {
  /** Keys in one request, unless a single partition has more. */
  keysMax: 5_000,
  /** How long an owner may take, milliseconds. */
  askMs: 1_000,
  /** Between two attempts, doubled up to the last, milliseconds. */
  backOffMs: { first: 50, last: 1_000 },
  /** At least, between two times that sessions are told to sync again, milliseconds: and so many times what they take for it. */
  doubt: { leastMs: 10_000, times: 4 },
} as const;

/** What it is made of. */
export interface RegistrarOptions {
  readonly self: Incarnation;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly store: Pick<InterestStore, "readHeads">;
  readonly meter: InterestMeter;
  readonly table: InterestTable;
  readonly owner: InterestOwner;
  readonly links: NodeLinks;
  readonly entries: EntriesHere;
  readonly feeds: FeedsHere;
  readonly sessions: Pick<SessionsHere, "doubted">;
  /** An owner serves a partition from now on, under a newer epoch than any before: whoever waits for it need not look. */
  readonly served?: ((partition: number, epoch: Epoch) => void) | undefined;
}

/** See the head of this file. */
export class Registrar {
  readonly #options: RegistrarOptions;
  readonly #heads: InterestHeads;
  readonly #running = new Set<Incarnation>();
  readonly #requests: LookRequests;
  #doubtWaits = false;
  /** Monotonic milliseconds. */
  #nextDoubtAt = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(options: RegistrarOptions) {
    this.#options = options;
    this.#requests = new LookRequests(options);
    this.#heads = new InterestHeads({ ...options, look: (asks) => this.#lookAt(asks) });
  }

  /** Another node owns these. */
  heard(from: Incarnation, owned: readonly Owned[]): void {
    this.#requests.heard(from);
    const { partitions } = this.#options.table;
    const still = new Set<number>();
    for (const [number, epoch] of owned) {
      still.add(number);
      const partition = partitions[number];
      if (partition) this.#claimed(partition, from, epoch);
    }
    for (const partition of partitions)
      if (partition.owner === from && !still.has(partition.number)) partition.released = true;
    this.#register(from);
  }

  /** This node owns it from now on. */
  ownedHere(number: number, epoch: Epoch): void {
    const { table, self } = this.#options;
    const partition = table.partitions[number];
    if (partition) this.#claimed(partition, self, epoch);
    this.#register(self);
  }

  /** And does not any more; `graceful`: everything was handed over. */
  lostHere(number: number, graceful: boolean): void {
    const { table, self } = this.#options;
    const partition = table.partitions[number];
    if (partition?.owner === self) partition.released = graceful;
  }

  /** Something that this node sent may be missing. */
  gap(from: Incarnation): void {
    for (const partition of this.#options.table.partitions) {
      if (partition.owner !== from) continue;
      if (partition.standing) partition.dirty = true;
      partition.standing = false;
      partition.doubts++;
    }
    this.#register(from);
  }

  /** Registers keys with an owner and answers what it tells; null: nobody knows whether they are. Never rejects. */
  async ask(
    owner: Incarnation,
    viewer: UserId | null,
    asks: readonly LookAsk[],
    timeoutMs: number,
  ): Promise<readonly LookAnswer[] | null> {
    const { self, owner: here } = this.#options;
    if (owner === self) return here.look(null, viewer, asks, { left: 0 });
    const answers = await this.#requests.ask(owner, viewer, asks, timeoutMs);
    return this.#stopped ? null : answers;
  }

  /** Registers nothing any more. Idempotent. */
  stop(): void {
    this.#stopped = true;
    this.#heads.stop();
  }

  #claimed(partition: PartitionHere, owner: Incarnation, epoch: Epoch): void {
    if (epoch < partition.epoch || (epoch === partition.epoch && owner === partition.owner)) {
      if (epoch === partition.epoch) partition.released = false;
      return;
    }
    if (partition.owner !== null && !partition.released && !partition.isEmpty) partition.dirty = true;
    partition.owner = owner;
    partition.epoch = epoch;
    partition.released = false;
    partition.standing = false;
    partition.fresh = true;
    partition.doubts++;
    this.#options.served?.(partition.number, epoch);
  }

  /** One at a time for each owner: what comes meanwhile is found by the one that runs. */
  #register(owner: Incarnation): void {
    if (this.#running.has(owner) || this.#stopped || !this.#due(owner).next().value) return;
    this.#running.add(owner);
    void this.#run(owner).finally(() => this.#running.delete(owner));
  }

  async #run(owner: Incarnation): Promise<void> {
    let waitMs: number = registering.backOffMs.first;
    for (;;) {
      const batch = this.#batch(owner);
      if (batch.length === 0 || this.#stopped) return;
      if (await this.#registerAll(owner, batch)) {
        waitMs = registering.backOffMs.first;
        continue;
      }
      await new Promise<void>((resolve) => this.#options.clock.after(waitMs, resolve));
      waitMs = Math.min(waitMs * 2, registering.backOffMs.last);
    }
  }

  *#due(owner: Incarnation): Generator<PartitionHere> {
    for (const partition of this.#options.table.partitions) {
      if (partition.owner !== owner || partition.standing) continue;
      if (!partition.isEmpty) yield partition;
      else {
        partition.standing = true;
        partition.fresh = false;
        partition.dirty = false;
      }
    }
  }

  #batch(owner: Incarnation): readonly PartitionHere[] {
    const batch: PartitionHere[] = [];
    let keys = 0;
    for (const partition of this.#due(owner)) {
      keys += partition.conversations.size + partition.people.size;
      if (batch.length > 0 && keys > registering.keysMax) break;
      batch.push(partition);
    }
    return batch;
  }

  /** True: all of them stand. */
  async #registerAll(owner: Incarnation, batch: readonly PartitionHere[]): Promise<boolean> {
    const asks = batch.map(
      ({ number, epoch, conversations, people }): LookAsk => ({
        partition: number,
        epoch,
        conversations: [...conversations.keys()],
        people: [...people.keys()],
      }),
    );
    const doubts = batch.map((partition) => partition.doubts);
    const answers = await this.ask(owner, null, asks, registering.askMs);
    if (answers === null || this.#stopped) return false;
    const taken = new Map(answers.map((answer) => [answer.partition, answer]));
    let all = true;
    batch.forEach((partition, i) => {
      const answer = taken.get(partition.number);
      // Another owner, or another gap, since it was asked: it is asked again.
      if (answer?.taken && partition.doubts === doubts[i]) this.#stands(partition, asks[i] as LookAsk, answer);
      else all = false;
    });
    return all;
  }

  /** From here on nothing new is missed; what was missed until here is looked for. */
  #stands(partition: PartitionHere, { conversations, people }: LookAsk, { active, late }: LookAnswer): void {
    const { entries, feeds, table } = this.#options;
    partition.standing = true;
    if (partition.fresh && late) partition.dirty = true;
    partition.fresh = false;
    const known = new Set<ConversationId>();
    for (const { conversation, head } of active) {
      known.add(conversation);
      entries.headKnown(conversation, head);
    }
    this.#heads.read(
      conversations.filter((one) => !known.has(one) && (table.conversation(one)?.through ?? null) !== null),
    );
    for (const user of people) feeds.check(user);
    if (!partition.dirty) return;
    partition.dirty = false;
    this.#doubt();
  }

  /** Looks again at conversations whose head nobody could tell; answers those that are active, with their heads. */
  async #lookAt(conversations: readonly ConversationId[]): Promise<ReadonlyMap<ConversationId, number>> {
    const heads = new Map<ConversationId, number>();
    const byOwner = new Map<Incarnation, Map<PartitionHere, ConversationId[]>>();
    for (const conversation of conversations) {
      const partition = this.#options.table.partitionOf(conversation);
      if (partition.owner === null || !partition.standing) continue;
      const partitions = byOwner.get(partition.owner) ?? new Map<PartitionHere, ConversationId[]>();
      byOwner.set(partition.owner, partitions);
      partitions.set(partition, [...(partitions.get(partition) ?? []), conversation]);
    }
    for (const [owner, partitions] of byOwner) {
      const asks = [...partitions].map(
        ([{ number, epoch }, some]): LookAsk => ({ partition: number, epoch, conversations: some, people: [] }),
      );
      const answers = await this.ask(owner, null, asks, registering.askMs);
      for (const { active } of answers ?? [])
        for (const { conversation, head } of active) heads.set(conversation, head);
    }
    return heads;
  }

  /** Tells sessions to sync again: once for all that comes together, and not more often than they can. */
  #doubt(): void {
    const { clock, sessions } = this.#options;
    if (this.#doubtWaits) return;
    this.#doubtWaits = true;
    const waitMs = Math.max(0, this.#nextDoubtAt - clock.monotonic());
    clock.after(waitMs, () => {
      this.#doubtWaits = false;
      if (this.#stopped) return;
      const { leastMs, times } = registering.doubt;
      this.#nextDoubtAt = clock.monotonic() + Math.max(leastMs, times * sessions.doubted());
    });
  }
}
