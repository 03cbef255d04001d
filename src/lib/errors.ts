// The one error type of Parley, and its form on the wire.
import { errorCodes } from "../protocol/codes";
import type { ErrorCode, Outcome } from "../protocol/codes";
import type { ErrorTuple } from "../protocol/operations";

/** What an {@link AppError} may carry beside its code. */
export interface AppErrorOptions {
  /** What happened, for the log; never sent to a client. */
  readonly cause?: unknown;
  /** How long to wait before repeating, milliseconds. */
  readonly retryAfterMs?: number;
  /** Plain data for the client: what was named, which limit. */
  readonly details?: unknown;
}

/** An error with a code from `protocol/codes.ts`; whether repeating helps follows from the code. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly retryAfterMs: number | null;
  readonly details: unknown;

  constructor(code: ErrorCode, message?: string, options: AppErrorOptions = {}) {
    super(message ?? errorCodes[code].says, { cause: options.cause });
    this.name = "AppError";
    this.code = code;
    this.retryAfterMs = options.retryAfterMs ?? null;
    this.details = options.details ?? null;
  }

  get outcome(): Outcome {
    return errorCodes[this.code].outcome;
  }

  get retryable(): boolean {
    return this.outcome !== "final";
  }

  toTuple(): ErrorTuple {
    return [this.code, this.message, this.outcome, this.retryAfterMs, this.details];
  }
}

/** Any thrown value as an AppError: what is not one becomes `internal`, with the value as its cause. */
export function toAppError(thrown: unknown): AppError {
  return thrown instanceof AppError ? thrown : new AppError("internal", undefined, { cause: thrown });
}
