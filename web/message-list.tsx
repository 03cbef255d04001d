// The lines of the open conversation: stays at the newest while one is there, keeps its place while older ones load above,
// and tells which message was last seen, so that reading is marked by what was on the screen.
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { ConversationState } from "../src/client/types";
import { DownIcon } from "./icons";
import { arrange, type Line } from "./lines";
import { MessageLine, type ReadBy } from "./message-line";
import { dayLabel } from "./words";

/** Closer than this to the end counts as there, px. */
const nearPx = 64;
/** Older messages are fetched this long before one gets there, px. */
const aheadPx = 500;

interface MessageListProps {
  readonly state: ConversationState;
  readonly me: string | null;
  readonly newAfter: number | null;
  readonly onLoadOlder: () => void;
  /** The highest seq on the screen, while the window is in use. */
  readonly onSeen: (seq: number) => void;
}

/** A scrolling log. */
export function MessageList({ state, me, newAfter, onLoadOlder, onSeen }: MessageListProps): JSX.Element {
  const scroller = useRef<HTMLElement>(null);
  const { atEnd, toEnd, look } = useScrollPlace(scroller, state, onLoadOlder, onSeen);
  const group = state.row?.peer === null;
  const lines = arrange(state.messages, newAfter);
  return (
    <div class="scroll-frame">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard */}
      <section class="scroller" ref={scroller} onScroll={look} tabIndex={0} aria-label="Messages">
        {state.loading && (
          <p class="older" role="status">
            Loading…
          </p>
        )}
        {!state.hasBefore && !state.loading && state.messages.length > 0 && (
          <p class="older">This is where it began.</p>
        )}
        {state.messages.length === 0 && !state.loading && <p class="no-messages">No messages yet. Say hello.</p>}
        <ol class="messages">
          {lines.map((line) => (
            <ShownLine key={line.key} line={line} group={group} readBy={readByOf(line, state, me)} />
          ))}
        </ol>
      </section>
      {!atEnd && (
        <button
          type="button"
          class="to-end"
          onClick={toEnd}
          title="To the newest message"
          aria-label="To the newest message"
        >
          <DownIcon />
          {(state.row?.unread ?? 0) > 0 && <span class="badge">{state.row?.unread}</span>}
        </button>
      )}
    </div>
  );
}

function ShownLine({
  line,
  group,
  readBy,
}: {
  readonly line: Line;
  readonly group: boolean;
  readonly readBy: ReadBy;
}): JSX.Element {
  if (line.kind === "day") {
    return (
      <li class="day">
        <span>{dayLabel(line.time, Date.now())}</span>
      </li>
    );
  }
  if (line.kind === "new") {
    return (
      <li class="new-mark">
        <span>New</span>
      </li>
    );
  }
  return <MessageLine message={line.message} first={line.first} last={line.last} group={group} readBy={readBy} />;
}

const nobody: ReadBy = { names: [], count: 0 };

function readByOf(line: Line, { cursors, readCount }: ConversationState, me: string | null): ReadBy {
  if (line.kind !== "message" || !line.message.mine || line.message.seq === null) return nobody;
  const { seq } = line.message;
  const readers = [...cursors].flatMap(([user, at]) => (user !== me && at >= seq ? [user as string] : []));
  const counted = readCount !== null && readCount.seq >= seq ? readCount.readers : 0;
  return { names: readers.sort(), count: Math.max(readers.length, counted) };
}

interface ScrollPlace {
  readonly atEnd: boolean;
  readonly toEnd: () => void;
  readonly look: () => void;
}

function useScrollPlace(
  scroller: { readonly current: HTMLElement | null },
  { messages, hasBefore, loading }: ConversationState,
  onLoadOlder: () => void,
  onSeen: (seq: number) => void,
): ScrollPlace {
  const [atEnd, setAtEnd] = useState(true);
  const place = useRef({ firstKey: "", lastKey: "", height: 0, atEnd: true });

  const look = (): void => {
    const element = scroller.current;
    if (element === null) return;
    const there = element.scrollHeight - element.scrollTop - element.clientHeight < nearPx;
    place.current.atEnd = there;
    setAtEnd(there);
    if (element.scrollTop < aheadPx && hasBefore && !loading) onLoadOlder();
    const seen = lastSeen(element);
    if (seen !== null && document.visibilityState === "visible" && document.hasFocus()) onSeen(seen);
  };
  const toEnd = (): void => {
    scroller.current?.scrollTo({ top: scroller.current.scrollHeight });
    look();
  };

  useLayoutEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const was = place.current;
    const [firstKey, last] = [messages[0]?.key ?? "", messages.at(-1)];
    const cameAbove = was.firstKey !== "" && firstKey !== was.firstKey && last?.key === was.lastKey;
    const sentNow = last !== undefined && last.key !== was.lastKey && last.mine && last.status === "sending";
    if (was.firstKey === "" && firstKey !== "") toStart(element);
    else if (cameAbove && !was.atEnd) element.scrollTop += element.scrollHeight - was.height;
    else if (was.atEnd || sentNow) element.scrollTop = element.scrollHeight;
    place.current = { firstKey, lastKey: last?.key ?? "", height: element.scrollHeight, atEnd: was.atEnd || sentNow };
    look();
  });
  useEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const resized = new ResizeObserver(() => {
      if (place.current.atEnd) element.scrollTop = element.scrollHeight;
    });
    resized.observe(element);
    return () => resized.disconnect();
  }, [scroller]);
  useLookOnReturn(look);
  return { atEnd, toEnd, look };
}

/** Where a conversation opens: at the mark before what is new if that would be out of sight, else at the end. */
function toStart(element: HTMLElement): void {
  element.scrollTop = element.scrollHeight;
  const mark = element.querySelector<HTMLElement>(".new-mark");
  if (mark !== null && mark.getBoundingClientRect().top < element.getBoundingClientRect().top) mark.scrollIntoView();
}

function lastSeen(element: HTMLElement): number | null {
  const end = element.getBoundingClientRect().bottom;
  const shown = [...element.querySelectorAll<HTMLElement>("[data-seq]")];
  // From the end, where one mostly is.
  const last = shown.findLast((one) => one.getBoundingClientRect().top < end - 8);
  return last === undefined ? null : Number(last.dataset["seq"]);
}

/** Coming back to the window counts as seeing what is on it. */
function useLookOnReturn(look: () => void): void {
  const latest = useRef(look);
  latest.current = look;
  useEffect(() => {
    const lookNow = (): void => latest.current();
    addEventListener("focus", lookNow);
    document.addEventListener("visibilitychange", lookNow);
    return () => {
      removeEventListener("focus", lookNow);
      document.removeEventListener("visibilitychange", lookNow);
    };
  }, []);
}
