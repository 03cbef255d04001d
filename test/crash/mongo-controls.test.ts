// Negative controls over MongoDB: each guarantee of the driver taken away, in a story in which it matters, and the checker names
// what is broken. The same story with the guarantee in its place has no violation.
import { describe, expect, test } from "bun:test";
import { startMongoProxy } from "../faults/mongo-proxy";
import type { Command, MongoProxy } from "../faults/mongo-proxy";
import type { Violation } from "../history/checker";
import { Recorder } from "../history/recorder";
import { describeWith, shareMongo } from "../services/services";
import { Connection } from "./connection";
import { readLog } from "./read-logs";
import { ServerProcess } from "./server-process";

/** A server over a scripted wire, one group, and what its people see. */
class Story implements AsyncDisposable {
  readonly proxy: MongoProxy;
  readonly server: ServerProcess;
  readonly recorder = new Recorder();
  readonly #failpoints: string;
  readonly #opened: AsyncDisposableStack;
  conv = "";

  private constructor(proxy: MongoProxy, server: ServerProcess, failpoints: string, opened: AsyncDisposableStack) {
    this.proxy = proxy;
    this.server = server;
    this.#failpoints = failpoints;
    this.#opened = opened;
  }

  static async begin(failpoints: string): Promise<Story> {
    await using opened = new AsyncDisposableStack();
    const share = opened.use(await shareMongo());
    const proxy = opened.use(await startMongoProxy(share.uri));
    const server = opened.use(new ServerProcess({ PARLEY_STORE: proxy.uri }));
    const story = new Story(proxy, server, failpoints, opened.move());
    await story.start();
    (await story.open("bob")).close();
    const ann = await story.open("ann");
    [story.conv] = await ann.ask("create", ["group", "g", null, ["bob"]]);
    ann.close();
    return story;
  }

  start(): Promise<void> {
    return this.server.start({ environment: { PARLEY_FAILPOINTS: this.#failpoints } });
  }

  open(user: string): Promise<Connection> {
    return Connection.open(this.server.url, this.server.token(user), "d", () => undefined);
  }

  /** Sends new messages; answers their client ids. */
  async send(from: Connection, name: string, count: number): Promise<readonly string[]> {
    const cids = Array.from({ length: count }, (_, at) => `${name}-${at}`);
    for (const cid of cids) this.recorder.invoke("ann/d", "ann", this.conv, cid, `text of ${cid}`);
    await this.repeat(from, cids);
    return cids;
  }

  /** Sends messages under ids that were used already, perhaps. */
  async repeat(from: Connection, cids: readonly string[]): Promise<void> {
    const seqs = await from.ask("send", [this.conv, cids.map((cid) => [cid, [`text of ${cid}`]])]);
    for (const [at, cid] of cids.entries()) this.recorder.ack("ann/d", "ann", this.conv, cid, seqs[at] as number);
  }

  /** The whole log, through connections that know nothing, and what is wrong with it all. */
  async judge(): Promise<readonly Violation[]> {
    const auditor = await this.open("ann");
    const asked = this.recorder.marksNow();
    const [, rows] = await auditor.ask("sync", [null, []]);
    for (const [conv, , , , , [seq]] of rows) this.recorder.readAnswered("auditor", "ann", conv, seq, asked);
    await readLog(auditor, this.conv, this.recorder, new Map());
    auditor.close();
    return this.recorder.finish();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#opened.disposeAsync();
  }
}

/** Whether the answer comes before a majority has it. */
function isHasty({ name, body }: Command): boolean {
  return name === "insert" && body["insert"] === "entries" && body["writeConcern"]?.w !== "majority";
}

/** A primary dies with what no majority had: answered, and never there. The server is killed with it. */
async function loseTail(failpoints: string): Promise<readonly Violation[]> {
  await using story = await Story.begin(failpoints);
  const ann = await story.open("ann");
  await story.send(ann, "kept", 3);
  story.proxy.onCommand(async (command, forward) =>
    isHasty(command) ? { ok: 1, n: command.body["documents"].length } : forward(),
  );
  for (const name of ["one", "two", "three"]) await story.send(ann, name, 2);
  await story.server.kill();
  story.proxy.onCommand(null);
  await story.start();
  return await story.judge();
}

/** An outbox forgets its acknowledgement, and repeats a message so old that no server remembers it without looking. */
async function repeatOld(failpoints: string): Promise<readonly Violation[]> {
  await using story = await Story.begin(failpoints);
  const before = await story.open("ann");
  const [first = ""] = await story.send(before, "old", 100);
  await story.server.kill();
  await story.start();
  await story.repeat(await story.open("ann"), [first]);
  return await story.judge();
}

/** Two devices mark as read; the lower mark is on its way while the higher one is being written. */
async function markTwice(failpoints: string): Promise<readonly Violation[]> {
  await using story = await Story.begin(failpoints);
  const ann = await story.open("ann");
  await story.send(ann, "some", 6);
  const isMark = ({ name, body }: Command): boolean =>
    name === "update" && body["update"] === "participants" && JSON.stringify(body["updates"]).includes(`"mark"`);
  const gate = Promise.withResolvers<void>();
  let held = false;
  story.proxy.onCommand(async (command, forward) => {
    if (isMark(command) && !held) {
      held = true;
      await gate.promise;
    }
    return forward();
  });
  const mark = async (seq: number): Promise<void> => {
    const asked = story.recorder.marksNow();
    const [[stored]] = await ann.ask("read", [story.conv, "read", seq]);
    story.recorder.readAck("d", "ann", story.conv, stored, asked);
  };
  const writing = story.proxy.seen(isMark);
  const high = mark(6);
  await writing;
  const low = mark(3);
  // Answered behind the lower mark: it is under way.
  await ann.ask("devices", []);
  gate.resolve();
  await Promise.all([high, low]);
  return await story.judge();
}

const stories: readonly (readonly [
  says: string,
  play: (failpoints: string) => Promise<readonly Violation[]>,
  control: string,
  caught: readonly string[],
])[] = [
  ["a primary that dies with what no majority had", loseTail, "negative.writeConcernOne", ["I1"]],
  ["an old message that is repeated", repeatOld, "negative.noUniqueIndex", ["I2"]],
  ["a lower read mark behind a higher one", markTwice, "negative.cursorWithoutMax", ["I7"]],
];

describeWith("mongodb", "over MongoDB", () => {
  for (const [says, play, control, caught] of stories) {
    describe(`${says}:`, () => {
      test("breaks no promise", async () => {
        expect(await play("")).toEqual([]);
      });

      test(`negative control: with ${control} the checker names ${caught.join()}`, async () => {
        const names = (await play(control)).map(({ name }) => name as string);
        expect([...new Set(names)].sort()).toEqual(expect.arrayContaining([...caught]));
      });
    });
  }
});
