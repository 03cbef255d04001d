// Writes that do not go through are probed until they do, whatever becomes of a probe.
import { expect, test } from "bun:test";
import { MongoNetworkError } from "mongodb";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { MongoHealth } from "./mongo-health";

const decideMs = 10_000;

/** A health whose probes are answered by the test, and what it told. */
function world() {
  const clock = new VirtualClock();
  const probes: PromiseWithResolvers<void>[] = [];
  const told: (string | null)[] = [];
  const probe = (): Promise<void> => {
    const next = Promise.withResolvers<void>();
    probes.push(next);
    return next.promise;
  };
  const onHealth = (_writable: boolean, reason: string | null): void => void told.push(reason);
  const health = new MongoHealth({ clock, decideMs, probe, onHealth });
  return { clock, probes, told, health };
}

const reset = Object.assign(new Error("write ECONNRESET"), { code: "ECONNRESET", syscall: "write" });

test("a probe that fails, by the driver's error or the socket's own, is followed by the next one until one succeeds", () => {
  const { clock, probes, told, health } = world();
  health.failed("away");
  for (const [at, error] of [new MongoNetworkError("lost"), reset, new MongoNetworkError("lost"), reset].entries()) {
    clock.advance(250);
    expect(probes.length).toBe(at + 1);
    probes[at]?.reject(error);
    clock.settle();
    expect(health.reason).toBe("away");
  }
  clock.advance(250);
  probes[4]?.resolve();
  clock.settle();
  expect([health.reason, told]).toEqual([null, ["away", null]]);
  clock.advance(10_000);
  expect(probes.length).toBe(5);
});

test("a probe that is never answered is given up, and the next one decides", () => {
  const { clock, probes, health } = world();
  health.failed("away");
  clock.advance(250);
  clock.advance(decideMs);
  clock.advance(250);
  expect(probes.length).toBe(2);
  probes[1]?.resolve();
  clock.settle();
  expect(health.reason).toBeNull();
});

test("a read that failed has writes tried once; where that is lost or not answered, they are away", () => {
  for (const ends of ["lost", "silent"]) {
    const { clock, probes, told, health } = world();
    health.suspect();
    health.suspect();
    expect(probes.length).toBe(1);
    if (ends === "lost") probes[0]?.reject(reset);
    else clock.advance(decideMs);
    clock.settle();
    expect(told).toEqual([
      ends === "lost" ? "the connection to the database was lost (write ECONNRESET)" : "the database does not answer",
    ]);
    health.close();
  }
});
