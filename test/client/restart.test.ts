// What a client keeps: queue and cache through restarts, another generation, another person, another tab.
import { expect, test } from "bun:test";
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import type { Locks } from "../../src/client/queue-lock";
import { indexedDbStorage } from "../../src/client/indexeddb-storage";
import { memoryStorage } from "../../src/client/storage";
import type { ClientStorage } from "../../src/client/storage";
import type { Message } from "../../src/client/types";
import { alice, answerSync, hello, messages, nextAttempt, online, room, row, settle, world } from "./scripted";
import type { ScriptedSocket, World } from "./scripted";
import type { UserId } from "../../src/protocol/ids";

const refused = ["forbidden", "no", "final", null, null] as const;

function shown(at: World): readonly Message[] {
  return at.client.conversation(room).getSnapshot().messages;
}

function statuses(at: World): (string | null)[] {
  return shown(at).map(({ text, status }) => `${text} ${status}`);
}

function items(args: readonly unknown[]): readonly (readonly [string, readonly [string]])[] {
  return args[1] as readonly (readonly [string, readonly [string]])[];
}

test("a restart sends what was queued, with the same ids, before anything new", async () => {
  const storage = memoryStorage();
  const ids: string[] = [];
  {
    await using before = world({ storage });
    const socket = await online(before, { rows: [row()] });
    for (const text of ["a", "b"]) ids.push(before.client.conversation(room).send(text).clientId);
    await socket.take("send");
    await before.client.flush();
  }
  await using after = world({ storage });
  await settle();
  expect(statuses(after)).toEqual(["a sending", "b sending"]);
  ids.push(after.client.conversation(room).send("c").clientId);
  const socket = await hello(after);
  expect(items((await socket.take("send")).args).map(([id]) => id)).toEqual(ids);
});

test("a refused message survives a restart and can be sent again", async () => {
  const storage = memoryStorage();
  {
    await using before = world({ storage });
    const socket = await online(before, { rows: [row()] });
    before.client.conversation(room).send("a");
    socket.reply(await socket.take("send"), [refused]);
    await settle();
  }
  await using after = world({ storage });
  await settle();
  expect(statuses(after)).toEqual(["a failed"]);
  const socket = await online(after, { rows: [row()] });
  expect(await socket.hasAsked("send")).toBe(false);
  shown(after)[0]?.failure?.retry();
  expect(await socket.hasAsked("send")).toBe(true);
});

test("what was acknowledged is not sent again after a restart", async () => {
  const storage = memoryStorage();
  {
    await using before = world({ storage });
    const socket = await online(before, { rows: [row()] });
    const { acked } = before.client.conversation(room).send("a");
    socket.reply(await socket.take("send"), [3]);
    await acked;
  }
  await using after = world({ storage });
  const socket = await online(after, { rows: [row({ head: 3 })] });
  expect(await socket.hasAsked("send")).toBe(false);
});

test("an offline start shows the cached conversations and pages", async () => {
  const storage = memoryStorage();
  {
    await using before = world({ storage });
    const socket = await online(before, { rows: [row({ head: 5 })] });
    socket.push("entries", room, messages(6, 8));
  }
  await using after = world({ storage });
  await settle();
  expect(after.client.conversations.getSnapshot()).toMatchObject([{ id: room, unread: 6, pending: true }]);
  expect(shown(after).map(({ text }) => text)).toEqual(["text 6", "text 7", "text 8"]);
  expect(after.starts).toEqual([{ conversation: room, from: 9, why: "cached" }]);
  const socket = await hello(after);
  expect((await socket.take("sync")).args[1]).toEqual([[room, 8]]);
});

test("another generation keeps queued messages and refuses what names a seq", async () => {
  await using at = world();
  const first = await online(at, { rows: [row({ head: 5 })] });
  first.lose();
  const view = at.client.conversation(room);
  const kept = view.send("kept");
  const answer = view.send({ text: "an answer", replyTo: 4 });
  const mark = view.markRead(5);
  mark.catch(() => {});
  await nextAttempt(at);
  const second = await hello(at, { generation: "g2" });
  const asked = await second.take("send");
  expect(items(asked.args).map(([id]) => id)).toEqual([kept.clientId]);
  expect(await second.hasAsked("read")).toBe(false);
  expect(answer.acked).rejects.toMatchObject({ code: "generation_changed" });
  expect(mark).rejects.toMatchObject({ code: "generation_changed" });
});

test("another generation in the middle of the first sync drops what its pages told", async () => {
  await using at = world();
  const first = await hello(at, { generation: "g1" });
  first.reply(await first.take("sync"), [1, [row({ head: 5 })], room, [0, 0], [], []]);
  await first.take("sync");
  first.lose();
  await nextAttempt(at);
  const second = await hello(at, { generation: "g2" });
  expect((await second.take("sync")).args).toEqual([null, []]);
  expect(at.client.conversations.getSnapshot()).toEqual([]);
});

