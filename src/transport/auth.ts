// Tells who a token speaks for. Owned by the composition; asked by sessions (hello, refresh) and by the server API.
// Keeps half of G12: the algorithm is pinned by configuration, so that no token chooses how it is checked.
import { errors, jwtVerify } from "jose";
import type { JWTPayload, JWTVerifyGetKey, JWTVerifyOptions } from "jose";
import type { ErrorCode } from "../protocol/codes";
import { isUserId } from "../protocol/ids";
import type { UserId } from "../protocol/ids";
import { limits } from "../protocol/limits";
import { KeysUnavailable } from "./keys";
import type { TokenKeys } from "./keys";

/** Why a token was not taken; the reason is for the log and says nothing of the token's content. */
export interface TokenRefused {
  readonly ok: false;
  readonly code: Extract<ErrorCode, "bad_token" | "token_expired" | "auth_unavailable">;
  readonly reason: string;
}

/** A person, proven. */
export interface TokenAccepted {
  readonly ok: true;
  readonly user: UserId;
  /** `iat`, whole seconds since 1970: held against sign-outs. */
  readonly issuedAt: number;
  /** `exp`, whole seconds since 1970; null for a token that does not expire. */
  readonly expiresAt: number | null;
  /** Whether it carries the claim `parley:operator`: it may use the server API. */
  readonly operator: boolean;
}

/** Checks one token; never rejects. */
export type VerifyToken = (token: string) => Promise<TokenAccepted | TokenRefused>;

/** How tokens are checked, beside the keys. */
export interface TokenRules {
  readonly issuer: string | null;
  readonly audience: string | null;
  /** Clock difference forgiven, whole seconds. */
  readonly toleranceSeconds: number;
}

/** Claim of tokens that may use the server API. */
export const operatorClaim = "parley:operator";

/**
 * Answers a check of tokens signed with `keys.algorithm` and nothing else. A token must name a valid user id (`sub`) and the
 * time it was issued (`iat`, not in the future); `exp` and `nbf` are honoured, issuer and audience where configured.
 * Keys that cannot be fetched are `auth_unavailable`, never the token's fault.
 *
 * @param now milliseconds since 1970
 */
export function createTokenVerifier(keys: TokenKeys, rules: TokenRules, now: () => number = Date.now): VerifyToken {
  const fixed: JWTVerifyOptions = {
    // The same signature goes by two names since RFC 9864.
    algorithms: keys.algorithm === "EdDSA" ? ["EdDSA", "Ed25519"] : [keys.algorithm],
    clockTolerance: rules.toleranceSeconds,
    requiredClaims: ["sub", "iat"],
    ...(rules.issuer === null ? {} : { issuer: rules.issuer }),
    ...(rules.audience === null ? {} : { audience: rules.audience }),
  };
  const find: JWTVerifyGetKey = (header, token) => keys.find(header, token);
  return async (token) => {
    if (token.length > limits.tokenBytesMax) return refuse("bad_token", "longer than tokenBytesMax");
    const nowMs = now();
    try {
      const { payload } = await jwtVerify(token, find, { ...fixed, currentDate: new Date(nowMs) });
      return accept(payload, nowMs / 1000 + rules.toleranceSeconds);
    } catch (error) {
      return refusalOf(error);
    }
  };
}

function accept(payload: JWTPayload, latestIssue: number): TokenAccepted | TokenRefused {
  const { sub, iat, exp } = payload;
  if (!isUserId(sub)) return refuse("bad_token", "sub is not a user id");
  // A token from the future would outlive every sign-out.
  if (iat === undefined || !(iat >= 0) || iat > latestIssue) return refuse("bad_token", "iat lies in the future");
  const expiresAt = exp === undefined ? null : Math.floor(exp);
  return { ok: true, user: sub, issuedAt: Math.floor(iat), expiresAt, operator: payload[operatorClaim] === true };
}

function refuse(code: TokenRefused["code"], reason: string): TokenRefused {
  return { ok: false, code, reason };
}

function refusalOf(error: unknown): TokenRefused {
  if (error instanceof errors.JWTExpired) return refuse("token_expired", "expired");
  if (error instanceof KeysUnavailable) return refuse("auth_unavailable", error.message);
  if (error instanceof errors.JOSEError) return refuse("bad_token", error.code);
  // What is left is a token so odd that a parser below gave up; it is the token all the same.
  return refuse("bad_token", error instanceof Error ? error.message : "unreadable");
}
