// What PROTOCOL.md says of connecting, signing in and being closed, against a real server.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { encode } from "../../src/protocol/codec";
import { limits } from "../../src/protocol/limits";
import { ServerProcess } from "../crash/server-process";
import { WatchedSocket } from "./watched-socket";

let server: ServerProcess;
beforeAll(async () => {
  server = new ServerProcess();
  await server.start();
});
afterAll(() => server[Symbol.asyncDispose]());

/** The HTTP answer to a request for a WebSocket. */
async function upgrade(headers: Readonly<Record<string, string>>): Promise<number> {
  const all = {
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "parley.v1",
    ...headers,
  };
  const { promise, resolve } = Promise.withResolvers<number>();
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: server.port,
    socket: {
      data: (_, bytes) => resolve(Number(bytes.toString().split(" ")[1])),
      close: () => resolve(0),
    },
  });
  socket.write(`GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n${lines.join("")}\r\n`);
  return promise.finally(() => socket.terminate());
}

test("a request for a WebSocket is refused in plain HTTP where it does not fit", async () => {
  expect(await upgrade({})).toBe(101);
  expect(await upgrade({ "Sec-WebSocket-Protocol": "chat, parley.v1" })).toBe(101);
  expect(await upgrade({ "Sec-WebSocket-Protocol": "chat" })).toBe(400);
  expect(await upgrade({ Origin: "https://elsewhere.example" })).toBe(403);
  expect(await upgrade({ Origin: `http://127.0.0.1:${server.port}` })).toBe(101);
  expect(await upgrade({ Upgrade: "other" })).toBe(426);
});

/** Sends what a client must not send; answers the codes of goodbye and of the close. */
async function closedBy(...messages: readonly (string | Uint8Array)[]): Promise<readonly [unknown, number]> {
  const socket = await WatchedSocket.open(server.url);
  for (const message of messages) socket.sendRaw(message);
  const code = await socket.closed;
  return [socket.pushes.find(([name]) => name === "goodbye")?.[1], code];
}

test("each breach of the frame rules is answered by goodbye and its close code", async () => {
  expect(await closedBy("text")).toEqual([4503, 4503]);
  expect(await closedBy(new Uint8Array(0))).toEqual([4503, 4503]);
  expect(await closedBy(encode([9, 1, "devices", []]))).toEqual([4503, 4503]);
  expect(await closedBy(encode([0, -1, "devices", []]))).toEqual([4503, 4503]);
  expect(await closedBy(encode([0, 2 ** 32, "devices", []]))).toEqual([4503, 4503]);
  expect(await closedBy(encode([1, 1, []]))).toEqual([4503, 4503]);
  expect(await closedBy(new Uint8Array(limits.frameBytesMax + 1).fill(0xc0))).toEqual([4504, 4504]);
});

test("a message of exactly frameBytesMax is taken", async () => {
  await using ada = await WatchedSocket.signIn(server.url, server.token("ada"), "d1");
  const [group] = await ada.ask("create", "group", "c1", null, []);
  const items = Array.from({ length: 4 }, (_, i) => [`m${i}`, ["x".repeat(limits.textBytesMax - 100)]]);
  const bare = encode([0, 9, "send", [group, items], { pad: "" }]).length;
  const padded = [0, 9, "send", [group, items], { pad: "y".repeat(limits.frameBytesMax - bare - 2) }];
  expect(encode(padded).length).toBe(limits.frameBytesMax);

  expect(await ada.requestWith(padded)).toEqual([3, 4, 5, 6]);
});

test("hello is refused with the code of its fault, and then the connection is closed", async () => {
  const tries: readonly (readonly [readonly unknown[], string, number])[] = [
    [[2, server.token("ada"), "d1"], "unsupported_version", 4505],
    [[1, "no token", "d1"], "bad_token", 4501],
  ];
  for (const [args, code, close] of tries) {
    const socket = await WatchedSocket.open(server.url);
    const refused = await socket.request("hello", args).catch((error: unknown) => error);
    expect((refused as { code: string }).code).toBe(code);
    expect(await socket.closed).toBe(close);
    expect(socket.pushes).toEqual([["goodbye", close, null]]);
  }
});

test("after a wrong argument hello may be said again, and nothing else before it", async () => {
  await using socket = await WatchedSocket.open(server.url);
  const codeOf = (asked: Promise<unknown>) => asked.catch(({ code }: { code: string }) => code);

  expect(await codeOf(socket.ask("devices"))).toBe("not_signed_in");
  expect(await codeOf(socket.ask("hello", 1, server.token("bob"), "not a device"))).toBe("bad_request");
  expect(await codeOf(socket.ask("devices"))).toBe("not_signed_in");
  expect((await socket.ask("hello", 1, server.token("bob"), "d1"))[3] as string).toBe("bob");
});

test("a connection that has not synced is pushed nothing of conversations", async () => {
  await using quiet = await WatchedSocket.open(server.url);
  await quiet.ask("hello", 1, server.token("cleo"), "d1");
  await using synced = await WatchedSocket.signIn(server.url, server.token("cleo"), "d2");
  const [group] = await quiet.ask("create", "group", "c1", null, []);
  await synced.push(([name]) => name === "feed");
  await quiet.ask("send", group, [["m1", ["hi"]]]);
  await synced.push(([name]) => name === "entries");
  await quiet.ask("devices");

  expect(quiet.pushes).toEqual([]);
});

test("a second send to a conversation whose first is unanswered is busy, and repeating it appends once", async () => {
  await using dan = await WatchedSocket.signIn(server.url, server.token("dan"), "d1");
  const [group] = await dan.ask("create", "group", "c1", null, []);
  const [first, second] = dan.together(() => [
    dan.ask("send", group, [["m1", ["one"]]]),
    dan.ask("send", group, [["m2", ["two"]]]).catch(({ code }: { code: string }) => code),
  ]);

  expect(await first).toEqual([3]);
  expect<unknown>(await second).toBe("busy");
  expect(
    await dan.ask("send", group, [
      ["m2", ["two"]],
      ["m1", ["one"]],
    ]),
  ).toEqual([4, 3]);
});
