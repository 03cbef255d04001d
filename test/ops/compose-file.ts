// Compose files as Compose reads them: YAML with anchors merged, then variables put in. Owned by the tests of the stack.
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The checkout's folder. */
export const root = join(import.meta.dir, "../..");

/** A file of the checkout. */
export function readText(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

/** A service, as far as the tests look at it. */
export interface Service {
  readonly image?: string;
  readonly build?: string;
  readonly restart?: string;
  readonly hostname?: string;
  readonly read_only?: boolean;
  readonly privileged?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly networks?: readonly string[];
  readonly network_mode?: string;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly profiles?: readonly string[];
  readonly command?: readonly string[];
  readonly healthcheck?: Readonly<Record<string, unknown>> & { readonly test: readonly string[] };
  readonly logging?: { readonly options?: Readonly<Record<string, string>> };
  readonly deploy?: { readonly resources?: { readonly limits?: Readonly<Record<string, unknown>> } };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
}

/** A whole file. */
export interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks?: Readonly<Record<string, { readonly internal?: boolean } | null>>;
  readonly volumes?: Readonly<Record<string, unknown>>;
}

/** One use of a variable: `${NAME}`, `${NAME:-fallback}` or `${NAME:?message}`. */
export interface Use {
  readonly name: string;
  readonly fallback: string | null;
  readonly message: string | null;
}

/** `$$`, or a variable in braces; anything else with a dollar is no form that the files use. */
const pattern = /\$\$|\$\{([A-Z][A-Z0-9_]*)(?::([-?])([^}]*))?\}|\$/g;

/** The uses of variables in a text. Throws at a dollar that begins none of the known forms. */
export function usesIn(text: string): readonly Use[] {
  return [...text.matchAll(pattern)].flatMap(([found, name, kind, rest = ""]) => {
    if (found === "$$") return [];
    if (name === undefined) throw new Error(`a lone dollar in ${text}`);
    return [{ name, fallback: kind === "-" ? rest : null, message: kind === "?" ? rest : null }];
  });
}

/** Every text within a value read from YAML. */
export function textsIn(value: unknown): readonly string[] {
  if (typeof value === "string") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

/** What Compose makes of a file and variables. Throws, as Compose refuses, where a required one is unset or empty. */
export function load(path: string, variables: Readonly<Record<string, string>>): ComposeFile {
  return fill(parse(path), variables) as ComposeFile;
}

/** A file as it is written, without the blocks that only anchors use. */
export function parse(path: string): Readonly<Record<string, unknown>> {
  const whole = Bun.YAML.parse(readText(path)) as Record<string, unknown>;
  return Object.fromEntries(Object.entries(whole).filter(([name]) => !name.startsWith("x-")));
}

function fill(value: unknown, variables: Readonly<Record<string, string>>): unknown {
  if (typeof value === "string") return fillText(value, variables);
  if (Array.isArray(value)) return value.map((item) => fill(item, variables));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, fill(item, variables)]));
}

function fillText(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replace(pattern, (found, name: string | undefined) => {
    if (found === "$$") return "$";
    const [use] = usesIn(found);
    const given = variables[name as string] ?? "";
    if (given !== "") return given;
    if (use?.message) throw new Error(`required variable ${name} is missing a value: ${use.message}`);
    return use?.fallback ?? "";
  });
}

/** The variables of `.env.example`; an empty value is a secret that must be set. */
export function exampleVariables(): Readonly<Record<string, string>> {
  const lines = readText(".env.example").split("\n");
  const named = lines.filter((line) => line !== "" && !line.startsWith("#"));
  return Object.fromEntries(
    named.map((line) => {
      const [, name, value] = /^([A-Z][A-Z0-9_]*)=(\S*)$/.exec(line) ?? [];
      if (name === undefined) throw new Error(`.env.example: not NAME=value: ${line}`);
      return [name, value as string];
    }),
  );
}
