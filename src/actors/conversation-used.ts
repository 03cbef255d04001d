// What a client id was used for: what tells a retry from another use of the same id (G2). Pure.
import { decode, encode } from "../protocol/codec";
import { entryKinds } from "../protocol/entry";
import type { EntryTuple, MemberChange, MembersBody } from "../protocol/entry";
import type { UserId } from "../protocol/ids";
import type { UsedChange, UsedFor } from "./conversation-state";

/** Digest of an encoded body. */
export function digestOf(body: Uint8Array): number {
  return Bun.hash.xxHash32(body);
}

/** What the client id of an entry was used for, from the entry's whole encoding. */
export function usedForEntry(entry: Uint8Array): UsedFor {
  const { 2: kind, 9: body } = decode(entry) as EntryTuple;
  if (kind === entryKinds.members) return usedForMembers(body as MembersBody);
  return { digest: digestOf(encode(body)), change: null };
}

/** The same for a `members` entry: all changes of one entry are of one kind. */
export function usedForMembers(body: MembersBody): UsedFor {
  const [change, , role, , request = null] = body[0] as MemberChange;
  return { digest: 0, change: { change, role, users: body.map(([, user]) => user), request } };
}

/**
 * What the first change of an entry says of a request that named `asked`, where the entry names `changed`: nothing where
 * those are all of them, so that the entry alone tells a retry.
 */
export function requestMark(asked: readonly UserId[], changed: readonly UserId[]): readonly [] | readonly [number] {
  return new Set(asked).size === changed.length ? [] : [digestOfPeople(asked)];
}

/** Whether a request that names `asked` is the one that the entry was appended for: order and repetition do not matter. */
export function isSameRequest({ users, request }: UsedChange, asked: readonly UserId[]): boolean {
  if (request !== null) return request === digestOfPeople(asked);
  const named = new Set(asked);
  return named.size === users.length && users.every((user) => named.has(user));
}

function digestOfPeople(users: readonly UserId[]): number {
  return digestOf(encode([...new Set(users)].sort()));
}
