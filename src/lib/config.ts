// Reads the configuration: defaults < file < environment. Pure: main.ts hands in the file's text and the environment.
// A setting that is unknown or wrong stops the start with one line: which, what was given, what is allowed.
import { z } from "zod";
import { notesOf, settings } from "./settings";
import type { Config, SettingNotes } from "./settings";

/** One setting, as documents and messages name it. */
export interface Setting extends SettingNotes {
  /** Path in the file, such as `auth.secret`. */
  readonly path: string;
  /** Variable of the environment; null where only the file sets it. */
  readonly variable: string | null;
  readonly initial: unknown;
}

/** A configuration, or the one line that says what is wrong with it. */
export type Loaded = { readonly ok: true; readonly config: Config } | { readonly ok: false; readonly problem: string };

/** Where a configuration comes from. */
export interface ConfigSources {
  /** Only `PARLEY_*` is looked at. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** A JSON file; null where none was named. */
  readonly file: { readonly name: string; readonly text: string } | null;
}

/** Variables with our prefix that are no settings: the command line reads them. */
export const commandVariables = {
  PARLEY_CONFIG: "The configuration file, where `--config` is not given.",
  PARLEY_URL: "The server that `send`, `tail`, `history`, `nodes` and `drain` talk to.",
  PARLEY_TOKEN: "The token that they use; for `nodes` and `drain` an operator's.",
  PARLEY_FAILPOINTS: "Makes the process fail on purpose, for tests; leave it unset.",
} as const;

type Tree = { [name: string]: unknown };

/** Every setting, in the order of the schema. */
export function listSettings(): readonly Setting[] {
  const initial = settings.parse({});
  return collect(settings, "").map(([path, notes]) => ({
    ...notes,
    path,
    variable: notes.fromText === null ? null : variableOf(path),
    initial: valueAt(initial, path),
  }));
}

function collect(group: z.ZodObject, prefix: string): (readonly [string, SettingNotes])[] {
  return Object.entries(group.shape).flatMap(([name, schema]) => {
    const notes = notesOf(schema as z.ZodType);
    if (notes !== null) return [[`${prefix}${name}`, notes] as const];
    const inner = schema instanceof z.ZodPrefault ? schema.unwrap() : schema;
    return collect(inner as z.ZodObject, `${prefix}${name}.`);
  });
}

function variableOf(path: string): string {
  return `PARLEY_${path.replace(/[A-Z]/g, "_$&").replaceAll(".", "_").toUpperCase()}`;
}

function valueAt(tree: Tree, path: string): unknown {
  return path.split(".").reduce<unknown>((at, name) => (isTree(at) ? at[name] : undefined), tree);
}

function setAt(tree: Tree, path: string, value: unknown): void {
  const names = path.split(".");
  const last = names.pop() as string;
  let at = tree;
  for (const name of names) {
    // A variable wins over whatever the file holds in its place, nonsense included.
    if (!isTree(at[name])) at[name] = {};
    at = at[name] as Tree;
  }
  at[last] = value;
}

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The effective configuration; the first thing wrong, in one line, otherwise. Sets nothing outside its answer. */
export function loadConfig(sources: ConfigSources): Loaded {
  const all = listSettings();
  const tree = readFile(sources.file);
  if (typeof tree === "string") return { ok: false, problem: tree };
  const known = new Map(all.map((setting) => [setting.variable, setting]));
  const given = new Map<string, string>();
  for (const [variable, text] of Object.entries(sources.environment)) {
    if (!variable.startsWith("PARLEY_") || text === undefined || variable in commandVariables) continue;
    const setting = known.get(variable);
    if (setting === undefined) return { ok: false, problem: unknownVariable(variable, text, all) };
    given.set(setting.path, variable);
    setAt(tree, setting.path, setting.fromText?.(text) ?? text);
  }
  const parsed = settings.safeParse(tree);
  if (!parsed.success) return { ok: false, problem: describe(parsed.error, tree, all, given, sources) };
  const clash = findClash(parsed.data, all, given);
  return clash === null ? { ok: true, config: parsed.data } : { ok: false, problem: clash };
}

function readFile(file: ConfigSources["file"]): Tree | string {
  if (file === null) return {};
  try {
    const value: unknown = JSON.parse(file.text);
    return isTree(value) ? value : `${file.name}: holds ${show(value)}; allowed: a JSON object of settings`;
  } catch (error) {
    return `${file.name}: is not JSON (${(error as Error).message}); allowed: a JSON object of settings`;
  }
}

function unknownVariable(variable: string, text: string, all: readonly Setting[]): string {
  const names = all.flatMap((setting) => setting.variable ?? []);
  return `${variable}: unknown setting (given: ${Buffer.byteLength(text)} bytes); allowed: ${nearest(variable, names)}`;
}

