// Who may open a socket, and how many of them (G11).
import { expect, test } from "bun:test";
import { closeCodes } from "../../src/protocol/codes";
import { socketPath, subprotocol } from "../../src/protocol/frames";
import { RawSocket } from "./raw-socket";
import { tokenFor } from "./socket-world";
import type { SocketWorld, StartWorld } from "./socket-world";

/** The HTTP answer to an upgrade that is refused, or to no upgrade at all. */
async function answer(world: SocketWorld, headers: Record<string, string>): Promise<number> {
  const upgrade = { Upgrade: "websocket", Connection: "Upgrade", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" };
  const all = { ...upgrade, "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": subprotocol, ...headers };
  return (await fetch(`http://127.0.0.1:${world.port}${socketPath}`, { headers: all })).status;
}

/** Declares these tests for one way to start a world. */
export function admissionCases(start: StartWorld): void {
  test("a page of the server's own origin or of a configured one may connect, others may not", async () => {
    await using world = await start({ origins: ["https://chat.example"] });
    for (const origin of ["https://chat.example", `http://127.0.0.1:${world.port}`]) {
      await (await world.connect({ Origin: origin })).refusal("devices");
    }
    for (const origin of ["https://evil.example", "null", "http://chat.example", "https://chat.example.evil.example"]) {
      expect(await answer(world, { Origin: origin })).toBe(403);
    }
  });

  test("a star lets every page connect", async () => {
    await using world = await start({ origins: ["*"] });
    expect(await (await world.connect({ Origin: "https://any.example" })).refusal("devices")).toBe("not_signed_in");
  });

  test("without the subprotocol, or without an upgrade, there is no socket", async () => {
    await using world = await start();
    expect(await answer(world, { "Sec-WebSocket-Protocol": "chat" })).toBe(400);
    expect((await fetch(`http://127.0.0.1:${world.port}${socketPath}`)).status).toBe(426);
    expect(world.sockets.connections).toBe(0);
  });

  test("connections are limited by address and in total, and one that goes makes room", async () => {
    await using byAddress = await start({ connections: { perAddress: 2 } });
    using first = await RawSocket.open(byAddress.port);
    using _ = await RawSocket.open(byAddress.port);
    expect(await answer(byAddress, {})).toBe(429);
    first[Symbol.dispose]();
    await first.ended;
    await byAddress.connect();

    await using total = await start({ connections: { max: 1 } });
    using __ = await RawSocket.open(total.port);
    expect(await answer(total, {})).toBe(503);
  });

  test("a person has so many connections and no more; another person is not concerned", async () => {
    await using world = await start({ connections: { perUser: 2 } });
    const first = await world.signIn("ada", "one");
    await world.signIn("ada", "two");
    const third = await world.connect();
    third.send([0, 1, "hello", [1, tokenFor("ada"), "three"]]);
    expect(await third.closed).toBe(closeCodes.tooManyConnections.code);
    expect(third.kept.at(-1)?.slice(0, 3)).toEqual([3, "goodbye", closeCodes.tooManyConnections.code]);
    await world.signIn("bob");
    await first[Symbol.asyncDispose]();
    await (await world.signIn("bob", "two")).settled();
    await world.signIn("ada", "three");
  });

  test("a connection without hello is closed in time, one that is signed in is not", async () => {
    await using world = await start();
    const [mute, ada] = [await world.connect(), await world.signIn("ada")];
    world.clock.advance(12_000);
    expect(await mute.closed).toBe(closeCodes.helloTimeout.code);
    await ada.settled();
  });

  test("a silent client is asked whether it is there; one that answers stays, one that does not is closed", async () => {
    await using world = await start({ connections: { helloTimeoutMs: 120_000 } });
    using mute = await RawSocket.open(world.port);
    const ada = await world.signIn("ada");
    world.clock.advance(45_000);
    await mute.until(({ opcode }) => opcode === 9);
    // Its WebSocket answered the ping by itself; a request waits for the answer to have been read.
    await ada.settled();
    world.clock.advance(17_000);
    const close = await mute.until(({ opcode }) => opcode === 8);
    expect((close.payload[0] as number) * 256 + (close.payload[1] as number)).toBe(closeCodes.heartbeatMissed.code);
    await ada.settled();
  });

  test("draining says goodbye to everybody and takes nobody in", async () => {
    await using world = await start();
    const [ada, mute] = [await world.signIn("ada"), await world.connect()];
    await world.sockets.drain(5_000, false);
    expect([await ada.closed, await mute.closed]).toEqual([closeCodes.goingAway.code, closeCodes.goingAway.code]);
    const [, , code, retryAfterMs] = ada.kept.at(-1) as readonly unknown[];
    expect([code, Number(retryAfterMs) >= 100]).toEqual([closeCodes.goingAway.code, true]);
    expect(await answer(world, {})).toBe(503);
  });
}
