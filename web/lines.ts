// Arranges messages into what a reader sees: days, the mark before what is new, and runs of one sender. Pure.
import type { Message } from "../src/client/types";
import { sameDay } from "./words";

/** A run of one sender breaks after this pause. */
const runMs = 5 * 60_000;

/** One line on the screen. `first` and `last` say where in its sender's run a message stands. */
export type Line =
  | { readonly kind: "day"; readonly key: string; readonly time: number }
  | { readonly kind: "new"; readonly key: string }
  | {
      readonly kind: "message";
      readonly key: string;
      readonly message: Message;
      readonly first: boolean;
      readonly last: boolean;
    };

/**
 * The lines of `messages`, which stand in shown order.
 * @param newAfter the last seq that was read when the conversation was opened; nil shows no mark
 */
export function arrange(messages: readonly Message[], newAfter: number | null): readonly Line[] {
  const firstNew = newAfter === null ? null : messages.find(({ mine, seq }) => !mine && seq !== null && seq > newAfter);
  const breaks = (at: number): boolean => {
    const [before, message] = [messages[at - 1], messages[at]];
    return before === undefined || message === undefined || message === firstNew || !sameRun(before, message);
  };
  return messages.flatMap((message, i) => {
    const before = messages[i - 1];
    const lines: Line[] = [];
    if (before === undefined || !sameDay(before.time, message.time)) {
      lines.push({ kind: "day", key: `day ${message.key}`, time: message.time });
    }
    if (message === firstNew) lines.push({ kind: "new", key: "new" });
    lines.push({ kind: "message", key: message.key, message, first: breaks(i), last: breaks(i + 1) });
    return lines;
  });
}

function sameRun(before: Message, after: Message): boolean {
  return before.sender === after.sender && after.time - before.time < runMs && sameDay(before.time, after.time);
}
