// The first screen: a name where the server offers demo sign-in, a token where it does not.
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Logo } from "./icons";
import { demoToken, type Identity, nameTrouble, offersDemo } from "./identity";

interface SignInProps {
  /** Why the last session ended; nil at the beginning. */
  readonly notice: string | null;
  readonly onIdentity: (identity: Identity) => void;
}

type Offer = "asking" | "demo" | "token" | "unreachable";

/** Asks the server what it offers, then the person who they are. */
export function SignIn({ notice, onIdentity }: SignInProps): JSX.Element {
  const [offer, setOffer] = useState<Offer>("asking");
  const ask = (): void => {
    setOffer("asking");
    offersDemo().then(
      (demo) => setOffer(demo ? "demo" : "token"),
      () => setOffer("unreachable"),
    );
  };
  useEffect(ask, []);
  useEffect(() => {
    document.title = "Parley";
  }, []);

  return (
    <main class="sign-in">
      <div class="sign-in-card">
        <header>
          <Logo />
          <h1>Parley</h1>
          <p>Conversations that do not lose a word.</p>
        </header>
        {notice && (
          <p class="callout" role="status">
            {notice}
          </p>
        )}
        {offer === "asking" && <p class="quiet">Asking the server…</p>}
        {offer === "unreachable" && (
          <div class="stack">
            <p class="trouble" role="alert">
              The server cannot be reached.
            </p>
            <button type="button" class="button wide" onClick={ask}>
              Try again
            </button>
          </div>
        )}
        {offer === "demo" && <NameForm onIdentity={onIdentity} onToken={() => setOffer("token")} />}
        {offer === "token" && <TokenForm onIdentity={onIdentity} />}
      </div>
    </main>
  );
}

function NameForm({
  onIdentity,
  onToken,
}: {
  readonly onIdentity: SignInProps["onIdentity"];
  readonly onToken: () => void;
}): JSX.Element {
  const [name, setName] = useState("");
  const [trouble, setTrouble] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const input = useFocus();

  const submit = async (): Promise<void> => {
    const user = name.trim();
    const wrong = nameTrouble(user);
    if (wrong !== null) return setTrouble(wrong);
    setBusy(true);
    const answer = await demoToken(user).catch(() => ({ refused: "The server cannot be reached. Try again." }));
    setBusy(false);
    if ("refused" in answer) return setTrouble(answer.refused);
    onIdentity({ kind: "demo", user, device: crypto.randomUUID() });
  };

  return (
    <form class="stack" onSubmit={(event) => submitted(event, submit)} noValidate>
      <label for="name">Your name</label>
      <input
        ref={input}
        id="name"
        class="field"
        value={name}
        onInput={(event) => setName(event.currentTarget.value)}
        autocomplete="username"
        autocapitalize="none"
        spellcheck={false}
        maxLength={128}
        placeholder="ann"
        aria-invalid={trouble !== null}
        aria-describedby="name-trouble"
      />
      <Trouble id="name-trouble" text={trouble} />
      <button type="submit" class="button primary wide" disabled={busy}>
        {busy ? "Signing in…" : "Sign in"}
      </button>
      <p class="quiet">
        This is a demo server: any name will do. Open a second window and sign in as somebody else to talk with
        yourself.
      </p>
      <button type="button" class="link" onClick={onToken}>
        Use a token instead
      </button>
    </form>
  );
}

function TokenForm({ onIdentity }: { readonly onIdentity: SignInProps["onIdentity"] }): JSX.Element {
  const [token, setToken] = useState("");
  const [trouble, setTrouble] = useState<string | null>(null);
  const input = useFocus();

  const submit = async (): Promise<void> => {
    const given = token.trim();
    if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(given))
      return setTrouble("That is no token: it has three parts with dots between them.");
    onIdentity({ kind: "token", token: given, device: crypto.randomUUID() });
  };

  return (
    <form class="stack" onSubmit={(event) => submitted(event, submit)} noValidate>
      <label for="token">Token</label>
      <input
        ref={input}
        id="token"
        class="field"
        type="password"
        value={token}
        onInput={(event) => setToken(event.currentTarget.value)}
        autocomplete="off"
        aria-invalid={trouble !== null}
        aria-describedby="token-trouble"
      />
      <Trouble id="token-trouble" text={trouble} />
      <button type="submit" class="button primary wide">
        Sign in
      </button>
      <p class="quiet">
        Whoever runs this server makes one with <code>parley token NAME</code>.
      </p>
    </form>
  );
}

function Trouble({ id, text }: { readonly id: string; readonly text: string | null }): JSX.Element {
  return (
    <p id={id} class="trouble" role="alert">
      {text}
    </p>
  );
}

function useFocus(): { readonly current: HTMLInputElement | null } {
  const input = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => input.current?.focus(), []);
  return input;
}

function submitted(event: Event, submit: () => Promise<void>): void {
  event.preventDefault();
  void submit();
}
