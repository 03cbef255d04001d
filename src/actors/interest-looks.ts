// What a node learnt of conversations elsewhere before it read their rows, and whether it still holds when they are shown.
// Made by InterestHere for one person; holds while the same owner stands and nothing came that the row does not show (G6, G12).
import type { ConversationId, Epoch, Seq, UserId } from "../protocol/ids";
import type { EntriesHere } from "./interest-entries";
import type { Looks, OwnedView } from "./interest";
import type { ConversationHere, InterestTable, PartitionHere } from "./interest-table";
import { seenIn } from "./interest-wire";
import type { LookedConversation } from "./interest-wire";
import type { RowPart } from "./messages";
import type { Incarnation } from "./placement-shares";
import type { Peeked, Standing } from "./standing";

const recent: Standing = { state: "recent" };
const quiet: Standing = { state: "quiet" };
const away: Standing = { state: "away" };
const stranger: Standing = { state: "active", seen: null };

/** How conversations stand that live on this node: RowSource's own word. */
export interface LocalStanding {
  standing(conversation: ConversationId, user: UserId): Standing;
  holds(conversation: ConversationId, user: UserId, part: RowPart): boolean;
}

/** What looks are made of. */
export interface ClusterLooksOptions {
  readonly self: Incarnation;
  readonly table: InterestTable;
  readonly entries: EntriesHere;
  readonly owned: Pick<OwnedView, "epochOf">;
  readonly local: LocalStanding;
}

/** Who answered for a partition, and when. */
interface Answered {
  readonly owner: Incarnation;
  readonly epoch: Epoch;
  readonly doubts: number;
}

/** See the head of this file. */
export class ClusterLooks implements Looks {
  readonly #options: ClusterLooksOptions;
  readonly #answered = new Map<number, Answered>();
  readonly #looked = new Set<ConversationId>();
  readonly #active = new Map<ConversationId, LookedConversation["seen"]>();

  constructor(options: ClusterLooksOptions) {
    this.#options = options;
  }

  /** The partition's owner took these, and told which are active; `asked` is the partition as it was asked. */
  answered(
    partition: number,
    asked: Answered,
    conversations: readonly ConversationId[],
    active: readonly LookedConversation[],
  ): void {
    this.#answered.set(partition, asked);
    for (const conversation of conversations) this.#looked.add(conversation);
    for (const { conversation, seen } of active) this.#active.set(conversation, seen);
  }

  standing(conversation: ConversationId, user: UserId, headSeq: Seq, joinSeq: Seq | null): Standing {
    const { self, table, local } = this.#options;
    const partition = table.partitionOf(conversation);
    const here = this.#valid(partition, conversation);
    if (here === null) return away;
    if (partition.owner !== self) return this.#elsewhere(conversation, here, headSeq, joinSeq);
    const standing = local.standing(conversation, user);
    if (standing.state === "active" && standing.seen !== null)
      return fits(here, standing.seen.head[0], joinOf(standing.seen)) ? standing : recent;
    if (standing.state !== "quiet") return standing;
    return fits(here, headSeq, joinSeq) ? quiet : recent;
  }

  holds(conversation: ConversationId, user: UserId, part: RowPart): boolean {
    const { self, table, local, entries } = this.#options;
    const partition = table.partitionOf(conversation);
    const here = this.#valid(partition, conversation);
    if (here === null || (partition.owner === self && !local.holds(conversation, user, part))) return false;
    const [head] = part.head;
    if (fits(here, head, joinOf(part))) return true;
    entries.headKnown(conversation, head);
    return false;
  }

  shows(conversation: ConversationId, head: Seq): void {
    const here = this.#options.table.conversation(conversation);
    if (here && here.through === null) here.through = head;
  }

  #elsewhere(conversation: ConversationId, here: ConversationHere, headSeq: Seq, joinSeq: Seq | null): Standing {
    const told = this.#active.get(conversation);
    if (told === undefined) return fits(here, headSeq, joinSeq) ? quiet : recent;
    if (told === "unseen") return recent;
    if (told === "stranger") return stranger;
    const seen = readSeen(told);
    if (seen === null || !fits(here, seen.head[0], joinOf(seen))) return recent;
    return { state: "active", seen };
  }

  /** Null: nothing is known of it, or it may have gone on without this node hearing of it. */
  #valid(partition: PartitionHere, conversation: ConversationId): ConversationHere | null {
    const answered = this.#answered.get(partition.number);
    const { self, owned } = this.#options;
    if (answered === undefined || !this.#looked.has(conversation)) return null;
    const { owner, epoch, doubts } = answered;
    if (owner !== partition.owner || epoch !== partition.epoch || doubts !== partition.doubts) return null;
    if (owner === self && owned.epochOf(partition.number) !== epoch) return null;
    return partition.conversations.get(conversation) ?? null;
  }
}

/**
 * Whether what is still to come is exactly what follows the row: nothing behind its head has passed or is known of, and nothing is to come
 * that happened before its reader joined, their own earlier removal above all.
 */
function fits({ through, target }: ConversationHere, head: Seq, join: Seq | null): boolean {
  if (through === null) return true;
  return Math.max(through, target ?? 0) <= head && (join === null || join <= through + 1);
}

function joinOf({ membership }: Pick<RowPart, "membership">): Seq {
  return membership[1][0];
}

function readSeen(bytes: Uint8Array): Peeked | null {
  try {
    return seenIn(bytes);
  } catch {
    return null;
  }
}
