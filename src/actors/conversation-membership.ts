// Rules of a conversation's life: who may create, join, leave, add, remove, change roles and names.
// Pure on the staged state; each answers the seq of its first entry, or appends nothing where the state already holds.
import { AppError } from "../lib/errors";
import { encode } from "../protocol/codec";
import { entryKinds, memberChanges } from "../protocol/entry";
import type {
  ConversationBody,
  ConversationSet,
  MemberChange,
  MemberChangeCode,
  MembersBody,
  Role,
} from "../protocol/entry";
import type { ClientId, Seq, UserId } from "../protocol/ids";
import { limits } from "../protocol/limits";
import type { Args } from "../protocol/operations";
import { digestOf, isSameRequest, requestMark, usedForMembers } from "./conversation-used";
import type { Draft } from "./conversation-commits";
import type { Member } from "./conversation-state";
import type { ConversationType } from "./conversation-types";

/** What the rules need beside the staged state. */
export interface MembershipRules {
  readonly type: ConversationType;
  /** A person's counted entries with everything staged: what a rejoin starts from. */
  ownTotal(user: UserId): number;
}

/**
 * Answers a repeated change of members from the entry that already carries its client id; null where it is new. Whom the
 * request named is known from the entry, also where some had nothing to change: the same before and after a restart.
 */
function earlierChange(
  draft: Draft,
  user: UserId,
  clientId: ClientId,
  change: MemberChangeCode,
  users: readonly UserId[],
  role: Role | null,
): Seq | null {
  const used = draft.state.used(user, clientId);
  if (!used) return null;
  if (used.change?.change !== change || used.change.role !== role || !isSameRequest(used.change, users))
    throw new AppError("id_reused");
  return used.seq;
}

/**
 * Makes the conversation with its first members; its creator owns it, unless it is direct. Repeated, it changes nothing.
 * Answers where it begins: 1, or behind the fences of owners who began it and broke off.
 */
export function create(draft: Draft, rules: MembershipRules, user: UserId, args: Args<"create">): Seq {
  const [typeName, clientId, set, named] = args;
  const { state } = draft;
  if (state.exists) {
    if (state.staged.type !== typeName) throw new AppError("id_reused");
    if (!state.member(user)) throw new AppError("no_access");
    return state.used(user, clientId)?.seq ?? 1;
  }
  const others = [...new Set(named ?? [])].filter((other) => other !== user);
  checkCreate(rules.type, user, set, others);
  state.staged.type = typeName;
  applySet(draft, set ?? {});
  const body: ConversationBody = [typeName, set ?? {}];
  const seq = draft.append(entryKinds.conversation, false, user, clientId, body);
  const digest = digestOf(encode(body));
  draft.state.noteId(user, clientId, { seq, kind: entryKinds.conversation, digest, change: null });
  const creatorRole = rules.type.direct ? "member" : "owner";
  const changes: Change[] = [
    { user, role: creatorRole },
    ...others.map((other) => ({ user: other, role: "member" as const })),
  ];
  addAll(draft, rules, { by: user, clientId: null, asked: [] }, changes, 1);
  return seq;
}

/** Lets a person in by themselves, where the type says so. */
export function join(draft: Draft, rules: MembershipRules, user: UserId, clientId: ClientId): Seq {
  const { state } = draft;
  const before = earlierChange(draft, user, clientId, memberChanges.added, [user], "member");
  if (before !== null) return before;
  const member = state.member(user);
  if (member) return member.changedSeq;
  if (!rules.type.joinable) throw new AppError("no_access");
  checkRoom(draft, rules.type, 1);
  return addAll(draft, rules, { by: user, clientId, asked: [user] }, [{ user, role: "member" }], null);
}

/** Takes a member out at their own wish. The last owner of others hands over first. */
export function leave(draft: Draft, rules: MembershipRules, user: UserId, clientId: ClientId): Seq {
  const before = earlierChange(draft, user, clientId, memberChanges.left, [user], null);
  if (before !== null) return before;
  const member = memberOrRefuse(draft, user);
  if (rules.type.direct) throw new AppError("not_supported", "a direct conversation cannot be left");
  if (member.role === "owner" && draft.state.staged.memberCount > 1 && draft.state.owners() === 1)
    throw new AppError("owner_must_hand_over");
  return dropAll(draft, { by: user, clientId, asked: [user] }, memberChanges.left, [user]);
}

