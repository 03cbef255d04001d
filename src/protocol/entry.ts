// An entry of a conversation's log, as it stands on the wire, in the store and in memory (G3).
// The header is understood without knowing the kind: an unknown kind keeps its slot, counts by its header and shows nothing.
import type { ClientId, Seq, UserId } from "./ids";

/** Kinds of entries. Numbers are never reused; a reader skips those it does not know. */
export const entryKinds = { message: 1, members: 2, conversation: 3, fence: 4 } as const;

/**
 * `[seq, ordinal, kind, counts, time, sender, actor, clientId, target, body]`: the positions of an entry.
 *
 * - `seq` 1..n, gapless within its conversation; `ordinal` = counted entries up to and including this one
 * - `counts`: whether it counts as unread; only messages do
 * - `time`: server milliseconds since 1970, never decreasing within a conversation
 * - `sender`: for whom it was done; `actor`: who did it, where different
 * - `clientId`: the id of the operation; nil for the later entries of an operation that appended several
 * - `target`: the seq that it changes, or nil
 */
export type EntryTuple = readonly [
  seq: Seq,
  ordinal: number,
  kind: number,
  counts: boolean,
  time: number,
  sender: UserId,
  actor: UserId | null,
  clientId: ClientId | null,
  target: Seq | null,
  body: unknown,
];

/** Bits of a message's flags. `silent`: no notification; `uncounted`: does not add to unread. */
export const messageFlags = { silent: 1, uncounted: 2 } as const;

/**
 * `[text, data, attachments, replyTo, mentions, fields, flags]`: the body of a message; trailing nils may be left out.
 * At least one of text, data and attachments is present.
 */
export type MessageBody = readonly [
  text?: string | null,
  data?: readonly [type: string, value: unknown] | null,
  attachments?: readonly Readonly<Record<string, unknown>>[] | null,
  replyTo?: Seq | null,
  mentions?: readonly UserId[] | null,
  fields?: Readonly<Record<string, unknown>> | null,
  flags?: number | null,
];

/** What happened to a member. */
export const memberChanges = { added: 0, left: 1, removed: 2, role: 3 } as const;
/** A code of {@link memberChanges}. */
export type MemberChangeCode = (typeof memberChanges)[keyof typeof memberChanges];

/** What a member may do; owners may everything that admins may, and so on down. */
export type Role = "owner" | "admin" | "member";

/**
 * `[change, user, role, floor]`; role for `added` and `role`, floor (first readable seq) for `added`. `request` stands in the
 * first change of an operation whose entry does not name everybody that its request named: a digest of whom it named, which
 * tells a retry from another use of the client id. For the server alone.
 */
export type MemberChange = readonly [
  change: MemberChangeCode,
  user: UserId,
  role: Role | null,
  floor: Seq | null,
  request?: number,
];

/** Body of a `members` entry: 1–100 changes, applied in order. */
export type MembersBody = readonly MemberChange[];

/**
 * Body of a `conversation` entry: `[type, set]`. The first entry of a log carries the type; later ones nil.
 * `set` names what changed: `name`, `picture`, `fields` (replaced whole); nil as a value clears it.
 */
export type ConversationBody = readonly [type: string | null, set: ConversationSet];

/** What a conversation is called and shows; an absent key is left as it is, nil clears it. */
export interface ConversationSet {
  readonly name?: string | null;
  readonly picture?: string | null;
  readonly fields?: Readonly<Record<string, unknown>> | null;
}
