// `parley copy` and `parley export` as processes: what they print, what they end with, and that a kill -9 anywhere only costs time.
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { Command } from "../server/command";
import type { Finished } from "../server/command";
import { describeWith, shareMongo } from "../services/services";
import { until } from "../until";
import { CopyWorld } from "./world";

async function run(args: readonly string[], failpoints?: string): Promise<Finished> {
  await using command = new Command(args, failpoints === undefined ? {} : { PARLEY_FAILPOINTS: failpoints });
  return await command.finished();
}

/** SHA-256 of the whole export, through the command. */
async function digestOf(world: CopyWorld, store: string, name: string): Promise<string> {
  const { code, out, err } = await run(["export", world.path(name), "--from", store, "--json"]);
  if (code !== 0) throw new Error(err);
  const { digest, file } = JSON.parse(out) as { digest: string; file: string };
  expect(new Bun.CryptoHasher("sha256").update(await Bun.file(file).bytes()).digest("hex")).toBe(digest);
  return digest;
}

const killed = ["copy.page=exit@1", "copy.page=exit@4", "copy.kind=exit@2", "copy.compared=exit", "copy.done=exit"];

/** Kills the same copy at one point after the other, then lets it finish. Answers how the last one ended. */
async function copiedThroughKills(from: string, to: string): Promise<Finished> {
  for (const point of killed) {
    const { code } = await run(["copy", "--from", from, "--to", to], point);
    expect([point, code]).toEqual([point, 137]);
  }
  return run(["copy", "--from", from, "--to", to, "--json"]);
}

test("arguments that name no store end with code 2, and no password is repeated", async () => {
  const bad = await run(["copy", "--from", "mysql://root:hunter2@db/chat", "--to", "sqlite:x"]);
  expect([bad.code, bad.err]).toEqual([2, "parley: --from: allowed: sqlite:PATH or mongodb://HOST/DATABASE\n"]);
  expect((await run(["copy", "--from", "sqlite:x"])).code).toBe(2);
  expect((await run(["export", "x", "--from", "x"])).code).toBe(2);
});

test("a database that does not answer ends with code 4", async () => {
  await using world = await CopyWorld.open();
  const from = await world.filled("from.sqlite", { people: 2, conversations: 1, messages: 1 });
  const nowhere = "mongodb://user:hunter2@127.0.0.1:1/chat?serverSelectionTimeoutMS=200";
  const { code, err } = await run(["copy", "--from", `sqlite:${from}`, "--to", nowhere]);
  expect([code, err.includes("hunter2")]).toEqual([4, false]);
});

test("a copy that is killed again and again comes to the same export", async () => {
  await using world = await CopyWorld.open();
  const from = `sqlite:${await world.filled()}`;
  const to = `sqlite:${world.path("to.sqlite")}`;
  const { code, out } = await copiedThroughKills(from, to);
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ from, to, wasDone: true, kinds: { entries: { rows: 2527 } } });
  expect(await digestOf(world, to, "to.jsonl")).toBe(await digestOf(world, from, "from.jsonl"));
  const done = await run(["copy", "--from", from, "--to", to]);
  expect([done.code, done.out.includes("nothing was done")]).toEqual([0, true]);
  expect((await run(["export", world.path("to.jsonl"), "--from", to])).code).toBe(1);
});

test("a copy that differs ends with code 5 and names the first row; a source that is in use with code 1", async () => {
  await using world = await CopyWorld.open();
  const file = await world.filled();
  const [from, to] = [`sqlite:${file}`, world.path("to.sqlite")];
  await run(["copy", "--from", from, "--to", `sqlite:${to}`], "copy.kind=exit@7");
  const db = new Database(`${to}.copying`);
  db.run("UPDATE heads SET name = 'another' WHERE cid = 1");
  db.close(true);
  const differs = await run(["copy", "--from", from, "--to", `sqlite:${to}`]);
  expect([differs.code, differs.out]).toEqual([5, ""]);
  expect(differs.err).toMatch(/do not hold the same: heads 12 and 12 rows.*heads \["g\w+"\] differs/);

  await using server = new Command(["serve"], { PARLEY_STORE: from, PARLEY_DATA_DIR: world.folder, PARLEY_PORT: "0" });
  await server.line(/is ready at/);
  const inUse = await run(["copy", "--from", from, "--to", `sqlite:${world.path("other.sqlite")}`]);
  expect([inUse.code, inUse.err]).toEqual([1, `parley: ${file} is in use; stop its server first\n`]);
});

