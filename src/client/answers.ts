// What a server says, checked before anything uses it: a faulty or hostile server must not break the application.
// Unknown surplus items are ignored, as a newer server may send them. Pure.
import type { EntryTuple } from "../protocol/entry";
import { BadField, conversationId, flag, integer, isMap, list, oneOf, optional, tuple } from "../protocol/fields";
import type { Field } from "../protocol/fields";
import type { UserId } from "../protocol/ids";
import type { FeedTuple, OperationName, Results, RowTuple } from "../protocol/operations";
import type { Pushes } from "../protocol/frames";
import { ClientError } from "./errors";

const many = 1_000_000;

function custom<T>(expects: string, read: (value: unknown) => T): Field<T> {
  return { expects, read };
}

function refuse(expects: string): never {
  throw new BadField(`expected ${expects}`);
}

const count = integer(0, Number.MAX_SAFE_INTEGER);
const anyInteger = integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
const free = custom<unknown>("anything", (value) => value ?? null);
const words = custom<string>("text", (value) => (typeof value === "string" ? value : refuse("text")));
// The server's own ids, such as the system's, are no ids that a person may have.
const person = custom<UserId>("a user id", (value) =>
  typeof value === "string" && value.length > 0 && value.length <= 128 ? (value as UserId) : refuse("a user id"),
);
const map = custom<Readonly<Record<string, unknown>>>("a map", (value) => (isMap(value) ? value : refuse("a map")));
const mark = tuple(count, count, count);
const roles = oneOf("owner", "admin", "member");

/** An entry whose header can be relied on; its body is whatever it is. */
const entry: Field<EntryTuple> = custom("an entry", (value) => {
  if (!Array.isArray(value)) return refuse("an entry");
  const [seq, ordinal, kind, counts, time, sender, actor, clientId, target] = value as unknown[];
  count.read(seq);
  count.read(ordinal);
  anyInteger.read(kind);
  flag.read(counts);
  count.read(time);
  person.read(sender);
  if (actor != null) person.read(actor);
  if (clientId != null) words.read(clientId);
  if (target != null) count.read(target);
  return value as unknown as EntryTuple;
});
const entries = list(entry, many);
const info = tuple(words, optional(words), optional(words), optional(map), count, optional(person));
const head = tuple(count, count, count, optional(entry));
const row = tuple(
  conversationId,
  info,
  tuple(roles, mark, count),
  tuple(flag, flag),
  head,
  mark,
  count,
  count,
) as Field<RowTuple>;
const totals = tuple(count, count);
const rows = list(row, many);
const feedChange = tuple(count, words, words, list(free, 100)) as unknown as Field<FeedTuple>;
const error = tuple(words, words, oneOf("final", "retry", "unknown"), optional(count), free);
const seqOnly = tuple(count);
const nothing = custom("nothing", () => [] as const);

const sent = custom("a seq or an error", (value) =>
  typeof value === "number" ? count.read(value) : error.read(value),
);

const answers: { readonly [N in OperationName]: Field<Results[N]> } = {
  hello: tuple(count, count, words, person, list(words, many), map, count, optional(count), words) as Field<
    Results["hello"]
  >,
  refresh: tuple(optional(count)),
  signOut: nothing,
  devices: tuple(list(tuple(words, optional(words), count, flag), many)) as unknown as Field<Results["devices"]>,
  sync: tuple(
    count,
    rows,
    optional(conversationId),
    optional(totals),
    list(conversationId, many),
    list(tuple(conversationId, entries), many),
    optional(list(conversationId, many)),
  ),
  feed: tuple(list(feedChange, many), count, flag),
  list: tuple(rows, optional(conversationId)),
  create: tuple(conversationId, count),
  get: row,
  members: tuple(list(tuple(person, roles, count), many), optional(person)),
  join: seqOnly,
  leave: seqOnly,
  add: seqOnly,
  remove: seqOnly,
  role: seqOnly,
  update: seqOnly,
  send: list(sent, many) as Field<Results["send"]>,
  history: tuple(list(tuple(entry, count), many), flag, flag, count, count, count),
  entries: tuple(entries, count, count),
  read: tuple(mark, count),
  readers: tuple(list(tuple(person, count), many), optional(person)),
  settings: seqOnly,
  signal: nothing,
  watch: tuple(list(tuple(person, flag), many)),
  open: nothing,
};

const pushes: { readonly [N in keyof Pushes]: Field<unknown> } = {
  entries: tuple(conversationId, entries),
  counter: tuple(conversationId, count, count, count, optional(entry)),
  feed: tuple(list(feedChange, many), rows, optional(list(conversationId, many))),
  cursor: tuple(conversationId, mark, count),
  receipts: tuple(conversationId, list(tuple(person, count), many)),
  readCount: tuple(conversationId, count, count),
  signal: tuple(conversationId, person, words, free),
  presence: tuple(list(tuple(person, flag), many)),
  row: tuple(row, optional(totals), optional(flag)),
  resync: tuple(count),
  tokenExpiring: tuple(count),
  goodbye: tuple(count, optional(count)),
};

/** A push that this client knows, with its arguments checked. */
export type Push = { readonly [N in keyof Pushes]: { readonly name: N; readonly args: Pushes[N] } }[keyof Pushes];

/** Throws {@link BadField} for what the operation does not answer. */
export function readAnswer<N extends OperationName>(operation: N, value: unknown): Results[N] {
  return answers[operation].read(value);
}

/** Null for a push that this client does not know; throws {@link BadField} for one that is not what it should be. */
export function readPush(name: unknown, args: readonly unknown[]): Push | null {
  if (typeof name !== "string" || !Object.hasOwn(pushes, name)) return null;
  return { name, args: pushes[name as keyof Pushes].read(args) } as Push;
}

/** An error of the wire; whatever is no such error reads as `bad_answer`. */
export function readError(value: unknown): ClientError {
  try {
    const [code, message, outcome, retryAfterMs, details] = error.read(value);
    return new ClientError(code, outcome, message, details, retryAfterMs);
  } catch {
    return new ClientError("bad_answer");
  }
}
