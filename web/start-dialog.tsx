// Begins a conversation: with one person, or a group with a name.
// Somebody who never signed in is an error that names them; nothing of a failed attempt stays behind.
import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { ConversationRow, ParleyClient } from "../src/client/types";
import { Avatar } from "./avatar";
import { Dialog } from "./dialog";
import { GroupIcon } from "./icons";
import { nameTrouble } from "./identity";
import { unknownPeople, troubleOf } from "./phrases";
import { ClientError } from "../src/client/index";

interface StartDialogProps {
  readonly client: ParleyClient;
  readonly rows: readonly ConversationRow[];
  readonly onStarted: (id: string) => void;
  readonly onClose: () => void;
}

type Kind = "direct" | "group";

/** Asks whom to talk to. */
export function StartDialog({ client, rows, onStarted, onClose }: StartDialogProps): JSX.Element {
  const [kind, setKind] = useState<Kind>("direct");
  const [name, setName] = useState("");
  const [people, setPeople] = useState("");
  const { trouble, busy, submit } = useStart(client, onStarted);
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => field.current?.focus(), []);
  const known = rows.flatMap(({ peer }) => peer ?? []).slice(0, 8);
  const users = [...new Set(people.split(/[\s,;]+/).filter((word) => word !== ""))];

  const suggest = (user: string): void => {
    if (kind === "direct") setPeople(user);
    else if (!users.includes(user)) setPeople([...users, user].join(", "));
  };

  return (
    <Dialog title="New conversation" onClose={onClose}>
      <form
        class="stack"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void submit(kind, name.trim(), users);
        }}
      >
        <KindChoice kind={kind} onKind={setKind} />
        {kind === "group" && (
          <>
            <label for="group-name">Name of the group</label>
            <input
              id="group-name"
              class="field"
              value={name}
              maxLength={80}
              placeholder="Harbour crew"
              onInput={(event) => setName(event.currentTarget.value)}
            />
          </>
        )}
        <label for="people">{kind === "direct" ? "With whom?" : "Who takes part?"}</label>
        <input
          id="people"
          class="field"
          value={people}
          autocapitalize="none"
          autocomplete="off"
          spellcheck={false}
          placeholder={kind === "direct" ? "bob" : "bob, cleo, dora"}
          aria-invalid={trouble !== null}
          aria-describedby="people-trouble"
          onInput={(event) => setPeople(event.currentTarget.value)}
          ref={field}
        />
        <Suggestions people={known} onPick={suggest} />
        <p id="people-trouble" class="trouble" role="alert">
          {trouble}
        </p>
        <button type="submit" class="button primary wide" disabled={busy}>
          {busy ? "One moment…" : "Start"}
        </button>
      </form>
    </Dialog>
  );
}

interface Start {
  readonly trouble: string | null;
  readonly busy: boolean;
  readonly submit: (kind: Kind, name: string, users: readonly string[]) => Promise<void>;
}

function useStart(client: ParleyClient, onStarted: (id: string) => void): Start {
  const [trouble, setTrouble] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (kind: Kind, name: string, users: readonly string[]): Promise<void> => {
    const wrong = troubleIn(kind, name, users);
    setTrouble(wrong);
    if (wrong !== null) return;
    setBusy(true);
    try {
      onStarted(await begin(client, kind, name, users));
    } catch (error) {
      discardFailed(client);
      const unknown = error instanceof ClientError && error.code === "unknown_user";
      setTrouble(unknown ? unknownPeople(whom(error, users)) : troubleOf(error));
    } finally {
      setBusy(false);
    }
  };
  return { trouble, busy, submit };
}

interface SuggestionsProps {
  readonly people: readonly string[];
  readonly onPick: (user: string) => void;
}

function Suggestions({ people, onPick }: SuggestionsProps): JSX.Element | null {
  if (people.length === 0) return null;
  return (
    <div class="chips">
      {people.map((user) => (
        <button key={user} type="button" class="chip" onClick={() => onPick(user)}>
          <Avatar name={user} small />
          {user}
        </button>
      ))}
    </div>
  );
}

function KindChoice({ kind, onKind }: { readonly kind: Kind; readonly onKind: (kind: Kind) => void }): JSX.Element {
  const option = (value: Kind, words: string): JSX.Element => (
    <label class="segment">
      <input type="radio" name="kind" value={value} checked={kind === value} onChange={() => onKind(value)} />
      <span>
        {value === "group" && <GroupIcon />}
        {words}
      </span>
    </label>
  );
  return (
    <fieldset class="segments">
      <legend class="hidden">Kind of conversation</legend>
      {option("direct", "One person")}
      {option("group", "Group")}
    </fieldset>
  );
}

function troubleIn(kind: Kind, name: string, users: readonly string[]): string | null {
  if (kind === "group" && name === "") return "Give the group a name.";
  if (users.length === 0) return "Name somebody.";
  if (kind === "direct" && users.length > 1) return "Name one person, or make it a group.";
  return users.map(nameTrouble).find((trouble) => trouble !== null) ?? null;
}

function begin(client: ParleyClient, kind: Kind, name: string, users: readonly string[]): Promise<string> {
  return kind === "direct" ? client.openDirect(users[0] as string) : client.createGroup({ name }, users);
}

/** Whom the server does not know: its list, or the one person that was named. */
function whom(error: ClientError, users: readonly string[]): unknown {
  if (Array.isArray(error.details)) return error.details;
  return users.length === 1 ? users : null;
}

/** A refused creation waits in the outbox for a decision; here it was one try. */
function discardFailed(client: ParleyClient): void {
  for (const { operation, failure } of client.outbox.getSnapshot()) if (operation === "create") failure?.discard();
}
