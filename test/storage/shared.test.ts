// Several processes write to one SQLite file: nothing is lost, doubled or reordered, whoever of them is killed or stands still,
// and the others go on (G1–G3, fencing). Real processes on a real file.
import { expect, test } from "bun:test";
import { systemClock } from "../../src/lib/clock";
import { openSqliteSource } from "../../src/storage/copy-sqlite-source";
import { backUp } from "../../src/storage/sqlite-backup";
import { restoreSqlite } from "../../src/storage/sqlite-restore";
import { openSqliteStore } from "../../src/storage/sqlite-store";
import type { SqliteStore } from "../../src/storage/sqlite-store";
import { allPartitions, append, conversationNamed, entries } from "../../src/storage/store-samples.case";
import { expectLogs, SharedWriter } from "./shared-writers";
import { World } from "./world";

/** A file, and processes that write to it. */
class Cluster implements AsyncDisposable {
  readonly writers: readonly SharedWriter[];
  readonly #world: World;
  readonly #stores: SqliteStore[] = [];

  private constructor(world: World, writers: readonly SharedWriter[]) {
    this.#world = world;
    this.writers = writers;
  }

  /** Starts them, and has them open the file; they write once told to {@link begin}. */
  static async prepare(mode: "own" | "fight", failpoints: readonly string[]): Promise<Cluster> {
    const world = await World.create();
    const writers = failpoints.map((each, index) => new SharedWriter(mode, world.file, index, failpoints.length, each));
    const cluster = new Cluster(world, writers);
    for (const each of writers) await each.ready();
    return cluster;
  }

  static async start(mode: "own" | "fight", failpoints: readonly string[]): Promise<Cluster> {
    const cluster = await Cluster.prepare(mode, failpoints);
    cluster.begin();
    return cluster;
  }

  begin(): void {
    for (const each of this.writers) each.begin();
  }

  get file(): string {
    return this.#world.file;
  }

  /** A handle of this process on the same file. */
  async open(): Promise<SqliteStore> {
    const store = await openSqliteStore({ file: this.#world.file, shared: true });
    this.#stores.push(store);
    return store;
  }

  /** Ends everybody at any moment, then looks at the logs. */
  async expectWhole(): Promise<void> {
    for (const each of this.writers) await each[Symbol.asyncDispose]();
    await expectLogs(await this.open(), this.writers);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.writers) await each[Symbol.asyncDispose]();
    for (const each of this.#stores) await each.close();
    await this.#world[Symbol.asyncDispose]();
  }
}

const three = ["", "", ""];
/** Ample for processes that start while others have the machine. */
const slowMs = 60_000;

test(
  "three processes that open a new file at once write to partitions of their own, and each gets its turns",
  async () => {
    await using cluster = await Cluster.start("own", three);
    const { writers } = cluster;
    await Promise.all(writers.map((each) => each.advances(20)));
    const before = writers.map(({ acked }) => acked.length);
    await Promise.race(writers.map((each) => each.advances(600)));
    const turns = writers.map(({ acked }, at) => acked.length - (before[at] ?? 0));
    expect(Math.min(...turns)).toBeGreaterThan(Math.max(...turns) / 5);
    expect(writers.flatMap(({ said }) => said)).toEqual(["ready", "ready", "ready"]);
    await cluster.expectWhole();
  },
  slowMs,
);

test(
  "partitions that processes take from each other keep one log, and only the older epoch is fenced",
  async () => {
    await using cluster = await Cluster.start("fight", three);
    const { writers } = cluster;
    await Promise.all(
      writers.map((each) => each.until(() => each.said.filter((line) => line === "fenced ").length >= 5)),
    );
    await Promise.all(writers.map((each) => each.advances(20)));
    await cluster.expectWhole();
    expect(writers.flatMap(({ said }) => said).filter((line) => !/^(ready|fenced )$/.test(line))).toEqual([]);
  },
  slowMs,
);

test.each(["commit.before=exit@40", "commit.after=exit@40"])(
  "one that is killed at %s harms no other, and what it was told is stored can be taken over",
  async (failpoint) => {
    await using cluster = await Cluster.start("own", ["", failpoint, ""]);
    const [first, killed, third] = cluster.writers as [SharedWriter, SharedWriter, SharedWriter];
    expect(await killed.ended).toBe("SIGKILL");
    await Promise.all([first.advances(60), third.advances(60)]);
    const store = await cluster.open();
    const theirs = allPartitions.filter((partition) => partition % 3 === 1);
    const epoch = await store.claim(theirs);
    const room = killed.acked[0]?.room ?? conversationNamed("none");
    const { seq = 0 } = (await store.openConversation(room, epoch, 0))?.head ?? {};
    expect((await store.commit(append(room, epoch, entries(seq + 1, 1)))).outcome).toBe("stored");
    await Promise.all([first.advances(60), third.advances(60)]);
    await cluster.expectWhole();
    expect([first, third].flatMap(({ said }) => said)).toEqual(["ready", "ready"]);
  },
  slowMs,
);

test(
  "exactly one checkpoints; when it is killed another one does, and then the third",
  async () => {
    await using cluster = await Cluster.start("own", Array<string>(3).fill("checkpoint.before=exit@2"));
    const left = new Set(cluster.writers);
    for (let alive = 3; alive > 0; alive--) {
      const gone = await Promise.race([...left].map((each) => each.ended.then(() => each)));
      left.delete(gone);
      await Promise.all([...left].map((each) => each.advances(10)));
      expect(left.size).toBe(alive - 1);
    }
    await cluster.expectWhole();
  },
  slowMs,
);

test(
  "one that is stopped inside a transaction makes the others refuse, while reads and audits go on; killed, they go on by themselves",
  async () => {
    await using cluster = await Cluster.prepare("own", ["", "commit.before=stop@40", ""]);
    const store = await cluster.open();
    cluster.begin();
    const [first, stopped, third] = cluster.writers as [SharedWriter, SharedWriter, SharedWriter];
    const says = (each: SharedWriter, start: string) =>
      each.until(() => each.said.some((line) => line.startsWith(start)));
    for (const each of [first, third]) {
      await says(each, "writable false");
      await says(each, "refused another node has held the file's lock");
    }

    const [{ room = conversationNamed("none") } = {}] = third.acked;
    expect((await store.readHeads([room]))[0]?.seq).toBeGreaterThan(0);
    expect(await store.auditAll([])).toEqual([]);

    stopped.kill();
    for (const each of [first, third]) await says(each, "writable true");
    await Promise.all([first.advances(30), third.advances(30)]);
    await cluster.expectWhole();
  },
  slowMs,
);

test(
  "while it is shared a backup is whole and everybody goes on; a copy, a restore and an exclusive use are refused with the fix",
  async () => {
    await using cluster = await Cluster.start("own", ["", ""]);
    const { file, writers } = cluster;
    await Promise.all(writers.map((each) => each.advances(30)));
    const acked = writers.map((each) => each.acked.slice());

    const backup = `${file}.backup`;
    await backUp(file, backup, systemClock, () => {});
    expect(() => openSqliteSource(file, "alone")).toThrow("is in use; stop its server first");
    await expect(restoreSqlite({ from: backup, to: file, force: true })).rejects.toThrow("is in use");
    await Promise.all(writers.map((each) => each.advances(30)));
    await cluster.expectWhole();

    const copy = await openSqliteStore({ file: backup });
    await using _ = { [Symbol.asyncDispose]: () => copy.close() };
    await expectLogs(
      copy,
      acked.map((each) => ({ acked: each })),
    );
  },
  slowMs,
);
