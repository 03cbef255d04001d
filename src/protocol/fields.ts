// Readers of untrusted values: each checks one argument of a request and names what it expects (G11).
// Small enough for the client, which checks what a server sends with the same ones. Pure; keeps no state.
import { isConversationId, isDeviceId, isUserId } from "./ids";
import type { ClientId, ConversationId, DeviceId, Seq, UserId } from "./ids";
import { limits } from "./limits";

/** Checks one value. `read` answers the value, typed, or throws {@link BadField}. */
export interface Field<T> {
  /** For docs and errors: `text up to 64 bytes`. */
  readonly expects: string;
  read(value: unknown): T;
}

/** The value a field answers. */
export type ValueOf<F> = F extends Field<infer T> ? T : never;

type BadFieldCode = "bad_request" | "too_large" | "reserved";

/** Thrown by {@link Field.read}; becomes `bad_request`, or `code` where it is set. */
export class BadField extends Error {
  readonly code: BadFieldCode;
  /** Where in the arguments: `[1][0].name`; empty for a value read by itself. Grows as the error passes outward. */
  path = "";
  constructor(message: string, code: BadFieldCode = "bad_request") {
    super(message);
    this.code = code;
  }
}

/** Rethrows an error of a field that stands at `step` of a larger value. */
function rethrow(error: unknown, step: string): never {
  if (error instanceof BadField) error.path = step + error.path;
  throw error;
}

const encoder = new TextEncoder();

/** UTF-8 length; short strings of ASCII cost no allocation. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) {
      bytes = encoder.encode(text).length;
      break;
    }
  }
  return bytes;
}

function field<T>(expects: string, read: (value: unknown) => T): Field<T> {
  return { expects, read };
}

function fail(expects: string): never {
  throw new BadField(`expected ${expects}`);
}

/** Well-formed text (no lone surrogate) of `min` to `max` bytes. */
export function text(max: number, min = 0): Field<string> {
  const expects = `text of ${min}–${max} bytes`;
  return field(expects, (value) => {
    if (typeof value !== "string" || !value.isWellFormed()) return fail(expects);
    const bytes = utf8Length(value);
    if (bytes < min) return fail(expects);
    if (bytes > max) throw new BadField(`expected ${expects}, got ${bytes}`, "too_large");
    return value;
  });
}

/** A name: NFC, without control characters. It is normalized, not refused, when it comes in another form. */
export function nameText(max: number): Field<string> {
  const inner = text(max, 1);
  const expects = `a name of 1–${max} bytes without control characters`;
  return field(expects, (value) => {
    const name = inner.read(value).normalize("NFC");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(name)) return fail(expects);
    return inner.read(name);
  });
}

/** An integer from `min` to `max`; msgpack may bring it in any encoding, a whole float included. */
export function integer(min: number, max: number): Field<number> {
  const expects = `an integer from ${min} to ${max}`;
  return field(expects, (value) =>
    // `+ 0` because a float may bring minus zero, which is not the same to a store
    typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max
      ? value + 0
      : fail(expects),
  );
}

/** A boolean. */
export const flag: Field<boolean> = field("true or false", (value) =>
  typeof value === "boolean" ? value : fail("true or false"),
);

/** One of these names, exactly. */
export function oneOf<const T extends string>(...names: readonly T[]): Field<T> {
  const expects = `one of ${names.join(", ")}`;
  return field(expects, (value) => (names.includes(value as T) ? (value as T) : fail(expects)));
}

/** nil or absent reads as null. */
export function optional<T>(inner: Field<T>): Field<T | null> {
  return field(`${inner.expects}, or nil`, (value) =>
    value === null || value === undefined ? null : inner.read(value),
  );
}

/** An array of `min` to `max` items. */
export function list<T>(inner: Field<T>, max: number, min = 0): Field<readonly T[]> {
  const expects = `${min}–${max} of: ${inner.expects}`;
  return field(expects, (value) => {
    if (!Array.isArray(value) || value.length < min) return fail(expects);
    if (value.length > max) throw new BadField(`expected ${expects}, got ${value.length}`, "too_large");
    return readEach(value.length, (i) => inner.read(value[i]));
  });
}

function readEach<T>(count: number, read: (index: number) => T): T[] {
  const items: T[] = [];
  try {
    while (items.length < count) items.push(read(items.length));
  } catch (error) {
    rethrow(error, `[${items.length}]`);
  }
  return items;
}

