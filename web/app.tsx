// The whole page: sign-in, or one person's chat. Owns the client: made at sign-in, closed at sign-out.
import type { JSX } from "preact";
import { useCallback, useState } from "preact/hooks";
import { createClient, indexedDbStorage } from "../src/client/index";
import type { ParleyClient } from "../src/client/types";
import { forgetIdentity, type Identity, loadIdentity, ownerOf, saveIdentity, tokenProvider } from "./identity";
import { SignIn } from "./sign-in";
import { Workspace } from "./workspace";

interface Session {
  readonly client: ParleyClient;
  readonly identity: Identity;
}

function begin(identity: Identity): Session {
  const client = createClient({
    url: location.origin,
    token: tokenProvider(identity),
    deviceId: identity.device,
    // One for each person: the records of the last person are what an offline start shows.
    storage: indexedDbStorage(`parley ${ownerOf(identity)}`),
    platform: "web",
  });
  return { client, identity };
}

/** Shows sign-in until there is an identity, then the chat. */
export function App(): JSX.Element {
  const [session, setSession] = useState<Session | null>(() => {
    const identity = loadIdentity();
    return identity && begin(identity);
  });
  const [farewell, setFarewell] = useState<string | null>(null);

  const signIn = useCallback((identity: Identity) => {
    saveIdentity(identity);
    setFarewell(null);
    setSession(begin(identity));
  }, []);

  const end = useCallback(
    (why: string | null) => {
      forgetIdentity();
      // A pasted token cannot be renewed: its end and its refusal look the same from here.
      setFarewell(
        why !== null && session?.identity.kind === "token" ? `${why} The token may be wrong or have expired.` : why,
      );
      setSession(null);
      void session?.client.close();
    },
    [session],
  );

  if (session === null) return <SignIn notice={farewell} onIdentity={signIn} />;
  return <Workspace key={session.identity.device} client={session.client} onEnd={end} />;
}
