// Entries of a kind that a later release appended, before this one: they keep their slot and count as their header says, and
// nothing else about them is looked at, by the actor, the store, sync, the gateway and the client.
import { describe, expect, test } from "bun:test";
import { createClient } from "../../src/client";
import { partitionOf } from "../../src/lib/hash";
import { encodeEntry } from "../../src/protocol/codec";
import type { EntryTuple } from "../../src/protocol/entry";
import type { ClientId, ConversationId, UserId } from "../../src/protocol/ids";
import type { EntryRow, Store } from "../../src/storage/store";
import { signToken } from "../../src/transport/tokens";
import { until } from "../client/real";
import { describeWith } from "../services/services";
import { mongodb, sqlite } from "../stores";
import type { StoreUnderTest } from "../stores";
import { secret, ServerWorld } from "./server-world";

const [alice, bob] = ["alice", "bob"] as UserId[] as [UserId, UserId];

/** One that counts and one that does not, with every header field in use and a body of no known shape. */
function laterEntries(seq: number, ordinal: number): readonly EntryTuple[] {
  const time = Date.now();
  const body = { shape: ["none", 7, null], bytes: new Uint8Array([1, 2, 3]) };
  return [
    [seq, ordinal + 1, 200, true, time, alice, bob, "later-1" as ClientId, 3, body],
    [seq + 1, ordinal + 1, 201, false, time, bob, null, null, null, null],
  ];
}

/** Appends them as the owner of the conversation, which then ends without closing it. */
async function appendLater(store: Store, conversation: ConversationId): Promise<readonly EntryTuple[]> {
  const epoch = await store.claim([partitionOf("conversation", conversation)]);
  const opened = await store.openConversation(conversation, epoch, 10);
  if (!opened) throw new Error("the conversation is not there");
  const { head } = opened;
  const entries = laterEntries(head.seq + 1, head.ordinal);
  const rows = entries.map((entry): EntryRow => {
    const [seq, ordinal, kind, counts, , sender, , clientId] = entry;
    return { seq, ordinal, kind, counts, sender, clientId, bytes: encodeEntry(entry) };
  });
  const next = { ...head, seq: head.seq + 2, ordinal: head.ordinal + 1, openEpoch: epoch };
  const write = { conversation, epoch, entries: rows, head: next, members: [], cursors: [], totals: [] };
  expect((await store.commit(write)).outcome).toBe("stored");
  await store.close();
  return entries;
}

function cases(store: StoreUnderTest): void {
  test("are passed on as they are, counted by their header, and shown nowhere", async () => {
    const data = await store.fresh();
    await using world = await ServerWorld.open(data);
    let server = await world.start();
    let [a, b] = [await world.signIn(server, alice), await world.signIn(server, bob)];
    await a.request("sync", null, []);
    const [conversation] = await a.request("create", "group", "make", { name: "Room" }, [bob]);
    await a.request("send", conversation, [["one", ["first"]]]);
    await server.stop();
    const later = await appendLater(await data.open(), conversation);
    const [first] = later as [EntryTuple];

    server = await world.start();
    [a, b] = [await world.signIn(server, alice), await world.signIn(server, bob)];
    await a.request("sync", null, []);
    await b.request("sync", null, []);
    const [entries] = await b.request("entries", conversation, first[0], 2);
    expect(entries).toEqual(later as EntryTuple[]);
    const [messages] = await b.request("history", conversation, "before", null, 50, null);
    expect(messages).toHaveLength(1);
    expect(await a.refusal("send", conversation, [["later-1", ["mine"]]])).toBe("id_reused");
    const [seq] = await a.request("send", conversation, [["two", ["second"]]]);
    expect(typeof seq).toBe("number");
    // What alice sent since bob joined: a message, the entry of a later kind, and a message.
    expect((await b.request("read", conversation, "read", 2))[1]).toBe(3);
    expect((await b.request("read", conversation, "read", first[0] + 1))[1]).toBe(1);
    expect((await a.request("read", conversation, "read", seq as number))[1]).toBe(0);
  });

  test("are taken as they come by the client, which shows the messages around them", async () => {
    const data = await store.fresh();
    await using world = await ServerWorld.open(data);
    let server = await world.start();
    const port = String(server.port);
    const token = (user: UserId) => () => signToken(secret, user, { seconds: 600 });
    const options = { locks: null, backoff: { baseMs: 10, capMs: 100 }, url: server.url };
    await using mine = createClient({ ...options, token: token(alice) });
    await using theirs = createClient({ ...options, token: token(bob) });
    await Promise.all([mine.ready(), theirs.ready()]);
    const conversation = await mine.createGroup({ name: "Room" }, [bob]);
    await mine.conversation(conversation).send("first").acked;
    const view = theirs.conversation(conversation);
    await until(view, ({ messages }) => messages.length === 1);
    const heard: number[] = [];
    theirs.on("entry", ({ entry }) => void heard.push(entry[2]));
    await server.stop();
    await appendLater(await data.open(), conversation);

    server = await world.start({ PARLEY_PORT: port });
    await mine.conversation(conversation).send("second").acked;
    const { messages } = await until(view, (state) => state.messages.at(-1)?.text === "second");
    expect(messages.map(({ text }) => text)).toEqual(["first", "second"]);
    expect(heard.filter((kind) => kind >= 200)).toEqual([200, 201]);
    const rows = await until(theirs.conversations, ([row]) => row?.lastMessage?.text === "second");
    expect(rows[0]?.unread).toBe(3);
    expect((await view.markRead()).unread).toBe(0);
  });
}

describe("entries of unknown kinds over SQLite", () => cases(sqlite));
describeWith("mongodb", "entries of unknown kinds over MongoDB", () => cases(mongodb));
