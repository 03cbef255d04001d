// Loaded before a node's own code (`bun --preload`): a wall clock that a test can step while the node runs.
// The file named by CHAOS_CLOCK holds how far it is off, milliseconds; monotonic time is left alone, as a real step leaves it.
import { readFileSync } from "node:fs";

const lookEveryMs = 50;

function stepped(file: string): void {
  const RealDate = Date;
  let offMs = 0;
  const look = (): void => {
    offMs = Number(readFileSync(file, "utf8")) || 0;
  };
  look();
  setInterval(look, lookEveryMs).unref();
  class SteppedDate extends RealDate {
    constructor(...given: readonly unknown[]) {
      // The arguments of Date's own constructor, whatever they are; without any it is now.
      super(...((given.length === 0 ? [SteppedDate.now()] : given) as [number]));
    }

    static override now(): number {
      return RealDate.now() + offMs;
    }
  }
  globalThis.Date = SteppedDate as DateConstructor;
}

const file = process.env["CHAOS_CLOCK"];
if (file !== undefined) stepped(file);
