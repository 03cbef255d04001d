// What goes wrong, in words for the person at the screen; what happened and what to do, never a code. Pure.
import { ClientError } from "../src/client/index";
import type { ConnectionState, ConversationRow, MessagePreview } from "../src/client/types";
import { names } from "./words";

const byCode: Readonly<Record<string, string>> = {
  no_access: "You are not a member of this conversation any more.",
  forbidden: "Your role here does not allow that.",
  too_large: "That is too long: a message holds 64 KB of text.",
  limit_reached: "A limit of this server is reached.",
  outbox_full: "Too much is waiting to be sent. Wait until some of it is through.",
  owner_must_hand_over: "You are the last owner. Make somebody else owner before you leave.",
  not_supported: "This kind of conversation does not do that.",
  slow_down: "Too fast for this server. It is tried again in a moment.",
  generation_changed: "The server was restored from a backup before this was sent.",
};

/** Why something was refused. */
export function troubleOf(error: unknown): string {
  if (!(error instanceof ClientError)) return error instanceof Error ? error.message : "Something went wrong.";
  if (error.code === "unknown_user") return unknownPeople(error.details);
  return byCode[error.code] ?? `Not done: ${error.message}.`;
}

/** Names people who are not there. */
export function unknownPeople(details: unknown): string {
  const people = (Array.isArray(details) ? details : []).filter((one): one is string => typeof one === "string");
  if (people.length === 0) return "Nobody by that name has signed in yet.";
  return people.length === 1
    ? `Nobody by the name ${people[0]} has signed in yet.`
    : `Nobody by the names ${names(people, 6)} has signed in yet.`;
}

/** Why the session ended. */
export function endOf({ reason }: ConnectionState): string {
  if (reason === "unsupportedVersion" || reason === "unsupported_version")
    return "This page is too old for its server. Reload it.";
  return reason === "tokenExpired" || reason === "token_expired" ? "Your sign-in has expired." : "You are signed out.";
}

/** A conversation's name on the screen. */
export function nameOf(row: ConversationRow): string {
  return row.peer ?? row.name ?? "Unnamed group";
}

/** The newest message on one line. */
export function previewOf(message: MessagePreview | null, me: string | null, direct: boolean): string | null {
  if (message === null) return null;
  const words = message.text ?? (message.attachments > 0 ? "Attachment" : "Message");
  if (message.sender === me) return `You: ${words}`;
  return direct ? words : `${message.sender}: ${words}`;
}
