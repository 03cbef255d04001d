// Interest of this node's sessions: looked at before rows are read, kept while somebody receives, forgotten when nobody does.
// Owned by ClusterGateway; sync, late rows and sign-in come here first (G5, G6).
import type { Clock } from "../lib/clock";
import { AppError } from "../lib/errors";
import type { ConversationId, Epoch, UserId, UserSeq } from "../protocol/ids";
import type { EntriesHere } from "./interest-entries";
import type { FeedsHere } from "./interest-feeds";
import { ClusterLooks } from "./interest-looks";
import type { LocalStanding } from "./interest-looks";
import type { InterestStore, InterestView, Looks, OwnedView, SessionsHere } from "./interest";
import type { Registrar } from "./interest-registrar";
import type { InterestTable, PartitionHere } from "./interest-table";
import type { LookAsk } from "./interest-wire";
import type { Incarnation } from "./placement-shares";

/** Times and bounds of looking, milliseconds. */
export const looking = {
  /** Conversations in one request. */
  keysMax: 4_000,
  /** One attempt at an owner. */
  attemptMs: 500,
  /** Between two looks for an owner that is not known, or did not answer. */
  retryMs: 25,
  /** What nobody receives any more is forgotten after so long. */
  idleMs: 10_000,
  /** Between two sweeps, each over one part of all partitions. */
  sweepMs: 1_000,
  sweepParts: 10,
} as const;

/** What it is made of. */
export interface InterestHereOptions {
  readonly self: Incarnation;
  readonly clock: Clock;
  readonly store: Pick<InterestStore, "conversationsOf">;
  readonly table: InterestTable;
  readonly entries: EntriesHere;
  readonly feeds: FeedsHere;
  readonly owned: Pick<OwnedView, "epochOf">;
  readonly registrar: Pick<Registrar, "ask">;
  readonly local: LocalStanding;
  readonly sessions: Pick<SessionsHere, "interestedIn" | "isHere">;
  /** Tells an owner that nobody here is interested in these any more. */
  readonly forget: (
    owner: Incarnation,
    partition: number,
    conversations: readonly ConversationId[],
    people: readonly UserId[],
  ) => void;
}

/** Conversations to look at, by partition. */
type Wanted = ReadonlyMap<PartitionHere, readonly ConversationId[]>;

/** See the head of this file. */
export class InterestHere implements InterestView {
  readonly #options: InterestHereOptions;
  #cancelSweep: () => void = () => undefined;
  #part = 0;

  constructor(options: InterestHereOptions) {
    this.#options = options;
  }

