// The settings an operator may change: one zod schema, from which names, defaults, checks, masking and documents follow.
// Owned by config.ts, which reads them from file and environment. Every limit that protects memory is here by name (G11).
import { z } from "zod";
import { limits } from "../protocol/limits";

/** What is said of one setting, beside its schema. */
export interface SettingNotes {
  /** One sentence for OPERATIONS.md and error lines. */
  readonly says: string;
  /** What may be given, in words that follow "allowed:". */
  readonly allowed: string;
  /** Shown only as a mask; `password`: an address whose password alone is masked; `passwords`: a list of such addresses. */
  readonly secret: boolean | "password" | "passwords";
  /** How text of the environment becomes a value; `null`: settable in the file only. */
  readonly fromText: ((text: string) => unknown) | null;
}

const notes = z.registry<SettingNotes>();

/** The notes of a leaf of {@link settings}; null for a group. */
export function notesOf(schema: z.ZodType): SettingNotes | null {
  return notes.get(schema) ?? null;
}

const asText = (text: string): unknown => text;

function leaf<S extends z.ZodType>(schema: S, says: string, allowed: string, rest: Partial<SettingNotes> = {}): S {
  notes.add(schema, { says, allowed, secret: false, fromText: asText, ...rest });
  return schema;
}

function whole(initial: number, min: number, max: number, says: string) {
  const schema = z.number().int().min(min).max(max).default(initial);
  const fromText = (text: string): unknown => (/^\d{1,15}$/.test(text.trim()) ? Number(text) : text);
  return leaf(schema, says, `a whole number from ${min} to ${max}`, { fromText });
}

function flag(initial: boolean, says: string) {
  const fromText = (text: string): unknown => (text === "true" ? true : text === "false" ? false : text);
  return leaf(z.boolean().default(initial), says, "true or false", { fromText });
}

function choice<const C extends readonly [string, ...string[]]>(initial: C[number], choices: C, says: string) {
  return leaf(z.enum(choices).default(initial as never), says, choices.join(", "));
}

function optionalText(says: string, allowed: string, check: (text: string) => boolean, secret = false) {
  const schema = z.string().refine(check).nullable().default(null);
  return leaf(schema, says, allowed, { secret });
}

const isText = (text: string): boolean => text.length > 0 && text.length <= 1024;
/** Travels in a header, so without spaces. */
const isBearer = (text: string): boolean => /^[\x21-\x7e]{32,4096}$/.test(text);
const isSecret = (text: string): boolean => Buffer.byteLength(text) >= 32 && text.length <= 4096;

function isOrigin(text: string): boolean {
  return text === "*" || (URL.canParse(text) && new URL(text).origin === text);
}

/** Keys travel over this address, so plain HTTP is taken on loopback only. */
function isKeyAddress(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  return url.protocol === "https:" || (url.protocol === "http:" && isLoopback(url.hostname));
}

/** `memory`, or the address of one Redis; what else an address could carry would be silently left out. */
function isCache(text: string): boolean {
  if (text === "memory") return true;
  if (!/^rediss?:\/\/[^/]/.test(text) || !URL.canParse(text)) return false;
  const { hostname, pathname, search, hash } = new URL(text);
  return hostname !== "" && /^(\/\d{0,4})?$/.test(pathname) && search === "" && hash === "";
}

