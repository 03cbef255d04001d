// Demo sign-in: tokens for whoever asks, so that the page can be tried at once. Only while the server listens on loopback
// and no signing key is configured; the secret is the data folder's own and lasts as long as it.
import { randomBytes } from "node:crypto";
import { link, mkdir, open, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../lib/settings";
import { isLoopback } from "../lib/settings";
import { hasSigningKey } from "../lib/config";

/** Life of a demo token, seconds. */
export const demoTokenSeconds = 3600;

/** Whether this configuration offers demo sign-in. */
export function offersDemo(config: Config): boolean {
  return isLoopback(config.host) && !hasSigningKey(config);
}

/**
 * The demo secret of a data folder, made where there is none, readable by its owner only. Two that ask at once get the same.
 */
export async function demoSecret(dataDir: string): Promise<string> {
  const file = join(dataDir, "demo.key");
  const kept = await readSecret(file);
  if (kept !== null) return kept;
  await mkdir(dataDir, { recursive: true });
  const draft = `${file}.${randomBytes(6).toString("hex")}`;
  const handle = await open(draft, "wx", 0o600);
  await handle.writeFile(randomBytes(32).toString("base64url")).finally(() => handle.close());
  // A link appears whole or not at all, and the first one wins.
  await link(draft, file).catch(ignoreExisting);
  await unlink(draft);
  const made = await readSecret(file);
  if (made === null) throw new Error(`${file} is empty; remove it and start again`);
  return made;
}

async function readSecret(file: string): Promise<string | null> {
  try {
    const text = (await readFile(file, "utf8")).trim();
    return text === "" ? null : text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}
