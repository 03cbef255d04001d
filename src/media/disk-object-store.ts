// Objects as files in one folder: written aside, synced, then renamed into place, so that a reader sees all of it or none (G7).
// The embedded driver of the media port, for a server with no other store beside it.
import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { ObjectFacts, ObjectStore, OpenedObject, Put } from "./object-store";

/** Bytes before the content: the facts as JSON, padded with blanks. */
const headBytes = 128;

/** One folder of objects; makes it where it is missing. Several processes may share it. */
export class DiskObjectStore implements ObjectStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async put(key: string, content: AsyncIterable<Uint8Array>, announced: ObjectFacts): Promise<Put> {
    await mkdir(this.#folder, { recursive: true });
    const aside = join(this.#folder, `${randomUUID()}.part`);
    try {
      const found = await writeAside(aside, content, announced);
      if (found.bytes !== announced.bytes || found.sha256 !== announced.sha256) return { outcome: "mismatch", found };
      await rename(aside, this.#path(key));
      await syncFolder(this.#folder);
      return { outcome: "stored" };
    } finally {
      await rm(aside, { force: true });
    }
  }

  async open(key: string): Promise<OpenedObject | null> {
    const file = Bun.file(this.#path(key));
    if (!(await file.exists())) return null;
    const facts = JSON.parse(await file.slice(0, headBytes).text()) as ObjectFacts;
    return { facts, content: file.slice(headBytes, headBytes + facts.bytes).stream() };
  }

  async remove(key: string): Promise<void> {
    await rm(this.#path(key), { force: true });
  }

  /** Keys are any text, so files are named by their hash. */
  #path(key: string): string {
    return join(this.#folder, createHash("sha256").update(key).digest("hex"));
  }
}

/** Writes head and content and syncs them; answers what the content was, up to where it is surely too long. */
async function writeAside(
  path: string,
  content: AsyncIterable<Uint8Array>,
  announced: ObjectFacts,
): Promise<ObjectFacts> {
  await using file = await open(path, "wx");
  await file.writeFile(JSON.stringify({ bytes: announced.bytes, sha256: announced.sha256 }).padEnd(headBytes));
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of content) {
    bytes += chunk.length;
    if (bytes > announced.bytes) break;
    hash.update(chunk);
    await file.writeFile(chunk);
  }
  await file.sync();
  return { bytes, sha256: hash.digest("hex") };
}

async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, "r");
  await handle.sync();
}
