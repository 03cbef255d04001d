// A message as the wire has it to a message as it is shown, and a draft to a body. Bodies are not trusted. Pure.
import { decode, encode } from "../protocol/codec";
import type { EntryTuple, MessageBody } from "../protocol/entry";
import { entryKinds, messageFlags } from "../protocol/entry";
import { BadField, isMap } from "../protocol/fields";
import type { ClientId, Seq, UserId } from "../protocol/ids";
import { messageBody } from "../protocol/operations";
import { ClientError } from "./errors";
import type { Failure, Message, MessageDraft, MessagePreview, MessageStatus } from "./types";

/** A body whose parts have the types they should have; what has not is left out. */
type Parts = Pick<Message, "text" | "data" | "attachments" | "replyTo" | "mentions" | "fields" | "silent">;

/** Whether an entry is a message: only these are shown. */
export function isMessage(entry: EntryTuple): boolean {
  return entry[2] === entryKinds.message;
}

/** Whether an entry is somebody else's message that mentions me. */
export function mentions(entry: EntryTuple, me: UserId | null): boolean {
  return me !== null && entry[5] !== me && isMessage(entry) && partsOf(entry[9]).mentions.includes(me);
}

/** The shown form of an entry of kind message. */
export function messageOf(entry: EntryTuple, me: UserId | null): Message {
  const [seq, , , , time, sender, actor, clientId, , body] = entry;
  const mine = sender === me;
  return {
    key: mine && clientId !== null ? clientId : `#${seq}`,
    clientId: clientId ?? null,
    seq,
    sender,
    actor: actor ?? null,
    time,
    ...partsOf(body),
    mine,
    status: "sent",
    failure: null,
  };
}

/** The shown form of a queued, refused or just acknowledged message of mine. */
export function ownMessage(
  clientId: ClientId,
  body: MessageBody,
  me: UserId | null,
  time: number,
  seq: Seq | null,
  failure: Failure | null,
): Message {
  const status: MessageStatus = failure ? "failed" : seq === null ? "sending" : "sent";
  const sender = me ?? ("" as UserId);
  return { key: clientId, clientId, seq, sender, actor: null, time, ...partsOf(body), mine: true, status, failure };
}

/** What a list shows of the newest message; null where there is none. */
export function previewOf(entry: EntryTuple | null): MessagePreview | null {
  if (!entry || !isMessage(entry)) return null;
  const { text, data, attachments } = partsOf(entry[9]);
  return {
    seq: entry[0],
    sender: entry[5],
    time: entry[4],
    text,
    dataType: data?.type ?? null,
    attachments: attachments.length,
  };
}

/** Throws ClientError `bad_request` or `too_large` for what the server would refuse. */
export function bodyOf(draft: MessageDraft | string): MessageBody {
  const { text, data, attachments, replyTo, mentions, fields, silent, uncounted } =
    typeof draft === "string" ? ({ text: draft } as MessageDraft) : draft;
  const flags = (silent ? messageFlags.silent : 0) | (uncounted ? messageFlags.uncounted : 0);
  const parts = [
    text ?? null,
    data ? [data.type, data.value] : null,
    attachments ?? null,
    replyTo ?? null,
    mentions ?? null,
    fields ?? null,
    flags === 0 ? null : flags,
  ];
  if (!text && !data && !attachments?.length) throw new ClientError("bad_request", "final", "an empty message");
  try {
    const body = messageBody.read(parts);
    // A copy by way of the wire: what cannot be encoded is refused now, and later changes of the draft change nothing.
    return body.length > 1 ? (decode(encode(body)) as MessageBody) : body;
  } catch (error) {
    if (error instanceof BadField) throw new ClientError(error.code, "final", error.message);
    throw new ClientError("bad_request", "final", String(error));
  }
}

function partsOf(body: unknown): Parts {
  const [text, data, attachments, replyTo, mentions, fields, flags] = (Array.isArray(body) ? body : []) as unknown[];
  return {
    text: typeof text === "string" ? text : null,
    data: Array.isArray(data) && typeof data[0] === "string" ? { type: data[0], value: data[1] ?? null } : null,
    attachments: Array.isArray(attachments) ? attachments.filter(isMap) : [],
    replyTo: typeof replyTo === "number" ? replyTo : null,
    mentions: Array.isArray(mentions) ? mentions.filter((user): user is UserId => typeof user === "string") : [],
    fields: isMap(fields) ? fields : null,
    silent: typeof flags === "number" && (flags & messageFlags.silent) !== 0,
  };
}
