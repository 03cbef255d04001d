// Connecting, tokens, heartbeat, giving up and coming back.
import { expect, test } from "bun:test";
import type { ClientError } from "../../src/client";
import { answerSync, hello, message, nextAttempt, online, otherRoom, room, row, settle, world } from "./scripted";
import type { World } from "./scripted";

function state(at: World): { readonly state: string; readonly reason: string | null } {
  const { state, reason } = at.client.connection.getSnapshot();
  return { state, reason };
}

test("connecting, online and synced are shown", async () => {
  await using at = world();
  const told: string[] = [];
  at.client.connection.subscribe(() => {
    const { state, synced } = at.client.connection.getSnapshot();
    told.push(`${state} ${synced}`);
  });
  const socket = await hello(at);
  await settle();
  await answerSync(socket);
  expect(told).toEqual(["connecting false", "online false", "online true"]);
});

test("hello carries the version, the token and the device, which is kept", async () => {
  await using at = world();
  await settle();
  at.socket().open();
  const asked = await at.socket().take("hello");
  expect(asked.args.slice(0, 2)).toEqual([1, "token 1"]);
  expect(asked.args[2]).toMatch(/^[0-9a-f-]{36}$/);
});

test("a transport failure asks for no token", async () => {
  await using at = world();
  await online(at);
  for (let i = 0; i < 5; i++) {
    at.socket().lose();
    expect(state(at)).toEqual({ state: "offline", reason: "network" });
    await nextAttempt(at);
  }
  await online(at);
  expect(at.tokens.calls).toBe(1);
});

test("a token that the server refuses is replaced by a fresh one", async () => {
  await using at = world();
  await settle();
  at.socket().open();
  at.socket().refuse(await at.socket().take("hello"), ["token_expired", "old", "final", null, null]);
  await nextAttempt(at);
  at.socket().open();
  expect((await at.socket().take("hello")).args[1]).toBe("token 2");
});

test("a hello that is refused for another reason is tried again, with the same token, after what the server asks", async () => {
  await using at = world({ random: () => 0 });
  await settle();
  at.socket().open();
  at.socket().refuse(await at.socket().take("hello"), ["auth_unavailable", "later", "retry", 2_000, null]);
  await settle();
  expect(state(at)).toEqual({ state: "offline", reason: "auth_unavailable" });
  expect(at.client.connection.getSnapshot().retryAt).toBe(at.clock.now() + 2_000);
  await nextAttempt(at);
  at.socket().open();
  expect((await at.socket().take("hello")).args[1]).toBe("token 1");
});

test("a close for a token's sake asks for a fresh one", async () => {
  await using at = world();
  const socket = await online(at);
  socket.lose(4500);
  expect(state(at)).toEqual({ state: "offline", reason: "tokenExpired" });
  await nextAttempt(at);
  await online(at);
  expect(at.tokens.calls).toBe(2);
});

test("a token about to expire is refreshed in place, once, by whichever reason comes first", async () => {
  await using at = world();
  const socket = await online(at, { expiresAt: at.clock.now() + 3_600_000 });
  for (let i = 0; i < 118; i++) {
    await at.clock.advance(30_000);
    socket.push("presence", []);
  }
  const asked = await socket.take("refresh");
  expect(asked.args).toEqual(["token 2"]);
  socket.push("tokenExpiring", at.clock.now() + 60_000);
  await settle();
  socket.reply(asked, [at.clock.now() + 3_600_000]);
  await at.clock.advance(1_000);
  expect(at.tokens.calls).toBe(2);
  expect(state(at).state).toBe("online");
});

test("a token that expires while offline is replaced before the next hello", async () => {
  await using at = world();
  const socket = await online(at, { expiresAt: at.clock.now() + 60_000 });
  socket.lose();
  await at.clock.advance(40_000);
  at.socket().lose();
  await nextAttempt(at);
  at.socket().open();
  expect((await at.socket().take("hello")).args[1]).toBe("token 2");
});

