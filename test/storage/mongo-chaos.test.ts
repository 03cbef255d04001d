// Any command may fail in any way, again and again, while two nodes take conversations from each other: every answer is right.
import { expect, test } from "bun:test";
import { MongoClient } from "mongodb";
import { openMongoStore } from "../../src/storage/mongo-store";
import { allPartitions, conversationNamed, wholeLog } from "../../src/storage/store-samples.case";
import { startMongoProxy } from "../faults/mongo-proxy";
import { describeWith, shareMongo } from "../services/services";
import { Random } from "../sim/random";
import { ChaoticConversation, failingWire, people, takeOver } from "./mongo-chaos";
import type { Node } from "./mongo-chaos";

const seed = Number(process.env["CHAOS_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
/** Take-overs; `CHAOS_ROUNDS` names more for a long run. */
const rounds = Number(process.env["CHAOS_ROUNDS"] ?? 6);
const conversationCount = 12;
const stepsPerRound = 8;
/** How long a reply is waited for: short, as many never come. */
const limits = { operationMs: 250, serverSelectionMs: 500, decideMs: 1_000 };

/** What the last owner finds, past the wire. */
async function judgeAll(uri: string, conversations: readonly ChaoticConversation[]): Promise<readonly string[]> {
  await using client = new MongoClient(uri);
  const store = await openMongoStore({ uri });
  const epoch = await store.claim(allPartitions);
  const faults: string[] = [];
  for (const conversation of conversations) {
    const { id } = conversation;
    const opened = await store.openConversation(id, epoch, 0);
    const rows = await client.db().collection("entries").find({ conversation: id }).sort({ seq: 1 }).toArray();
    const marks = new Map((await store.readCursors(id, people)).map(({ user, seq }) => [user, seq]));
    const epochs = rows.map((row) => Number(row["epoch"]));
    faults.push(...conversation.judge({ log: await wholeLog(store, id), epochs, head: opened?.head ?? null, marks }));
  }
  await store.close();
  return faults;
}

describeWith("mongodb", "over a wire that fails at random", () => {
  test(`nothing stored is lost, nothing refused stands, no order breaks and no mark goes back (CHAOS_SEED=${seed})`, async () => {
    const random = new Random(seed);
    await using share = await shareMongo();
    await using proxy = await startMongoProxy(share.uri);
    const open = async (name: string): Promise<Node> => {
      return { name, store: await openMongoStore({ uri: proxy.uri, limits }), epoch: 0 };
    };
    const nodes = [await open("one"), await open("two")] as const;
    const conversations = Array.from({ length: conversationCount }, (_, at) => {
      return new ChaoticConversation(conversationNamed(at), new Random(seed + at));
    });
    proxy.onCommand(failingWire(random, 0.06));
    const lives: Promise<void>[] = [];
    for (let round = 0; round < rounds; round++) {
      const node = nodes[round % 2] as Node;
      while (!(await takeOver(node)));
      const begun = conversations.map((each) => each.live({ ...node }, stepsPerRound));
      lives.push(...begun);
      // The others are not waited for: they go on until they find that the next owner has fenced them.
      await Promise.all(begun.slice(0, conversationCount / 2));
    }
    await Promise.all(lives);
    proxy.onCommand(null);
    await Promise.all(nodes.map(({ store }) => store.close()));

    const faults = await judgeAll(share.uri, conversations);
    const outcomes = conversations.flatMap(({ tries }) => tries.map(({ outcome }) => outcome));
    expect(faults).toEqual([]);
    expect(outcomes.filter((outcome) => outcome === "stored").length).toBeGreaterThan(50);
    expect(outcomes.some((outcome) => outcome !== "stored")).toBe(true);
  }, 600_000);
});
