// A group's members, with their roles and presence; adding people and leaving.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { ConversationRow, ConversationView, Member } from "../src/client/types";
import { Avatar } from "./avatar";
import { Dialog } from "./dialog";
import { nameTrouble } from "./identity";
import { nameOf, troubleOf } from "./phrases";
import { plural } from "./words";

interface DetailsDialogProps {
  readonly view: ConversationView;
  readonly row: ConversationRow;
  readonly me: string | null;
  readonly online: ReadonlySet<string>;
  readonly onClose: () => void;
  readonly onLeft: () => void;
}

/** Members page by page; what is not allowed is answered in words. */
export function DetailsDialog({ view, row, me, online, onClose, onLeft }: DetailsDialogProps): JSX.Element {
  const [trouble, setTrouble] = useState<string | null>(null);
  const { members, next, more } = useMemberPages(view, row.memberCount, setTrouble);
  const attempt = async (work: Promise<unknown>, then: () => void): Promise<void> => {
    setTrouble(null);
    await work.then(then, (error: unknown) => setTrouble(troubleOf(error)));
  };
  return (
    <Dialog title={nameOf(row)} onClose={onClose}>
      <p class="quiet">{plural(row.memberCount, "member")}</p>
      <ul class="people">
        {members.map(({ user, role }) => (
          <li key={user}>
            <Avatar name={user} small online={user === me || online.has(user)} />
            <span class="clip">{user === me ? `${user} (you)` : user}</span>
            {role !== "member" && <span class="role">{role}</span>}
          </li>
        ))}
      </ul>
      {next && (
        <button type="button" class="link" onClick={more}>
          Show more
        </button>
      )}
      {row.role !== "member" && (
        <AddPeople onAdd={(users) => attempt(view.add(users), () => null)} onTrouble={setTrouble} />
      )}
      <p class="trouble" role="alert">
        {trouble}
      </p>
      <button type="button" class="button wide danger" onClick={() => void attempt(view.leave(), onLeft)}>
        Leave the group
      </button>
    </Dialog>
  );
}

interface AddPeopleProps {
  readonly onAdd: (users: readonly string[]) => Promise<void>;
  readonly onTrouble: (trouble: string | null) => void;
}

function AddPeople({ onAdd, onTrouble }: AddPeopleProps): JSX.Element {
  const [people, setPeople] = useState("");
  const submit = (event: Event): void => {
    event.preventDefault();
    const users = people.split(/[\s,;]+/).filter((word) => word !== "");
    const wrong = users.length === 0 ? "Name somebody." : (users.map(nameTrouble).find((one) => one !== null) ?? null);
    onTrouble(wrong);
    if (wrong !== null) return;
    setPeople("");
    void onAdd(users);
  };
  return (
    <form class="inline" onSubmit={submit} noValidate>
      <input
        class="field"
        aria-label="People to add"
        placeholder="Add people"
        autocapitalize="none"
        spellcheck={false}
        value={people}
        onInput={(event) => setPeople(event.currentTarget.value)}
      />
      <button type="submit" class="button">
        Add
      </button>
    </form>
  );
}

interface MemberPages {
  readonly members: readonly Member[];
  readonly next: string | null;
  readonly more: () => void;
}

function useMemberPages(view: ConversationView, count: number, onTrouble: (trouble: string) => void): MemberPages {
  const [pages, setPages] = useState<{ readonly members: readonly Member[]; readonly next: string | null }>({
    members: [],
    next: null,
  });
  const load = (after: string | null, before: readonly Member[]): void => {
    view.members({ after }).then(
      ({ items, next }) => setPages({ members: [...before, ...items], next }),
      (error: unknown) => onTrouble(troubleOf(error)),
    );
  };
  useEffect(() => load(null, []), [view, count]);
  return { ...pages, more: () => load(pages.next, pages.members) };
}
