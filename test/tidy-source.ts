// Reads the tree's sources and measures them: imports, lengths of functions, depth, exports, top-level statements.
// Owned by tidy.test.ts; keeps nothing but what it is asked for.
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { parseSync } from "oxc-parser";

/** The checkout's folder. */
export const root = join(import.meta.dir, "..");

/** One import or re-export of a file; `path` is relative to the checkout for local ones, else null. */
export interface Import {
  readonly specifier: string;
  readonly path: string | null;
  readonly typeOnly: boolean;
}

/** A function with what is measured of it. `lines` leaves out the bodies of tests inside a suite. */
export interface Measured {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
  readonly depth: number;
}

/** A parsed file. */
export interface Source {
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  readonly imports: readonly Import[];
  readonly functions: readonly Measured[];
  /** Exported functions, classes, interfaces, types and values without a docstring right above them. */
  readonly undocumented: readonly string[];
  readonly exportedNames: readonly string[];
  /** Statements that run or change when the file is merely imported: `line: what`. */
  readonly sideEffects: readonly string[];
}

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

const nesting = new Set([
  "IfStatement",
  "ForStatement",
  "ForOfStatement",
  "ForInStatement",
  "WhileStatement",
  "DoWhileStatement",
  "SwitchStatement",
  "TryStatement",
]);
const functionTypes = new Set(["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"]);

/** Every file that git knows or would take, by path from the checkout; what is ignored is left out. */
export function trackedFiles(): readonly string[] {
  const listed = Bun.spawnSync(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], { cwd: root });
  if (listed.exitCode !== 0) return filesWithoutGit();
  const names = listed.stdout.toString().split("\0");
  return [...new Set(names)].filter((name) => name !== "" && Bun.file(join(root, name)).size > 0).sort();
}

/** The same where the sources came without a repository, such as an archive. */
function filesWithoutGit(): readonly string[] {
  const ignored = /(^|\/)(node_modules|dist|data)\//;
  return [...new Bun.Glob("**/*").scanSync({ cwd: root, dot: true })].filter((name) => !ignored.test(name)).sort();
}

/** Reads a file of the checkout. */
export function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

/** Parses and measures one TypeScript or JavaScript file. Throws where it does not parse. */
export function measure(path: string, text = read(path), exists: (path: string) => boolean = isSource): Source {
  const parsed = parseSync(path, text);
  if (parsed.errors.length > 0) throw new Error(`${path}: ${parsed.errors[0]?.message}`);
  const program = parsed.program as unknown as Node;
  const body = program["body"] as Node[];
  const lineOf = lineIndex(text);
  const functions: Measured[] = [];
  walk(program, (node, name) => {
    if (functionTypes.has(node.type)) functions.push(measureFunction(node, name, lineOf));
  });
  const docEnds = docstringEnds(parsed.comments, text);
  return {
    path,
    text,
    lines: text.replace(/\n$/, "").split("\n"),
    imports: importsOf(program, path, exists),
    functions,
    undocumented: body.filter((node) => isExport(node) && !docEnds.has(node.start)).flatMap(namesOf),
    exportedNames: body.filter(isExport).flatMap(namesOf),
    sideEffects: body.filter(hasSideEffect).map((node) => `${lineOf(node.start)}: ${node.type}`),
  };
}

function isSource(path: string): boolean {
  return Bun.file(join(root, path)).size > 0;
}

/** Visits every node below `node`, with the nearest name a function could be called by. */
function walk(node: Node, visit: (node: Node, name: string) => void, name = "(anonymous)"): void {
  visit(node, nameOf(node) ?? name);
  for (const child of children(node)) walk(child, visit, nameOf(node) ?? name);
}

function children(node: Node): readonly Node[] {
  return Object.values(node).flatMap((value) =>
    Array.isArray(value) ? value.filter(isNode) : isNode(value) ? [value] : [],
  );
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && typeof (value as Node).type === "string";
}

function nameOf(node: Node): string | null {
  const named = (node["id"] ?? (node.type === "MethodDefinition" || node.type === "Property" ? node["key"] : null)) as
    | { readonly name?: string }
    | null
    | undefined;
  return named?.name ?? null;
}

