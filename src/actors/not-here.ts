// Says that an actor is not, or not certainly, on this node any more. In a cluster the router asks its owner instead.
// A node that is alone passes it on as the retryable error that it is.
import { AppError } from "../lib/errors";

/** Certainly not done here; whoever owns the actor now may do it. */
export class NotHere extends AppError {}

/** Whether the same question may be asked again at once, of whoever owns the actor by now: every request repeats harmlessly. */
export function asksAgain(error: unknown): boolean {
  return error instanceof NotHere || (error instanceof AppError && error.code === "outcome_unknown");
}
