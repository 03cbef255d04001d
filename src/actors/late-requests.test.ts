import { expect, test } from "bun:test";
import { CallerDelays } from "./late-requests";

/** The caller's clock is a thousand seconds behind. */
const apart = 1_000_000;

test("a request is as late as it took longer than the quickest before it", () => {
  const delays = new CallerDelays();
  expect(delays.of(0, apart + 5)).toBe(0);
  expect(delays.of(100, apart + 103)).toBe(0);
  expect(delays.of(200, apart + 6_203)).toBe(6_000);
  expect(delays.of(6_300, apart + 6_303)).toBe(0);
});

test("what comes late behind a long silence is known to be late", () => {
  const delays = new CallerDelays();
  delays.of(0, apart + 3);
  expect(delays.of(300_000, apart + 309_003)).toBe(9_000);
  expect(delays.of(309_100, apart + 309_103)).toBe(0);
});

test("clocks that drift apart make nothing late in days", () => {
  const delays = new CallerDelays();
  const drift = 1.0001;
  let most = 0;
  for (let sentAt = 0; sentAt < 3 * 86_400_000; sentAt += 1_000) {
    most = Math.max(most, delays.of(sentAt, apart + sentAt * drift));
  }
  expect(most).toBeLessThan(20);
});
