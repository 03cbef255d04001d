// Builds the demo page into dist/web: a script and its service worker, one style sheet, the logo and the typeface; nothing inline, nothing from elsewhere.
// Run by `npm run build` and before a start whose page is missing or older than its sources.
import { cp, mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const fonts = ["latin", "latin-ext", "cyrillic"];

/** Builds into `folder`; what was there stays until the new page is whole. Rejects with what the bundler complains about. */
export async function buildWeb(folder: string, web = join(root, "web")): Promise<void> {
  const draft = `${folder}.${process.pid}.new`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true });
  await bundle(join(web, "main.tsx"), join(draft, "app.js"));
  await bundle(join(web, "offline-worker.ts"), join(draft, "offline-worker.js"));
  await bundle(join(web, "app.css"), join(draft, "app.css"));
  for (const file of ["index.html", "logo.svg"]) await cp(join(web, file), join(draft, file));
  for (const subset of fonts) await cp(fontFile(subset), join(draft, `onest-${subset}.woff2`));
  await rm(folder, { recursive: true, force: true });
  await rename(draft, folder);
}

async function bundle(entry: string, target: string): Promise<void> {
  const built = await Bun.build({
    entrypoints: [entry],
    target: "browser",
    format: "esm",
    minify: true,
    external: ["/*.woff2"],
    define: { "process.env.NODE_ENV": '"production"' },
  });
  const [output] = built.outputs;
  if (!built.success || output === undefined) throw new AggregateError(built.logs, `cannot build ${entry}`);
  await Bun.write(target, await output.text());
}

function fontFile(subset: string): string {
  return join(root, "node_modules/@fontsource-variable/onest/files", `onest-${subset}-wght-normal.woff2`);
}

if (import.meta.main) await buildWeb(join(root, "dist/web"));
