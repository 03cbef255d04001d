import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { ClientPings } from "./client-pings";

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
  const ask = (name: string): void => made.ask(() => called.push(name));
  return { clock, sent, shown, called, made, ask };
}

test("all who ask in a turn share a ping, and what was asked after it left needs another", () => {
  const { clock, sent, shown, called, made, ask } = pings();
  ask("first");
  ask("second");
  expect(sent).toEqual([]);
  clock.advance(0);
  const first = clock.monotonic();
  clock.advance(10);
  ask("third");
  clock.advance(0);
  expect(sent).toEqual(["1", "2"]);
  made.answered("1");
  expect(called).toEqual(["first", "second"]);
  expect(shown).toEqual([first]);
  made.answered("2");
  expect(called).toEqual(["first", "second", "third"]);
  expect(shown).toEqual([first, first + 10]);
});

test("a pong for the last ping answers those before it too, as an end may leave them out", () => {
  const { clock, shown, called, made, ask } = pings();
  for (const name of ["first", "second"]) {
    ask(name);
    clock.advance(5);
  }
  made.answered("2");
  expect(called).toEqual(["first", "second"]);
  expect(shown).toHaveLength(1);
});

test("a pong that answers nothing, a heartbeat's or an invented one, shows nothing", () => {
  const { clock, shown, called, made, ask } = pings();
  ask("first");
  made.answered("1");
  clock.advance(0);
  for (const payload of ["", "2", "-1", "x", "0", "1.5", "Infinity"]) made.answered(payload);
  expect(called).toEqual([]);
  made.answered("1");
  made.answered("1");
  expect(called).toEqual(["first"]);
  expect(shown).toHaveLength(1);
});
