// A real server, every operation, and every frame of it checked against the tables by a decoder of its own.
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { EntryTuple } from "../../src/protocol/entry";
import { limits } from "../../src/protocol/limits";
import { ServerProcess } from "../crash/server-process";
import { RefusedRequest, WatchedSocket } from "./watched-socket";

let server: ServerProcess;
beforeAll(async () => {
  server = new ServerProcess();
  await server.start();
});
afterAll(() => server[Symbol.asyncDispose]());

const signIn = (user: string) => WatchedSocket.signIn(server.url, server.token(user), `device-of-${user}`);

/** Lists and maps, one in the other. */
function nested(depth: number): unknown {
  if (depth === 0) return "bottom";
  return depth % 2 === 0 ? [nested(depth - 1)] : { in: nested(depth - 1) };
}

async function codeOf(asked: Promise<unknown>): Promise<string> {
  const error = await asked.then(
    () => null,
    (reason: unknown) => reason,
  );
  return error instanceof RefusedRequest ? error.code : `not refused: ${String(error)}`;
}

test("every operation answers in the shape that the protocol gives it", async () => {
  await using ada = await signIn("ada");
  await using bob = await signIn("bob");
  await using cleo = await signIn("cleo");

  const [crew] = await ada.ask("create", "group", "c1", { name: "Crew", fields: { color: "teal" } }, ["bob"]);
  expect(await ada.ask("create", "group", "c1", { name: "Crew", fields: { color: "teal" } }, ["bob"])).toEqual([
    crew,
    1,
  ]);
  await bob.push(([name, changes]) => name === "feed" && JSON.stringify(changes).includes(crew));
  expect((await bob.ask("get", crew))[1].slice(0, 4)).toEqual(["group", "Crew", null, { color: "teal" }]);
  expect<unknown>((await ada.ask("members", crew))[0].map(([user, role]) => [user, role])).toEqual([
    ["ada", "owner"],
    ["bob", "member"],
  ]);

  const body = ["Grüße 👋", ["place", { lat: 52.5, pin: new Uint8Array([0, 255]) }], [{ media: "m1", size: 2 ** 40 }]];
  const [seq] = (await ada.ask("send", crew, [["m1", body]])) as [number];
  const entries = await bob.push(([name, id]) => name === "entries" && id === crew);
  expect((entries[2] as EntryTuple[]).find((entry) => entry[0] === seq)?.[9]).toEqual(body);
  expect<unknown>((await bob.ask("history", crew, "before", null, 10, seq))[0].map(([entry]) => entry[9])).toEqual([
    body,
  ]);
  expect((await bob.ask("entries", crew, 1, 10))[1]).toBe(seq);

  expect(await bob.ask("read", crew, "read", seq)).toEqual([[seq, 1, 0], 0]);
  expect((await ada.push(([name]) => name === "receipts"))[2]).toEqual([["bob", seq]]);
  expect<unknown>((await ada.ask("readers", crew, seq))[0]).toEqual([["bob", seq]]);
  await bob.push(([name]) => name === "cursor");

  await bob.ask("signal", crew, "typing", true);
  expect(await ada.push(([name]) => name === "signal")).toEqual(["signal", crew, "bob", "typing", true]);
  expect<unknown>(await ada.ask("watch", ["bob", "nobody"])).toEqual([
    [
      ["bob", true],
      ["nobody", false],
    ],
  ]);

  expect(await ada.ask("open", [crew])).toEqual([]);

  await ada.ask("settings", crew, { muted: true });
  await ada.push(([name, changes]) => name === "feed" && JSON.stringify(changes).includes("settings"));
  await ada.ask("add", crew, "a1", ["cleo"]);
  await ada.ask("role", crew, "r1", "cleo", "admin");
  await cleo.push(([name]) => name === "feed");
  await cleo.ask("update", crew, "u1", { name: "Crew of all", picture: null });
  await cleo.ask("remove", crew, "x1", ["bob"]);
  await cleo.ask("leave", crew, "l1");
  await bob.push(([name, changes]) => name === "feed" && JSON.stringify(changes).includes("removed"));

  const [channel] = await ada.ask("create", "channel", "c2", null, []);
  await bob.ask("join", channel, "j1");
  const [direct] = await ada.ask("create", "direct", "c3", null, ["bob"]);
  expect(direct[0]).toBe("d");

  expect((await ada.ask("list", null, 2))[0].length).toBe(2);
  expect((await ada.ask("sync", null, [[crew, 0]]))[5].map(([id]) => id)).toEqual([crew]);
  expect((await ada.ask("feed", 0))[2]).toBeTrue();
  expect((await ada.ask("devices"))[0].map(([device]) => device)).toEqual(["device-of-ada" as never]);
  expect((await ada.ask("refresh", server.token("ada"))).length).toBe(1);
  await bob.ask("signOut", "device-of-bob");
  expect(await bob.closed).toBe(4502);
  expect(await ada.push(([name]) => name === "presence")).toEqual(["presence", [["bob", false]]]);
}, 30_000);

