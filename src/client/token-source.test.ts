import { expect, test } from "bun:test";
import { TokenSource } from "./token-source";

test("a token that the provider answers after a sign-out is not kept for whoever signs in next", async () => {
  const answers = [Promise.withResolvers<string>(), Promise.withResolvers<string>()] as const;
  let calls = 0;
  const source = new TokenSource(
    () => answers[calls++ as 0 | 1].promise,
    () => 0,
  );
  const before = source.fresh();
  source.clear();
  const after = source.current();
  answers[0].resolve("alice's");
  answers[1].resolve("bob's");

  expect([await before, await after, await source.current()]).toEqual(["alice's", "bob's", "bob's"]);
  expect(calls).toBe(2);
});
