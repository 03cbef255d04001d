import { expect, test } from "bun:test";
import { MemoryStore } from "../../test/sim/memory-store";
import type { StoreFault } from "../../test/sim/memory-store";
import { systemClock } from "../lib/clock";
import type { Clock } from "../lib/clock";
import type { AppError } from "../lib/errors";
import { encode } from "../protocol/codec";
import type { ConversationId, UserId } from "../protocol/ids";
import { limits } from "../protocol/limits";
import type { FeedTuple, Results } from "../protocol/operations";
import type { ActorKind } from "./actor";
import { startLocalRouter } from "./local-router";
import type { LocalRouter } from "./local-router";
import type { SignedIn } from "./messages";
import { userKind } from "./user";
import { goneDevicesMax } from "./user-devices";

const ann = "ann" as UserId;
const group = "gAAAAAAAAAAAAAAAAAAAAAA" as ConversationId;
const nowSeconds = () => Math.floor(Date.now() / 1000);

/** A person's actor over a store in memory, with a conversation that only notes what it is told. */
async function world(fault: () => StoreFault | null = () => null) {
  const store = new MemoryStore({ fault: (call) => (call.kind === "feed" ? fault() : null) });
  const time = { aheadMs: 0 };
  const clock: Clock = { ...systemClock, now: () => Date.now() + time.aheadMs };
  const trace: string[] = [];
  const feed: FeedTuple[] = [];
  const gateway = {
    publish: () => undefined,
    toUser: () => undefined,
    entries: () => undefined,
    headKnown: () => undefined,
    feedChanged: (_user: UserId, changes: readonly FeedTuple[]) => void feed.push(...changes),
    signedOut: (user: UserId, device: string | null) => void trace.push(`out ${user} ${device}`),
  };
  const told = Promise.withResolvers<unknown>();
  const limitsOfKind = { mailboxMax: 100, idleMs: 60_000, activeMax: 100 };
  const conversation: ActorKind = {
    name: "conversation",
    ...limitsOfKind,
    activate: async () => ({
      receive: (message) => told.resolve(message),
      passivate: async () => true,
      abort: () => undefined,
    }),
  };
  const reopen = (user: string): boolean => router.tellHere("user", user, { op: "reopen" });
  const start = (): Promise<LocalRouter> =>
    startLocalRouter({
      store,
      clock,
      kinds: [userKind({ store, gateway, clock, reopen }, limitsOfKind), conversation],
      events: { failed: (...what) => trace.push(`failed ${what}`), dropped: () => undefined },
      onSteppedDown: () => undefined,
    });
  let router = await start();
  const ask = <T>(message: object): Promise<T> => router.ask("user", ann, message) as Promise<T>;
  const signIn = (device: string, issuedAt = nowSeconds() + time.aheadMs / 1000): Promise<SignedIn> =>
    ask({ op: "signIn", device, platform: "test", issuedAt });
  const added = (seq: number, change = "added") => ({
    op: "membership",
    conversation: group,
    type: "group",
    peer: null,
    seq,
    change,
    role: change === "added" ? "member" : null,
    join: { seq, ordinal: 4, own: 0 },
    floor: 1,
    by: "bob",
  });
  /** Goes on under another activation, as after a restart. */
  const restart = async (): Promise<void> => {
    await router.drain(1000);
    router.stop();
    router = await start();
  };
  return { store, trace, feed, ask, signIn, added, told: told.promise, time, gateway, restart };
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "ok",
    (error) => (error as AppError).code,
  );

test("a person exists from the first sign-in, and the device is noted once", async () => {
  const { signIn, feed, store } = await world();
  expect(await signIn("phone")).toEqual({ userSeq: 1 });
  expect(await signIn("phone")).toEqual({ userSeq: 1 });
  expect(await signIn("laptop")).toEqual({ userSeq: 2 });
  expect(feed as unknown).toEqual([
    [1, "device", "phone", ["added", "test"]],
    [2, "device", "laptop", ["added", "test"]],
  ]);
  expect(await store.unknownUsers([ann, "bob" as UserId])).toEqual(["bob" as UserId]);
});

test("signing a device out voids its tokens alone, and says so once it is durable", async () => {
  const { ask, signIn, trace } = await world();
  await signIn("phone");
  await signIn("laptop");
  await ask({ op: "signOut", device: "phone" });
  expect(trace).toEqual(["out ann phone"]);
  expect(await codeOf(signIn("phone"))).toBe("signed_out");
  expect(await codeOf(signIn("laptop"))).toBe("ok");
  expect(await codeOf(signIn("phone", nowSeconds() + 1))).toBe("ok");
  const [devices] = await ask<Results["devices"]>({ op: "devices" });
  expect(devices.map(([device, , , out]) => [device, out]) as unknown).toEqual([
    ["phone", false],
    ["laptop", false],
  ]);
});

