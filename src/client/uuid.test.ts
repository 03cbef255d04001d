import { expect, test } from "bun:test";
import { createIds, systemRandom } from "./uuid";

test("ids have the form of UUIDv7 and carry their time", () => {
  const id = createIds(() => 0x0192_0000_0001, systemRandom)();
  expect(id).toMatch(/^01920000-0001-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("ids ascend within a millisecond and when the clock steps back", () => {
  let now = 1_700_000_000_000;
  const next = createIds(() => now, systemRandom);
  const ids = Array.from({ length: 10_000 }, (_, i) => {
    if (i === 5_000) now -= 60_000;
    return next();
  });
  expect(ids).toEqual([...new Set(ids)].sort());
});
