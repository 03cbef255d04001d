// One message: its text, its time, and a tick that says how far it came: on its way, stored, read and by whom.
// A message that failed says why and offers both ways on: again, or not at all.
import type { JSX } from "preact";
import type { Message } from "../src/client/types";
import { Avatar, tintOf } from "./avatar";
import { FailedTick, ReadTick, SendingTick, StoredTick } from "./icons";
import { troubleOf } from "./phrases";
import { moment, names, timeOfDay } from "./words";

/** Who has read a message, as far as it is known. */
export interface ReadBy {
  readonly names: readonly string[];
  /** More than the names in large conversations, where only a number is told. */
  readonly count: number;
}

interface MessageLineProps {
  readonly message: Message;
  readonly first: boolean;
  readonly last: boolean;
  /** In a group, senders are named and ticks count. */
  readonly group: boolean;
  readonly readBy: ReadBy;
}

/** A bubble, mine at the right and others' at the left. */
export function MessageLine({ message, first, last, group, readBy }: MessageLineProps): JSX.Element {
  const { mine, failure } = message;
  const named = group && !mine;
  const classes = ["message", mine ? "mine" : "theirs", first ? "first" : "", last ? "last" : "", message.status];
  return (
    <li class={classes.filter(Boolean).join(" ")} data-seq={message.seq ?? undefined}>
      {named && <span class="message-side">{last && <Avatar name={message.sender} small />}</span>}
      <div class="bubble">
        {named && first && <span class={`sender clip ${tintOf(message.sender)}`}>{message.sender}</span>}
        {!(named && first) && <span class="hidden">{mine ? "You" : message.sender}: </span>}
        <p class="text">{message.text === null ? <em>{placeholder(message)}</em> : <Linked text={message.text} />}</p>
        <span class="meta">
          <time dateTime={new Date(message.time).toISOString()} title={moment(message.time)}>
            {timeOfDay(message.time)}
          </time>
          {mine && <Tick message={message} group={group} readBy={readBy} />}
        </span>
      </div>
      {failure && (
        <p class="failure" role="alert">
          <span>Not sent. {troubleOf(failure.error)}</span>
          <button type="button" class="link" onClick={failure.retry}>
            Try again
          </button>
          <button type="button" class="link" onClick={failure.discard}>
            Discard
          </button>
        </p>
      )}
    </li>
  );
}

function placeholder(message: Message): string {
  if (message.attachments.length > 0) return message.attachments.length === 1 ? "Attachment" : "Attachments";
  return message.data === null ? "This message was emptied" : `Data: ${message.data.type}`;
}

function Tick({ message, group, readBy }: Pick<MessageLineProps, "message" | "group" | "readBy">): JSX.Element {
  if (message.status === "failed") return <TickMark kind="failed" says="Not sent" />;
  if (message.status === "sending") return <TickMark kind="sending" says="Sending" />;
  if (readBy.count === 0) return <TickMark kind="stored" says="Stored, not read yet" />;
  const who = readBy.names.length > 0 ? names(readBy.names, 5) : String(readBy.count);
  return <TickMark kind="read" says={group ? `Read by ${who}` : "Read"} count={group ? readBy.count : null} />;
}

const drawings = { failed: FailedTick, sending: SendingTick, stored: StoredTick, read: ReadTick };

interface TickMarkProps {
  readonly kind: keyof typeof drawings;
  readonly says: string;
  readonly count?: number | null;
}

function TickMark({ kind, says, count = null }: TickMarkProps): JSX.Element {
  const Drawing = drawings[kind];
  return (
    <span class={`tick ${kind}`} title={says} role="img" aria-label={says}>
      <Drawing />
      {count !== null && <span aria-hidden="true">{count}</span>}
    </span>
  );
}

const address = /(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]}'])/;

/** Text with its web addresses as links; everything else stays text. */
function Linked({ text }: { readonly text: string }): JSX.Element {
  const parts = text.split(address);
  return (
    <>
      {parts.map((part, i) =>
        i % 2 === 1 ? (
          <a key={i} href={part} target="_blank" rel="noopener noreferrer">
            {part}
          </a>
        ) : (
          part
        ),
      )}
    </>
  );
}
