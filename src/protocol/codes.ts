// Every error and close code of the wire, in two tables. Mirrored in PROTOCOL.md by a test.
// A client acts rightly on a code it does not know: by `outcome` for errors, by the range for closes.

/**
 * What became of a request: `final` — not done and repeating will not help; `retry` — not done, repeat it later with the
 * same client id; `unknown` — perhaps done, repeat it with the same client id to learn.
 */
export type Outcome = "final" | "retry" | "unknown";

/** Every error a request may be answered with, its outcome, and what it means to a developer. */
export const errorCodes = {
  bad_request: { outcome: "final", says: "an argument is missing, of the wrong type or outside its limits" },
  unknown_operation: { outcome: "final", says: "the server does not know this operation" },
  not_signed_in: { outcome: "final", says: "hello must come first" },
  bad_token: { outcome: "final", says: "the token is invalid; get another" },
  token_expired: { outcome: "final", says: "the token has expired; get another" },
  signed_out: { outcome: "final", says: "this device or person was signed out; sign in anew" },
  wrong_subject: { outcome: "final", says: "a refreshed token must name the same person" },
  unsupported_version: { outcome: "final", says: "the server does not speak this protocol version" },
  no_access: { outcome: "final", says: "there is no such conversation, or you may not see it" },
  forbidden: { outcome: "final", says: "your role in this conversation does not allow this" },
  unknown_user: { outcome: "final", says: "a named person does not exist; details lists who" },
  id_reused: { outcome: "final", says: "this client id was used before for something else" },
  too_large: { outcome: "final", says: "the text, body or list is over its limit" },
  limit_reached: { outcome: "final", says: "a limit is reached, such as members of a conversation; details names it" },
  not_supported: { outcome: "final", says: "this type of conversation does not do this" },
  owner_must_hand_over: { outcome: "final", says: "the last owner makes another member owner before leaving" },
  past_head: { outcome: "final", says: "the seq lies past the end of the log" },
  reserved: { outcome: "final", says: "this argument is reserved for a later version" },
  busy: { outcome: "retry", says: "an earlier send of this session to this conversation is not answered yet" },
  batch_ended: { outcome: "retry", says: "an earlier item of the same send was not decided; send this one again" },
  slow_down: { outcome: "retry", says: "a rate limit; wait retryAfterMs" },
  overloaded: { outcome: "retry", says: "a queue is full; wait and repeat" },
  store_unavailable: { outcome: "retry", says: "this cannot be stored or answered now; nothing was stored" },
  auth_unavailable: {
    outcome: "retry",
    says: "the keys that check tokens cannot be fetched now; repeat with the same token",
  },
  shutting_down: { outcome: "retry", says: "the server is shutting down; reconnect" },
  outcome_unknown: { outcome: "unknown", says: "perhaps done; repeat with the same client id to learn" },
  internal: { outcome: "unknown", says: "a fault of the server; repeat with the same client id" },
} as const satisfies Record<string, { outcome: Outcome; says: string }>;

/** A code of {@link errorCodes}. A server may send newer ones: go by the outcome. */
export type ErrorCode = keyof typeof errorCodes;

/**
 * Why the server closed a connection. 4000–4499: reconnect with back-off; 4500–4999: do not reconnect unchanged.
 * A deliberate close is preceded by the push `goodbye [code, retryAfterMs]`.
 */
export const closeCodes = {
  goingAway: { code: 4000, says: "the server is shutting down or moving; reconnect after retryAfterMs" },
  tooSlow: { code: 4001, says: "the client read too slowly; reconnect and resume" },
  heartbeatMissed: { code: 4002, says: "nothing was heard from the client; reconnect" },
  helloTimeout: { code: 4003, says: "no hello arrived in time; reconnect" },
  flooding: { code: 4004, says: "more requests than the inbound queue holds; reconnect and slow down" },
  internalError: { code: 4005, says: "a fault of the server; reconnect" },
  tooManyConnections: {
    code: 4006,
    says: "too many connections for this person; wait, then reconnect",
  },
  tokenExpired: { code: 4500, says: "the token expired; reconnect with a fresh one" },
  badToken: { code: 4501, says: "the token is invalid; get another before reconnecting" },
  signedOut: { code: 4502, says: "this device or person was signed out; sign in anew" },
  malformedFrame: { code: 4503, says: "the frame is not what PROTOCOL.md describes; mend the client" },
  frameTooLarge: { code: 4504, says: "the WebSocket message is over frameBytesMax; mend the client" },
  unsupportedVersion: { code: 4505, says: "the server does not speak this protocol version; update the client" },
} as const satisfies Record<string, { code: number; says: string }>;

/** The name of a close code within this program; on the wire there is the number. */
export type CloseReason = keyof typeof closeCodes;
