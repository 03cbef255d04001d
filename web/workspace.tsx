// One person's chat: the list, the open conversation, the connection's state, the badge in the title.
// Owns what is open (in the address, so that the browser's back button leads to the list) and whose presence is watched.
import type { JSX } from "preact";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { ConversationRow, ParleyClient } from "../src/client/types";
import { Announcer } from "./announcer";
import { ConnectionBanner } from "./connection-banner";
import { Logo } from "./icons";
import { useObservable } from "./observe";
import { endOf } from "./phrases";
import { Sidebar } from "./sidebar";
import { StartDialog } from "./start-dialog";
import { Thread } from "./thread";

const nobody: ReadonlySet<string> = new Set();

/** The server watches at most this many people for one session. */
const watchedMax = 200;

interface WorkspaceProps {
  readonly client: ParleyClient;
  /** The session ended: signed out here (nil) or by the server (in words). */
  readonly onEnd: (why: string | null) => void;
}

/** Everything behind sign-in. */
export function Workspace({ client, onEnd }: WorkspaceProps): JSX.Element {
  const connection = useObservable(client.connection);
  const rows = useObservable(client.conversations);
  const totals = useObservable(client.totals);
  const [openId, open] = useOpenConversation();
  const [starting, setStarting] = useState(false);
  const [people, setPeople] = useState<readonly string[]>([]);
  const list = useRef<HTMLElement>(null);
  const watched = useWatchedPeople(client, rows, people);
  // Cut off, one knows nothing of others.
  const present = connection.state === "online" ? watched : nobody;

  const signOut = useEnding(client, onEnd);
  useTitle(totals.unread > 0 ? `(${totals.unread}) Parley` : "Parley");
  const close = useCallback(() => {
    open(null);
    list.current?.querySelector<HTMLElement>("[tabindex='0']")?.focus();
  }, [open]);

  return (
    <div class={openId === null ? "workspace" : "workspace has-open"}>
      <button type="button" class="skip" onClick={() => document.getElementById("conversation")?.focus()}>
        Skip to the conversation
      </button>
      <ConnectionBanner connection={connection} onRetry={() => client.connect()} />
      <div class="panes">
        <Sidebar
          listRef={list}
          me={connection.user}
          connection={connection}
          rows={rows}
          totals={totals}
          online={present}
          openId={openId}
          onOpen={open}
          onStart={() => setStarting(true)}
          onSignOut={signOut}
        />
        <main id="conversation" class="main" tabIndex={-1}>
          {openId === null ? (
            <NothingOpen any={rows.length > 0} onStart={() => setStarting(true)} />
          ) : (
            <Thread
              key={openId}
              client={client}
              id={openId}
              row={rows.find(({ id }) => id === openId) ?? null}
              me={connection.user}
              online={present}
              onMembers={setPeople}
              onClose={close}
            />
          )}
        </main>
      </div>
      {starting && (
        <StartDialog
          client={client}
          rows={rows}
          onStarted={(id) => {
            setStarting(false);
            open(id);
          }}
          onClose={() => setStarting(false)}
        />
      )}
      <Announcer client={client} rows={rows} openId={openId} me={connection.user} />
    </div>
  );
}

function NothingOpen({ any, onStart }: { readonly any: boolean; readonly onStart: () => void }): JSX.Element {
  return (
    <div class="nothing">
      <Logo />
      <h2>{any ? "Pick a conversation" : "Nothing here yet"}</h2>
      <p>
        {any
          ? "Or begin another one. What you write is kept until it is stored, even offline."
          : "Begin a conversation with somebody who has signed in here."}
      </p>
      <button type="button" class="button primary" onClick={onStart}>
        New conversation
      </button>
    </div>
  );
}

function useTitle(title: string): void {
  useEffect(() => {
    document.title = title;
  }, [title]);
}

/** Answers how to sign out; an end that the server decides is told in words. */
function useEnding(client: ParleyClient, onEnd: WorkspaceProps["onEnd"]): () => void {
  const connection = useObservable(client.connection);
  const leaving = useRef(false);
  useEffect(() => {
    if (connection.state === "signedOut" && !leaving.current) onEnd(endOf(connection));
  }, [connection, onEnd]);
  return useCallback(() => {
    leaving.current = true;
    const online = client.connection.getSnapshot().state === "online";
    // Offline the server cannot be told; this window forgets who it was all the same.
    const told = online ? client.signOut().catch(() => null) : Promise.resolve(null);
    void told.then(() => onEnd(null));
  }, [client, onEnd]);
}

/** The open conversation stands in the address: `#/ID`. */
function useOpenConversation(): [string | null, (id: string | null) => void] {
  const read = (): string | null => /^#\/([dg][A-Za-z0-9_-]{22})$/.exec(location.hash)?.[1] ?? null;
  const [id, setId] = useState(read);
  useEffect(() => {
    const look = (): void => setId(read());
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, []);
  const open = useCallback((next: string | null) => {
    if (next !== null) location.hash = `/${next}`;
    else if (location.hash !== "") history.pushState(null, "", location.pathname);
    setId(next);
  }, []);
  return [id, open];
}

/** Watches the people of my direct conversations and of the open group; answers who of them is online. */
function useWatchedPeople(
  client: ParleyClient,
  rows: readonly ConversationRow[],
  others: readonly string[],
): ReadonlySet<string> {
  const presence = useObservable(client.presence);
  const peers = rows.flatMap(({ peer }) => peer ?? []);
  const wanted = [...new Set([...others, ...peers])].slice(0, watchedMax).sort();
  const asked = wanted.join(" ");
  useEffect(() => {
    // Kept by the client through reconnects; a refusal only costs the dots.
    client.watchPresence(asked === "" ? [] : asked.split(" ")).catch(() => null);
  }, [client, asked]);
  return useMemo(
    () => new Set([...presence].flatMap(([user, online]) => (online ? [user as string] : []))),
    [presence],
  );
}
