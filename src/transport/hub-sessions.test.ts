import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import type { SessionHandle } from "../actors/session-world";
import { capabilities } from "../protocol/capabilities";
import type { ConversationId, UserId } from "../protocol/ids";
import type { Hub } from "./hub";
import { HubSessions } from "./hub-sessions";

const [room, hall] = ["A", "B"].map((letter) => `g${letter.repeat(22)}`) as [ConversationId, ConversationId];

/** A session that is subscribed to topics, and notes what becomes of it. */
class Noted {
  readonly notes: string[] = [];
  doubted = false;
  readonly handle: SessionHandle;

  constructor(user: string, device: string, topics: readonly string[], bits = 0, state = "open") {
    const handle = {
      user,
      device,
      capabilities: bits,
      state,
      line: { isSubscribed: (topic: string) => topics.includes(topic) },
      end: (reason: string, retryMs: number) => this.notes.push(`${reason} ${retryMs < 1_000}`),
      resync: (withinMs: number) => this.notes.push(`resync ${withinMs > 0}`),
    };
    this.handle = handle as unknown as SessionHandle;
  }
}

function world(...sessions: readonly Noted[]) {
  const clock = new VirtualClock();
  const handles = sessions.map(({ handle }) => handle);
  const hub = {
    sessions: handles.length,
    everybody: () => handles,
    sessionsOf: (user: UserId) => handles.filter((handle) => handle.user === user),
  };
  return { clock, sessions: new HubSessions(hub as unknown as Hub, clock) };
}

test("of several conversations everybody who receives one of them, in any form, is sent away for a moment", () => {
  const all = [new Noted("ann", "a", [room]), new Noted("bob", "b", [`${hall}#`]), new Noted("cy", "c", [])];
  world(...all).sessions.endReceivers(new Set([room, hall]), 1_000);
  expect(all.map(({ notes }) => notes)).toEqual([["goingAway true"], ["goingAway true"], []]);
});

test("a device that may have been signed out says hello again; one that is saying it is asked about again", () => {
  const all = [new Noted("ann", "a", []), new Noted("ann", "b", []), new Noted("ann", "a", [], 0, "verifying")];
  world(...all).sessions.endDevice("ann" as UserId, "a", 1_000);
  expect(all.map(({ notes }) => notes)).toEqual([["goingAway true"], [], []]);
  expect(all.map(({ handle }) => handle.doubted ?? false)).toEqual([false, false, true]);
});

test("sessions that can are told to sync again in their time, the others are closed each in its turn", () => {
  const all = [new Noted("ann", "a", [], capabilities.resync.bit), new Noted("bob", "b", [])];
  const { clock, sessions } = world(...all);
  sessions.doubted();
  expect(all.map(({ notes }) => notes)).toEqual([["resync true"], []]);
  clock.advance(1_000);
  expect(all.map(({ notes }) => notes)).toEqual([["resync true"], ["resync false"]]);
});

test("a person is here while they have a session", () => {
  const { sessions } = world(new Noted("ann", "a", []));
  expect([sessions.isHere("ann" as UserId), sessions.isHere("bob" as UserId)]).toEqual([true, false]);
});
