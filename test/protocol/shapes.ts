// The shapes of everything that a server sends, spelled out once more for tests: exact lengths, types, and no surplus.
// Owned by the protocol's tests; a new operation or push without a shape does not compile.
import type { PushName } from "../../src/protocol/frames";
import type { OperationName } from "../../src/protocol/operations";

/** Throws a TypeError that names the place where a value is not of this shape. */
export type Shape = (value: unknown, at: string) => void;

function fail(at: string, expected: string, value: unknown): never {
  throw new TypeError(`${at}: expected ${expected}, got ${JSON.stringify(value)}`);
}

const whole: Shape = (value, at) => {
  if (!Number.isSafeInteger(value) || (value as number) < 0) fail(at, "an integer from 0", value);
};
const bool: Shape = (value, at) => {
  if (typeof value !== "boolean") fail(at, "a boolean", value);
};
const str: Shape = (value, at) => {
  if (typeof value !== "string") fail(at, "text", value);
};
const anyValue: Shape = (value, at) => {
  if (value === undefined) fail(at, "a value", value);
};
const map: Shape = (value, at) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) fail(at, "a map", value);
};
const form =
  (expected: string, pattern: RegExp): Shape =>
  (value, at) => {
    if (typeof value !== "string" || !pattern.test(value)) fail(at, expected, value);
  };
const nil =
  (inner: Shape): Shape =>
  (value, at) => {
    if (value !== null) inner(value, at);
  };
const list =
  (inner: Shape, max = Number.POSITIVE_INFINITY): Shape =>
  (value, at) => {
    if (!Array.isArray(value) || value.length > max) return fail(at, `a list of at most ${max}`, value);
    for (const [i, item] of value.entries()) inner(item, `${at}[${i}]`);
  };
const tuple =
  (...inner: Shape[]): Shape =>
  (value, at) => {
    if (!Array.isArray(value) || value.length !== inner.length) return fail(at, `${inner.length} items`, value);
    for (const [i, shape] of inner.entries()) shape(value[i], `${at}[${i}]`);
  };
/** As {@link tuple}, and perhaps one more item. */
const tupleOrMore =
  (last: Shape, ...inner: Shape[]): Shape =>
  (value, at) =>
    tuple(...inner, ...(Array.isArray(value) && value.length > inner.length ? [last] : []))(value, at);
const either =
  (...inner: Shape[]): Shape =>
  (value, at) => {
    const errors = inner.map((shape) => {
      try {
        shape(value, at);
        return null;
      } catch (error) {
        return (error as Error).message;
      }
    });
    if (!errors.includes(null)) throw new TypeError(errors.join(" and "));
  };
const mapOf =
  (inner: Shape): Shape =>
  (value, at) => {
    map(value, at);
    for (const [key, item] of Object.entries(value as object)) inner(item, `${at}.${key}`);
  };

const user = form("a user id", /^[A-Za-z0-9._@:|+=-]{1,128}$/);
const conversation = form("a conversation id", /^[dg][A-Za-z0-9_-]{22}$/);
const role = form("a role", /^(owner|admin|member)$/);
const error = tuple(
  form("a code", /^[a-z_]+$/),
  str,
  form("an outcome", /^(final|retry|unknown)$/),
  nil(whole),
  anyValue,
);
const entry = tuple(whole, whole, whole, bool, whole, user, nil(user), nil(str), nil(whole), anyValue);
const mark = tuple(whole, whole, whole);
const membership = tuple(role, mark, whole);
const info = tuple(str, nil(str), nil(str), nil(map), whole, nil(user));
const row = tuple(
  conversation,
  info,
  membership,
  tuple(bool, bool),
  tuple(whole, whole, whole, nil(entry)),
  mark,
  whole,
  whole,
);
const totals = tuple(whole, whole);
const change = tuple(whole, form("a kind", /^(membership|settings|device)$/), str, list(anyValue));
const seq = tuple(whole);

/** What each operation answers. */
export const resultShapes: Readonly<Record<OperationName, Shape>> = {
  hello: tuple(whole, whole, str, user, list(str), mapOf(whole), whole, nil(whole), str),
  refresh: tuple(nil(whole)),
  signOut: tuple(),
  devices: tuple(list(tuple(str, nil(str), whole, bool))),
  sync: tupleOrMore(
    list(conversation, 500),
    whole,
    list(row, 500),
    nil(conversation),
    nil(totals),
    list(conversation),
    list(tuple(conversation, list(entry, 256))),
  ),
  feed: tuple(list(change, 1000), whole, bool),
  list: tuple(list(row, 500), nil(conversation)),
  create: tuple(conversation, whole),
  get: row,
  members: tuple(list(tuple(user, role, whole), 1000), nil(user)),
  join: seq,
  leave: seq,
  add: seq,
  remove: seq,
  role: seq,
  update: seq,
  send: list(either(whole, error), 256),
  history: tuple(list(tuple(entry, whole), 200), bool, bool, whole, whole, whole),
  entries: tuple(list(entry, 200), whole, whole),
  read: tuple(mark, whole),
  readers: tuple(list(tuple(user, whole), 1000), nil(user)),
  settings: tuple(whole),
  signal: tuple(),
  watch: tuple(list(tuple(user, bool), 200)),
  open: tuple(),
};

/** What each push carries after its name. */
export const pushShapes: Readonly<Record<PushName, Shape>> = {
  entries: tuple(conversation, list(entry)),
  counter: tupleOrMore(entry, conversation, whole, whole, whole),
  feed: tupleOrMore(list(conversation), list(change), list(row)),
  cursor: tuple(conversation, mark, whole),
  receipts: tuple(conversation, list(tuple(user, whole), 100)),
  readCount: tuple(conversation, whole, whole),
  signal: tuple(conversation, user, str, anyValue),
  presence: tuple(list(tuple(user, bool))),
  row: tupleOrMore(bool, row, nil(totals)),
  resync: tuple(whole),
  tokenExpiring: tuple(whole),
  goodbye: tuple(whole, nil(whole)),
};

/** The error of an error frame. */
export const errorShape: Shape = error;
