// Holds the tree to its own rules: layering, sizes, names, first lines, documents, dependencies.
// A rule that cannot fail is no rule, so the measuring itself is tested at the end.
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, normalize } from "node:path";
import { measure, read, root, type Source, trackedFiles } from "./tidy-source";

const files = trackedFiles();
const codeFiles = files.filter((path) => /\.(ts|tsx|mjs)$/.test(path));
const sources = codeFiles.map((path) => measure(path));
const markdown = files.filter((path) => path.endsWith(".md"));

const isTest = (path: string): boolean => /\.(test|case)\.tsx?$/.test(path) || path.startsWith("test/");
const product = sources.filter(({ path }) => path.startsWith("src/") && !isTest(path));

/** The files that run when they are loaded: commands, workers, the page's start. */
const entryPoint = /(^(bin|scripts|bench|examples|test)\/|^src\/main\.ts$|^web\/main\.tsx$|-worker\.ts$)/;

/** Which folders of src each folder may import; `type` where only `import type` is allowed. */
const layers: Readonly<Record<string, { readonly value: readonly string[]; readonly type?: readonly string[] }>> = {
  protocol: { value: [] },
  lib: { value: ["protocol"] },
  client: { value: ["protocol"] },
  storage: { value: ["protocol", "lib"] },
  actors: { value: ["protocol", "lib"], type: ["storage"] },
  media: { value: ["protocol", "lib", "actors"] },
  transport: { value: ["protocol", "lib", "actors"], type: ["storage"] },
  cli: { value: ["protocol", "lib", "client", "storage", "transport", "server.ts"] },
};

/** Names the offenders, one a line, so that a failure says what to mend. */
function expectNone(offenders: readonly string[]): void {
  expect(offenders).toEqual([]);
}

