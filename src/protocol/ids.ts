// Names of things on the wire, in the store and in code: branded ids and the rules of their spelling.
// Pure; shared by server and client.

declare const brand: unique symbol;
type Branded<T, B extends string> = T & { readonly [brand]: B };

/** A person's id, chosen by the integrator: 1–128 bytes of `[A-Za-z0-9._@:|+=-]`, compared as bytes, never reused. */
export type UserId = Branded<string, "UserId">;
/** A conversation's id: a letter (`d` direct, `g` every other type) and 22 base64url characters of a 128-bit hash. */
export type ConversationId = Branded<string, "ConversationId">;
/** A device's id, made and kept by the client: 1–64 bytes of `[A-Za-z0-9._@:|+=-]`. */
export type DeviceId = Branded<string, "DeviceId">;
/** Opaque id of one appending operation, unique by (conversation, sender): 1–64 bytes. Retries carry the same one. */
export type ClientId = Branded<string, "ClientId">;
/** Position in a conversation's log: 1..n, gapless. 0 means "before the first". */
export type Seq = number;
/** Position in a person's feed: 1..n, gapless. 0 means "before the first". */
export type UserSeq = number;
/** Fencing token of a store: rises with every claim, for the whole life of the data. */
export type Epoch = number;

const userIdForm = /^[A-Za-z0-9._@:|+=-]{1,128}$/;
const deviceIdForm = /^[A-Za-z0-9._@:|+=-]{1,64}$/;
const conversationIdForm = /^[dg][A-Za-z0-9_-]{22}$/;

/** Ids with this prefix belong to the server, such as `parley:system`; nobody signs in with one. */
export const reservedUserPrefix = "parley:";

/** Whether somebody may sign in under this value; ids of the server's own are refused. */
export function isUserId(value: unknown): value is UserId {
  return typeof value === "string" && userIdForm.test(value) && !value.startsWith(reservedUserPrefix);
}

/** Whether a value is spelled as a device id. */
export function isDeviceId(value: unknown): value is DeviceId {
  return typeof value === "string" && deviceIdForm.test(value);
}

/** Whether a value is spelled as a conversation id; it need not exist. */
export function isConversationId(value: unknown): value is ConversationId {
  return typeof value === "string" && conversationIdForm.test(value);
}
