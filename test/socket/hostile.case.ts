// What no honest client sends: wrong types everywhere, malformed frames, floods, oversize. The server answers or closes with
// the code of its table, and whoever else is there does not notice (G11).
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { encode } from "../../src/protocol/codec";
import { closeCodes } from "../../src/protocol/codes";
import { limits } from "../../src/protocol/limits";
import { operations } from "../../src/protocol/operations";
import type { OperationName } from "../../src/protocol/operations";
import { Refused } from "./raw-client";
import type { RawClient } from "./raw-client";
import { opcodes, RawSocket } from "./raw-socket";
import { tokenFor } from "./socket-world";
import type { StartWorld } from "./socket-world";

/** Values of every type of the wire, and of the sizes where limits end. */
const strange: readonly unknown[] = [
  null, true, false, -1, 0, 1.5, 2 ** 53 - 1, Number.NaN, "", "x", "\u0000", "x".repeat(70_000), new Uint8Array(3), [], [null],
  [[]], [[null]], {}, { constructor: 1 }, { parent: ["a", 1] }, Array.from({ length: 1_001 }, () => "ada"), `g${"A".repeat(22)}`,
]; // biome-ignore format: one list

/** Arguments that pass, by position, so that only the one under test is wrong. */
function passing(name: OperationName, id: string): unknown[] {
  const token = tokenFor("ada");
  const clientId = crypto.randomUUID();
  const known: Readonly<Record<string, unknown>> = {
    version: 1, token, conversation: id, clientId, users: ["bob"], user: "bob", role: "member", direction: "before", seq: 1,
    from: 1, kind: name === "read" ? "read" : "typing", items: [[clientId, ["hello"]]], set: { muted: true }, type: "group",
    after: null, limit: null, through: null, members: null, positions: [],
  }; // biome-ignore format: one table
  const names = operations[name].names === "" ? [] : operations[name].names.split(", ");
  return names.map((argument) => (name === "feed" && argument === "after" ? 0 : (known[argument] ?? null)));
}

const unlimited = {
  sessionPerSecond: 1_000_000,
  sessionBurst: 1_000_000,
  userPerSecond: 1_000_000,
  userBurst: 1_000_000,
};
let nextId = 1_000_000;

/** The same with something else than an array of arguments. */
async function refusalOfArgs(client: RawClient, name: string, args: unknown): Promise<string | null> {
  const id = nextId++;
  client.send([0, id, name, args]);
  const [type, , answer] = await client.answerTo(id);
  return type === 2 ? String((answer as unknown[])[0]) : null;
}

