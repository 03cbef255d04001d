import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { partitionCount } from "../lib/hash";
import { sharesOf } from "./placement-shares";
import type { Incarnation } from "./placement-shares";

type Holders = readonly (Incarnation | null)[];

const nobody: Holders = new Array<null>(partitionCount).fill(null);
const namesOf = (count: number): Incarnation[] => Array.from({ length: count }, (_, i) => `node-${i}`);

function loadsOf(members: readonly Incarnation[], shares: Holders): readonly number[] {
  return members.map((member) => shares.filter((share) => share === member).length);
}

function moved(before: Holders, after: Holders): readonly number[] {
  return before.flatMap((holder, partition) => (holder === after[partition] ? [] : [partition]));
}

const members = fc.uniqueArray(fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/), { minLength: 1, maxLength: 40 });
const anybody = fc.array(fc.integer({ min: -1, max: 45 }), { minLength: partitionCount, maxLength: partitionCount });
/** Members and holders among them, among strangers, or nobody. */
const situation = fc
  .tuple(members, anybody)
  .map(([names, picks]) => ({ names, holders: picks.map((at) => names[at] ?? (at < 0 ? null : "stranger")) }));

describe("shares", () => {
  test("give every partition to a member, and loads differ by at most one", () => {
    fc.assert(
      fc.property(situation, ({ names, holders }) => {
        const shares = sharesOf(names, holders);
        const loads = loadsOf(names, shares);
        expect(loads.reduce((sum, load) => sum + load)).toBe(partitionCount);
        expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test("do not depend on the order in which members are named", () => {
    fc.assert(
      fc.property(situation, fc.infiniteStream(fc.nat()), ({ names, holders }, order) => {
        const keys = new Map(names.map((name) => [name, order.next().value as number]));
        const shuffled = names.toSorted((a, b) => (keys.get(a) as number) - (keys.get(b) as number));
        expect(sharesOf(shuffled, holders)).toEqual(sharesOf(names, holders));
      }),
    );
  });

  test("leave everything where it is once they are reached", () => {
    fc.assert(
      fc.property(situation, ({ names, holders }) => {
        const shares = sharesOf(names, holders);
        expect(sharesOf(names, shares)).toEqual(shares);
      }),
    );
  });

  test("move no more than loads within one of each other demand", () => {
    fc.assert(
      fc.property(situation, ({ names, holders }) => {
        const floor = Math.floor(partitionCount / names.length);
        const remainder = partitionCount % names.length;
        // The best is known by its loads alone: the fullest members keep one more each, all others give up what is above.
        const kept = loadsOf(names, holders)
          .toSorted((a, b) => b - a)
          .reduce((sum, load, rank) => sum + Math.min(load, rank < remainder ? floor + 1 : floor), 0);
        expect(moved(holders, sharesOf(names, holders))).toHaveLength(partitionCount - kept);
      }),
    );
  });

  test("move only what a member held when it leaves", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 200 }), fc.nat(), (count, pick) => {
        const names = namesOf(count);
        const before = sharesOf(names, nobody);
        const leaver = names[pick % count] as Incarnation;
        const after = sharesOf(
          names.filter((name) => name !== leaver),
          before,
        );
        expect(moved(before, after).every((partition) => before[partition] === leaver)).toBe(true);
      }),
    );
  });

  test("move only its own share to whoever joins", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), (count) => {
        const before = sharesOf(namesOf(count), nobody);
        const after = sharesOf([...namesOf(count), "joiner"], before);
        const changed = moved(before, after);
        expect(changed).toHaveLength(Math.floor(partitionCount / (count + 1)));
        expect(changed.every((partition) => after[partition] === "joiner")).toBe(true);
      }),
    );
  });

  test("spread what a leaver held over all who stay", () => {
    const names = namesOf(5);
    const before = sharesOf(names, nobody);
    const after = sharesOf(names.slice(1), before);
    const receivers = new Set(moved(before, after).map((partition) => after[partition]));
    expect([...receivers].toSorted()).toEqual(names.slice(1));
  });

  test("are nobody's without members", () => {
    expect(sharesOf([], nobody)).toEqual(nobody);
  });
});
