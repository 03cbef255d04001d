// The client against a real server: chatting, offline and back, restarts, and numbers that agree.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { entryKinds } from "../../src/protocol/entry";
import { memoryStorage } from "../../src/client";
import { fileStorage } from "../../src/client/node";
import { Home, next, until } from "./real";

test("two people chat: messages, unread, read marks, typing", async () => {
  await using home = await Home.open();
  await using alice = home.client("alice");
  await using bob = home.client("bob");
  await Promise.all([alice.ready(), bob.ready()]);
  const id = await alice.openDirect("bob");
  const mine = alice.conversation(id);
  const theirs = bob.conversation(id);
  mine.subscribe(() => {});
  expect(await mine.send("hello").acked).toBeGreaterThan(0);
  await until(theirs, ({ messages }) => messages.at(-1)?.text === "hello");
  const [row] = await until(bob.conversations, (rows) => rows[0]?.unread === 1);
  expect(row).toMatchObject({ id, peer: "alice", type: "direct", lastMessage: { text: "hello", sender: "alice" } });
  const typing = until(mine, ({ typing }) => typing.includes("bob" as never));
  theirs.typing();
  await typing;
  const mark = await theirs.markRead();
  expect(mark.unread).toBe(0);
  await until(mine, ({ cursors }) => cursors.get("bob" as never) === mark.seq);
  expect(bob.totals.getSnapshot()).toEqual({ unread: 0, mutedUnread: 0 });
});

test("what was sent offline arrives in order once there is a connection, and what was missed is delivered once", async () => {
  await using home = await Home.open();
  await using alice = home.client("alice");
  await using bob = home.client("bob");
  await Promise.all([alice.ready(), bob.ready()]);
  const id = await alice.createGroup({ name: "Room" }, ["bob"]);
  await until(bob.conversations, (rows) => rows.length === 1);
  const heard: number[] = [];
  bob.on("entry", ({ entry }) => void (entry[2] === entryKinds.message && heard.push(entry[0])));
  await home.stop();
  await until(alice.connection, ({ state }) => state === "offline");
  const handles = Array.from({ length: 20 }, (_, i) => alice.conversation(id).send(`offline ${i}`));
  await home.start();
  const seqs = await Promise.all(handles.map(({ acked }) => acked));
  expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
  const { messages } = await until(bob.conversation(id), (state) => state.messages.at(-1)?.text === "offline 19");
  expect(messages.map(({ text }) => text)).toEqual(handles.map((_, i) => `offline ${i}`));
  expect(heard).toEqual(seqs);
});

test("a queue outlives its process: what it held is sent by the next one, once", async () => {
  await using home = await Home.open();
  const path = join(home.folder, "alice", "client.parley");
  await using bob = home.client("bob");
  await bob.ready();
  let id = "";
  {
    await using before = home.client("alice", { storage: fileStorage(path) });
    await before.ready();
    id = await before.openDirect("bob");
    await before.conversation(id).send("first").acked;
    await home.stop();
    await until(before.connection, ({ state }) => state === "offline");
    before.conversation(id).send("second");
    before.conversation(id).send("third");
    await before.flush();
  }
  await home.start();
  await using after = home.client("alice", { storage: fileStorage(path) });
  await after.ready();
  const { messages } = await until(bob.conversation(id), (state) => state.messages.length === 3);
  expect(messages.map(({ text }) => text)).toEqual(["first", "second", "third"]);
  await until(after.outbox, (items) => items.length === 0);
});

test("a refresh changes no number", async () => {
  await using home = await Home.open();
  await using alice = home.client("alice");
  const storage = memoryStorage();
  {
    await using known = home.client("bob");
    await Promise.all([alice.ready(), known.ready()]);
  }
  const rooms = await Promise.all([1, 2, 3].map((n) => alice.createGroup({ name: `Room ${n}` }, ["bob"])));
  const seqs = await Promise.all(
    rooms.map((id) => Promise.all([..."abcde"].map((text) => alice.conversation(id).send(text).acked))),
  );
  await using bob = home.client("bob", { storage });
  await bob.ready();
  await bob.conversation(rooms[0] as string).markRead(seqs[0]?.[2]);
  await bob.conversation(rooms[1] as string).settings({ muted: true });
  await bob.conversation(rooms[2] as string).send("mine").acked;
  const live = await until(bob.totals, ({ unread, mutedUnread }) => unread === 7 && mutedUnread === 5);
  await using cached = home.client("bob", { storage });
  await using fresh = home.client("bob");
  await Promise.all([cached.ready(), fresh.ready()]);
  for (const again of [cached, fresh]) {
    expect(again.totals.getSnapshot()).toEqual(live);
    const unread = new Map(again.conversations.getSnapshot().map((row) => [row.id as string, row.unread]));
    expect(rooms.map((room) => unread.get(room))).toEqual([2, 5, 5]);
  }
});

