// Requests that change who is in a conversation, what they may do and what it is called: which rule each of them runs by.
// Used by the conversation actor.
import type { Seq } from "../protocol/ids";
import type { Reply } from "./actor";
import type { Draft } from "./conversation-commits";
import * as membership from "./conversation-membership";
import type { ConversationAsk } from "./messages";

/** A request of this kind. */
export type Change = Extract<
  ConversationAsk,
  { op: "create" | "join" | "leave" | "add" | "remove" | "role" | "update" }
>;

/** Stages it; answers the seq of its first entry. Throws an AppError where a rule refuses it. */
export function runChange(draft: Draft, rules: membership.MembershipRules, ask: Change): Seq {
  switch (ask.op) {
    case "create":
      return membership.create(draft, rules, ask.user, ask.args);
    case "join":
      return membership.join(draft, rules, ask.user, ask.args[1]);
    case "leave":
      return membership.leave(draft, rules, ask.user, ask.args[1]);
    case "add":
      return membership.add(draft, rules, ask.user, ask.args);
    case "remove":
      return membership.remove(draft, rules, ask.user, ask.args);
    case "role":
      return membership.changeRole(draft, rules, ask.user, ask.args);
    case "update":
      return membership.update(draft, rules, ask.user, ask.args);
  }
}

/** A reply that calls `first` before it is answered. */
export function behind(reply: Reply, first: () => void): Reply {
  return {
    ok(value) {
      first();
      reply.ok(value);
    },
    fail(error) {
      first();
      reply.fail(error);
    },
  };
}
