// The release before this one, out of the clone's history: what a rolling upgrade begins with.
// Nothing is built or installed: its sources run on the dependencies of this clone.
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
/** What a release needs to run beside others. */
const cluster = "src/server-cluster.ts";

/** A commit, or why there is none to be had. */
export type Previous = { readonly commit: string } | { readonly missing: string };

/** The newest commit before HEAD whose `src` is another than HEAD's, and which could run in a cluster. */
export function findPreviousRelease(): Previous {
  const history = git("log", "--first-parent", "--format=%H", "-2", "--", "src");
  if (history === null) return { missing: "this is no clone: there is no history to take the previous release from" };
  const [, commit] = history.split("\n");
  if (!commit) return { missing: "the clone is shallow: it lacks the commit before the last one that changed src/" };
  if (git("cat-file", "-e", `${commit}:${cluster}`) === null)
    return { missing: `the release before (${commit.slice(0, 7)}) does not run in a cluster` };
  return { commit };
}

/** Its sources in a folder of their own; disposing removes them. */
export class PreviousRelease implements Disposable {
  readonly folder: string;

  constructor(commit: string) {
    this.folder = mkdtempSync(join(tmpdir(), "parley-previous-"));
    const sources = join(this.folder, "sources.tar");
    const files = ["src", "package.json", "tsconfig.json"];
    if (git("archive", "--format=tar", "-o", sources, commit, ...files) === null) throw new Error("git cannot archive");
    const unpacked = Bun.spawnSync(["tar", "-xf", sources, "-C", this.folder]);
    if (!unpacked.success) throw new Error(unpacked.stderr.toString());
    symlinkSync(join(root, "node_modules"), join(this.folder, "node_modules"));
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What git prints; null where it fails, or is not there. */
function git(...args: readonly string[]): string | null {
  try {
    const ran = Bun.spawnSync(["git", ...args], { cwd: root, stdout: "pipe", stderr: "ignore" });
    return ran.success ? ran.stdout.toString().trim() : null;
  } catch {
    return null;
  }
}
