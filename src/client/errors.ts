// The one error type of the client. Its outcome tells what to do, also for a code that this version does not know.
import { errorCodes } from "../protocol/codes";
import type { Outcome } from "../protocol/codes";

/** Codes that arise in the client itself. */
const localCodes = {
  offline: "retry",
  disconnected: "unknown",
  deadline: "unknown",
  closed: "unknown",
  signed_out: "final",
  bad_answer: "unknown",
  outbox_full: "final",
  discarded: "final",
  generation_changed: "final",
  user_changed: "unknown",
  too_many_requests: "retry",
} as const satisfies Record<string, Outcome>;

/** Codes that the client itself answers, beside those of the protocol's table. */
export type LocalCode = keyof typeof localCodes;

/** An operation that was not done, or perhaps not. */
export class ClientError extends Error {
  /** A code of the protocol, of {@link LocalCode}, or one that a newer server made up. */
  readonly code: string;
  /** `final`: not done, repeating will not help; `retry`: not done yet; `unknown`: perhaps done. */
  readonly outcome: Outcome;
  readonly details: unknown;
  /** How long the server asks to wait, milliseconds. */
  readonly retryAfterMs: number | null;

  constructor(
    code: string,
    outcome?: Outcome,
    message?: string,
    details: unknown = null,
    retryAfterMs: number | null = null,
  ) {
    super(message ?? (code in errorCodes ? errorCodes[code as keyof typeof errorCodes].says : code));
    this.name = "ClientError";
    this.code = code;
    this.outcome = outcome ?? outcomeOf(code);
    this.details = details;
    this.retryAfterMs = retryAfterMs;
  }
}

function outcomeOf(code: string): Outcome {
  if (code in errorCodes) return errorCodes[code as keyof typeof errorCodes].outcome;
  return code in localCodes ? localCodes[code as LocalCode] : "unknown";
}

/** Any thrown value as a ClientError. */
export function toClientError(thrown: unknown): ClientError {
  if (thrown instanceof ClientError) return thrown;
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "bad_answer";
  return new ClientError(
    code in errorCodes ? code : "bad_answer",
    undefined,
    thrown instanceof Error ? thrown.message : code,
  );
}
