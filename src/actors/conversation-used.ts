// What a client id was used for: what tells a retry from another use of the same id (G2). Pure.
import { decode, encode } from "../protocol/codec";
import { entryKinds } from "../protocol/entry";
import type { EntryTuple, MemberChange, MembersBody } from "../protocol/entry";
import type { UsedFor } from "./conversation-state";

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
  const [change, , role] = body[0] as MemberChange;
  return { digest: 0, change: { change, role, users: body.map(([, user]) => user) } };
}
