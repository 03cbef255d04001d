// How nodes ask each other to register interest, and what they answer: plain data by position, checked where it is read.
// Pure. A later release adds at the end; what it does not understand it refuses, and the other repeats.
import { decode, encode } from "../protocol/codec";
import { isConversationId } from "../protocol/ids";
import type { ConversationId, Epoch, Seq, UserId } from "../protocol/ids";
import { arrayOf, integerOf, Malformed, textOf } from "./node-data";
import type { Peeked } from "./standing";

/** Keys of one partition to be registered with its owner. */
export interface LookAsk {
  readonly partition: number;
  readonly epoch: Epoch;
  readonly conversations: readonly ConversationId[];
  readonly people: readonly UserId[];
}

/** An active conversation. `seen`, see {@link seenIn}; `stranger`: whoever looks is no member; `unseen`: it must be asked. */
export interface LookedConversation {
  readonly conversation: ConversationId;
  readonly head: Seq;
  readonly seen: Uint8Array | "stranger" | "unseen";
}

/** What an owner answers for one partition. Conversations that are not among the active ones are not active. */
export interface LookAnswer {
  readonly partition: number;
  readonly taken: boolean;
  readonly active: readonly LookedConversation[];
  /** What has no number and was said under this epoch before it was asked may not reach the node that asks. */
  readonly late: boolean;
}

/** As arguments of a message. */
export function looksOut(connection: number, viewer: UserId | null, asks: readonly LookAsk[]): readonly unknown[] {
  return [
    connection,
    viewer,
    asks.map(({ partition, epoch, conversations, people }) => [partition, epoch, conversations, people]),
  ];
}

/** What {@link looksOut} made. Throws {@link Malformed}. */
export function looksIn([connection, viewer, asks]: readonly unknown[]): {
  readonly connection: number;
  readonly viewer: UserId | null;
  readonly asks: readonly LookAsk[];
} {
  return {
    connection: integerOf(connection),
    viewer: viewer === null ? null : (textOf(viewer) as UserId),
    asks: arrayOf(asks).map((one) => {
      const [partition, epoch, conversations, people] = arrayOf(one);
      return {
        partition: integerOf(partition),
        epoch: integerOf(epoch),
        conversations: conversationsIn(conversations),
        people: arrayOf(people).map((user) => textOf(user) as UserId),
      };
    }),
  };
}

/** An answer, with the numbers of the owner's links at that moment. */
export function answersOut(numbers: readonly [number, number], answers: readonly LookAnswer[]): readonly unknown[] {
  return [
    numbers,
    answers.map(({ partition, taken, active, late }) => [
      partition,
      taken,
      active.map(({ conversation, head, seen }) => [
        conversation,
        head,
        seen === "unseen" ? null : seen === "stranger" ? false : seen,
      ]),
      late,
    ]),
  ];
}

/** What {@link answersOut} made. Throws {@link Malformed}. */
export function answersIn(value: unknown): {
  readonly numbers: readonly [number, number];
  readonly answers: readonly LookAnswer[];
} {
  const [numbers, answers] = arrayOf(value);
  const [direct, common] = arrayOf(numbers);
  return {
    numbers: [integerOf(direct), integerOf(common)],
    answers: arrayOf(answers).map((one) => {
      const [partition, taken, active, late] = arrayOf(one);
      return {
        partition: integerOf(partition),
        taken: taken === true,
        active: arrayOf(active).map(activeIn),
        late: late !== false,
      };
    }),
  };
}

/** Ids of conversations that another node sent. Throws {@link Malformed}. */
export function conversationsIn(value: unknown): readonly ConversationId[] {
  return arrayOf(value).map(conversationIn);
}

/** One id of a conversation. Throws {@link Malformed}. */
export function conversationIn(value: unknown): ConversationId {
  if (!isConversationId(value)) throw new Malformed();
  return value;
}

/** What an activation says of one member, encoded once. */
export function seenOut({ info, membership, head, totalsThrough, sentSince }: Peeked): Uint8Array {
  return encode([info, membership, head, totalsThrough, sentSince]);
}

/** What {@link seenOut} made. Throws {@link Malformed}, or what `decode` throws. */
export function seenIn(bytes: Uint8Array): Peeked {
  const [info, membership, head, totalsThrough, sentSince] = arrayOf(decode(bytes));
  const [, join] = arrayOf(membership);
  for (const number of [...arrayOf(join), ...arrayOf(head).slice(0, 2)]) integerOf(number);
  return {
    info: arrayOf(info) as unknown as Peeked["info"],
    membership: membership as Peeked["membership"],
    head: head as Peeked["head"],
    totalsThrough: integerOf(totalsThrough),
    sentSince: integerOf(sentSince),
  };
}

function activeIn(value: unknown): LookedConversation {
  const [conversation, head, seen] = arrayOf(value);
  const told = seen instanceof Uint8Array ? seen : seen === false ? "stranger" : "unseen";
  return { conversation: conversationIn(conversation), head: integerOf(head), seen: told };
}