function measureFunction(node: Node, name: string, lineOf: (offset: number) => number): Measured {
  const first = lineOf(node.start);
  const all = lineOf(node.end) - first + 1;
  return { name, line: first, lines: all - linesOfCases(node, lineOf), depth: depthOf(node["body"] as Node | null, 0) };
}

/** Lines of the callbacks of `describe`, `test` and their kin: a suite is as long as its cases are many. */
function linesOfCases(node: Node, lineOf: (offset: number) => number): number {
  return children(node)
    .map((child) => (isCase(child) ? lineOf(child.end) - lineOf(child.start) : linesOfCases(child, lineOf)))
    .reduce((sum, lines) => sum + lines, 0);
}

function isCase(node: Node): boolean {
  if (node.type !== "CallExpression") return false;
  const callee = node["callee"] as { readonly name?: string; readonly object?: { readonly name?: string } };
  return ["describe", "test", "it"].includes(callee.name ?? callee.object?.name ?? "");
}

/** Deepest nesting of branches, loops and tries; `else if` stays on its level, a function inside starts anew. */
function depthOf(node: Node | null, depth: number): number {
  if (node === null || functionTypes.has(node.type)) return depth;
  const here = nesting.has(node.type) ? depth + 1 : depth;
  return children(node).reduce((deepest, child) => {
    const elseIf = node.type === "IfStatement" && child.type === "IfStatement" && child === node["alternate"];
    return Math.max(deepest, depthOf(child, elseIf ? depth : here));
  }, here);
}

function importsOf(program: Node, path: string, exists: (path: string) => boolean): readonly Import[] {
  const found: Import[] = [];
  walk(program, (node) => {
    const source = node["source"] as { readonly value?: unknown } | null | undefined;
    if (typeof source?.value !== "string") return;
    const typeOnly = node["importKind"] === "type" || node["exportKind"] === "type";
    found.push({ specifier: source.value, path: resolve(source.value, path, exists), typeOnly });
  });
  return found;
}

function resolve(specifier: string, from: string, exists: (path: string) => boolean): string | null {
  if (!specifier.startsWith(".")) return null;
  const base = normalize(join(dirname(from), specifier));
  const found = [base, `${base}.ts`, `${base}.tsx`, `${base}/index.ts`].find(
    (path) => /\.\w+$/.test(path) && exists(path),
  );
  return found ?? base;
}

function isExport(node: Node): boolean {
  return node.type === "ExportNamedDeclaration" && isNode(node["declaration"]);
}

function namesOf(node: Node): readonly string[] {
  const declaration = node["declaration"] as Node;
  if (declaration.type !== "VariableDeclaration") return [nameOf(declaration) ?? declaration.type];
  return (declaration["declarations"] as Node[]).map((one) => nameOf(one) ?? "(pattern)");
}

/** A `let` is mutable state of the module; an expression, a branch or a loop is work done on import. */
function hasSideEffect(node: Node): boolean {
  const declaration = (isExport(node) ? node["declaration"] : node) as Node;
  if (declaration.type === "VariableDeclaration") return declaration["kind"] === "let" || declaration["kind"] === "var";
  if (node.type === "ImportDeclaration") return (node["specifiers"] as readonly unknown[]).length === 0;
  return node.type === "ExpressionStatement" || nesting.has(node.type);
}

/** Offsets of the first code after each docstring. */
function docstringEnds(comments: readonly { type: string; value: string; end: number }[], text: string): Set<number> {
  const docs = comments.filter((comment) => comment.type === "Block" && comment.value.startsWith("*"));
  return new Set(docs.map(({ end }) => end + (text.slice(end).match(/^(\s|\/\/.*\n)*/)?.[0].length ?? 0)));
}

/** Answers the 1-based line of an offset. */
function lineIndex(text: string): (offset: number) => number {
  const starts = [0, ...[...text.matchAll(/\n/g)].map((match) => match.index + 1)];
  return (offset) => {
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((starts[middle] as number) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  };
}
