import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { ClientPings } from "./client-pings";
import { sessionLimits } from "./session-world";

function pings() {
  const clock = new VirtualClock();
  const sent: string[] = [];
  const shown: number[] = [];
  const called: string[] = [];
  const made = new ClientPings(
    clock,
    (payload) => sent.push(payload),
    (at) => shown.push(at),
  );
  /** Asks for a sign since now. */
  const ask = (name: string): (() => void) => {
    const since = clock.monotonic();
    return made.ask(
      () => (shown.at(-1) ?? -1) >= since,
      () => called.push(name),
    );
  };
  return { clock, sent, shown, called, made, ask };
}

test("all who ask in a turn share a ping, and what was asked after it left needs another", () => {
  const { clock, sent, shown, called, made, ask } = pings();
  ask("first");
  ask("second");
  expect(sent).toEqual([]);
  clock.advance(10);
  ask("third");
  clock.advance(0);
  expect(sent).toEqual(["1", "2"]);
  made.answered("1");
  expect([called, shown]).toEqual([["first", "second"], [0]]);
  made.answered("2");
  expect([called, shown]).toEqual([
    ["first", "second", "third"],
    [0, 10],
  ]);
});

test("a pong for the last ping answers those before it too, as an end may leave them out", () => {
  const { clock, shown, called, made, ask } = pings();
  for (const name of ["first", "second"]) {
    ask(name);
    clock.advance(5);
  }
  made.answered("2");
  expect([called, shown]).toEqual([["first", "second"], [5]]);
});

test("whoever is not served by a pong keeps its place and gets another ping", () => {
  const { clock, sent, called, made } = pings();
  let enough = false;
  made.ask(
    () => enough,
    () => called.push("hard to please"),
  );
  clock.advance(0);
  made.ask(
    () => true,
    () => called.push("easily pleased"),
  );
  made.answered("1");
  clock.advance(0);
  expect([called, sent]).toEqual([["easily pleased"], ["1", "2"]]);
  enough = true;
  made.answered("2");
  clock.advance(0);
  expect([called, sent]).toEqual([
    ["easily pleased", "hard to please"],
    ["1", "2"],
  ]);
});

test("a pong that answers nothing, a heartbeat's or an invented one, shows nothing", () => {
  const { clock, shown, called, made, ask } = pings();
  ask("first");
  made.answered("1");
  clock.advance(0);
  for (const payload of ["", "2", "-1", "x", "0", "1.5", "1 ", "Infinity"]) made.answered(payload);
  expect(called).toEqual([]);
  made.answered("1");
  made.answered("1");
  expect(called).toEqual(["first"]);
  expect(shown).toHaveLength(1);
});

test("where a heartbeat's pong came in place of it, it is asked again, and that answers for both", () => {
  const { clock, sent, shown, called, made, ask } = pings();
  ask("first");
  clock.advance(0);
  made.answered("");
  clock.advance(1000);
  expect(made.tick(false)).toBe(true);
  clock.advance(0);
  expect(sent).toEqual(["1", "2"]);
  made.answered("2");
  expect([called, shown]).toEqual([["first"], [1000]]);
  expect(made.tick(false)).toBe(true);
  clock.advance(0);
  expect(sent).toHaveLength(2);
});

test("a pong is overdue only while somebody waits for it", () => {
  const { clock, called, made, ask } = pings();
  const cancel = ask("first");
  clock.advance(sessionLimits.pongMs);
  expect(made.tick(false)).toBe(true);
  clock.advance(1);
  expect(made.tick(false)).toBe(false);
  cancel();
  expect(made.tick(false)).toBe(true);
  ask("second");
  expect(made.tick(false)).toBe(true);
  made.answered("1");
  expect(called).toEqual([]);
});

test("a client that reads slowly has its time from when nothing waits to be sent to it", () => {
  const { clock, made, ask } = pings();
  ask("first");
  clock.advance(2 * sessionLimits.pongMs);
  expect(made.tick(true)).toBe(true);
  clock.advance(sessionLimits.pongMs);
  expect(made.tick(false)).toBe(true);
  clock.advance(1);
  expect(made.tick(false)).toBe(false);
});