  /** Begins to forget what nobody receives. Called once. */
  start(): void {
    this.#cancelSweep = this.#options.clock.after(looking.sweepMs, () => {
      this.#sweep();
      this.start();
    });
  }

  stop(): void {
    this.#cancelSweep();
  }

  conversationsOf(user: UserId): Promise<readonly ConversationId[]> {
    return this.#options.store.conversationsOf(user);
  }

  async look(user: UserId, conversations: readonly ConversationId[], timeoutMs: number): Promise<Looks> {
    const { clock } = this.#options;
    const deadline = clock.monotonic() + timeoutMs;
    const looks = new ClusterLooks(this.#options);
    for (let wanted = this.#touch(conversations); ; ) {
      const left = deadline - clock.monotonic();
      wanted = await this.#attempt(looks, user, wanted, Math.min(Math.max(left, 1), looking.attemptMs));
      if (wanted.size === 0 || clock.monotonic() + looking.retryMs >= deadline) return looks;
      await this.#pause();
    }
  }

  async arrive(user: UserId, timeoutMs: number): Promise<void> {
    const { clock, table, registrar } = this.#options;
    const deadline = clock.monotonic() + timeoutMs;
    const partition = table.partitionOfUser(user);
    for (;;) {
      const { owner, epoch, number } = partition;
      if (!table.touchPerson(partition, user, clock.monotonic())) throw new AppError("overloaded", "too many people");
      const left = deadline - clock.monotonic();
      if (owner !== null && left > 0) {
        const asks: LookAsk[] = [{ partition: number, epoch, conversations: [], people: [user] }];
        const answers = await registrar.ask(owner, null, asks, Math.min(left, looking.attemptMs));
        if (answers?.[0]?.taken) return;
      }
      if (clock.monotonic() + looking.retryMs >= deadline)
        throw new AppError("store_unavailable", "nobody served this person in time", { retryAfterMs: 500 });
      await this.#pause();
    }
  }

  feedAt(user: UserId, userSeq: UserSeq): void {
    this.#options.feeds.at(user, userSeq);
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#options.clock.after(looking.retryMs, resolve));
  }

  #touch(conversations: readonly ConversationId[]): Wanted {
    const { table, clock } = this.#options;
    const now = clock.monotonic();
    const wanted = new Map<PartitionHere, ConversationId[]>();
    for (const conversation of conversations) {
      const partition = table.partitionOf(conversation);
      if (!table.touch(partition, conversation, now)) continue;
      const some = wanted.get(partition);
      if (some) some.push(conversation);
      else wanted.set(partition, [conversation]);
    }
    return wanted;
  }

  /** Asks every owner once; answers what nobody has taken. */
  async #attempt(looks: ClusterLooks, user: UserId, wanted: Wanted, timeoutMs: number): Promise<Wanted> {
    const { self, owned } = this.#options;
    const left = new Map(wanted);
    const requests = new Map<Incarnation, PartitionHere[][]>();
    for (const [partition, conversations] of wanted) {
      const { owner, epoch, number } = partition;
      if (owner === null) continue;
      if (owner === self) {
        if (owned.epochOf(number) !== epoch) continue;
        looks.answered(number, { owner, epoch, doubts: partition.doubts }, conversations, []);
        left.delete(partition);
      } else addTo(requests, owner, partition, conversations.length, wanted);
    }
    const asking = [...requests].flatMap(([owner, some]) =>
      some.map((partitions) => this.#askOwner(looks, user, owner, partitions, wanted, timeoutMs)),
    );
    for (const taken of await Promise.all(asking)) for (const partition of taken) left.delete(partition);
    return left;
  }

  /** Answers the partitions that the owner took. */
  async #askOwner(
    looks: ClusterLooks,
    user: UserId,
    owner: Incarnation,
    partitions: readonly PartitionHere[],
    wanted: Wanted,
    timeoutMs: number,
  ): Promise<readonly PartitionHere[]> {
    const asked = partitions.map(({ epoch, doubts }) => ({ owner, epoch, doubts }));
    const asks = partitions.map(
      (partition): LookAsk => ({
        partition: partition.number,
        epoch: partition.epoch,
        conversations: wanted.get(partition) ?? [],
        people: [],
      }),
    );
    const answers = await this.#options.registrar.ask(owner, user, asks, timeoutMs);
    const byNumber = new Map(answers?.map((answer) => [answer.partition, answer]));
    return partitions.filter((partition, i) => {
      const answer = byNumber.get(partition.number);
      if (!answer?.taken) return false;
      for (const { conversation, head } of answer.active) this.#options.entries.headKnown(conversation, head);
      looks.answered(
        partition.number,
        asked[i] as { owner: Incarnation; epoch: Epoch; doubts: number },
        asks[i]?.conversations ?? [],
        answer.active,
      );
      return true;
    });
  }

  /** Forgets, in one part of the partitions, what nobody has received for a while. */
  #sweep(): void {
    const { table, clock, sessions, self, forget } = this.#options;
    this.#part = (this.#part + 1) % looking.sweepParts;
    const before = clock.monotonic() - looking.idleMs;
    for (const partition of table.partitions) {
      if (partition.number % looking.sweepParts !== this.#part) continue;
      const conversations: ConversationId[] = [];
      for (const [conversation, { touchedAt, target }] of partition.conversations)
        if (touchedAt < before && target === null && sessions.interestedIn(conversation) === 0)
          conversations.push(conversation);
      const people: UserId[] = [];
      for (const [user, { touchedAt }] of partition.people)
        if (touchedAt < before && !sessions.isHere(user)) people.push(user);
      for (const conversation of conversations) partition.conversations.delete(conversation);
      for (const user of people) partition.people.delete(user);
      const { owner, number } = partition;
      if (owner === null || owner === self || conversations.length + people.length === 0) continue;
      forget(owner, number, conversations, people);
    }
  }
}

/** Adds a partition to the last request of its owner that has room. */
function addTo(
  requests: Map<Incarnation, PartitionHere[][]>,
  owner: Incarnation,
  partition: PartitionHere,
  keys: number,
  wanted: Wanted,
): void {
  const some = requests.get(owner) ?? [];
  requests.set(owner, some);
  const last = some.at(-1);
  const used = last?.reduce((sum, one) => sum + (wanted.get(one)?.length ?? 0), 0) ?? 0;
  if (last && used + keys <= looking.keysMax) last.push(partition);
  else some.push([partition]);
}
