// Errors over HTTP: the codes of the wire in one JSON envelope, with the status that fits.
import { AppError } from "../lib/errors";
import type { ErrorCode } from "../protocol/codes";

const statuses: Readonly<Partial<Record<ErrorCode, number>>> = {
  unknown_operation: 404,
  not_signed_in: 401,
  bad_token: 401,
  token_expired: 401,
  signed_out: 401,
  no_access: 404,
  forbidden: 403,
  unknown_user: 404,
  id_reused: 409,
  too_large: 413,
  limit_reached: 409,
  busy: 409,
  slow_down: 429,
  outcome_unknown: 504,
  internal: 500,
};

const byOutcome = { final: 400, retry: 503, unknown: 500 } as const;

/** The HTTP status of a code: the one of its own, or the one of its outcome. */
export function statusOf(error: AppError): number {
  return statuses[error.code] ?? byOutcome[error.outcome];
}

/** `{"error":{code,message,outcome,retryAfterMs,details}}`, with `retry-after` in whole seconds where a time is known. */
export function errorResponse(error: AppError): Response {
  const [code, message, outcome, retryAfterMs, details] = error.toTuple();
  const headers = new Headers({ "cache-control": "no-store" });
  if (retryAfterMs !== null) headers.set("retry-after", String(Math.ceil(retryAfterMs / 1000)));
  if (statusOf(error) === 401) headers.set("www-authenticate", "Bearer");
  return Response.json(
    { error: { code, message, outcome, retryAfterMs, details } },
    { status: statusOf(error), headers },
  );
}

/** The error of a path that is not there. */
export function noSuchRoute(method: string, path: string): AppError {
  return new AppError("unknown_operation", `there is no ${method} ${path.slice(0, 200)}`);
}
