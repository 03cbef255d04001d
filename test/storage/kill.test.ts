// A process that is killed at a failpoint, or loses its disk, leaves data that opens again with everything it acknowledged.
import { expect, test } from "bun:test";
import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import type { Store } from "../../src/storage/store";
import { conversationNamed, entries, plain, wholeLog } from "../../src/storage/store-samples.case";
import { Child } from "./child-lines";
import { World } from "./world";

const room = conversationNamed("room");
const bun = process.execPath;
const script = join(import.meta.dir, "child.ts");

function acked(lines: readonly string[]): number {
  return Math.max(0, ...lines.filter((line) => line.startsWith("acked")).map((line) => Number(line.slice(6))));
}

/** The log is gapless, byte for byte what was appended, and holds at least what was acknowledged. */
async function expectWhole(store: Store, atLeast: number): Promise<void> {
  const log = await wholeLog(store, room);
  expect(log.length).toBeGreaterThanOrEqual(atLeast);
  expect(log.length % 20).toBe(0);
  expect(plain(log)).toEqual(plain(entries(1, log.length)));
  expect((await store.openConversation(room, 1, 0))?.head.seq ?? 0).toBe(log.length);
}

test.each(["commit.before=exit@9", "commit.after=exit@9"])("everything acknowledged survives %s", async (failpoint) => {
  await using world = await World.create();
  await using child = new Child([bun, script, "append", world.file], failpoint);
  const lines = await child.rest();
  expect(await child.ended()).toBe("SIGKILL");
  expect(acked(lines)).toBe(8 * 20);
  const store = await world.open();
  await expectWhole(store, acked(lines));
  const logLength = (await wholeLog(store, room)).length;
  expect(logLength).toBe(failpoint.startsWith("commit.before") ? 160 : 180);
});

test("everything acknowledged survives kill -9 at any moment, again and again", async () => {
  await using world = await World.create();
  for (const batches of [1, 5, 2]) {
    await using child = new Child([bun, script, "append", world.file], "");
    let last = "";
    for (let at = 0; at < batches; at++) last = (await child.until("acked")) ?? last;
    process.kill(child.pid, "SIGKILL");
    const lines = [last, ...(await child.rest())];
    expect(await child.ended()).toBe("SIGKILL");
    const store = await world.open();
    await expectWhole(store, acked(lines));
    await store.close();
  }
});

test("a crash in the middle of the first migration leaves a file that opens", async () => {
  await using world = await World.create();
  await using child = new Child([bun, script, "append", world.file], "migrate.middle=exit");
  expect(await child.rest()).toEqual([]);
  expect(await child.ended()).toBe("SIGKILL");
  await expectWhole(await world.open(), 0);
});

test("a crash in the middle of a restore leaves the old data whole, and the restore can be repeated", async () => {
  await using world = await World.create();
  const backup = join(world.folder, "backup.sqlite");
  await using first = new Child([bun, script, "append", world.file], "commit.after=exit@4");
  await first.rest();
  const old = await world.open();
  const before = (await wholeLog(old, room)).length;
  await old.backup(backup, () => {});
  await old.close();
  copyFileSync(world.file, join(world.folder, "kept.sqlite"));
  await using more = new Child([bun, script, "append", world.file], "commit.after=exit@4");
  await more.rest();

  await using crashed = new Child([bun, script, "restore", world.file, backup], "restore.middle=exit");
  expect(await crashed.rest()).toEqual([]);
  const kept = await world.open();
  expect((await wholeLog(kept, room)).length).toBe(before + 80);
  await kept.close();

  await using again = new Child([bun, script, "restore", world.file, backup], "");
  expect(await again.rest()).toEqual(["restored"]);
  const restored = await world.open();
  expect((await wholeLog(restored, room)).length).toBe(before);
  expect(existsSync(`${world.file}.restoring`)).toBe(false);
});

test("a full disk refuses writes while reads go on, and they go through again once there is room", async () => {
  await using world = await World.create();
  const limited = `trap "" XFSZ; ulimit -S -f 600; exec "$0" "$@"`;
  await using child = new Child(["bash", "-c", limited, bun, script, "append", world.file], "");
  await child.until("started");
  const stopped = await child.until("writable false");
  const refused = await child.until("refused");
  expect([stopped, refused]).toEqual(["writable false", expect.stringContaining("disk")]);

  Bun.spawnSync(["prlimit", "--pid", String(child.pid), "--fsize=unlimited:unlimited"]);
  expect(await child.until("writable true")).toBe("writable true");
  const last = await child.until("acked");
  process.kill(child.pid, "SIGKILL");
  const rest = await child.rest();
  await expectWhole(await world.open(), acked([last ?? "", ...rest]));
});

test("a folder this user may not write to stops the start with the fix", async () => {
  await using world = await World.create();
  const store = await world.open();
  await store.close();
  Bun.spawnSync(["chmod", "-R", "a+rX,a-w", world.folder]);
  const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const command = [...(process.getuid?.() === 0 ? asNobody : []), bun, script, "append", world.file];
  await using child = new Child(command, "");
  const [line] = await child.rest();
  Bun.spawnSync(["chmod", "-R", "u+w", world.folder]);
  expect(line).toMatch(/^failed cannot (open|write to) .*(writable|may write)/);
});
