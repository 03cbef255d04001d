// Who may use the server API: whoever holds the operator's secret, or a token that carries the operator's claim.
import { createHash, timingSafeEqual } from "node:crypto";
import { AppError } from "../lib/errors";
import { operatorClaim } from "./auth";
import type { VerifyToken } from "./auth";

/** Resolves for an operator, rejects with the AppError that says what is missing otherwise. */
export type CheckOperator = (authorization: string | null) => Promise<void>;

/**
 * @param secret the operator's secret; null: tokens with the claim only
 */
export function createOperatorCheck(secret: string | null, verify: VerifyToken): CheckOperator {
  const expected = secret === null ? null : digest(secret);
  return async (authorization) => {
    const bearer = /^Bearer ([\x21-\x7e]+)$/i.exec(authorization ?? "")?.[1];
    if (bearer === undefined) throw new AppError("not_signed_in", "the server API wants `authorization: Bearer ...`");
    // Digests are of one length, so the comparison says nothing of the secret's.
    if (expected !== null && timingSafeEqual(digest(bearer), expected)) return;
    const token = await verify(bearer);
    if (!token.ok) throw new AppError(token.code);
    if (!token.operator) throw new AppError("forbidden", `the token does not carry the claim ${operatorClaim}`);
  };
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
