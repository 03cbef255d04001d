// Tokens on a live connection: expiry, refresh in place, sign-out of one device or of all.
import { expect, test } from "bun:test";
import { closeCodes } from "../../src/protocol/codes";
import { nowSeconds, tokenFor } from "./socket-world";
import type { StartWorld } from "./socket-world";

/** Declares these tests for one way to start a world. */
export function tokenCases(start: StartWorld): void {
  test("an expiring token is announced, then the connection closes with 4500", async () => {
    await using world = await start();
    const end = nowSeconds() + 120;
    const ada = await world.signIn("ada", "device-1", tokenFor("ada", nowSeconds(), end));
    world.clock.advance(30_000);
    await ada.settled();
    expect(ada.kept).toEqual([]);
    world.clock.advance(40_000);
    expect(await ada.push("tokenExpiring")).toEqual([end * 1000]);
    await ada.settled();
    world.clock.advance(60_000);
    expect(await ada.closed).toBe(closeCodes.tokenExpired.code);
  });

  test("a refresh in place keeps connection and person, and is announced anew when it expires", async () => {
    await using world = await start({ connections: { heartbeatMs: 600_000 } });
    const ada = await world.signIn("ada", "device-1", tokenFor("ada", nowSeconds(), nowSeconds() + 30));
    world.clock.advance(1_500);
    await ada.push("tokenExpiring");
    const end = nowSeconds() + 300;
    expect(await ada.request("refresh", tokenFor("ada", nowSeconds(), end))).toEqual([end * 1000]);
    world.clock.advance(60_000);
    await ada.settled();
    world.clock.advance(200_000);
    expect(await ada.push("tokenExpiring")).toEqual([end * 1000]);
  });

  test("a refresh with another person's token, a bad one or an expired one changes nothing", async () => {
    await using world = await start();
    const ada = await world.signIn("ada");
    expect(await ada.refusal("refresh", tokenFor("bob"))).toBe("wrong_subject");
    expect(await ada.refusal("refresh", "bad")).toBe("bad_token");
    expect(await ada.refusal("refresh", "expired")).toBe("token_expired");
    expect(await ada.refusal("refresh", "later")).toBe("auth_unavailable");
    expect(await ada.refusal("devices")).toBeNull();
  });

  test("a bad token, an expired one and an unknown version close, keys that cannot be had do not", async () => {
    await using world = await start();
    const refused = async (version: number, token: string) => {
      const client = await world.connect();
      const code = await client.refusal("hello", version, token, "device-1");
      return [code, await client.closed];
    };
    expect(await refused(1, "bad")).toEqual(["bad_token", closeCodes.badToken.code]);
    expect(await refused(1, "expired")).toEqual(["token_expired", closeCodes.tokenExpired.code]);
    expect(await refused(2, tokenFor("ada"))).toEqual(["unsupported_version", closeCodes.unsupportedVersion.code]);
    const client = await world.connect();
    expect(await client.refusal("hello", 1, "later", "device-1")).toBe("auth_unavailable");
    expect(await client.refusal("devices")).toBe("not_signed_in");
    expect(await client.refusal("hello", 1, tokenFor("ada"), "device-1")).toBeNull();
  });

  test("signing out one device answers, closes its sockets and leaves the others", async () => {
    await using world = await start();
    const [phone, desk] = [await world.signIn("ada", "phone"), await world.signIn("ada", "desk")];
    const alsoPhone = await world.signIn("ada", "phone");
    expect(await phone.request("signOut", "phone")).toEqual([]);
    expect([await phone.closed, await alsoPhone.closed]).toEqual([
      closeCodes.signedOut.code,
      closeCodes.signedOut.code,
    ]);
    expect((await desk.request("devices"))[0].map(([device, , , out]) => [device, out])).toEqual(
      expect.arrayContaining([
        ["phone", true],
        ["desk", false],
      ]),
    );
  });

  test("signing out everywhere is durable: older tokens are refused from then on", async () => {
    await using world = await start();
    const old = tokenFor("ada", nowSeconds() - 10);
    const [phone, desk] = [await world.signIn("ada", "phone", old), await world.signIn("ada", "desk", old)];
    expect(await desk.request("signOut", null)).toEqual([]);
    expect([await phone.closed, await desk.closed]).toEqual([closeCodes.signedOut.code, closeCodes.signedOut.code]);
    const again = await world.connect();
    expect(await again.refusal("hello", 1, old, "phone")).toBe("signed_out");
    expect(await again.closed).toBe(closeCodes.signedOut.code);
  });

  test("a sign-out while hello is being checked wins over it", async () => {
    await using world = await start();
    const old = tokenFor("ada", nowSeconds() - 10);
    const desk = await world.signIn("ada", "desk", old);
    const late = await world.connect();
    const [hello] = await Promise.all([late.refusal("hello", 1, old, "phone"), desk.request("signOut", null)]);
    if (hello !== null) expect(hello).toBe("signed_out");
    expect(await late.closed).toBe(closeCodes.signedOut.code);
  });
}
