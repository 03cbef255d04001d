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

/** What is asked for one person, or for nobody: then no rows are told. */
export interface LookQuestion {
  readonly viewer: UserId | null;
  readonly asks: readonly LookAsk[];
}

/** As arguments of a message. */
export function looksOut(connection: number, questions: readonly LookQuestion[]): readonly unknown[] {
  const out = ({ partition, epoch, conversations, people }: LookAsk): readonly unknown[] => [
    partition,
    epoch,
    conversations,
    people,
  ];
  return [connection, questions.map(({ viewer, asks }) => [viewer, asks.map(out)])];
}

/** What {@link looksOut} made. Throws {@link Malformed}. */
export function looksIn([connection, questions]: readonly unknown[]): {
  readonly connection: number;
  readonly questions: readonly LookQuestion[];
} {
  return { connection: integerOf(connection), questions: arrayOf(questions).map(questionIn) };
}

function questionIn(value: unknown): LookQuestion {
  const [viewer, asks] = arrayOf(value);
  return { viewer: viewer === null ? null : (textOf(viewer) as UserId), asks: arrayOf(asks).map(askIn) };
}

function askIn(value: unknown): LookAsk {
  const [partition, epoch, conversations, people] = arrayOf(value);
  return {
    partition: integerOf(partition),
    epoch: integerOf(epoch),
    conversations: conversationsIn(conversations),
    people: arrayOf(people).map((user) => textOf(user) as UserId),
  };
}

/** The answers to each question, with the numbers of the owner's links at that moment. */
export function answersOut(
  numbers: readonly [number, number],
  answers: readonly (readonly LookAnswer[])[],
): readonly unknown[] {
  return [numbers, answers.map((some) => some.map(answerOut))];
}

function answerOut({ partition, taken, active, late }: LookAnswer): readonly unknown[] {
  const out = ({ conversation, head, seen }: LookedConversation): readonly unknown[] => [
    conversation,
    head,
    seen === "unseen" ? null : seen === "stranger" ? false : seen,
  ];
  return [partition, taken, active.map(out), late];
}

/** What {@link answersOut} made. Throws {@link Malformed}. */
export function answersIn(value: unknown): {
  readonly numbers: readonly [number, number];
  readonly answers: readonly (readonly LookAnswer[])[];
} {
  const [numbers, answers] = arrayOf(value);
  const [direct, common] = arrayOf(numbers);
  return {
    numbers: [integerOf(direct), integerOf(common)],
    answers: arrayOf(answers).map((some) => arrayOf(some).map(answerIn)),
  };
}

function answerIn(value: unknown): LookAnswer {
  const [partition, taken, active, late] = arrayOf(value);
  return {
    partition: integerOf(partition),
    taken: taken === true,
    active: arrayOf(active).map(activeIn),
    late: late !== false,
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