test("a provider that answers null signs out, and connect() asks it again", async () => {
  await using at = world();
  const token = at.tokens.next;
  at.tokens.next = async () => null;
  await settle();
  expect(state(at)).toEqual({ state: "signedOut", reason: "signedOut" });
  expect(at.client.ready()).rejects.toMatchObject({ code: "signed_out" });
  await at.clock.advance(600_000);
  expect(at.sockets).toEqual([]);
  at.tokens.next = token;
  at.client.connect();
  await online(at);
  expect(state(at).state).toBe("online");
});

test("a provider that fails is asked again later, once at a time", async () => {
  await using at = world();
  const waiting = Promise.withResolvers<string | null>();
  at.tokens.next = () => waiting.promise;
  await settle();
  at.client.connect();
  at.client.connect();
  await settle();
  expect(at.tokens.calls).toBe(1);
  at.tokens.next = async () => "token";
  waiting.reject(new Error("no network"));
  await settle();
  expect(state(at)).toEqual({ state: "offline", reason: "token_provider" });
  await nextAttempt(at);
  await online(at);
  expect(at.tokens.calls).toBe(2);
});

test("signed out by the server, it stops", async () => {
  await using at = world();
  const socket = await online(at);
  socket.push("goodbye", 4502, null);
  socket.lose(4502);
  await at.clock.advance(600_000);
  expect(state(at)).toEqual({ state: "signedOut", reason: "signedOut" });
  expect(at.sockets).toHaveLength(1);
});

test("a close that says not to come back unchanged ends the attempts", async () => {
  await using at = world();
  const socket = await online(at);
  socket.lose(4505);
  await at.clock.advance(600_000);
  expect(state(at)).toEqual({ state: "offline", reason: "unsupportedVersion" });
  expect(at.errors).toMatchObject([{ outcome: "final" }]);
  expect(at.sockets).toHaveLength(1);
});

test("goodbye's wait is kept, and nothing added to it, as the server has spread them; what fails then backs off", async () => {
  await using at = world({ random: () => 0.5, backoff: { baseMs: 100, capMs: 1_000 } });
  const socket = await online(at);
  await at.clock.advance(5_000);
  socket.push("goodbye", 4000, 7_000);
  socket.lose(1006);
  expect(state(at)).toEqual({ state: "offline", reason: "goingAway" });
  expect(at.client.connection.getSnapshot().retryAt).toBe(at.clock.now() + 7_000);
  await at.clock.advance(6_999);
  expect(at.sockets).toHaveLength(1);
  await at.clock.advance(1);
  expect(at.sockets).toHaveLength(2);
  at.socket().lose();
  expect(at.client.connection.getSnapshot().retryAt).toBe(at.clock.now() + 100);
});

test("waits grow to the cap, and a connection that held starts them anew", async () => {
  await using at = world({ random: () => 0.999, backoff: { baseMs: 100, capMs: 1_000 } });
  const waits: number[] = [];
  const fail = async (): Promise<void> => {
    at.socket().lose();
    waits.push((at.client.connection.getSnapshot().retryAt ?? 0) - at.clock.now());
    await at.clock.advance(1_000);
  };
  await settle();
  for (let i = 0; i < 6; i++) await fail();
  await online(at);
  await at.clock.advance(5_000);
  await fail();
  expect(waits).toEqual([99, 199, 399, 799, 999, 999, 99]);
});

test("silence is broken by pings, and ends the connection when nothing comes back", async () => {
  await using at = world();
  const socket = await online(at);
  await at.clock.advance(31_000);
  expect(socket.pings.length).toBeGreaterThan(0);
  socket.raw([5]);
  await at.clock.advance(31_000);
  expect(state(at).state).toBe("online");
  await at.clock.advance(60_000);
  expect(socket.closedByClient).toBe(true);
  expect(at.sockets.length).toBeGreaterThan(1);
});

test("a socket that never opens is given up", async () => {
  await using at = world();
  await settle();
  await at.clock.advance(60_000);
  expect(at.sockets.length).toBeGreaterThan(1);
});