type Fields = readonly Field<unknown>[];
/** The values that a tuple of fields answers. */
export type ValuesOf<F extends Fields> = { readonly [K in keyof F]: ValueOf<F[K]> };

/** A fixed array; missing trailing items read as nil, surplus items are ignored (a newer client may send them). */
export function tuple<const F extends Fields>(...inner: F): Field<ValuesOf<F>> {
  const expects = `[${inner.map((one) => one.expects).join(", ")}]`;
  return field(expects, (value) => {
    if (!Array.isArray(value)) return fail(expects);
    return readEach(inner.length, (i) => inner[i]?.read(value[i])) as unknown as ValuesOf<F>;
  });
}

/** A map with these optional keys; absent keys stay absent, unknown keys are ignored. */
export function record<const F extends Readonly<Record<string, Field<unknown>>>>(
  inner: F,
): Field<{ readonly [K in keyof F]?: ValueOf<F[K]> }> {
  const keys = Object.keys(inner);
  const expects = `a map with any of ${keys.join(", ")}`;
  return field(expects, (value) => {
    if (!isMap(value)) return fail(expects);
    const read: Record<string, unknown> = {};
    for (const key of keys) {
      if (!Object.hasOwn(value, key) || value[key] === undefined) continue;
      try {
        const item = inner[key]?.read(value[key]);
        if (item !== undefined) read[key] = item;
      } catch (error) {
        rethrow(error, `.${key}`);
      }
    }
    return read as { readonly [K in keyof F]?: ValueOf<F[K]> };
  });
}

/** A key kept for a later version: nil, or refused with `reserved`, so that nobody relies on its being ignored. */
export const reserved: Field<undefined> = field("nothing: it is reserved", (value) => {
  if (value !== null && value !== undefined) throw new BadField("reserved for a later version", "reserved");
  return undefined;
});

/** Whether a decoded value is a map, and neither nil, array nor binary. */
export function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

/**
 * Free data of the application, at most `max` bytes once encoded: nil, booleans, numbers, text, binary, arrays, maps.
 * Weighed by an upper bound of its encoding, so that no encoder runs.
 */
export function anything(max: number): Field<unknown> {
  const expects = `any value of at most ${max} bytes`;
  return field(expects, (value) => {
    if (value === undefined) return null;
    if (weigh(value) > max) throw new BadField(`expected ${expects}`, "too_large");
    return value;
  });
}

/** A map of text to free data, at most `max` bytes once encoded. */
export function freeMap(max: number): Field<Readonly<Record<string, unknown>>> {
  const expects = `a map of at most ${max} bytes`;
  const inner = anything(max);
  return field(expects, (value) =>
    isMap(value) ? (inner.read(value) as Readonly<Record<string, unknown>>) : fail(expects),
  );
}

/** Upper bound of the encoded size, in bytes. Throws {@link BadField} on text that is not well formed and on nesting past `valueNestingMax`. */
export function weigh(value: unknown, depth = 0): number {
  if (typeof value === "string") {
    if (!value.isWellFormed()) throw new BadField("expected well-formed text");
    return utf8Length(value) + 5;
  }
  if (typeof value !== "object" || value === null) return 9;
  if (value instanceof Uint8Array) return value.length + 5;
  if (depth === limits.valueNestingMax) throw new BadField(`nested deeper than ${limits.valueNestingMax}`);
  let bytes = 5;
  if (Array.isArray(value)) for (const item of value) bytes += weigh(item, depth + 1);
  else for (const [key, item] of Object.entries(value)) bytes += weigh(key) + weigh(item, depth + 1);
  return bytes;
}

/** A user id, as `ids.ts` has it. */
export const userId: Field<UserId> = field("a user id", (value) => (isUserId(value) ? value : fail("a user id")));
/** A device id, as `ids.ts` has it. */
export const deviceId: Field<DeviceId> = field("a device id", (value) =>
  isDeviceId(value) ? value : fail("a device id"),
);
/** A conversation id, as `ids.ts` has it. */
export const conversationId: Field<ConversationId> = field("a conversation id", (value) =>
  isConversationId(value) ? value : fail("a conversation id"),
);
/** A client id: any well-formed text of 1–64 bytes. */
export const clientId = text(limits.clientIdBytesMax, 1) as Field<ClientId>;
/** A position in a log, or 0 for before the first. */
export const seq: Field<Seq> = integer(0, Number.MAX_SAFE_INTEGER);