/** Adds people; those who are members already are passed over. For owners and admins. */
export function add(draft: Draft, rules: MembershipRules, user: UserId, args: Args<"add">): Seq {
  const [, clientId, users, role] = args;
  const before = earlierChange(draft, user, clientId, memberChanges.added, users, role ?? "member");
  if (before !== null) return before;
  const own = adminOrRefuse(draft, rules, user);
  if (role === "admin" && own.role !== "owner") throw new AppError("forbidden", "only an owner makes admins");
  const added = [...new Set(users)].filter((other) => !draft.state.member(other));
  if (added.length === 0) return draft.state.staged.seq;
  checkRoom(draft, rules.type, added.length);
  const changes = added.map((other) => ({ user: other, role: role ?? ("member" as const) }));
  return addAll(draft, rules, { by: user, clientId, asked: users }, changes, null);
}

/** Takes others out; those who are no members are passed over. Admins remove members, owners everybody. */
export function remove(draft: Draft, rules: MembershipRules, user: UserId, args: Args<"remove">): Seq {
  const [, clientId, users] = args;
  const before = earlierChange(draft, user, clientId, memberChanges.removed, users, null);
  if (before !== null) return before;
  const own = adminOrRefuse(draft, rules, user);
  const removed = [...new Set(users)].filter((other) => draft.state.member(other));
  for (const other of removed) {
    const role = draft.state.member(other)?.role;
    if (other === user) throw new AppError("forbidden", "leave instead of removing yourself");
    if (own.role !== "owner" && role !== "member")
      throw new AppError("forbidden", "only an owner removes owners and admins");
  }
  if (removed.length === 0) return draft.state.staged.seq;
  return dropAll(draft, { by: user, clientId, asked: users }, memberChanges.removed, removed);
}

/** Gives a member another role. For owners; one owner stays. */
export function changeRole(draft: Draft, rules: MembershipRules, user: UserId, args: Args<"role">): Seq {
  const [, clientId, other, role] = args;
  const before = earlierChange(draft, user, clientId, memberChanges.role, [other], role);
  if (before !== null) return before;
  const own = adminOrRefuse(draft, rules, user);
  if (own.role !== "owner") throw new AppError("forbidden", "only an owner changes roles");
  const member = draft.state.member(other);
  if (!member) throw new AppError("unknown_user", "not a member of this conversation", { details: [other] });
  if (member.role === role) return member.changedSeq;
  if (member.role === "owner" && draft.state.owners() === 1) throw new AppError("owner_must_hand_over");
  const change: MemberChange = [memberChanges.role, other, role, null];
  const seq = draft.append(entryKinds.members, false, user, clientId, [change]);
  draft.setMember(other, { ...member, role, changedSeq: seq });
  note(draft, user, clientId, seq, [change]);
  return seq;
}

/** Changes name, picture or custom fields. For owners and admins. */
export function update(draft: Draft, rules: MembershipRules, user: UserId, args: Args<"update">): Seq {
  const [, clientId, set] = args;
  const body: ConversationBody = [null, set];
  const digest = digestOf(encode(body));
  const used = draft.state.used(user, clientId);
  if (used && (used.kind !== entryKinds.conversation || used.digest !== digest)) throw new AppError("id_reused");
  if (used) return used.seq;
  adminOrRefuse(draft, rules, user);
  if (Object.keys(set).length === 0) throw new AppError("bad_request", "set names nothing to change");
  applySet(draft, set);
  const seq = draft.append(entryKinds.conversation, false, user, clientId, body);
  draft.state.noteId(user, clientId, { seq, kind: entryKinds.conversation, digest, change: null });
  return seq;
}

/** The member, or `no_access`: the default is deny (G12). */
export function memberOrRefuse(draft: Draft, user: UserId): Member {
  const member = draft.state.member(user);
  if (!member) throw new AppError("no_access");
  return member;
}

interface Change {
  readonly user: UserId;
  readonly role: Role;
}

