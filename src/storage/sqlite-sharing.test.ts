// A file that several processes share: where it may lie, who checkpoints, and how its write-ahead log is kept within a limit.
import { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { configureFailpoints } from "../lib/failpoints";
import { Checkpointer } from "./sqlite-checkpointer";
import { StartupError } from "./sqlite-errors";
import type { StoreFile } from "./sqlite-messages";
import { openForWriting } from "./sqlite-open";
import { SharedCheckpoints } from "./sqlite-shared-checkpoints";
import {
  CheckpointRight,
  LogLimit,
  logBytesOf,
  networkOf,
  refuseNetworkFile,
  refuseOldLibrary,
  restartBytesOf,
} from "./sqlite-sharing";

afterEach(() => configureFailpoints(""));

class Folder implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async create(): Promise<Folder> {
    return new Folder(await mkdtemp(join(tmpdir(), "parley-sharing-")));
  }

  get file(): string {
    return join(this.path, "parley.sqlite");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

test("a file on another machine's disk is refused with the fix, one on a disk of this machine is not", async () => {
  const types = { nfs: 0x6969, cifs: -11317950, smb2: -28095166, "9p": 0x01021997, ext4: 0xef53, tmpfs: 0x01021994 };
  const names = Object.values(types).map((type) => networkOf(type));
  expect(names).toEqual(["NFS", "CIFS", "SMB2", "9p", null, null]);
  expect(() => refuseNetworkFile("/data/parley.sqlite", () => types.nfs)).toThrow(StartupError);
  expect(() => refuseNetworkFile("/data/parley.sqlite", () => types.nfs)).toThrow("move it to a disk of this machine");
  await using folder = await Folder.create();
  refuseNetworkFile(folder.file);
});

test("a SQLite that may damage a shared file is refused, and this one is not", () => {
  const refused = (version: string): boolean => {
    try {
      refuseOldLibrary(version);
      return false;
    } catch (error) {
      return error instanceof StartupError && error.message.includes(version);
    }
  };
  const old = ["3.7.0", "3.44.5", "3.45.3", "3.50.6", "3.51.2"];
  const sound = ["3.44.6", "3.50.7", "3.51.3", "3.52.0", "3.54.1", "4.0.0"];
  expect([old.filter(refused), sound.filter(refused)]).toEqual([old, []]);
  using db = new Database(":memory:");
  refuseOldLibrary(String(db.query("SELECT sqlite_version()").values()[0]?.[0]));
});

test("one at a time has the right to checkpoint, and the file that stands for it stays empty", async () => {
  await using folder = await Folder.create();
  const [first, second] = [new CheckpointRight(folder.file), new CheckpointRight(folder.file)];
  expect([first.take(), second.take(), first.take()]).toEqual([true, false, true]);
  first.close();
  expect([second.take(), first.take()]).toEqual([true, false]);
  second.close();
  expect(statSync(`${folder.file}-checkpointer`).size).toBe(0);
  expect(existsSync(`${folder.file}-checkpointer-journal`)).toBe(false);
});

/** A file with a table, a limit of its log, and ways to write and to read an old state. */
async function logged(folder: Folder, logBytesMax: number) {
  const sharing = { logBytesMax };
  const db = openForWriting(folder.file, sharing);
  db.run("CREATE TABLE rows(bytes BLOB)");
  const checkpointer = new Checkpointer(openForWriting(folder.file, sharing), folder.file, sharing);
  const row = db.prepare("INSERT INTO rows VALUES(zeroblob(100000))");
  const reading = (): Database => {
    const reader = new Database(folder.file, { readonly: true });
    reader.run("BEGIN");
    reader.query("SELECT count(*) FROM rows").get();
    return reader;
  };
  const close = (): void => {
    checkpointer.close();
    row.finalize();
    db.close();
  };
  const limit = new LogLimit(folder.file, sharing);
  return {
    limit,
    checkpointer,
    write: () => row.run(),
    reading,
    restart: restartBytesOf(sharing),
    [Symbol.dispose]: close,
  };
}

test("the log begins anew before writers have to make room, and never grows", async () => {
  await using folder = await Folder.create();
  using world = await logged(folder, 4_000_000);
  for (let round = 0; round < 40; round++) {
    world.write();
    expect(world.checkpointer.round().mine).toBe(true);
    expect(logBytesOf(folder.file)).toBeLessThanOrEqual(world.restart);
    expect(world.limit.refusal()).toBeNull();
  }
});

test("a reader of an old state lets the log grow to its limit, where writes are refused with the reason; then it is cut off", async () => {
  await using folder = await Folder.create();
  using world = await logged(folder, 1_000_000);
  const reader = world.reading();
  let written = 0;
  for (; world.limit.refusal() === null && written < 100; written++) {
    world.write();
    world.checkpointer.round();
  }
  expect(written).toBeLessThan(20);
  expect(world.limit.refusal()).toContain("the write-ahead log has grown to 1 MB: a backup");
  expect(logBytesOf(folder.file)).toBeGreaterThan(1_000_000);
  world.checkpointer.round();
  expect(world.limit.refusal()).not.toBeNull();

  reader.run("COMMIT");
  reader.close();
  world.checkpointer.round();

  expect(world.limit.refusal()).toBeNull();
  expect(logBytesOf(folder.file)).toBe(0);
});

test("of two that could checkpoint, the second does nothing until the first has let go", async () => {
  await using folder = await Folder.create();
  using world = await logged(folder, 4_000_000);
  const sharing = { logBytesMax: 4_000_000 };
  const other = new Checkpointer(openForWriting(folder.file, sharing), folder.file, sharing);
  world.write();
  expect(world.checkpointer.round()).toEqual({ mine: true, copied: expect.any(Number) });
  expect(other.round()).toEqual({ mine: false, copied: 0 });
  other.close();
});

test("a checkpointing thread that dies lets go of the right, and the next one goes on", async () => {
  await using folder = await Folder.create();
  const file: StoreFile = { file: folder.file, sharing: { logBytesMax: 4_000_000 } };
  using db = openForWriting(folder.file, file.sharing);
  db.run("CREATE TABLE rows(bytes BLOB)");
  const clock = new VirtualClock();
  configureFailpoints("checkpoint.before=end@2");
  const checkpoints = new SharedCheckpoints(file, clock);
  /** Lets rounds begin as they fall due, each at most this late. */
  const until = async (mine: boolean): Promise<void> => {
    for (; checkpoints.mine !== mine; clock.advance(500)) await new Promise((turn) => setImmediate(turn));
  };
  await until(true);
  configureFailpoints("");
  await until(false);
  await until(true);
  await checkpoints.close();
  const other = new CheckpointRight(folder.file);
  expect(other.take()).toBe(true);
  other.close();
});
