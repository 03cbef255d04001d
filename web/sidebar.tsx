// My conversations, the newest first, with unread counts; who I am; the way to a new one and out.
// The list is one stop of the Tab key: arrows, Home and End move within it, Enter opens.
import type { JSX, RefObject, TargetedKeyboardEvent } from "preact";
import type { ConnectionState, ConversationRow, Totals } from "../src/client/types";
import { Avatar } from "./avatar";
import { ComposeIcon, Logo, MutedIcon, SignOutIcon } from "./icons";
import { useNow } from "./observe";
import { nameOf, previewOf } from "./phrases";
import { badge, moment, plural, shortWhen } from "./words";

interface SidebarProps {
  readonly listRef: RefObject<HTMLElement | null>;
  readonly me: string | null;
  readonly connection: ConnectionState;
  readonly rows: readonly ConversationRow[];
  readonly totals: Totals;
  readonly online: ReadonlySet<string>;
  readonly openId: string | null;
  readonly onOpen: (id: string) => void;
  readonly onStart: () => void;
  readonly onSignOut: () => void;
}

/** The left pane; the whole screen of a phone while nothing is open. */
export function Sidebar(props: SidebarProps): JSX.Element {
  const { totals, onStart } = props;
  return (
    <aside class="sidebar" aria-label="Conversations">
      <header class="sidebar-head">
        <Logo />
        <h1>Parley</h1>
        {totals.unread > 0 && (
          <span class="badge" title={plural(totals.unread, "unread message")}>
            {badge(totals.unread)}
          </span>
        )}
        <button
          type="button"
          class="icon-button push"
          title="New conversation"
          aria-label="New conversation"
          onClick={onStart}
        >
          <ComposeIcon />
        </button>
      </header>
      <List {...props} />
      <Myself {...props} />
    </aside>
  );
}

function List({ listRef, rows, connection, online, openId, me, onOpen, onStart }: SidebarProps): JSX.Element {
  const now = useNow(30_000);
  if (rows.length === 0) return connection.synced ? <NoConversations onStart={onStart} /> : <Skeleton />;
  const reachable = rows.some(({ id }) => id === openId) ? openId : rows[0]?.id;
  return (
    <nav class="list" ref={listRef} aria-label="Conversations" onKeyDown={moveFocus}>
      <ul>
        {rows.map((row) => (
          <li key={row.id}>
            <Row
              row={row}
              me={me}
              now={now}
              online={row.peer !== null && online.has(row.peer)}
              open={row.id === openId}
              reachable={row.id === reachable}
              onOpen={onOpen}
            />
          </li>
        ))}
      </ul>
    </nav>
  );
}

interface RowProps {
  readonly row: ConversationRow;
  readonly me: string | null;
  readonly now: number;
  readonly online: boolean;
  readonly open: boolean;
  /** Whether the Tab key stops here. */
  readonly reachable: boolean;
  readonly onOpen: (id: string) => void;
}

function Row({ row, me, now, online, open, reachable, onOpen }: RowProps): JSX.Element {
  const name = nameOf(row);
  const direct = row.peer !== null;
  const waiting = row.unread > 0 || row.markedUnread;
  const classes = ["row", open ? "open" : "", waiting ? "waiting" : "", row.muted ? "muted" : ""];
  return (
    <button
      type="button"
      class={classes.filter(Boolean).join(" ")}
      data-conversation={row.id}
      aria-current={open ? "true" : undefined}
      tabIndex={reachable ? 0 : -1}
      onClick={() => onOpen(row.id)}
    >
      <Avatar name={name} group={!direct} online={online} />
      <span class="row-name">
        <span class="clip">{name}</span>
        {row.muted && (
          <span class="row-muted" title="Muted">
            <MutedIcon />
            <span class="hidden">muted</span>
          </span>
        )}
      </span>
      <time class="row-time" dateTime={new Date(row.activityAt).toISOString()} title={moment(row.activityAt)}>
        {shortWhen(row.activityAt, now)}
      </time>
      <span class="row-preview clip">{previewOf(row.lastMessage, me, direct) ?? "No messages yet"}</span>
      {waiting && (
        <span class={row.muted ? "badge quiet" : "badge"}>
          {row.unread > 0 ? badge(row.unread) : ""}
          <span class="hidden"> unread</span>
        </span>
      )}
    </button>
  );
}

function Myself({ me, connection, totals, onSignOut }: SidebarProps): JSX.Element {
  const words = { online: "Online", connecting: "Connecting…", offline: "Offline", signedOut: "Signed out" };
  return (
    <footer class="myself">
      <Avatar name={me ?? "?"} small online={connection.state === "online"} />
      <span class="myself-words">
        <strong class="clip">{me ?? "…"}</strong>
        <span class="quiet">
          {words[connection.state]}
          {totals.mutedUnread > 0 && ` · ${totals.mutedUnread} unread in muted`}
        </span>
      </span>
      <button type="button" class="icon-button push" title="Sign out" aria-label="Sign out" onClick={onSignOut}>
        <SignOutIcon />
      </button>
    </footer>
  );
}

function NoConversations({ onStart }: { readonly onStart: () => void }): JSX.Element {
  return (
    <div class="list-empty">
      <p>No conversations yet.</p>
      <button type="button" class="button" onClick={onStart}>
        Begin one
      </button>
    </div>
  );
}

function Skeleton(): JSX.Element {
  return (
    <div class="list skeleton" aria-label="Loading conversations" role="status">
      {[0, 1, 2, 3].map((i) => (
        <span key={i} class="skeleton-row" />
      ))}
    </div>
  );
}

function moveFocus(event: TargetedKeyboardEvent<HTMLElement>): void {
  const rows = [...event.currentTarget.querySelectorAll<HTMLElement>(".row")];
  const at = rows.indexOf(document.activeElement as HTMLElement);
  const targets: Readonly<Record<string, number>> = {
    ArrowDown: at + 1,
    ArrowUp: at - 1,
    Home: 0,
    End: rows.length - 1,
  };
  const to = targets[event.key];
  if (to === undefined || at === -1) return;
  event.preventDefault();
  rows[Math.max(0, Math.min(to, rows.length - 1))]?.focus();
}
