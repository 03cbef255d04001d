import { expect, test } from "bun:test";
import { AppError } from "../lib/errors";
import { partitionOf } from "../lib/hash";
import { NotHere } from "./not-here";
import { answered, Client, refused, routerWorld as router, silent } from "./router-world.case";

test("an ask names the epoch it is for, and is for a newer one only once its client has shown that it is here", async () => {
  const { clock, ask, sent, answers, router: made, partition, advance } = router();
  made.served(partition, 4);
  const client = new Client(clock);
  await ask("x", 5000, client);
  await advance(10);
  made.served(partition, 5);
  await advance(100);
  await sent[0]?.answer(silent);
  expect(sent.map(({ epoch }) => epoch)).toEqual([4]);
  expect(client.owes).toBe(1);
  await client.answers();
  expect(sent.map(({ message, epoch }) => [message, epoch])).toEqual([
    ["x", 4],
    ["x", 5],
  ]);
  await sent[1]?.answer(answered("done"));
  await ask("y", 5000, client);
  expect(sent[2]?.epoch).toBe(5);
  expect(answers).toEqual(["done"]);
});

test("an owner that serves under a newer epoch says so, and is asked again once the client has shown that it is here", async () => {
  const { clock, ask, sent, answers, advance } = router();
  const client = new Client(clock);
  await ask("x", 5000, client);
  await advance(1);
  await sent[0]?.answer(refused(new NotHere("shutting_down"), 7));
  expect(sent.map(({ epoch }) => epoch)).toEqual([0]);
  await client.answers();
  expect(sent[1]?.epoch).toBe(7);
  await sent[1]?.answer(answered("done"));
  // Nor does one that asks for the first time since.
  const another = new Client(clock);
  another.shownAt = clock.monotonic() - 100;
  await ask("y", 5000, another);
  expect(sent).toHaveLength(2);
  await another.answers();
  expect(sent[2]?.epoch).toBe(7);
  expect(answers).toEqual(["done"]);
});

test("what may be asked of any owner waits for nobody's sign", async () => {
  const { ask, sent, router: made, partition, advance } = router();
  await ask("x");
  await advance(10);
  made.served(partition, 2);
  await advance(0);
  expect(sent.map(({ epoch }) => epoch)).toEqual([null, null]);
});

test("what its client leaves unproven is never asked, nor carried out here, and says so at the deadline", async () => {
  const { clock, ask, sent, state, answers, router: made, partition, advance } = router();
  const client = new Client(clock);
  await advance(1);
  made.served(partition, 2);
  await ask("never left", 300, client);
  state.phase = "owned";
  state.owner = "me";
  await ask("nor this", 300, client);
  await advance(299);
  expect(answers).toEqual([]);
  expect(made.flights).toBe(2);
  await advance(1);
  await client.answers();
  expect(answers).toEqual(["store_unavailable retry", "store_unavailable retry"]);
  expect(sent).toEqual([]);
  expect(made.flights).toBe(0);
});

test("a client that has shown it once is asked for under every epoch that began before", async () => {
  const { clock, ask, answers, router: made, partition, advance } = router({ phase: "owned", owner: "me" });
  const client = new Client(clock);
  await advance(1);
  made.served(partition, 2);
  await ask("x", 5000, client);
  expect(answers).toEqual([]);
  await client.answers();
  await ask("y", 5000, client);
  expect(answers).toEqual(["here x", "here y"]);
  await advance(1);
  expect(client.owes).toBe(0);
});

test("a client's asks keep their order while it is to show that it is here, whatever it showed for others", async () => {
  const { clock, ask, sent, router: made, partition, advance } = router();
  const client = new Client(clock);
  await advance(1);
  made.served(partition, 2);
  const elsewhere = partitionOf("conversation", "b");
  expect(elsewhere).not.toBe(partition);
  made.served(elsewhere, 2);
  made.ask("conversation", "b", "other", 5000, client).catch(() => undefined);
  await advance(1);
  await ask("first", 5000, client);
  await advance(1);
  expect(client.owes).toBe(2);
  // The first pong was sent for the other, and proves as much for this one.
  await client.answers(1);
  await ask("second", 5000, client);
  expect(sent.map(({ message }) => message)).toEqual(["other", "first", "second"]);
});

test("that one owner does nothing does not say that none does: at the deadline nobody knows", async () => {
  const { clock, ask, sent, answers, router: made, partition, advance } = router();
  made.served(partition, 4);
  const client = new Client(clock);
  await ask("x", 300, client);
  await advance(1);
  await sent[0]?.answer(refused(new NotHere("shutting_down"), 5));
  await advance(300);
  expect(answers).toEqual(["outcome_unknown unknown"]);
});

test("a refusal under an older epoch does not count once the ask has left under a newer one, which may do it yet", async () => {
  const { clock, ask, sent, answers, router: made, partition, advance } = router();
  made.served(partition, 4);
  const client = new Client(clock);
  for (const message of ["x", "y"]) await ask(message, 5000, client);
  await advance(1);
  made.served(partition, 5);
  // Of the second nothing has left under the newer epoch so far: it is refused, and not asked again.
  await sent[1]?.answer(refused(new AppError("no_access")));
  await client.answers();
  expect(sent.map(({ message, epoch }) => [message, epoch])).toEqual([
    ["x", 4],
    ["y", 4],
    ["x", 5],
  ]);
  await sent[0]?.answer(refused(new AppError("no_access")));
  expect(answers).toEqual(["no_access final"]);
  await sent[2]?.answer(answered("done"));
  expect(answers).toEqual(["no_access final", "done"]);
});

test("an answer to what was asked before still counts while its client is to show that it is here", async () => {
  const { clock, ask, sent, answers, router: made, partition, advance } = router();
  made.served(partition, 4);
  const client = new Client(clock);
  await ask("x", 5000, client);
  await advance(1);
  made.served(partition, 5);
  await sent[0]?.answer(answered("done"));
  await client.answers();
  expect(answers).toEqual(["done"]);
  expect(sent).toHaveLength(1);
  expect(made.flights).toBe(0);
});