test("a person who is removed sees the conversation go, and comes back with what happened since", async () => {
  await using home = await Home.open();
  await using alice = home.client("alice");
  await using bob = home.client("bob");
  await Promise.all([alice.ready(), bob.ready()]);
  const id = await alice.createGroup({ name: "Room" }, ["bob"]);
  const room = alice.conversation(id);
  await until(bob.conversations, (rows) => rows.length === 1);
  await room.remove(["bob"]);
  await until(bob.conversations, (rows) => rows.length === 0);
  await room.send("behind bob's back").acked;
  const refused = bob.conversation(id).send("still here?").acked;
  expect(refused).rejects.toMatchObject({ code: "no_access", outcome: "final" });
  await refused.catch(() => {});
  await room.add(["bob"]);
  await until(bob.conversations, (rows) => rows.length === 1);
  const delivered = next(bob, "entry", ({ entry }) => Array.isArray(entry[9]) && entry[9][0] === "welcome back");
  await room.send("welcome back").acked;
  await delivered;
  await until(bob.conversation(id), ({ messages }) => messages.some(({ text }) => text === "behind bob's back"));
});

test("names, roles, members, readers, devices and presence", async () => {
  await using home = await Home.open();
  await using alice = home.client("alice", { platform: "test" });
  await using bob = home.client("bob");
  await Promise.all([alice.ready(), bob.ready()]);
  const id = await alice.createGroup({ name: "Old" }, ["bob"]);
  const room = alice.conversation(id);
  await room.update({ name: "New", fields: { colour: "blue" } });
  await until(bob.conversations, ([row]) => row?.name === "New" && row.fields?.colour === "blue");
  await room.role("bob", "admin");
  await until(bob.conversations, ([row]) => row?.role === "admin");
  const { items } = await room.members();
  expect(items.map(({ user, role }) => `${user} ${role}`).sort()).toEqual(["alice owner", "bob admin"]);
  const seq = await room.send("read me").acked;
  await bob.conversation(id).markRead(seq);
  expect((await room.readers(seq)).items).toContainEqual({ user: "bob" as never, seq });
  expect(await alice.devices()).toMatchObject([{ platform: "test", current: true, signedOut: false }]);
  await alice.watchPresence(["bob"]);
  expect(alice.presence.getSnapshot().get("bob" as never)).toBe(true);
  const gone = until(alice.presence, (people) => people.get("bob" as never) === false);
  await bob.close();
  await gone;
});

test("older messages come as pages, to the first one", async () => {
  await using home = await Home.open();
  await using alice = home.client("alice");
  await alice.ready();
  const id = await alice.createGroup({ name: "Long" });
  const handles = Array.from({ length: 130 }, (_, i) => alice.conversation(id).send(`${i}`));
  await Promise.all(handles.map(({ acked }) => acked));
  await using other = home.client("alice");
  await other.ready();
  const view = other.conversation(id);
  view.subscribe(() => {});
  await until(view, ({ messages }) => messages.length === 50);
  while (view.getSnapshot().hasBefore) await view.loadBefore();
  expect(view.getSnapshot().messages.map(({ text }) => text)).toEqual(handles.map((_, i) => `${i}`));
});

test("signed out everywhere, every client of the person stops", async () => {
  await using home = await Home.open();
  await using one = home.client("alice");
  await using other = home.client("alice");
  await Promise.all([one.ready(), other.ready()]);
  await one.signOut({ everywhere: true });
  await until(other.connection, ({ state }) => state === "signedOut");
  expect(one.connection.getSnapshot().state).toBe("signedOut");
});