function describe(
  error: z.ZodError,
  tree: Tree,
  all: readonly Setting[],
  given: ReadonlyMap<string, string>,
  sources: ConfigSources,
): string {
  const issue = error.issues[0] as z.core.$ZodIssue;
  const at = issue.path.join(".");
  const file = sources.file?.name ?? "configuration";
  const setting = all.find(({ path }) => at === path || at.startsWith(`${path}.`));
  if (setting === undefined) {
    const name = [...issue.path, ...(issue.code === "unrecognized_keys" ? issue.keys.slice(0, 1) : [])].join(".");
    if (issue.code === "unrecognized_keys") {
      return `${file}: ${name}: unknown setting; allowed: ${nearest(
        name,
        all.map(({ path }) => path),
      )}`;
    }
    return `${file}: ${name}: given ${show(valueAt(tree, at))}; allowed: an object of settings`;
  }
  const variable = given.get(setting.path);
  const value = valueAt(tree, setting.path);
  const where = variable ?? `${file}: ${at}`;
  return `${where}: given ${setting.secret ? hide(value) : show(value)}; allowed: ${setting.allowed}`;
}

/** What each setting allows but their combination does not. */
function findClash(config: Config, all: readonly Setting[], given: ReadonlyMap<string, string>): string | null {
  const name = (path: string): string => given.get(path) ?? all.find((setting) => setting.path === path)?.path ?? path;
  const { secret, jwksUrl, jwksFile, algorithm } = config.auth;
  const keys = Object.entries({ "auth.secret": secret, "auth.jwksUrl": jwksUrl, "auth.jwksFile": jwksFile })
    .filter(([, value]) => value !== null)
    .map(([path]) => name(path));
  if (keys.length > 1) return `${keys.join(" and ")}: given together; allowed: one source of keys`;
  if (secret !== null && algorithm !== null && algorithm !== "HS256") {
    return `${name("auth.algorithm")}: given "${algorithm}" with ${name("auth.secret")}; allowed: HS256 with a secret`;
  }
  if (secret === null && keys.length === 1 && (algorithm === null || algorithm === "HS256")) {
    return `${name("auth.algorithm")}: given ${show(algorithm)} with ${keys[0]}; allowed: RS256, ES256, EdDSA with a JWK set`;
  }
  if (secret === null && keys.length === 0 && algorithm !== null) {
    return `${name("auth.algorithm")}: given "${algorithm}" without a key; allowed: with auth.secret, auth.jwksUrl or auth.jwksFile`;
  }
  if ((config.natsTlsCert === null) !== (config.natsTlsKey === null)) {
    const alone = config.natsTlsCert === null ? "natsTlsKey" : "natsTlsCert";
    return `${name(alone)}: given alone; allowed: natsTlsCert and natsTlsKey together`;
  }
  if (config.natsCredentials !== null && config.nats?.includes("@")) {
    return `${name("natsCredentials")}: given with a password or token in ${name("nats")}; allowed: one of them`;
  }
  if ("direct" in config.types) return `types.direct: given; allowed: every name but direct, whose rules are fixed`;
  return null;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

function hide(value: unknown): string {
  return typeof value === "string" ? `a hidden text of ${Buffer.byteLength(value)} bytes` : `a hidden ${typeof value}`;
}

/** The known name that takes the fewest edits, and where the rest stand. */
function nearest(name: string, known: readonly string[]): string {
  const ranked = known.map((other) => [editDistance(name, other), other] as const).sort(([a], [b]) => a - b);
  const [distance, other] = ranked[0] as readonly [number, string];
  const rest = "`parley config` lists every setting";
  return distance <= 4 ? `${other}, perhaps; ${rest}` : rest;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

/** The configuration with its secrets replaced by a mask: for `parley config`, never for use. */
export function maskConfig(config: Config): Config {
  const masked = structuredClone(config);
  for (const setting of listSettings()) {
    const value = valueAt(masked, setting.path);
    if (setting.secret === "password") setAt(masked, setting.path, maskPassword(String(value)));
    else if (setting.secret === "passwords" && value !== null) setAt(masked, setting.path, maskServers(String(value)));
    else if (setting.secret && value !== null) setAt(masked, setting.path, "***");
  }
  return masked;
}

/**
 * An address as it may be shown. Whatever stands before the last `@` behind the user's name is taken for the password; options
 * that carry secrets (`tlsCertificateKeyFilePassword`, `proxyPassword`, a session token in `authMechanismProperties`) lose their values.
 */
export function maskPassword(address: string): string {
  return address
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^:@/]*):.*@/is, "$1:***@")
    .replace(/([?&][^=&]*(?:password|token|secret|authMechanismProperties)[^=&]*)=[^&]*/gi, "$1=***");
}

/** A list of NATS servers as it may be shown. A name without a password behind it is a token. */
function maskServers(list: string): string {
  const secret = /^(\s*(?:[a-z]+:\/\/)?)([^:@/]*:)?[^@]*@/i;
  const mask = (server: string): string =>
    server.replace(secret, (_, scheme: string, user: string | undefined) => `${scheme}${user ?? ""}***@`);
  return list.split(",").map(mask).join(",");
}

/** Whether tokens can be checked by a key of the operator; without one there is only the demo, on loopback. */
export function hasSigningKey(config: Config): boolean {
  return config.auth.secret !== null || config.auth.jwksUrl !== null || config.auth.jwksFile !== null;
}