test("signing everything out voids every token issued until now", async () => {
  const { ask, signIn } = await world();
  await signIn("phone");
  await ask({ op: "signOut", device: null });
  expect(await codeOf(signIn("phone"))).toBe("signed_out");
  expect(await codeOf(signIn("another"))).toBe("signed_out");
  expect(await codeOf(ask({ op: "signOut", device: "nothing" }))).toBe("bad_request");
});

test("past the limit of devices the one that signed in longest ago makes room", async () => {
  const { ask, signIn, trace } = await world();
  for (let i = 0; i <= limits.devicesPerUserMax; i++) await signIn(`d${i}`);
  const [devices] = await ask<Results["devices"]>({ op: "devices" });
  expect(devices.filter(([, , , out]) => !out)).toHaveLength(limits.devicesPerUserMax);
  expect(trace).toEqual(["out ann d0"]);
});

test("of devices that are gone the latest are kept and listed, and the list fits into a frame", async () => {
  const { ask, signIn, time, store } = await world();
  const count = 700;
  for (let i = 0; i < count; i++, time.aheadMs += 1000) await signIn(`${"d".repeat(56)}${i}`);
  await signIn("last");
  await ask({ op: "signOut", device: "last" });
  const answer = await ask<Results["devices"]>({ op: "devices" });
  const listed = answer[0].map(([device, , , out]) => [device, out] as const);
  expect(listed.filter(([, out]) => !out)).toHaveLength(limits.devicesPerUserMax - 1);
  expect(listed.filter(([, out]) => out)).toHaveLength(goneDevicesMax);
  expect(listed).toContainEqual(["last" as never, true]);
  expect(encode(answer).length).toBeLessThan(limits.frameBytesMax / 2);
  expect((await store.openFeed(ann, 99))?.devices.length).toBe(limits.devicesPerUserMax - 1 + goneDevicesMax + 1);
});

test("a token that was void on a device is void after the device was forgotten, and nobody else is signed out", async () => {
  const { ask, signIn, time, restart, store } = await world();
  const old = nowSeconds();
  await signIn("stays", old);
  await signIn("first", old);
  await ask({ op: "signOut", device: "first" });
  for (let i = 0; i <= goneDevicesMax; i++) {
    time.aheadMs += 1000;
    await signIn(`d${i}`);
    await ask({ op: "signOut", device: `d${i}` });
  }
  expect((await store.openFeed(ann, 99))?.devices.map(({ device }) => device)).not.toContain("first" as never);
  for (const again of [async () => undefined, restart]) {
    await again();
    expect(await codeOf(signIn("first", old))).toBe("signed_out");
    expect(await codeOf(signIn("stays", old))).toBe("ok");
  }
  time.aheadMs += 1000;
  expect(await codeOf(signIn("first"))).toBe("ok");
});

test("signing a device in again does not revive the tokens that were void on it", async () => {
  const { ask, signIn, time, restart } = await world();
  const old = nowSeconds();
  await signIn("phone", old);
  await ask({ op: "signOut", device: "phone" });
  time.aheadMs += 1000;
  expect(await codeOf(signIn("phone"))).toBe("ok");
  expect(await codeOf(signIn("phone", old))).toBe("signed_out");
  await restart();
  expect(await codeOf(signIn("phone", old))).toBe("signed_out");
  const [devices] = await ask<Results["devices"]>({ op: "devices" });
  expect(devices.map(([device, , , out]) => [device, out]) as unknown).toEqual([["phone", false]]);
});

test("a token from a clock ahead is void once it was signed out, and a fresh one gets in at once", async () => {
  const aheadSeconds = 4;
  for (const device of ["phone", null]) {
    const { ask, signIn, restart, time } = await world();
    const used = nowSeconds() + aheadSeconds;
    await signIn("phone");
    await signIn("phone", used);
    await restart(); // what was signed in with is known from the store alone
    await ask({ op: "signOut", device });
    expect(await codeOf(signIn("phone", used))).toBe("signed_out");
    time.aheadMs += 1000;
    expect(await codeOf(signIn("phone", used))).toBe("signed_out");
    expect(await codeOf(signIn("phone", used + 1))).toBe("ok");
  }
});