/** Servers of one cluster, which take the same name and password, or token: those of the first are for all. */
function isNats(text: string): boolean {
  const scheme = /^\s*(?:nats|tls):\/\//;
  const servers = text
    .split(",")
    .map((part) => /^(?:([^@/?#\s]+)@)?([^@/?#\s]+)$/.exec(part.replace(scheme, "").trim()));
  if (!scheme.test(text) || servers.some((server) => !URL.canParse(`nats://${server?.[2] ?? ":"}`))) return false;
  return servers.every((server) => server?.[1] === undefined || server[1] === servers[0]?.[1]);
}

/** Whether only this machine can reach a server listening on `host`. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** The algorithms that a token may be signed with; exactly one is configured. */
export const tokenAlgorithms = ["HS256", "RS256", "ES256", "EdDSA"] as const;

const auth = z.strictObject({
  secret: optionalText(
    "Shared secret that signs HS256 tokens; your application signs with the same one.",
    "a text of at least 32 bytes",
    isSecret,
    true,
  ),
  jwksUrl: optionalText(
    "Address of the JWK set with the public keys of your identity provider.",
    "an https:// address (http:// on loopback only)",
    isKeyAddress,
  ),
  jwksFile: optionalText("File with a JWK set, instead of an address; read at start.", "a path", isText),
  algorithm: leaf(
    z.enum(tokenAlgorithms).nullable().default(null),
    "The one algorithm that tokens are signed with; HS256 goes with a secret, the others with a JWK set.",
    tokenAlgorithms.join(", "),
  ),
  issuer: optionalText("Required `iss` of tokens; unset: not checked.", "a text", isText),
  audience: optionalText("Required `aud` of tokens; unset: not checked.", "a text", isText),
  toleranceSeconds: whole(5, 0, 60, "Clock difference forgiven when a token's times are checked, seconds."),
});

const connections = z.strictObject({
  max: whole(15_000, 1, 1_000_000, "Most WebSocket connections of this server; keep it under the limit of open files."),
  perUser: whole(20, 1, 10_000, "Most connections of one person, over all nodes of a cluster."),
  perAddress: whole(2_000, 1, 1_000_000, "Most connections from one network address."),
  helloTimeoutMs: whole(10_000, 100, 120_000, "How long a connection may stay without hello, milliseconds."),
  heartbeatMs: whole(
    30_000,
    1_000,
    600_000,
    "Clients send something at least this often; after twice as long in silence a connection is closed, milliseconds.",
  ),
  slowConsumerBytes: whole(
    4 * 1024 * 1024,
    64 * 1024,
    256 * 1024 * 1024,
    "Unsent bytes past which a slow connection is closed, to resume later.",
  ),
  inboundQueueMax: whole(
    64,
    1,
    10_000,
    "Most requests of one connection waiting for their answer; past it the connection is closed.",
  ),
  signInsMax: whole(128, 1, 100_000, "Most sign-ins under way at once; others wait for their turn."),
  syncsMax: whole(64, 1, 100_000, "Most syncs under way at once; others wait for their turn."),
  turnQueueMax: whole(
    5_000,
    0,
    1_000_000,
    "Most sign-ins waiting for their turn, and most syncs; past it a client is told when to come again.",
  ),
  turnWaitMs: whole(8_000, 10, 60_000, "How long one waits for its turn before it is told so, milliseconds."),
  turnSlowMs: whole(
    250,
    1,
    60_000,
    "A sign-in that takes longer than this, as while an owner elsewhere is replaced, makes room for the next, milliseconds.",
  ),
});

const rates = z.strictObject({
  sessionPerSecond: whole(200, 1, 1_000_000, "Requests per second of one connection, on average."),
  sessionBurst: whole(1_000, 1, 1_000_000, "Requests of one connection at once."),
  userPerSecond: whole(500, 1, 1_000_000, "Requests per second of one person over all connections, on average."),
  userBurst: whole(2_000, 1, 1_000_000, "Requests of one person at once."),
});

const counters = z.strictObject({
  membersAbove: whole(
    200,
    0,
    limits.membersMax,
    "Conversations of more members than this are large: clients that take counters receive entries only of those they have open.",
  ),
  everyMs: whole(
    1_000,
    10,
    60_000,
    "How often at most one large conversation's counters are pushed, milliseconds; as much less often as more than 1,000 connections receive them.",
  ),
});

const actors = z.strictObject({
  conversationsActive: whole(
    20_000,
    1,
    10_000_000,
    "Most conversations held in memory; past it the least recently used ones are let go.",
  ),
  usersActive: whole(20_000, 1, 10_000_000, "Most people's feeds held in memory."),
  idleMs: whole(
    60_000,
    100,
    86_400_000,
    "A conversation or feed without a message for this long is let go, milliseconds.",
  ),
  mailboxMax: whole(
    4_096,
    16,
    1_000_000,
    "Most messages waiting for one conversation; past it requests are answered `overloaded`.",
  ),
});

const mongodb = z.strictObject({
  poolMax: whole(64, 1, 1_000, "Most connections to the primary; `maxPoolSize` in the store's address wins."),
  selectionTimeoutMs: whole(
    3_000,
    100,
    60_000,
    "How long a command waits for a primary, milliseconds; `serverSelectionTimeoutMS` in the address wins.",
  ),
  operationTimeoutMs: whole(
    5_000,
    500,
    120_000,
    "How long a reply may take before its connection counts as lost, milliseconds; the server waits a second less for a majority.",
  ),
  decideMs: whole(
    10_000,
    100,
    120_000,
    "How long a write is repeated until it is known what is stored, milliseconds; then its sender is answered `unknown`.",
  ),
  startMs: whole(30_000, 0, 600_000, "How long starting waits for a server that does not answer, milliseconds."),
});

const http = z.strictObject({
  bodyBytesMax: whole(64 * 1024, 1024, 16 * 1024 * 1024, "Largest body of an HTTP request, bytes."),
  trustForwarded: flag(
    false,
    "Take a client's address from the last X-Forwarded-For entry; only behind a proxy that sets it.",
  ),
});

const conversationType = z.strictObject({
  joinable: z.boolean().optional(),
  senders: z.enum(["members", "admins"]).optional(),
  historyForNewMembers: z.boolean().optional(),
  receipts: z.boolean().optional(),
  signals: z.boolean().optional(),
  membersMax: z.number().int().min(2).max(limits.membersMax).optional(),
});

const types = leaf(
  z.record(z.string().regex(/^[a-z][a-z0-9-]{0,63}$/), conversationType).default({}),
  "Conversation types beside `direct`, `group` and `channel`, by name; what is unset is as in `group`. `group` and `channel` may be changed.",
  'an object of {joinable, senders: "members"|"admins", historyForNewMembers, receipts, signals, membersMax} by name of [a-z0-9-], 64 letters at most',
  { fromText: null },
);

/** Everything that can be set, with defaults and limits. */
export const settings = z.strictObject({
  host: leaf(
    z.string().min(1).max(255).default("127.0.0.1"),
    "Address to listen on; anything but loopback needs a signing key.",
    "an address or host name",
  ),
  port: whole(7700, 0, 65_535, "Port to listen on; 0 takes a free one."),
  dataDir: leaf(z.string().min(1).max(1024).default("./data"), "Folder of everything that is kept.", "a path"),
  store: leaf(
    z
      .string()
      .max(2048)
      .regex(/^(sqlite(:.+)?|mongodb(\+srv)?:\/\/[^/].*)$/)
      .default("sqlite"),
    "Where messages are kept; plain `sqlite` is the file `parley.sqlite` in the data folder.",
    "sqlite, sqlite:PATH, mongodb://[USER:PASSWORD@]HOST[:PORT][,HOST…][/DATABASE][?OPTIONS], mongodb+srv://…",
    { secret: "password" },
  ),
  cache: leaf(
    z.string().max(1024).refine(isCache).default("memory"),
    "Where what may be forgotten is kept; servers without NATS that share a Redis share rates and presence.",
    "memory, redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], rediss://…",
    { secret: "password" },
  ),
  cacheTimeoutMs: whole(25, 1, 1_000, "How long anything waits for Redis before it goes on without, milliseconds."),
  cachePrefix: leaf(
    z
      .string()
      .regex(/^[A-Za-z0-9._:-]{1,64}$/)
      .default("parley"),
    "Begins every key in Redis; the generation of the data follows, so that deployments do not meet.",
    "1 to 64 of A-Z a-z 0-9 . _ : -",
  ),
  cacheEntriesMax: whole(100_000, 1, 10_000_000, "Most entries of the memory cache; each takes a few hundred bytes."),
  nats: leaf(
    z.string().max(4096).refine(isNats).nullable().default(null),
    "NATS servers that join this node to others with the same store; unset: it is alone. User and password, or token, of the first are for all.",
    "nats://[USER:PASSWORD@ or TOKEN@]HOST[:PORT][,HOST[:PORT]…], or tls://…",
    { secret: "passwords" },
  ),
  natsPrefix: leaf(
    z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,64}$/)
      .default("parley"),
    "Begins every subject and bucket in NATS, so that deployments do not meet.",
    "1 to 64 of A-Z a-z 0-9 _ -",
  ),
  natsCredentials: optionalText("File with the credentials (JWT and key) of a NATS account.", "a path", isText),
  natsTlsCa: optionalText("File with the certificates that sign those of the NATS servers.", "a path", isText),
  natsTlsCert: optionalText("File with this node's certificate for NATS; goes with a key.", "a path", isText),
  natsTlsKey: optionalText("File with the key of that certificate.", "a path", isText),
  logLevel: choice(
    "info",
    ["trace", "debug", "info", "warn", "error", "fatal", "silent"],
    "Least severe log lines written.",
  ),
  logFormat: choice(
    "auto",
    ["auto", "json", "pretty"],
    "Form of log lines; `auto` is pretty on a terminal and JSON elsewhere.",
  ),
  adminSecret: optionalText(
    "Bearer token of the server API; unset: the API wants a token with the claim `parley:operator`.",
    "at least 32 printable ASCII characters without spaces",
    isBearer,
    true,
  ),
  origins: leaf(
    z.array(z.string().refine(isOrigin)).max(100).default([]),
    "Origins of web pages that may connect, beside the server's own; `*` lets every page connect.",
    "origins such as https://chat.example.com, separated by commas (a list in the file), or *",
    {
      fromText: (text) =>
        text
          .split(",")
          .map((part) => part.trim())
          .filter((part) => part !== ""),
    },
  ),
  drainMs: whole(5_000, 100, 60_000, "Longest time that stopping takes, milliseconds."),
  auth: auth.prefault({}),
  connections: connections.prefault({}),
  rates: rates.prefault({}),
  counters: counters.prefault({}),
  actors: actors.prefault({}),
  http: http.prefault({}),
  mongodb: mongodb.prefault({}),
  types,
});

/** The effective configuration. */
export type Config = z.infer<typeof settings>;