/** Who asked for a change, under which id, and whom they named, those with nothing to change included. */
interface Asked {
  readonly by: UserId;
  readonly clientId: ClientId | null;
  readonly asked: readonly UserId[];
}

function adminOrRefuse(draft: Draft, rules: MembershipRules, user: UserId): Member {
  const member = memberOrRefuse(draft, user);
  if (rules.type.direct) throw new AppError("not_supported", "a direct conversation has two people and no name");
  if (member.role === "member") throw new AppError("forbidden");
  return member;
}

function checkCreate(
  type: ConversationType,
  user: UserId,
  set: ConversationSet | null,
  others: readonly UserId[],
): void {
  if (others.length + 1 > type.membersMax) throw tooMany(type);
  if (!type.direct) return;
  if (others.length !== 1)
    throw new AppError("bad_request", `a direct conversation names one other person than ${user}`);
  if (set && Object.keys(set).length > 0) throw new AppError("not_supported", "a direct conversation has no name");
}

function checkRoom(draft: Draft, type: ConversationType, more: number): void {
  if (draft.state.staged.memberCount + more > type.membersMax) throw tooMany(type);
}

function tooMany(type: ConversationType): AppError {
  return new AppError("limit_reached", undefined, { details: { limit: "membersMax", max: type.membersMax } });
}

function applySet(draft: Draft, set: ConversationSet): void {
  const head = draft.state.staged;
  if (set.name !== undefined) head.name = set.name;
  if (set.picture !== undefined) head.picture = set.picture;
  if (set.fields !== undefined) head.fields = set.fields === null ? null : encode(set.fields);
}

/** Appends `added` entries of at most `entryPeopleMax` people each; the first carries the client id. Answers its seq. */
function addAll(
  draft: Draft,
  rules: MembershipRules,
  { by, clientId, asked }: Asked,
  changes: readonly Change[],
  floor: Seq | null,
): Seq {
  const answer = draft.state.staged.seq + 1;
  for (let at = 0; at < changes.length; at += limits.entryPeopleMax) {
    const some = changes.slice(at, at + limits.entryPeopleMax);
    const next = draft.state.staged.seq + 1;
    const first = floor ?? (rules.type.historyForNewMembers ? 1 : next);
    const changed = some.map(({ user, role }): MemberChange => [memberChanges.added, user, role, first]);
    const body = at === 0 && clientId ? marked(changed, asked) : changed;
    const seq = draft.append(entryKinds.members, false, by, at === 0 ? clientId : null, body);
    const ordinal = draft.state.staged.ordinal;
    for (const { user, role } of some) {
      const mark = { seq, ordinal, own: rules.ownTotal(user) };
      draft.setMember(user, { role, join: mark, floor: first, changedSeq: seq });
    }
    if (at === 0 && clientId) note(draft, by, clientId, seq, body);
  }
  return answer;
}

function dropAll(
  draft: Draft,
  { by, clientId, asked }: Asked,
  change: typeof memberChanges.left | typeof memberChanges.removed,
  users: readonly UserId[],
): Seq {
  const answer = draft.state.staged.seq + 1;
  for (let at = 0; at < users.length; at += limits.entryPeopleMax) {
    const some = users.slice(at, at + limits.entryPeopleMax);
    const changed = some.map((user): MemberChange => [change, user, null, null]);
    const body = at === 0 ? marked(changed, asked) : changed;
    const seq = draft.append(entryKinds.members, false, by, at === 0 ? clientId : null, body);
    for (const user of some) draft.setMember(user, null);
    if (at === 0 && clientId) note(draft, by, clientId, seq, body);
  }
  return answer;
}

/** The body of an operation's first entry. */
function marked([first, ...others]: MembersBody, asked: readonly UserId[]): MembersBody {
  const [change, user, role, floor] = first as MemberChange;
  const changed = [user, ...others.map(([, other]) => other)];
  return [[change, user, role, floor, ...requestMark(asked, changed)], ...others];
}

function note(draft: Draft, user: UserId, clientId: ClientId, seq: Seq, body: MembersBody): void {
  draft.state.noteId(user, clientId, { seq, kind: entryKinds.members, ...usedForMembers(body) });
}