test("bytes that are no frames end the connection, and the client comes back", async () => {
  await using at = world();
  const socket = await online(at);
  socket.deliver(new Uint8Array([0xc1, 0xff]));
  expect(state(at).state).toBe("offline");
  await nextAttempt(at);
  await online(at);
  expect(state(at).state).toBe("online");
});

test("no more requests are under way than half of what the server holds, and a loss leaves none behind", async () => {
  await using at = world();
  await settle();
  const socket = at.socket();
  socket.open();
  socket.reply(await socket.take("hello"), [
    1,
    at.clock.now(),
    "g1",
    "alice",
    [],
    { unansweredMax: 8 },
    30_000,
    null,
    "test",
  ]);
  await answerSync(socket, { rows: [row()] });
  const view = at.client.conversation(room);
  const asked = Array.from({ length: 10 }, () => view.members().catch(({ code }: ClientError) => code));
  await settle();
  expect(socket.asked).toHaveLength(4);
  socket.reply(await socket.take("members"), [[], null]);
  await settle();
  expect(socket.asked).toHaveLength(4);
  socket.lose();
  const [first, ...rest] = await Promise.all(asked);
  expect(first).toEqual({ items: [], next: null });
  expect(rest).toEqual([..."abcd"].map(() => "disconnected").concat([..."abcde"].map(() => "offline")));
});

test("close() stops everything and may be called again", async () => {
  const at = world();
  const socket = await online(at, { rows: [row()] });
  const { acked } = at.client.conversation(room).send("never answered");
  await at.client.close();
  await at.client.close();
  expect(socket.closedByClient).toBe(true);
  expect(acked).rejects.toMatchObject({ code: "closed", outcome: "unknown" });
  await at.clock.advance(600_000);
  expect(at.sockets).toHaveLength(1);
  expect(at.client.ready()).rejects.toMatchObject({ code: "closed" });
});

test("an aborted signal closes the client", async () => {
  const stop = new AbortController();
  await using at = world({ signal: stop.signal });
  await online(at);
  stop.abort();
  expect(state(at)).toEqual({ state: "offline", reason: "closed" });
});

test("a URL that is none is refused at once", () => {
  expect(() => world({ url: "nonsense" })).toThrow(expect.objectContaining({ code: "bad_request" }));
  expect(() => world({ url: "ftp://example.com" })).toThrow(expect.objectContaining({ code: "bad_request" }));
});

test("snapshots are the same object until something changed, and listeners are told once a tick", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row({ head: 5 }), row({ id: otherRoom, head: 5 })] });
  let told = 0;
  at.client.conversations.subscribe(() => void told++);
  const before = at.client.conversations.getSnapshot();
  expect(at.client.conversations.getSnapshot()).toBe(before);
  for (let seq = 6; seq < 20; seq++) socket.push("entries", room, [message(seq)]);
  expect(at.client.conversations.getSnapshot()).not.toBe(before);
  await settle();
  expect(told).toBe(1);
});

test("a listener that throws is reported and harms nobody", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row({ head: 5 })] });
  at.client.on("entry", () => {
    throw new Error("the application's fault");
  });
  at.client.conversations.subscribe(() => {
    throw new Error("another one");
  });
  socket.push("entries", room, [message(6), message(7)]);
  await settle();
  expect(at.entries).toHaveLength(2);
  expect(at.errors.map(({ message }) => message)).toEqual([
    "the application's fault",
    "the application's fault",
    "another one",
  ]);
});

test("signing out tells the server, forgets what is kept here and stops", async () => {
  await using at = world();
  const socket = await online(at, { rows: [row()] });
  const done = at.client.signOut();
  socket.reply(await socket.take("signOut"), []);
  await done;
  expect(state(at).state).toBe("signedOut");
  expect(at.client.conversations.getSnapshot()).toEqual([]);
  await at.clock.advance(600_000);
  expect(at.sockets).toHaveLength(1);
});
