// Sending: each item of a batch is appended in order or answered alone (G2, G4).
// A final refusal skips its item; what is retryable is decided for the batch as a whole, before anything is appended.
import { AppError } from "../lib/errors";
import { Encoded, encode } from "../protocol/codec";
import { entryKinds, messageFlags } from "../protocol/entry";
import type { MessageBody } from "../protocol/entry";
import type { ClientId, Seq, UserId } from "../protocol/ids";
import type { ErrorTuple } from "../protocol/operations";
import { digestOf } from "./conversation-used";
import type { Draft } from "./conversation-commits";
import type { Member } from "./conversation-state";
import type { ConversationType } from "./conversation-types";

/** One message of a `send`. */
export type SendItem = readonly [ClientId, MessageBody];

/** What a send is checked against, beside the staged state. */
export interface SendRules {
  readonly type: ConversationType;
  /** Those among {@link strangersIn} who do not exist. */
  readonly unknown: ReadonlySet<UserId>;
  /** Throws what a request of this id was refused with lately. */
  readonly assertNew: (user: UserId, clientId: ClientId) => void;
}

/**
 * Whom these items mention and who is no member: whether they exist is to be asked before {@link send}. Members exist, so
 * that hardly any send has to wait.
 */
export function strangersIn(items: readonly SendItem[], isMember: (user: UserId) => boolean): readonly UserId[] {
  let found: Set<UserId> | null = null;
  for (const [, body] of items) {
    if (body.length <= 4 || !body[4]) continue;
    for (const user of body[4]) {
      if (isMember(user)) continue;
      found ??= new Set();
      found.add(user);
    }
  }
  return found ? [...found] : [];
}

/** Stages what can be staged; one outcome an item, in order. */
export function send(
  draft: Draft,
  rules: SendRules,
  user: UserId,
  items: readonly SendItem[],
): readonly (Seq | ErrorTuple)[] {
  const member = draft.state.member(user);
  return items.map((item) => {
    try {
      return sendOne(draft, rules, user, member, item);
    } catch (thrown) {
      if (thrown instanceof AppError) return thrown.toTuple();
      throw thrown;
    }
  });
}

function sendOne(draft: Draft, rules: SendRules, user: UserId, member: Member | null, item: SendItem): Seq {
  const [clientId, body] = item;
  const encoded = encode(body);
  const digest = digestOf(encoded);
  const used = draft.state.used(user, clientId);
  if (used) {
    if (used.kind === entryKinds.message && used.digest === digest) return used.seq;
    throw new AppError("id_reused");
  }
  rules.assertNew(user, clientId);
  if (!member) throw new AppError("no_access");
  if (rules.type.senders === "admins" && member.role === "member") throw new AppError("forbidden");
  checkBody(draft, member, body);
  checkMentions(rules, body);
  const flags = body[6] ?? 0;
  const counts = (flags & messageFlags.uncounted) === 0;
  const seq = draft.append(entryKinds.message, counts, user, clientId, new Encoded(encoded));
  draft.state.noteId(user, clientId, { seq, kind: entryKinds.message, digest, change: null });
  return seq;
}

function checkBody(draft: Draft, member: Member, body: MessageBody): void {
  const [text, data, attachments, replyTo] = body;
  if (!text && !data && !attachments?.length)
    throw new AppError("bad_request", "a message has text, data or attachments");
  if (replyTo != null && (replyTo < member.floor || replyTo < 1 || replyTo > draft.state.staged.seq))
    throw new AppError("bad_request", "the message replied to is not in this conversation, or not yours to read");
}

function checkMentions({ unknown }: SendRules, { 4: mentions }: MessageBody): void {
  if (unknown.size === 0 || !mentions) return;
  const named = [...new Set(mentions.filter((user) => unknown.has(user)))];
  if (named.length > 0) throw new AppError("unknown_user", undefined, { details: named });
}
