// Types of conversations: what an integrator may configure and what the three built-in ones are.
// A conversation's type is chosen when it is created and never changes.
import { limits } from "../protocol/limits";

/** How conversations of one type behave. */
export interface ConversationType {
  /** Exactly two people, one conversation per pair, nobody added or removed. */
  readonly direct: boolean;
  /** Whether anybody who knows the id may join. */
  readonly joinable: boolean;
  /** Who may send: every member, or owners and admins only. */
  readonly senders: "members" | "admins";
  /** Whether new members may read what was there before them (their floor is 1) or not (their floor is their join). */
  readonly historyForNewMembers: boolean;
  /** Whether read receipts are pushed (up to `receiptMembersMax` members) and readers answered. */
  readonly receipts: boolean;
  /** Whether signals such as typing are passed on (up to `receiptMembersMax` members). */
  readonly signals: boolean;
  /** Most members, 2 to `limits.membersMax`. */
  readonly membersMax: number;
}

/** The types of a deployment, by name. */
export type ConversationTypes = ReadonlyMap<string, ConversationType>;

const group: ConversationType = {
  direct: false,
  joinable: false,
  senders: "members",
  historyForNewMembers: true,
  receipts: true,
  signals: true,
  membersMax: limits.membersMax,
};

/** `direct`, `group` and `channel` (broadcast: anybody joins, owners and admins send). */
export const builtInTypes: Readonly<Record<string, ConversationType>> = {
  direct: { ...group, direct: true, membersMax: 2 },
  group,
  channel: { ...group, joinable: true, senders: "admins", signals: false },
};
