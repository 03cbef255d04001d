// Builds the npm package @parley/client into dist/client: two ES modules (everywhere; Bun and Node), their types, package.json.
// Run by `npm run build:client`; a test measures what comes out.
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const entries = [
  { name: "index", target: "browser" },
  { name: "node", target: "node" },
] as const;

/** Builds into `folder`; what was there stays until the new package is whole. Rejects with what a compiler complains about. */
export async function buildClient(folder: string): Promise<void> {
  const draft = `${folder}.${process.pid}.new`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true });
  for (const { name, target } of entries) await bundle(name, target, draft);
  await declare(draft);
  await Bun.write(join(draft, "package.json"), `${JSON.stringify(await manifest(), null, 2)}\n`);
  await Bun.write(join(draft, "README.md"), Bun.file(join(root, "docs/client.md")));
  await Bun.write(join(draft, "LICENSE"), Bun.file(join(root, "LICENSE")));
  await rm(folder, { recursive: true, force: true });
  await rename(draft, folder);
}

async function bundle(name: string, target: "browser" | "node", folder: string): Promise<void> {
  const built = await Bun.build({
    entrypoints: [join(root, "src/client", `${name}.ts`)],
    outdir: folder,
    target,
    format: "esm",
    minify: true,
    sourcemap: "linked",
  });
  if (!built.success) throw new AggregateError(built.logs, `cannot build ${name}`);
}

/** Types as the compiler writes them, with the file endings that Node's resolution wants. */
async function declare(folder: string): Promise<void> {
  const config = join(folder, "tsconfig.json");
  await Bun.write(
    config,
    JSON.stringify({
      extends: join(root, "tsconfig.json"),
      compilerOptions: {
        noEmit: false,
        declaration: true,
        emitDeclarationOnly: true,
        rootDir: join(root, "src"),
        outDir: join(folder, "types"),
        typeRoots: [join(root, "node_modules/@types")],
      },
      include: [],
      files: entries.map(({ name }) => join(root, "src/client", `${name}.ts`)),
    }),
  );
  const compiler = Bun.spawn(["node", join(root, "node_modules/typescript/bin/tsc"), "-p", config], { stdout: "pipe" });
  const [said, code] = await Promise.all([new Response(compiler.stdout).text(), compiler.exited]);
  if (code !== 0) throw new Error(`cannot write the types: ${said}`);
  await rm(config);
  for (const file of await readdir(join(folder, "types"), { recursive: true })) {
    if (!file.endsWith(".d.ts")) continue;
    const path = join(folder, "types", file);
    const text = await Bun.file(path).text();
    await Bun.write(path, text.replaceAll(/(from |import\()"(\.[^"]*)"/g, '$1"$2.js"'));
  }
}

async function manifest(): Promise<Record<string, unknown>> {
  const { version, license } = await Bun.file(join(root, "package.json")).json();
  const face = (name: string): Record<string, string> => ({
    types: `./types/client/${name}.d.ts`,
    default: `./${name}.js`,
  });
  return {
    name: "@parley/client",
    version,
    description:
      "The Parley client for browsers, Bun and Node: durable outbox, gap-free delivery, exact unread counts.",
    license,
    type: "module",
    sideEffects: false,
    exports: { ".": face("index"), "./node": face("node") },
    types: "./types/client/index.d.ts",
    engines: { node: ">=20" },
  };
}

if (import.meta.main) await buildClient(join(root, "dist/client"));