function isPlain(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function codeOf(outcome: unknown): unknown {
  return Array.isArray(outcome) ? outcome[0] : outcome;
}

/** What the encoder takes of anything: no functions, symbols, class instances, no huge numbers. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value ?? null) ?? "null");
}

/** Declares these tests for one way to start a world. */
export function hostileCases(start: StartWorld): void {
  describe("wrong types in every field of", () => {
    for (const name of Object.keys(operations) as OperationName[]) {
      if (name === "hello" || name === "signOut") continue;
      test(`${name} are refused or taken, never a fault`, async () => {
        await using world = await start({ connections: { inboundQueueMax: 10_000 }, rates: unlimited });
        const ada = await world.online("ada");
        const id = await world.group(ada, "bob");
        const codes = new Set<string | null>();
        const args = passing(name, id);
        for (let position = 0; position < args.length; position++) {
          for (const value of strange) codes.add(await ada.refusal(name, ...args.with(position, value)));
        }
        for (const value of strange) codes.add(await refusalOfArgs(ada, name, value));
        expect(codes.has("internal")).toBe(false);
        expect(codes.has("outcome_unknown")).toBe(false);
        await ada.settled();
      });
    }
  });

  test("hello with wrong types is refused and may be repeated", async () => {
    await using world = await start({ rates: unlimited });
    const client = await world.connect();
    const args = [1, tokenFor("ada"), "device-1", {}, []];
    for (let position = 0; position < args.length; position++) {
      for (const value of [-1, 1.5, {}, [[]], new Uint8Array(2), ""]) {
        if (position === 3 && isPlain(value)) continue;
        expect(await client.refusal("hello", ...args.with(position, value))).toMatch(/^(bad_request|too_large)$/);
      }
    }
    expect(await client.refusal("hello", ...args)).toBeNull();
    expect(await client.refusal("hello", ...args)).toBe("bad_request");
  });

  test("one message at fault in a send is refused alone, the others are stored in order", async () => {
    await using world = await start();
    const ada = await world.online("ada");
    const id = await world.group(ada, "bob");
    const items = [
      ["a", ["one"]],
      ["b", ["x".repeat(70_000)]],
      [7, ["no id"]],
      ["c", ["two"]],
    ];
    const [one, large, wrong, two] = await ada.request("send", id, items);
    expect([codeOf(large), codeOf(wrong)]).toEqual(["too_large", "bad_request"]);
    expect(two as number).toBe((one as number) + 1);
  });

  test("a second send to a conversation is busy until the first is answered, one to another is not", async () => {
    await using world = await start();
    const ada = await world.online("ada");
    const [id, other] = [await world.group(ada, "bob"), await world.group(ada, "bob")];
    const send = (to: string): Promise<string | null> => ada.refusal("send", to, [[crypto.randomUUID(), ["hello"]]]);
    expect(await Promise.all([send(id), send(id), send(other)])).toEqual([null, "busy", null]);
    expect(await send(id)).toBeNull();
  });

  describe("closes with the code of the table:", () => {
    const cases: readonly (readonly [string, keyof typeof closeCodes, (client: RawClient) => void])[] = [
    ["a text message", "malformedFrame", (client) => client.sendRaw("hello")],
    ["an empty message", "malformedFrame", (client) => client.sendRaw(new Uint8Array(0))],
    ["bytes that are no MessagePack", "malformedFrame", (client) => client.sendRaw(new Uint8Array([0xc1]))],
    ["a frame that is no array", "malformedFrame", (client) => client.send({ a: 1 })],
    ["a reply", "malformedFrame", (client) => client.send([1, 1, null])],
    ["an id that is none", "malformedFrame", (client) => client.send([0, -1, "devices", []])],
    ["an id past 2^32", "malformedFrame", (client) => client.send([0, 2 ** 32, "devices", []])],
    ["an operation that is no text", "malformedFrame", (client) => client.send([0, 1, 7, []])],
    ["the id of an unanswered request", "malformedFrame", (client) => {
      client.sendRaw(new Uint8Array([...encode([0, 9, "devices", []]), ...encode([0, 9, "devices", []])]));
    }],
    ["a message over frameBytesMax", "frameTooLarge", (client) => client.sendRaw(new Uint8Array(limits.frameBytesMax + 1))],
    ["more requests than the queue holds", "flooding", (client) => {
      const requests = Array.from({ length: 65 }, (_, i) => [...encode([0, i + 1, "devices", []])]);
      client.sendRaw(new Uint8Array(requests.flat()));
    }],
  ]; // biome-ignore format: one table
    for (const [what, reason, act] of cases) {
      test(what, async () => {
        await using world = await start();
        const client = await world.signIn("ada");
        act(client);
        expect(await client.closed).toBe(closeCodes[reason].code);
        expect(client.kept.at(-1)?.slice(0, 3)).toEqual([3, "goodbye", closeCodes[reason].code]);
        expect(world.hub.sessions).toBe(0);
      });
    }
  });

  test("a message far over the limit is cut off before it was received whole", async () => {
    await using world = await start();
    const client = await world.signIn("ada");
    client.sendRaw(new Uint8Array(4 * limits.frameBytesMax));
    expect(await client.closed).toBe(1009);
  });

  test("who is refused by a rate limit is told how long to wait, and a flood of it is closed", async () => {
    await using world = await start({
      rates: { sessionPerSecond: 1, sessionBurst: 5 },
      connections: { inboundQueueMax: 100 },
    });
    const client = await world.signIn("ada");
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => client.request("devices").catch((error) => error)),
    );
    const refused = answers.filter((one) => one instanceof Refused);
    expect(refused.length).toBeGreaterThan(0);
    for (const { tuple } of refused) expect([tuple[0], Number(tuple[3]) > 0]).toEqual(["slow_down", true]);
    for (let i = 0; i < 20; i++) client.send([4]);
    expect(await client.closed).toBe(closeCodes.flooding.code);
  });

  test("a person's limit counts over all of their sessions", async () => {
    await using world = await start({ rates: { userPerSecond: 1, userBurst: 6 } });
    const [one, two] = [await world.signIn("ada", "one"), await world.signIn("ada", "two")];
    const answers = await Promise.all(
      [one, one, one, one, two, two, two, two].map((client) => client.refusal("devices")),
    );
    expect(answers).toContain("slow_down");
    expect(await (await world.signIn("bob")).refusal("devices")).toBeNull();
  });

  test("2,000 generated messages through real sockets disturb nobody who chats meanwhile", async () => {
    await using world = await start({ rates: unlimited, connections: { perUser: 10_000 } });
    const [ada, bob] = [await world.online("ada"), await world.online("bob")];
    const id = await world.group(ada, "bob");
    await bob.push("feed");
    let victim = await world.signIn("mallory");
    const value = fc.anything({ withNullPrototype: false, maxDepth: 3 }).map(plain);
    const request = fc.tuple(fc.constant(0), fc.nat(9), fc.constantFrom(...Object.keys(operations), "x"), value);
    const message = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      request.map((frame) => encode(frame)),
      fc
        .tuple(request, fc.nat(50))
        .map(([frame, at]) => encode(frame).map((byte, i) => (i === at ? byte ^ 0x55 : byte))),
    );
    let seq = 0;
    for (const [n, bytes] of fc.sample(message, { numRuns: 2_000, seed: 4711 }).entries()) {
      victim.sendRaw(bytes);
      if (n % 20 !== 0) continue;
      const gone = await Promise.race([victim.closed, victim.settled().catch(() => 1)]);
      if (gone !== undefined) victim = await world.signIn("mallory");
      seq = (await ada.request("send", id, [[crypto.randomUUID(), [`${n}`]]]))[0] as number;
    }
    await bob.push("entries", ([, entries]) => (entries as number[][]).some(([at]) => at === seq));
    expect(seq).toBeGreaterThan(90);
  }, 20_000);

  test("half a frame, and bytes that are no WebSocket frame, cost one connection", async () => {
    await using world = await start();
    const ada = await world.signIn("ada");
    using half = await RawSocket.open(world.port);
    half.sendBytes(new Uint8Array([0x82, 0xff, 0, 0, 0, 0, 0]));
    using garbage = await RawSocket.open(world.port);
    garbage.sendBytes(crypto.getRandomValues(new Uint8Array(64)).fill(0xff, 0, 4));
    await garbage.ended;
    expect(world.sockets.connections).toBe(2);
    world.clock.advance(11_000);
    const close = await half.until(({ opcode }) => opcode === opcodes.close);
    expect((close.payload[0] as number) * 256 + (close.payload[1] as number)).toBe(closeCodes.helloTimeout.code);
    await ada.settled();
  });
}
