// Types, lint, format and unused code as tests, so that what passes `npm test` passes `npm run check` too.
import { expect, test } from "bun:test";
import { join } from "node:path";

const root = join(import.meta.dir, "..");

async function run(
  tool: string,
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly said: string }> {
  const child = Bun.spawn([join(root, "node_modules/.bin", tool), ...args], {
    cwd: root,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, said: `${out}${err}`.trim() };
}

test("the types agree", async () => {
  expect(await run("tsc", "-p", ".")).toEqual({ code: 0, said: "" });
});

test("lint finds nothing and everything is formatted", async () => {
  const { code, said } = await run("biome", "ci", "--error-on-warnings", "--colors=off", ".");
  expect(code === 0 ? "" : said).toBe("");
});

test("no file, export or dependency is unused", async () => {
  const { code, said } = await run("knip", "--no-progress");
  expect(code === 0 ? "" : said).toBe("");
});