test("another person finds neither the cache nor the queue of the one before", async () => {
  const storage = memoryStorage();
  {
    await using before = world({ storage });
    await online(before, { rows: [row({ head: 5 })] });
    before.client.conversation(room).send("alice's");
    await before.client.flush();
  }
  await using after = world({ storage });
  const socket = await online(after, { user: "carol" as never });
  expect(after.client.conversations.getSnapshot()).toEqual([]);
  expect(after.client.outbox.getSnapshot()).toEqual([]);
  expect(await socket.hasAsked("send")).toBe(false);
});

test("a queue taken over while its person leaves is not sent by the next one, and is sent when they are back", async () => {
  const shared = memoryStorage();
  const gate = Promise.withResolvers<void>();
  let held = false;
  const storage: ClientStorage = {
    ...shared,
    async write(changes) {
      held = changes.some(([key, value]) => key.includes("/q/") && value === undefined);
      if (held) await gate.promise;
      return shared.write(changes);
    },
  };
  const comesBack = async (user: UserId): Promise<ScriptedSocket> => {
    at.socket().lose();
    await nextAttempt(at);
    return online(at, { user, rows: [row()] });
  };
  await using at = world({ storage });
  await online(at, { rows: [row()] });
  {
    await using gone = world({ storage: shared });
    await online(gone, { rows: [row()] });
    gone.socket().lose();
    gone.client.conversation(room).send("alice's");
    await gone.client.flush();
  }
  await comesBack(alice);
  expect(held).toBe(true);

  const carols = await comesBack("carol" as UserId);
  gate.resolve();
  expect(await carols.hasAsked("send")).toBe(false);
  expect(at.client.outbox.getSnapshot()).toEqual([]);
  const alices = await comesBack(alice);

  expect(items((await alices.take("send")).args).map(([, [text]]) => text)).toEqual(["alice's"]);
});

test("signing out while the cache is being loaded shows nothing of it", async () => {
  const shared = memoryStorage();
  {
    await using before = world({ storage: shared });
    await online(before, { rows: [row({ head: 5 })] });
  }
  const gate = Promise.withResolvers<void>();
  let loading = false;
  const storage: ClientStorage = {
    ...shared,
    async read(prefix) {
      const found = await shared.read(prefix);
      // Nobody was here last, as far as this client can see.
      if (prefix.endsWith("/meta")) return [];
      loading ||= prefix.endsWith("/c/");
      if (prefix.endsWith("/c/")) await gate.promise;
      return found;
    },
  };
  await using at = world({ storage });
  const socket = await hello(at);
  expect(loading).toBe(true);
  const out = at.client.signOut();
  socket.reply(await socket.take("signOut"), []);
  await out;
  gate.resolve();
  await settle();

  expect(at.client.conversations.getSnapshot()).toEqual([]);
  expect(at.client.connection.getSnapshot()).toMatchObject({ state: "signedOut", user: null });
});

test("of two tabs each drains its own queue, and the one that lives takes over the other's", async () => {
  const storage = memoryStorage();
  const locks = fakeLocks();
  await using living = world({ storage, locks });
  const socket = await online(living, { rows: [row()] });
  {
    await using dying = world({ storage, locks });
    await online(dying, { rows: [row()] });
    dying.socket().lose();
    dying.client.conversation(room).send("orphan");
    await dying.client.flush();
    socket.push("feed", [[9, "settings", room, [false, false]]], []);
    expect(await socket.hasAsked("send")).toBe(false);
  }
  living.socket().lose();
  await nextAttempt(living);
  const next = await online(living, { rows: [row()] });
  expect(items((await next.take("send")).args).map(([, [text]]) => text)).toEqual(["orphan"]);
});

/** Web Locks, as far as the client uses them. */
function fakeLocks(): Locks {
  const held = new Map<string, Promise<unknown>>();
  return {
    async request(name, { ifAvailable }, call) {
      while (held.has(name)) {
        if (ifAvailable) return call(null);
        await held.get(name);
      }
      const done = call({ name });
      held.set(name, done);
      return done.finally(() => held.delete(name));
    },
  };
}

test("queue and cache outlive their page in IndexedDB", async () => {
  const platform = globalThis as { indexedDB?: unknown; IDBKeyRange?: unknown };
  platform.indexedDB = new IDBFactory();
  platform.IDBKeyRange = IDBKeyRange;
  let clientId = "";
  {
    await using before = world({ storage: indexedDbStorage() });
    await until(() => before.sockets.length > 0);
    const socket = await hello(before);
    await until(() => socket.asked.some(({ operation }) => operation === "sync"));
    await answerSync(socket, { rows: [row({ head: 5 })] });
    socket.push("entries", room, messages(6, 7));
    ({ clientId } = before.client.conversation(room).send({ text: "kept", fields: { bytes: new Uint8Array([1, 2]) } }));
    await before.client.flush();
  }
  await using after = world({ storage: indexedDbStorage() });
  await until(() => after.sockets.length > 0);
  expect(statuses(after)).toEqual(["text 6 sent", "text 7 sent", "kept sending"]);
  const socket = await hello(after);
  const asked = await socket.take("send");
  expect(asked.args[1]).toEqual([[clientId, ["kept", null, null, null, null, { bytes: new Uint8Array([1, 2]) }]]]);
  delete platform.indexedDB;
  delete platform.IDBKeyRange;
});

/** The database takes its own turns: waits for what must come, without a clock. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await settle();
}
