// What sessions ask of placed actors, and what those tell each other. Plain data: it crosses nodes as MessagePack.
import type { ConversationId, DeviceId, Seq, UserId, UserSeq } from "../protocol/ids";
import type { Role } from "../protocol/entry";
import type { Args, HeadTuple, InfoTuple, MarkTuple, MembershipTuple } from "../protocol/operations";
import type { Mark } from "../protocol/unread";

/** Operations that the conversation actor answers with exactly `Results[op]`; the session passes checked arguments through. */
export type ConversationOperation =
  | "create"
  | "members"
  | "join"
  | "leave"
  | "add"
  | "remove"
  | "role"
  | "update"
  | "send"
  | "history"
  | "entries"
  | "read"
  | "readers"
  | "signal";

/** A request of a person, keyed by the conversation's id. `create` is keyed by the id it is about to have. */
export type ConversationAsk =
  | {
      readonly [N in ConversationOperation]: { readonly op: N; readonly user: UserId; readonly args: Args<N> };
    }[ConversationOperation]
  /** Answers {@link RowPart}; `no_access` for who is not a member. */
  | { readonly op: "row"; readonly user: UserId };

/** A conversation's side of a RowTuple: everything but the person's settings. */
export interface RowPart {
  readonly info: InfoTuple;
  readonly membership: MembershipTuple;
  readonly head: HeadTuple;
  readonly cursor: MarkTuple;
  readonly myTotal: number;
}

/** What conversations are told. */
export type ConversationTell =
  /** That person's feed holds every membership change of this conversation up to `seq`. */
  | { readonly op: "fed"; readonly user: UserId; readonly seq: Seq }
  /** Sent at take-over: activate, finish what a predecessor left open, close when idle. */
  | { readonly op: "reopen" };

/** Requests to a person's actor, keyed by the user id. */
export type UserAsk =
  /**
   * Checks a token's `iat` (seconds) against sign-outs, makes the person and the device known, durably, where they are new.
   * Answers `{ userSeq }`; fails with `signed_out`, or `limit_reached` for devices.
   */
  | { readonly op: "signIn"; readonly device: DeviceId; readonly platform: string | null; readonly issuedAt: number }
  /** Makes the person exist (the server API). Answers `{ created }`. */
  | { readonly op: "ensure" }
  /** Voids every token issued until now: of one device, or of all (null). Answers nothing once durable; sockets close. */
  | { readonly op: "signOut"; readonly device: DeviceId | null }
  /** Answers `Results["devices"]`. */
  | { readonly op: "devices" }
  /** Answers the SettingsTuple of one conversation. */
  | { readonly op: "settingsOf"; readonly conversation: ConversationId }
  /** Answers `Results["settings"]`; `no_access` without a membership. */
  | { readonly op: "settings"; readonly args: Args<"settings"> };

/** The answer to `signIn`. */
export interface SignedIn {
  readonly userSeq: UserSeq;
}

/** What people's actors are told. */
export type UserTell =
  | MembershipTell
  /** As for conversations: activate, and hand out what a predecessor could not. */
  | { readonly op: "reopen" };

/** One person's membership of one conversation, as the log has it. */
export interface MembershipTell {
  /** A change of membership, committed in the log at `seq`; repeated until `fed` comes back. */
  readonly op: "membership";
  readonly conversation: ConversationId;
  readonly type: string;
  readonly peer: UserId | null;
  readonly seq: Seq;
  readonly change: "added" | "left" | "removed" | "role";
  readonly role: Role | null;
  readonly join: Mark;
  readonly floor: Seq;
  /** Who did it. */
  readonly by: UserId;
}

/**
 * What a session may read of an active conversation without asking it (Router.peek): its committed state, now.
 * `sentSince` counts the person's counted entries after `head.totalsThrough` of the same moment.
 */
export interface ConversationPeek {
  /** The last committed seq; 0 while the conversation does not exist. */
  readonly headSeq: Seq;
  /** Null for who is not a member now. */
  peek(user: UserId): {
    readonly info: InfoTuple;
    readonly membership: MembershipTuple;
    readonly head: HeadTuple;
    readonly totalsThrough: Seq;
    readonly sentSince: number;
  } | null;
}

/** A seq is true under every owner; refusals, unread and a repeated mark may not be. A signal asked again would be pushed again. */
export function isBacked(message: unknown, value: unknown): boolean {
  const { op } = message as ConversationAsk;
  if (op === "signal") return true;
  return op === "send" && (value as readonly unknown[]).every((outcome) => typeof outcome === "number");
}
