// The open conversation: who is in it, what was said, who is typing, and the field to write in.
// Marks as read what was on the screen; keeps the mark before what is new where it was at opening.
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { ConversationRow, ConversationState, ConversationView, ParleyClient } from "../src/client/types";
import { Avatar } from "./avatar";
import { Composer } from "./composer";
import { DetailsDialog } from "./details-dialog";
import { BackIcon, BellIcon, MutedIcon } from "./icons";
import { MessageList } from "./message-list";
import { useObservable } from "./observe";
import { nameOf, troubleOf } from "./phrases";
import { names, plural } from "./words";

/** Names fetched of a group for its heading and its presence dots. */
const namedMembersMax = 200;

interface ThreadProps {
  readonly client: ParleyClient;
  readonly id: string;
  readonly row: ConversationRow | null;
  readonly me: string | null;
  readonly online: ReadonlySet<string>;
  /** The people of this conversation, to be watched. */
  readonly onMembers: (users: readonly string[]) => void;
  readonly onClose: () => void;
}

/** The right pane; the whole screen of a phone. */
export function Thread({ client, id, row, me, online, onMembers, onClose }: ThreadProps): JSX.Element {
  const view = useMemo(() => client.conversation(id), [client, id]);
  const state = useObservable(view);
  const members = useMembers(view, row, onMembers);
  const [newAfter, forgetNew] = useNewMark(row);
  const [details, setDetails] = useState(false);
  const [trouble, setTrouble] = useState<string | null>(null);
  useEscape(details ? null : onClose);

  if (row === null) return <NotHere state={state} onClose={onClose} />;
  const name = nameOf(row);
  const others = members.filter((user) => user !== me);
  const send = (text: string): string | null => {
    try {
      // Its failure, if any, stands at the message itself.
      view.send(text).acked.catch(() => null);
    } catch (error) {
      return troubleOf(error);
    }
    forgetNew();
    return null;
  };
  const mute = (): void => {
    view.settings({ muted: !row.muted }).catch((error: unknown) => setTrouble(troubleOf(error)));
  };
  const seen = (seq: number): void => {
    if (seq > row.readSeq && row.unread > 0) view.markRead(seq).catch(() => null);
  };

  return (
    <section class="thread" aria-label={name}>
      <Head
        row={row}
        others={others}
        online={online}
        onClose={onClose}
        onMute={mute}
        onDetails={() => setDetails(true)}
      />
      {trouble && (
        <p class="trouble strip" role="alert">
          {trouble}
        </p>
      )}
      <MessageList
        state={state}
        me={me}
        newAfter={newAfter}
        onLoadOlder={() => void view.loadBefore().catch((error: unknown) => setTrouble(troubleOf(error)))}
        onSeen={seen}
      />
      <Typing who={state.typing} />
      <Composer me={me} conversation={id} to={name} onSend={send} onTyping={() => view.typing()} />
      {details && (
        <DetailsDialog
          view={view}
          row={row}
          me={me}
          online={online}
          onClose={() => setDetails(false)}
          onLeft={onClose}
        />
      )}
    </section>
  );
}

interface HeadProps extends HeadingProps {
  readonly onClose: () => void;
  readonly onMute: () => void;
}

function Head({ row, others, online, onClose, onMute, onDetails }: HeadProps): JSX.Element {
  return (
    <header class="thread-head">
      <button
        type="button"
        class="icon-button back"
        title="Back to the list"
        aria-label="Back to the list"
        onClick={onClose}
      >
        <BackIcon />
      </button>
      <Heading row={row} others={others} online={online} onDetails={onDetails} />
      <button
        type="button"
        class={row.muted ? "icon-button push on" : "icon-button push"}
        aria-pressed={row.muted}
        title={row.muted ? "Unmute" : "Mute"}
        aria-label="Mute"
        onClick={onMute}
      >
        {row.muted ? <MutedIcon /> : <BellIcon />}
      </button>
    </header>
  );
}

interface HeadingProps {
  readonly row: ConversationRow;
  readonly others: readonly string[];
  readonly online: ReadonlySet<string>;
  readonly onDetails: () => void;
}

function Heading({ row, others, online, onDetails }: HeadingProps): JSX.Element {
  const name = nameOf(row);
  if (row.peer !== null) {
    return (
      <div class="heading">
        <Avatar name={name} online={online.has(row.peer)} />
        <div class="heading-words">
          <h2 class="clip">{name}</h2>
          <p class="clip">{online.has(row.peer) ? "Online" : "Direct conversation"}</p>
        </div>
      </div>
    );
  }
  const here = others.filter((user) => online.has(user)).length;
  const about = others.length > 0 ? `You, ${names(others, 4)}` : plural(row.memberCount, "member");
  return (
    <button type="button" class="heading" onClick={onDetails} title="Members">
      <Avatar name={name} group />
      <div class="heading-words">
        <h2 class="clip">{name}</h2>
        <p class="clip">
          {about}
          {here > 0 && ` · ${here} online`}
        </p>
      </div>
    </button>
  );
}

function Typing({ who }: { readonly who: readonly string[] }): JSX.Element {
  return (
    <div class="typing" aria-live="off">
      {who.length > 0 && (
        <>
          <span class="typing-dots" aria-hidden="true">
            <i />
            <i />
            <i />
          </span>
          <span class="clip">
            {names(who, 2)} {who.length === 1 ? "is" : "are"} typing
          </span>
        </>
      )}
    </div>
  );
}

function NotHere({ state, onClose }: { readonly state: ConversationState; readonly onClose: () => void }): JSX.Element {
  const gone = state.membership === "left";
  return (
    <div class="nothing" role="status">
      <h2>{gone ? "You are not in this conversation any more" : "Opening…"}</h2>
      {!gone && <p>If this takes long, it may not be yours.</p>}
      <button type="button" class="button" onClick={onClose}>
        Back to the list
      </button>
    </div>
  );
}

/** Members of a group by name, fetched anew when their number changes. */
function useMembers(
  view: ConversationView,
  row: ConversationRow | null,
  onMembers: (users: readonly string[]) => void,
): readonly string[] {
  const [members, setMembers] = useState<readonly string[]>([]);
  const count = row !== null && row.peer === null && !row.pending ? row.memberCount : 0;
  useEffect(() => {
    if (count === 0) return;
    let current = true;
    view.members({ limit: namedMembersMax }).then(
      ({ items }) => {
        if (!current) return;
        const users = items.map(({ user }) => user as string);
        setMembers(users);
        onMembers(users);
      },
      // Offline: the heading tells the number instead.
      () => null,
    );
    return () => {
      current = false;
    };
  }, [view, count, onMembers]);
  return members;
}

/** The seq after which messages were new when the conversation was opened, or came while the window was not in use. */
function useNewMark(row: ConversationRow | null): [number | null, () => void] {
  const mark = useRef<number | null>(null);
  const known = useRef(false);
  if (row !== null && !row.pending) {
    const unseen = row.unread > 0 && (!known.current || (mark.current === null && !document.hasFocus()));
    if (unseen) mark.current = row.readSeq;
    known.current = true;
  }
  return [
    mark.current,
    () => {
      mark.current = null;
    },
  ];
}

function useEscape(onEscape: (() => void) | null): void {
  useEffect(() => {
    if (onEscape === null) return;
    const close = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && !event.isComposing && document.querySelector("dialog[open]") === null) onEscape();
    };
    addEventListener("keydown", close);
    return () => removeEventListener("keydown", close);
  }, [onEscape]);
}
