// Tells a screen reader of new messages: those of the open conversation in full, others by where they came in.
// Invisible; only what is pushed live is told, never what was loaded.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { ClientEvents, ConversationRow, ParleyClient } from "../src/client/types";
import { nameOf } from "./phrases";

/** The number of a log entry that is a message. */
const messageKind = 1;

interface AnnouncerProps {
  readonly client: ParleyClient;
  readonly rows: readonly ConversationRow[];
  readonly openId: string | null;
  readonly me: string | null;
}

/** A polite live region. */
export function Announcer({ client, ...shown }: AnnouncerProps): JSX.Element {
  const [said, setSaid] = useState("");
  const latest = useRef(shown);
  latest.current = shown;
  useEffect(() => {
    const tell = (conversation: string, entry: ClientEvents["entry"]["entry"]): void => {
      const [, , kind, , , sender, , , , body] = entry;
      const { rows, openId, me } = latest.current;
      const row = rows.find(({ id }) => id === conversation);
      if (kind !== messageKind || sender === me || row?.muted) return;
      const text = Array.isArray(body) && typeof body[0] === "string" ? body[0] : "a message without text";
      setSaid(
        conversation === openId ? `${sender}: ${text}` : `New message${row ? ` in ${nameOf(row)}` : ""} from ${sender}`,
      );
    };
    const stops = [
      client.on("entry", ({ conversation, entry, how }) => how === "pushed" && tell(conversation, entry)),
      client.on("mention", ({ conversation, entry }) => tell(conversation, entry)),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }, [client]);
  return (
    <div class="hidden" role="log" aria-live="polite" aria-relevant="additions text">
      {said}
    </div>
  );
}
