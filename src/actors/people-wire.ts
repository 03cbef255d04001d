// What nodes tell each other about where people are: a node tells a person's owner, the owner tells whom it concerns.
// Pure. Arrays by position; a later release adds at the end.
import { flag, integer, list, optional, tuple, userId } from "../protocol/fields";
import type { Field } from "../protocol/fields";
import type { Epoch, UserId } from "../protocol/ids";

/** People in one message; the others follow in the next. */
export const peopleBatchMax = 500;

const count = integer(0, Number.MAX_SAFE_INTEGER);
const many = 2 * peopleBatchMax;

/**
 * What a node says of one partition's people: how many open sessions each has there (0: none any more), and whether somebody there
 * watches them. `epoch` is that under which it told the owner before; 0: this is everything, what is not named is no more.
 */
export type PeopleUpdate = readonly [
  partition: number,
  epoch: Epoch,
  here: readonly (readonly [UserId, sessions: number])[],
  watched: readonly (readonly [UserId, boolean])[],
];

/**
 * One person as their owner knows them: on how many nodes they have sessions, whether they are online (nil: the owner is new and has not
 * heard everybody yet), and how many of the newest sessions of the node that is told are too many.
 */
export type PersonState = readonly [user: UserId, nodes: number, online: boolean | null, excess: number];

/** An owner's word on people of one partition; epoch 0: it does not own it, or not under the epoch that was named. `change` orders words of one epoch. */
export type PeopleWord = readonly [partition: number, epoch: Epoch, change: number, states: readonly PersonState[]];

const updates = tuple(
  count,
  list(tuple(count, count, list(tuple(userId, count), many), list(tuple(userId, flag), many)), many),
) as unknown as Field<readonly [number: number, updates: readonly PeopleUpdate[]]>;

const words = list(
  tuple(count, count, count, list(tuple(userId, count, optional(flag), count), many)),
  many,
) as unknown as Field<readonly PeopleWord[]>;

/** A node's update with its number among those it sent to this owner; null for what is none. Never throws. */
export function readUpdates(value: unknown): readonly [number: number, updates: readonly PeopleUpdate[]] | null {
  return read(updates, value);
}

/** Words of an owner; null for what are none. Never throws. */
export function readWords(value: unknown): readonly PeopleWord[] | null {
  return read(words, value);
}

function read<T>(field: Field<T>, value: unknown): T | null {
  try {
    return field.read(value);
  } catch {
    return null; // counted by whoever reads it
  }
}