test("Ctrl-C ends a copy with code 6, and the same command goes on", async () => {
  await using world = await CopyWorld.open();
  const from = `sqlite:${await world.filled()}`;
  const to = world.path("to.sqlite");
  const slow = { PARLEY_FAILPOINTS: "copy.page=delay:250" };
  await using command = new Command(["copy", "--from", from, "--to", `sqlite:${to}`], slow);
  await until(() => existsSync(`${to}.copying`));
  command.signal("SIGINT");
  const { code, err } = await command.finished();
  expect([code, err.includes("the same command goes on where it was")]).toEqual([6, true]);
  expect((await run(["copy", "--from", from, "--to", `sqlite:${to}`])).code).toBe(0);
});

describeWith("mongodb", "copying into MongoDB by the command", () => {
  test("is as safe against kills, there and back", async () => {
    await using world = await CopyWorld.open();
    await using share = await shareMongo();
    const from = `sqlite:${await world.filled("from.sqlite", { people: 9, conversations: 4, messages: 1200 })}`;
    const back = `sqlite:${world.path("back.sqlite")}`;
    expect((await copiedThroughKills(from, share.uri)).code).toBe(0);
    expect((await copiedThroughKills(share.uri, back)).code).toBe(0);
    const expected = await digestOf(world, from, "from.jsonl");
    expect(await digestOf(world, share.uri, "there.jsonl")).toBe(expected);
    expect(await digestOf(world, back, "back.jsonl")).toBe(expected);
  });

  test("a backup made while a server runs goes into an empty database, with a generation of its own", async () => {
    await using world = await CopyWorld.open();
    await using old = await shareMongo();
    await using fresh = await shareMongo();
    const settings = (store: string) => ({
      PARLEY_STORE: store,
      PARLEY_DATA_DIR: world.folder,
      PARLEY_PORT: "0",
    });
    const runOn = async (store: string, ...args: readonly string[]): Promise<Finished> => {
      await using command = new Command(args, settings(store));
      return await command.finished();
    };
    const serve = async (store: string): Promise<readonly [Command, string]> => {
      const server = new Command(["serve"], settings(store));
      return [server, /http:\S+/.exec(await server.line(/is ready at/))?.[0] ?? ""];
    };
    const [server, url] = await serve(old.uri);
    await using _server = server;
    await runOn(old.uri, "history", "@alice", "--as", "bob", "--url", url); // a person exists from the first sign-in on
    const sent = await runOn(old.uri, "send", "@bob", "kept", "--as", "alice", "--url", url, "--json");
    expect(sent.code).toBe(0);
    const file = world.path("backup.sqlite");
    const backup = await runOn(old.uri, "backup", file, "--json");
    expect([backup.code, JSON.parse(backup.out)]).toEqual([0, { file, bytes: Bun.file(file).size }]);
    expect((await runOn(old.uri, "backup", file)).code).toBe(1);
    server.signal("SIGTERM");
    await server.finished();

    const inUse = await runOn(old.uri, "restore", file);
    expect([inUse.code, inUse.err.includes("is not empty")]).toEqual([1, true]);
    expect((await runOn(fresh.uri, "restore", file, "--force")).code).toBe(2);
    const restored = await runOn(fresh.uri, "restore", file, "--json");
    expect([restored.code, JSON.parse(restored.out)]).toMatchObject([0, { conversations: 1 }]);
    const before = new Database(file, { readonly: true });
    const { value } = before.query("SELECT value FROM meta WHERE key = 'generation'").get() as { value: string };
    before.close(true);
    expect(JSON.parse(restored.out).generation).not.toBe(value);
    const [next, address] = await serve(fresh.uri);
    await using _next = next;
    const { conversation, seq } = JSON.parse(sent.out) as { conversation: string; seq: number };
    const again = await runOn(fresh.uri, "history", conversation, "--as", "bob", "--url", address, "--json");
    expect(JSON.parse(again.out)).toMatchObject({ seq, sender: "alice", text: "kept" });
  });
});
