// How messages and entries look in a terminal, and as JSON for scripts.
import type { Message } from "../client";
import { entryKinds } from "../protocol/entry";
import type { EntryTuple, MessageBody } from "../protocol/entry";

const kindNames = new Map<number, string>(Object.entries(entryKinds).map(([name, kind]) => [kind, name]));

/** One message on one line. */
export function messageLine(message: Message): string {
  const body = bodyText(message.text, message.data?.type ?? null, message.attachments.length);
  return `${clock(message.time)} ${String(message.seq ?? "-").padStart(6)} ${message.sender}: ${body}`;
}

/** One message for a script. */
export function messageRecord(message: Message): Readonly<Record<string, unknown>> {
  const { seq, sender, time, text, data, attachments, replyTo, mentions, fields } = message;
  return { seq, sender, time, text, data, attachments, replyTo, mentions, fields };
}

/** One entry on one line; those that are no messages show what they are. */
export function entryLine(conversation: string, entry: EntryTuple): string {
  const [seq, , kind, , time, sender, , , , body] = entry;
  const start = `${clock(time)} ${conversation} ${String(seq).padStart(6)} ${sender}`;
  if (kind !== entryKinds.message)
    return `${start} [${kindNames.get(kind) ?? `kind ${kind}`}] ${printable(JSON.stringify(body))}`;
  const [text, data, attachments] = body as MessageBody;
  return `${start}: ${bodyText(text ?? null, data?.[0] ?? null, attachments?.length ?? 0)}`;
}

/** One entry for a script. */
export function entryRecord(entry: EntryTuple): Readonly<Record<string, unknown>> {
  const [seq, ordinal, kind, counts, time, sender, actor, clientId, target, body] = entry;
  return { seq, ordinal, kind: kindNames.get(kind) ?? kind, counts, time, sender, actor, clientId, target, body };
}

function bodyText(text: string | null, dataType: string | null, attachments: number): string {
  const parts = [text === null ? null : printable(text), dataType && `[${printable(dataType)}]`];
  if (attachments > 0) parts.push(`[${attachments} attached]`);
  return parts.filter((part) => part !== null).join(" ");
}

/** A stranger's text must not steer the terminal: control characters are shown, not sent. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => (character === "\n" ? "⏎" : "�"));
}

function clock(time: number): string {
  return new Date(time).toISOString().replace("T", " ").slice(0, 19);
}
