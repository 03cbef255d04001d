// The npm package as it is built: its size, what it may contain, that Node loads it and TypeScript understands it.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildClient } from "../../scripts/build-client";
import { Home } from "./real";

const root = join(import.meta.dir, "../..");
const gzippedMax = 25 * 1024;
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "parley-package-"));
  await buildClient(join(folder, "client"));
  await mkdir(join(folder, "node_modules/@parley"), { recursive: true });
  await symlink(join(folder, "client"), join(folder, "node_modules/@parley/client"));
  await Bun.write(join(folder, "package.json"), '{ "type": "module" }');
}, 60_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

test("it is at most 25 KB gzipped", async () => {
  const bytes = new Uint8Array(await Bun.file(join(folder, "client/index.js")).arrayBuffer());
  expect(Bun.gzipSync(bytes, { level: 9 }).length).toBeLessThanOrEqual(gzippedMax);
});

test("it needs no eval, no zod and no built-ins, and does nothing when it is imported", async () => {
  const text = await Bun.file(join(folder, "client/index.js")).text();
  expect(text).not.toMatch(/\beval\s*\(|new Function\b|\bFunction\s*\(|zod|node:|\brequire\s*\(/i);
  expect(text).not.toMatch(/^import\b/m);
  const before = Object.keys(globalThis);
  await import(join(folder, "client/index.js"));
  expect(Object.keys(globalThis)).toEqual(before);
});

test("Node signs in and sends with it, and its outbox is a file", async () => {
  await using home = await Home.open();
  const { benchSecret, signToken } = await import("../../bench/tokens");
  const script = `
    import { createClient } from "@parley/client";
    import { fileStorage } from "@parley/client/node";
    ${socketForOldNode}
    const client = createClient({
      url: ${JSON.stringify(home.url)},
      token: async () => ${JSON.stringify(signToken("alice", benchSecret))},
      storage: fileStorage("kept/outbox"),
      locks: null,
    });
    await client.ready();
    const id = await client.createGroup({ name: "From Node" });
    console.log(await client.conversation(id).send("hello from Node").acked);
    await client.close();
  `;
  await Bun.write(join(folder, "script.js"), script);
  const node = Bun.spawn(["node", "--experimental-websocket", "script.js"], {
    cwd: folder,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [said, errors, code] = await Promise.all([
    new Response(node.stdout).text(),
    new Response(node.stderr).text(),
    node.exited,
  ]);
  expect({ said: said.trim(), code, errors: code === 0 ? "" : errors }).toEqual({ said: "3", code: 0, errors: "" });
}, 30_000);

/** What an example of a page uses and does not show. */
const aroundExamples = `
declare module "react" {
  export function useSyncExternalStore<T>(subscribe: (told: () => void) => () => void, getSnapshot: () => T): T;
}
declare function fetchToken(): Promise<string>;
declare namespace JSX { interface IntrinsicElements { [name: string]: unknown } }
`;

test("the examples of the documents are typed, and as short as they say", async () => {
  const examples: string[] = [];
  for (const page of ["README.md", "docs/client.md"]) {
    const text = await Bun.file(join(root, page)).text();
    examples.push(...[...text.matchAll(/```tsx?\n(.*?)\n```/gs)].map(([, code]) => code as string));
  }
  expect(examples.map((code) => code.split("\n").length)).toEqual([10, 10, 20, 20]);

  const names = examples.map((_, i) => `example${i}.tsx`);
  await Promise.all(names.map((name, i) => Bun.write(join(folder, name), `${examples[i]}\nexport {};\n`)));
  await Bun.write(join(folder, "around.d.ts"), aroundExamples);
  expect(await compile(["around.d.ts", ...names])).toEqual(["", 0]);
}, 60_000);

test("its types stand on their own, under the strictest resolution", async () => {
  await Bun.write(
    join(folder, "use.ts"),
    `import { createClient, ClientError } from "@parley/client";
     import type { ConversationRow, ParleyClient } from "@parley/client";
     import { fileStorage } from "@parley/client/node";
     const client: ParleyClient = createClient({ url: "https://x", token: async () => null, storage: fileStorage("x") });
     export const rows: readonly ConversationRow[] = client.conversations.getSnapshot();
     export const fault: unknown = new ClientError("offline");
     // @ts-expect-error: a token provider answers text or null
     createClient({ url: "https://x", token: async () => 7 });`,
  );
  expect(await compile(["use.ts"])).toEqual(["", 0]);
}, 60_000);

/** What the compiler says of these files, and its exit code. */
async function compile(files: readonly string[]): Promise<readonly [said: string, code: number]> {
  const compilerOptions = {
    strict: true,
    noEmit: true,
    module: "nodenext",
    target: "esnext",
    types: [],
    jsx: "preserve",
    skipLibCheck: false,
    lib: ["esnext", "dom", "dom.iterable"],
    exactOptionalPropertyTypes: true,
  };
  await Bun.write(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
  const command = ["node", join(root, "node_modules/typescript/bin/tsc"), "-p", folder];
  const compiler = Bun.spawn(command, { stdout: "pipe" });
  return [await new Response(compiler.stdout).text(), await compiler.exited];
}

/** Node's own WebSocket is behind a flag before Node 22; the script is started with it. */
const socketForOldNode = "if (!globalThis.WebSocket) throw new Error('no WebSocket in this Node');";