test("each refusal is an error of the table, and the connection goes on", async () => {
  await using dan = await signIn("dan");
  const [group] = await dan.ask("create", "group", "c1", null, []);

  expect(await codeOf(dan.ask("send", group, []))).toBe("bad_request");
  expect(await codeOf(dan.request("fly", [group]))).toBe("unknown_operation");
  expect(await codeOf(dan.request("get", { conversation: group }))).toBe("bad_request");
  expect(await codeOf(dan.request("devices", [], { trace: "x".repeat(limits.metaBytesMax) }))).toBe("too_large");
  expect(await codeOf(dan.request("devices", [], { trace: nested(limits.valueNestingMax) }))).toBe("bad_request");
  expect(await codeOf(dan.request("devices", [], { deadlineMs: 0 }))).toBe("bad_request");
  expect(await codeOf(dan.request("devices", [], { deadlineMs: 5000, later: 1 }, "later"))).toStartWith("not refused");
  expect(await codeOf(dan.ask("get", `g${"A".repeat(22)}`))).toBe("no_access");
  expect(await codeOf(dan.ask("read", group, "read", 1000))).toBe("past_head");
  expect(await codeOf(dan.ask("read", group, "delivered", 1))).toBe("reserved");
  expect(await codeOf(dan.ask("add", group, "a1", ["nobody-at-all"]))).toBe("unknown_user");
  expect(await codeOf(dan.ask("update", group, "u1", { parent: [group, 1] }))).toBe("reserved");
  expect(await codeOf(dan.ask("update", group, "u1", { name: "x".repeat(limits.nameBytesMax + 1) }))).toBe("too_large");
  expect(await codeOf(dan.ask("hello", 1, server.token("dan"), "d"))).toBe("bad_request");

  const outcomes = await dan.ask("send", group, [
    ["1", ["one"]],
    ["2", ["x".repeat(limits.textBytesMax + 1)]],
    ["3", []],
    ["4", ["four"]],
    ["1", ["one"]],
    ["1", ["another"]],
  ]);
  expect(outcomes.map((outcome) => (typeof outcome === "number" ? outcome - 2 : outcome[0]))).toEqual([
    1,
    "too_large",
    "bad_request",
    2,
    1,
    "id_reused",
  ]);
});

test("free data may nest as deep as its limit and still comes back in every answer that holds it", async () => {
  await using eve = await signIn("eve");
  await using fay = await signIn("fay");
  const value = nested(limits.valueNestingMax);
  const [group] = await eve.ask("create", "group", "c1", { fields: { a: [] } }, ["fay"]);

  const [seq] = await eve.ask("send", group, [["1", [null, ["deep", value]]]]);
  expect(typeof seq).toBe("number");
  expect((await fay.ask("history", group, "before"))[0][0]?.[0][9]).toEqual([null, ["deep", value]] as never);
  expect((await fay.ask("sync", null, [[group, 0]]))[1][0]?.[4][3]?.[9]).toEqual([null, ["deep", value]]);
  expect(await codeOf(eve.ask("send", group, [["2", [null, ["deep", [value]]]]]))).toBe("bad_request");
});

test("requests behind hello in one message are answered after it, and a ping before it too", async () => {
  await using gil = await WatchedSocket.open(server.url);
  const hello = gil.ask("hello", 1, server.token("gil"), "d1");
  const devices = gil.ask("devices");
  gil.send([4]);

  expect((await hello)[3]).toBe("gil" as never);
  expect((await devices)[0].length).toBe(1);
});

test("what is no frame closes the connection with goodbye and 4503, others go on", async () => {
  await using hal = await signIn("hal");
  const raw = new WebSocket(server.url, "parley.v1");
  const closed = new Promise<number>((resolve) => {
    raw.onclose = ({ code }) => resolve(code);
  });
  await new Promise((resolve) => {
    raw.onopen = resolve;
  });
  raw.send(Uint8Array.of(0x91, 0xc1));

  expect(await closed).toBe(4503);
  expect((await hal.ask("devices"))[0].length).toBe(1);
});
