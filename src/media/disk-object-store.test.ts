import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiskObjectStore } from "./disk-object-store";
import { objectStoreContract } from "./object-store.case";

const root = mkdtempSync(join(tmpdir(), "parley-objects-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let made = 0;

objectStoreContract("disk", () => new DiskObjectStore(join(root, String(made++))));

test("what was refused leaves no file behind", async () => {
  const folder = join(root, "refused");
  const content = async function* (): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(3);
  };
  await new DiskObjectStore(folder).put("key", content(), { bytes: 4, sha256: "0".repeat(64) });
  expect(readdirSync(folder)).toEqual([]);
});
