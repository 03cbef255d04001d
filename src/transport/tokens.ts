// Signs tokens with a shared secret: for demo sign-in and for the command line. Applications sign their own.
import { SignJWT } from "jose";
import type { UserId } from "../protocol/ids";
import { operatorClaim } from "./auth";

/** What a signed token says, beside its subject. */
export interface TokenClaims {
  readonly seconds: number;
  readonly issuer?: string | null;
  readonly audience?: string | null;
  /** Whether the token may use the server API. */
  readonly operator?: boolean;
}

/** An HS256 token for `user`, issued now. */
export function signToken(secret: string, user: UserId, claims: TokenClaims): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const token = new SignJWT(claims.operator ? { [operatorClaim]: true } : {})
    .setProtectedHeader({ alg: "HS256" })
    .setSubject(user)
    .setIssuedAt(now)
    .setExpirationTime(now + claims.seconds);
  if (claims.issuer) token.setIssuer(claims.issuer);
  if (claims.audience) token.setAudience(claims.audience);
  return token.sign(new TextEncoder().encode(secret));
}
