// Who this window is: kept in sessionStorage, so that two windows of one browser may be two people and a reload changes nothing.
// Owned by app.tsx. A demo identity asks the server for tokens; a pasted token serves until it is refused.

/** Who signed in here. `device` is this window's, made once a sign-in. */
export type Identity =
  | { readonly kind: "demo"; readonly user: string; readonly device: string }
  | { readonly kind: "token"; readonly token: string; readonly device: string };

/** What came of asking for a token: `refused` says why in words for a person. */
export type TokenAnswer = { readonly token: string } | { readonly refused: string };

const key = "parley.identity";
const form = /^[A-Za-z0-9._@:|+=-]{1,128}$/;

/** What is wrong with a name, in words; nil where nothing is. */
export function nameTrouble(name: string): string | null {
  if (name === "") return "Type a name.";
  if (name.startsWith("parley:")) return "Names that begin with parley: belong to the server.";
  return form.test(name) ? null : "A name has letters, digits and . _ @ : | + = - only, 128 at most.";
}

/** Whose records an identity may see: a person's name, or the token's device where only the server knows the name. */
export function ownerOf(identity: Identity): string {
  return identity.kind === "demo" ? identity.user : identity.device;
}

/** The identity of this window; nil where nobody is signed in. */
export function loadIdentity(): Identity | null {
  const kept: unknown = JSON.parse(sessionStorage.getItem(key) ?? "null");
  return isIdentity(kept) ? kept : null;
}

/** Keeps the identity for reloads of this window. */
export function saveIdentity(identity: Identity): void {
  sessionStorage.setItem(key, JSON.stringify(identity));
}

/** Forgets who this window was. */
export function forgetIdentity(): void {
  sessionStorage.removeItem(key);
}

function isIdentity(value: unknown): value is Identity {
  if (typeof value !== "object" || value === null) return false;
  const { kind, user, token, device } = value as Readonly<Record<string, unknown>>;
  return (
    typeof device === "string" &&
    (kind === "demo" ? typeof user === "string" : kind === "token" && typeof token === "string")
  );
}

/** Whether this server hands tokens to whoever asks. A server that cannot be reached is an error. */
export async function offersDemo(): Promise<boolean> {
  const response = await fetch("/v1/about", { headers: { accept: "application/json" } });
  return response.ok && ((await response.json()) as { readonly demo?: unknown }).demo === true;
}

/** Asks for a demo token. Rejects where the server cannot be reached; that is tried again. */
export async function demoToken(user: string): Promise<TokenAnswer> {
  const response = await fetch("/v1/demo/token", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ user }),
  });
  if (response.status >= 500 || response.status === 429) throw new Error(`the server answered ${response.status}`);
  if (!response.ok)
    return {
      refused: response.status === 403 ? "This server does not offer demo sign-in here." : "That name was refused.",
    };
  return { token: ((await response.json()) as { readonly token: string }).token };
}

/** The SDK's token provider: nil says "signed out". */
export function tokenProvider(identity: Identity): () => Promise<string | null> {
  if (identity.kind === "demo") {
    return async () => {
      const answer = await demoToken(identity.user);
      return "token" in answer ? answer.token : null;
    };
  }
  let offered = false;
  return async () => {
    // Asked again means refused or about to expire, and there is no other one.
    if (offered) return null;
    offered = true;
    return identity.token;
  };
}
