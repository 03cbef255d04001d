// HS256 tokens for benches and tests that run a real server.
import { createHmac } from "node:crypto";

/** A secret long enough for the server's rules. */
export const benchSecret = "a secret of the benches, long enough for HS256";

/** A token for `user`, valid for a day from when it was issued: now, or so many seconds ago. */
export function signToken(user: string, secret: string, issuedAgo = 0): string {
  const now = Math.floor(Date.now() / 1000) - issuedAgo;
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, iat: now, exp: now + 86_400 })}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}