test("signing everything out voids a token from a clock ahead whose device was signed out before", async () => {
  const { ask, signIn } = await world();
  const used = nowSeconds() + 4;
  await signIn("phone", used);
  await ask({ op: "signOut", device: "phone" });
  await ask({ op: "signOut", device: null });
  expect(await codeOf(signIn("another", used))).toBe("signed_out");
});

test("a fresh token of a right clock gets in right after a sign-out, whatever the tolerance", async () => {
  const { ask, signIn, time } = await world();
  await signIn("phone");
  await ask({ op: "signOut", device: null });
  time.aheadMs += 1000;
  expect(await codeOf(signIn("phone"))).toBe("ok");
});

test("a membership is written once, however often it is told, and an older one is ignored", async () => {
  const { ask, added, feed, told } = await world();
  await ask({ op: "ensure" });
  await ask(added(5));
  await ask(added(5));
  await ask(added(3, "left"));
  expect(feed as unknown).toEqual([[1, "membership", group, ["added", 5, "member", [5, 4, 0], 1, "bob"]]]);
  expect(await told).toEqual({ op: "fed", user: ann, seq: 5 });
});

test("settings change only where there is a membership, and survive leaving and coming back", async () => {
  const { ask, added, store } = await world();
  await ask({ op: "ensure" });
  expect(await codeOf(ask({ op: "settings", args: [group, { muted: true }] }))).toBe("no_access");
  await ask(added(5));
  expect(await ask<Results["settings"]>({ op: "settings", args: [group, { muted: true }] })).toEqual([2]);
  expect(await ask<Results["settings"]>({ op: "settings", args: [group, { muted: true }] })).toEqual([2]);
  await ask(added(7, "left"));
  expect(await codeOf(ask({ op: "settings", args: [group, { muted: false }] }))).toBe("no_access");
  await ask(added(9));
  expect((await store.readMemberships(ann, [group]))[0]).toMatchObject({ seq: 9, role: "member", muted: true });
});

test("what a store refuses is answered retry, and what nobody knows is loaded anew", async () => {
  let fault: StoreFault | null = null;
  const { signIn, feed } = await world(() => fault);
  fault = "refused";
  expect(await codeOf(signIn("phone"))).toBe("store_unavailable");
  fault = "unknownStored";
  expect(await codeOf(signIn("phone"))).toBe("outcome_unknown");
  fault = null;
  expect(await signIn("phone")).toEqual({ userSeq: 1 });
  expect(feed as unknown).toEqual([[1, "device", "phone", ["added", "test"]]]);
});

test("what a throw kept from the person's sessions is told by the next activation, and sockets are closed by it", async () => {
  const { ask, signIn, feed, gateway, trace } = await world();
  await signIn("phone");
  const { feedChanged } = gateway;
  gateway.feedChanged = () => {
    gateway.feedChanged = feedChanged;
    throw new Error("boom");
  };
  expect(await codeOf(ask({ op: "signOut", device: "phone" }))).toBe("internal");
  expect(await codeOf(signIn("phone"))).toBe("signed_out");
  expect(feed as unknown).toEqual([
    [1, "device", "phone", ["added", "test"]],
    [2, "device", "phone", ["signedOut", "test"]],
  ]);
  expect(trace).toContain("out ann phone");
});

test("a sign-out whose outcome nobody knew closes the sockets once the store is asked again", async () => {
  let fault: StoreFault | null = null;
  const { ask, signIn, trace } = await world(() => fault);
  await signIn("phone");
  fault = "unknownStored";
  expect(await codeOf(ask({ op: "signOut", device: "phone" }))).toBe("outcome_unknown");
  fault = null;
  expect(await codeOf(signIn("phone"))).toBe("signed_out");
  expect(trace).toContain("out ann phone");
});

test("settings asked for while a change of them is under way are answered as they are after it", async () => {
  const { ask, added, feed } = await world();
  await ask({ op: "ensure" });
  await ask(added(5));
  const changed = ask({ op: "settings", args: [group, { muted: true }] });
  const asked = ask<readonly boolean[]>({ op: "settingsOf", conversation: group });
  expect(await asked).toEqual([true, false]);
  expect(feed.at(-1)?.slice(1, 3) as unknown).toEqual(["settings", group]);
  await changed;
  expect(await ask<readonly boolean[]>({ op: "settingsOf", conversation: `g${"B".repeat(22)}` })).toEqual([
    false,
    false,
  ]);
});

test("what a later release's node may ask and this one does not know is refused by name", async () => {
  const { ask } = await world();
  expect(await codeOf(ask({ op: "adopt" }))).toBe("unknown_operation");
});
