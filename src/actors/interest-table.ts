// What this node's sessions receive, by partition: conversations with the last seq that passed through here, and people with
// the last change of their feed. Owned by ClusterGateway; bounded, and everything in it may be forgotten and registered again.
import { partitionCount, partitionOf } from "../lib/hash";
import type { ConversationId, Epoch, Seq, UserId, UserSeq } from "../protocol/ids";
import type { Incarnation } from "./placement-shares";

/** Conversations and people of one partition; what is more is not registered, and its rows stay pending. */
export const tableLimits = { conversationsMax: 20_000, peopleMax: 3_000 } as const;

/** A conversation that somebody here receives, or is about to. */
export interface ConversationHere {
  /** The last seq that was published here, or shown; null while nobody receives it. */
  through: Seq | null;
  /** Entries up to here exist and are being read; null while nothing is missing. */
  target: Seq | null;
  /** Monotonic milliseconds when somebody last looked at it. */
  touchedAt: number;
}

/** A person who has a session here, or is about to. */
export interface PersonHere {
  /** The last change of their feed that was handed on, or that they read themselves; null while that is not known. */
  through: UserSeq | null;
  /** Their feed is being read, up to here at least; null while nothing is missing. */
  target: UserSeq | null;
  touchedAt: number;
}

/** A partition, as this node knows it. */
export class PartitionHere {
  readonly number: number;
  readonly conversations = new Map<ConversationId, ConversationHere>();
  readonly people = new Map<UserId, PersonHere>();
  /** Who owned it last, as far as was heard; null: nobody yet. */
  owner: Incarnation | null = null;
  /** Under which epoch; what an older one says does not count. */
  epoch: Epoch = 0;
  /** Everything here is registered with that owner, and nothing was missed since. */
  standing = false;
  /** Rises whenever something may have been missed: what was learnt before does not count. */
  doubts = 0;
  /** What has no number may have been missed too: set until sessions were told. */
  dirty = false;
  /** Not registered yet under this epoch, though somebody here receives something of it. */
  fresh = false;
  /** The owner gave it up, and everything it had sent arrived. */
  released = false;

  constructor(number: number) {
    this.number = number;
  }

  get isEmpty(): boolean {
    return this.conversations.size === 0 && this.people.size === 0;
  }
}

/** See the head of this file. */
export class InterestTable {
  readonly partitions: readonly PartitionHere[] = Array.from(
    { length: partitionCount },
    (_, number) => new PartitionHere(number),
  );

  partitionOf(conversation: ConversationId): PartitionHere {
    return this.partitions[partitionOf("conversation", conversation)] as PartitionHere;
  }

  partitionOfUser(user: UserId): PartitionHere {
    return this.partitions[partitionOf("user", user)] as PartitionHere;
  }

  conversation(conversation: ConversationId): ConversationHere | undefined {
    return this.partitionOf(conversation).conversations.get(conversation);
  }

  person(user: UserId): PersonHere | undefined {
    return this.partitionOfUser(user).people.get(user);
  }

  /** Puts a conversation in, or keeps it there for a while. False: there are too many. */
  touch(partition: PartitionHere, conversation: ConversationId, now: number): boolean {
    const known = partition.conversations.get(conversation);
    if (known) known.touchedAt = now;
    else if (partition.conversations.size >= tableLimits.conversationsMax) return false;
    else partition.conversations.set(conversation, { through: null, target: null, touchedAt: now });
    return true;
  }

  /** As {@link InterestTable.touch}, a person. */
  touchPerson(partition: PartitionHere, user: UserId, now: number): boolean {
    const known = partition.people.get(user);
    if (known) known.touchedAt = now;
    else if (partition.people.size >= tableLimits.peopleMax) return false;
    else partition.people.set(user, { through: null, target: null, touchedAt: now });
    return true;
  }
}
