import { expect, test } from "bun:test";
import { KeyedTurns } from "./keyed-turns";

test("work of one key runs one after the other, that of another key beside it", async () => {
  const turns = new KeyedTurns();
  const trace: string[] = [];
  const gate = Promise.withResolvers<void>();

  const first = turns.run("a", async () => {
    await gate.promise;
    trace.push("first");
  });
  const second = turns.run("a", async () => void trace.push("second"));
  await turns.run("b", async () => void trace.push("other"));
  gate.resolve();
  await Promise.all([first, second]);

  expect(trace).toEqual(["other", "first", "second"]);
});

test("work that fails fails its caller alone, and nothing is kept afterwards", async () => {
  const turns = new KeyedTurns();
  const failed = turns.run("a", () => Promise.reject(new Error("lost")));
  const next = turns.run("a", async () => "done");

  expect(await failed.catch((error: Error) => error.message)).toBe("lost");
  expect(await next).toBe("done");
  await turns.idle();
  expect(turns.size).toBe(0);
});