describe("layering", () => {
  test("imports go only where the layers allow", () => {
    expectNone(product.flatMap((source) => source.imports.flatMap((one) => forbiddenImport(source.path, one))));
  });

  test("the page uses the client's public face and nothing else of src", () => {
    const allowed = ["src/client/client.ts", "src/client/types.ts", "src/client/index.ts"];
    const page = sources.filter(({ path }) => path.startsWith("web/"));
    expectNone(
      page.flatMap(({ path, imports }) =>
        imports
          .filter((one) => one.path?.startsWith("src/") && !allowed.includes(one.path))
          .map((one) => `${path} imports ${one.path}`),
      ),
    );
  });

  test("what the client's entry reaches runs in a browser: nothing of Bun or Node", () => {
    const browser = reachedFrom("src/client/index.ts");
    expect(browser.length).toBeGreaterThan(1);
    expectNone(
      browser.flatMap(({ path, imports }) =>
        imports
          .filter(({ specifier }) => /^(bun|node:)/.test(specifier))
          .map((one) => `${path} imports ${one.specifier}`),
      ),
    );
  });

  test("there are no cycles", () => {
    expectNone(cycles(sources));
  });

  test("every local import finds a file", () => {
    const missing = (path: string | null): boolean => path !== null && !existsSync(join(root, path));
    expectNone(
      sources.flatMap(({ path, imports }) =>
        imports.filter((one) => missing(one.path)).map((one) => `${path} imports ${one.specifier}`),
      ),
    );
  });

  test("only the command line reads arguments and environment", () => {
    const reads = /\bprocess\.(env|argv)\b|\bBun\.(env|argv)\b/;
    expectNone(product.filter(({ path, text }) => path !== "src/main.ts" && reads.test(text)).map(({ path }) => path));
  });

  test("only transport/websocket.ts touches Bun's sockets, and only transport/listen.ts listens", () => {
    const touches = {
      "src/transport/websocket.ts": /\bServerWebSocket\b/,
      "src/transport/listen.ts": /\bBun\.serve[<(]/,
    };
    expectNone(
      Object.entries(touches).flatMap(([allowed, pattern]) =>
        product.filter(({ path, text }) => path !== allowed && pattern.test(text)).map(({ path }) => path),
      ),
    );
  });

  test("importing a module does nothing and no module keeps mutable state", () => {
    expectNone(
      sources
        .filter(({ path }) => !entryPoint.test(path) && !isTest(path))
        .flatMap(({ path, sideEffects }) => sideEffects.map((effect) => `${path}:${effect}`)),
    );
  });
});

describe("sizes", () => {
  test("a file has at most 400 lines", () => {
    expectNone(sources.filter(({ lines }) => lines.length > 400).map(({ path, lines }) => `${path}: ${lines.length}`));
  });

  test("a function has at most 70 lines", () => {
    expectNone(measured((one) => one.lines > 70).map(({ where, lines }) => `${where}: ${lines} lines`));
  });

  test("code nests at most 3 deep", () => {
    expectNone(measured((one) => one.depth > 3).map(({ where, depth }) => `${where}: ${depth} deep`));
  });
});

describe("names and first lines", () => {
  test("files are named in kebab-case, by what they hold", () => {
    const form = /^[a-z0-9]+(-[a-z0-9]+)*(\.(test|case|config|d))?\.(tsx?|mjs)$/;
    const banned = /(^|-)(utils?|helpers?|manager|impl|common|misc|stuff)(-|\.)/;
    const base = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
    expectNone(codeFiles.filter((path) => !form.test(base(path)) || banned.test(base(path))));
  });

  test("exports carry no empty words", () => {
    const banned = /(Manager|Impl|Utils?|Helpers?)$|^I[A-Z][a-z]/;
    expectNone(
      sources.flatMap(({ path, exportedNames }) =>
        exportedNames.filter((name) => banned.test(name)).map((name) => `${path}: ${name}`),
      ),
    );
  });

  test("a file opens with one to five lines on what it is", () => {
    expectNone(sources.filter(({ path, lines }) => !isTest(path) && !opensWell(lines)).map(({ path }) => path));
  });

  test("every exported type, class and function of the product says what it promises", () => {
    const documented = product.filter(({ path }) => !isTest(path));
    expectNone(documented.flatMap(({ path, undocumented }) => undocumented.map((name) => `${path}: ${name}`)));
  });

  test("nothing is left for later", () => {
    const later = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"].join("|")})\\b`);
    expectNone(
      [...codeFiles, ...markdown].flatMap((path) =>
        read(path)
          .split("\n")
          .flatMap((line, i) => (later.test(line) ? [`${path}:${i + 1}`] : [])),
      ),
    );
  });

  test("no error is swallowed by an empty catch", () => {
    expectNone(sources.filter(({ text }) => /\bcatch\s*(\([^)]*\)\s*)?\{\s*\}/.test(text)).map(({ path }) => path));
  });

  test("no test is skipped, and none sleeps", () => {
    const skipped = /\b(test|describe|it)\.(skip|todo|only|failing)\b/;
    const tests = sources.filter(({ path }) => /\.(test|case)\.tsx?$/.test(path) && path !== "test/tidy.test.ts");
    expectNone(
      tests.flatMap(({ path, lines }) =>
        lines.flatMap((line, i) =>
          skipped.test(line) || /\bBun\.sleep\(/.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : [],
        ),
      ),
    );
  });
});

describe("documents and dependencies", () => {
  test("links between documents lead to files", () => {
    expectNone(
      markdown.flatMap((path) =>
        localLinks(path)
          .filter(({ target }) => !existsSync(join(root, target)))
          .map(({ link }) => `${path}: ${link}`),
      ),
    );
  });

  test("nothing points out of the checkout or names this machine", () => {
    const places = [root, homedir()].filter((place) => place.length > 4);
    const text = [...codeFiles, ...markdown].filter((path) => path !== "test/tidy.test.ts");
    expectNone(
      text
        .filter((path) => places.some((place) => read(path).includes(`${place}/`)))
        .concat(markdown.filter((path) => localLinks(path).some(({ target }) => target.startsWith("..")))),
    );
  });

  test("the lock file and the documents name no package host", () => {
    const named = files.filter(
      (path) => path === "package-lock.json" || path.endsWith(".md") || path.endsWith(".npmrc"),
    );
    expectNone(named.filter((path) => /"resolved"|\bregistry\.[a-z]/.test(read(path))));
  });

  test("the server needs no package that is there for building and testing only", () => {
    const { devDependencies } = JSON.parse(read("package.json")) as {
      readonly devDependencies: Record<string, string>;
    };
    expectNone(
      product.flatMap(({ path, imports }) =>
        imports
          .filter(({ specifier, typeOnly }) => !typeOnly && specifier in devDependencies)
          .map((one) => `${path} imports ${one.specifier}`),
      ),
    );
  });

  test("every dependency is pinned and has its reason, and nothing else has", () => {
    const { dependencies, devDependencies } = JSON.parse(read("package.json")) as Record<
      string,
      Record<string, string>
    >;
    const versions = { ...dependencies, ...devDependencies };
    const reasons = [...read("docs/dependencies.md").matchAll(/^- `([^`]+)` — \S/gm)].map(
      (match) => match[1] as string,
    );
    expectNone(
      Object.entries(versions)
        .filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))
        .map(([name]) => name),
    );
    expect(reasons.toSorted()).toEqual(Object.keys(versions).toSorted());
  });
});

describe("the measuring itself", () => {
  const parse = (text: string): Source => measure("src/actors/sample.ts", text, () => true);

  test("counts depth by branches, not by else-if or by functions inside", () => {
    const text = `function a(x) { if (x) { for (;;) { try { x(); } finally { while (x) x(); } } } else if (x) { x(); } }
      function b(x) { if (x) return () => { if (x) x(); }; }`;
    expect(parse(text).functions.map(({ depth }) => depth)).toEqual([4, 1, 1]);
  });

  test("counts a function's lines without the cases of a suite inside it", () => {
    const suite = `function suite() {\n  test("one", () => {\n    a();\n    b();\n  });\n}`;
    expect(parse(suite).functions.map(({ name, lines }) => [name, lines])).toEqual([
      ["suite", 3],
      ["suite", 4],
    ]);
  });

  test("sees exports without a docstring, and state and work of a module", () => {
    const found = parse(`/** Fine. */\nexport const a = 1;\nexport function b() {}\nlet c = 1;\nc++;\nimport "./d";`);
    expect([found.undocumented, found.sideEffects]).toEqual([
      ["b"],
      ["4: VariableDeclaration", "5: ExpressionStatement", "6: ImportDeclaration"],
    ]);
  });

  test("refuses what the layers forbid", () => {
    const [value, type] = parse(`import { a } from "../storage/a";\nimport type { b } from "../storage/b";`).imports;
    expect(forbiddenImport("src/actors/sample.ts", value as Source["imports"][number])).toHaveLength(1);
    expect(forbiddenImport("src/actors/sample.ts", type as Source["imports"][number])).toEqual([]);
  });

  test("finds a cycle of two", () => {
    const a = measure("src/lib/a.ts", `import "./b.ts";`, () => true);
    const b = measure("src/lib/b.ts", `export { a } from "./a.ts";`, () => true);
    expect(cycles([a, b])).toEqual(["src/lib/a.ts → src/lib/b.ts → src/lib/a.ts"]);
  });

  test("knows a file that opens without a word", () => {
    expect(
      [["// What it is.", "", "code"], ["code"], ["#!/usr/bin/env node", "// What it is."], []].map(opensWell),
    ).toEqual([true, false, true, false]);
  });
});

function forbiddenImport(path: string, one: Source["imports"][number]): readonly string[] {
  const layer = path.split("/")[1] as string;
  const rule = layers[layer];
  if (!rule || !one.path?.startsWith("src/")) return [];
  const target = one.path.split("/")[1] as string;
  const allowed = [layer, ...rule.value, ...(one.typeOnly ? (rule.type ?? []) : [])];
  return allowed.includes(target) ? [] : [`${path} imports ${one.path}`];
}

function reachedFrom(entry: string): readonly Source[] {
  const reached = new Set([entry]);
  for (const path of reached) {
    for (const one of sources.find((source) => source.path === path)?.imports ?? [])
      if (one.path) reached.add(one.path);
  }
  return sources.filter(({ path }) => reached.has(path));
}

function cycles(all: readonly Source[]): readonly string[] {
  const next = new Map(all.map(({ path, imports }) => [path, imports.flatMap((one) => one.path ?? [])]));
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) found.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
    if (done.has(path) || trail.includes(path)) return;
    for (const target of next.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of next.keys()) visit(path, []);
  return found;
}

function measured(
  matches: (one: Source["functions"][number]) => boolean,
): readonly { where: string; lines: number; depth: number }[] {
  return sources.flatMap(({ path, functions }) =>
    functions
      .filter(matches)
      .map(({ name, line, lines, depth }) => ({ where: `${path}:${line} ${name}`, lines, depth })),
  );
}

function opensWell(lines: readonly string[]): boolean {
  const code = lines[0]?.startsWith("#!") ? lines.slice(1) : lines;
  const end = code.findIndex((line) => !/^(\/\/|\/?\*)/.test(line.trim()));
  const comments = end === -1 ? code.length : end;
  return comments >= 1 && comments <= 6;
}

function localLinks(path: string): readonly { link: string; target: string }[] {
  const links = [...read(path).matchAll(/\]\(([^)\s#]+)(#[^)]*)?\)/g)].map((match) => match[1] as string);
  return links
    .filter((link) => !/^[a-z]+:/.test(link))
    .map((link) => ({ link, target: normalize(join(dirname(path), link)) }));
}
