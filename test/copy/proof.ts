// The proof of moving at size: a file of many messages goes into MongoDB and back by the command, with a kill -9 on each way, and
// all three exports are compared byte by byte. Run by `npm run copy-proof -- [messages]`; prints what it measured; ends with 1 on any difference.
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteStore } from "../../src/storage/sqlite-store";
import { startMongo } from "../services/services";
import { fillStore } from "./sample-data";

const root = join(import.meta.dir, "../..");
const messages = Number(process.argv[2] ?? 200_000);
const folder = await mkdtemp(join(tmpdir(), "parley-copy-proof-"));

/** Runs the command; answers seconds and the peak of its memory. */
async function parley(args: readonly string[], failpoints = ""): Promise<{ code: number; text: string }> {
  const started = performance.now();
  const child = Bun.spawn([process.execPath, join(root, "src/main.ts"), ...args], {
    env: { PATH: process.env["PATH"] ?? "", ...(failpoints && { PARLEY_FAILPOINTS: failpoints }) },
    stdout: "ignore",
    stderr: failpoints ? "ignore" : "inherit",
  });
  const code = await child.exited;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const memory = Math.round((child.resourceUsage()?.maxRSS ?? 0) / 2 ** 20);
  return { code, text: `${seconds} s, ${memory} MiB at most` };
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function done(what: string, args: readonly string[]): Promise<void> {
  const { code, text } = await parley(args);
  if (code !== 0) throw new Error(`${what} ended with ${code}`);
  say(`${what}: ${text}`);
}

/** Copies, killed once about half-way. */
async function copied(what: string, from: string, to: string): Promise<void> {
  const copy = ["copy", "--from", from, "--to", to];
  const { code, text } = await parley(copy, `copy.page=exit@${Math.max(3, Math.floor(messages / 2000))}`);
  if (code !== 137) throw new Error(`${what} was to be killed, but ended with ${code}`);
  say(`${what}, killed: ${text}`);
  await done(`${what}, gone on with`, copy);
}

async function prove(uri: string): Promise<boolean> {
  const [file, back] = [join(folder, "from.sqlite"), join(folder, "back.sqlite")];
  const store = await openSqliteStore({ file });
  await fillStore(store, { people: 500, conversations: Math.max(10, Math.floor(messages / 1000)), messages });
  await store.close();
  say(`${messages} messages in a file of ${((await stat(file)).size / 1e6).toFixed(1)} MB`);
  await copied("file to MongoDB", `sqlite:${file}`, uri);
  await copied("MongoDB to file", uri, `sqlite:${back}`);
  const stores = { "from.jsonl": `sqlite:${file}`, "there.jsonl": uri, "back.jsonl": `sqlite:${back}` };
  const digests: string[] = [];
  for (const [name, from] of Object.entries(stores)) {
    await done(`export ${name}`, ["export", join(folder, name), "--from", from]);
    const hash = new Bun.CryptoHasher("sha256");
    for await (const chunk of Bun.file(join(folder, name)).stream()) hash.update(chunk);
    digests.push(hash.digest("hex"));
    say(`  ${(await stat(join(folder, name))).size} bytes, SHA-256 ${digests.at(-1)}`);
  }
  return new Set(digests).size === 1;
}

await using mongo = await startMongo();
try {
  const same = await prove(mongo.uri.replace("/?", "/copy_proof?"));
  say(same ? "the three exports are byte-identical" : "the exports DIFFER");
  process.exitCode = same ? 0 : 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
