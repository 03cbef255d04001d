import { expect, test } from "bun:test";
import type { UserId } from "../protocol/ids";
import type { CursorRow } from "../storage/store";
import { CursorCache } from "./conversation-cursors";

const row = (user: string): CursorRow => ({ user: user as UserId, seq: 1, ordinal: 1, own: 0, total: 0 });
const named = (name: string | number): UserId => String(name) as UserId;

test("the cache of cursor rows is bounded while it is used, and lets go of the oldest", () => {
  const cache = new CursorCache(100);
  for (let i = 0; i < 10_000; i++) {
    cache.set(named(i), row(String(i)));
    expect(cache.size).toBeLessThanOrEqual(100);
    expect(cache.has(named(i))).toBe(true);
  }
  expect(cache.has(named(0))).toBe(false);
  expect(cache.has(named(9_950))).toBe(true);
});

test("a held row stays, however many come, until everybody who holds it is done", () => {
  const cache = new CursorCache(10);
  const ann = named("ann");
  const first = cache.hold([ann]);
  const second = cache.hold([ann]);
  cache.set(ann, row("ann"));
  const crowd = (): void => {
    for (let i = 0; i < 50; i++) cache.set(named(i), row(String(i)));
  };
  crowd();
  first();
  first();
  crowd();
  expect(cache.has(ann)).toBe(true);
  second();
  for (let i = 100; i < 150; i++) cache.set(named(i), row(String(i)));
  expect(cache.has(ann)).toBe(false);
});
