import { expect, test } from "bun:test";
import { AppError } from "../lib/errors";
import { NotHere } from "./not-here";
import { absent, answered, Client, refused, routerWorld as router, silent, turns } from "./router-world.case";

test("what lives elsewhere is asked of its partition's owner, and answered by it", async () => {
  const { ask, sent, answers, partition, router: made } = router();
  await ask({ op: "row" });
  expect(sent.map(({ subject, message }) => [subject, message])).toEqual([[`p.${partition}`, { op: "row" }]]);
  await sent[0]?.answer(answered("theirs"));
  expect(answers).toEqual(["theirs"]);
  expect(made.flights).toBe(0);
});

test("what lives here asks nobody else", async () => {
  const { ask, sent, answers } = router({ phase: "owned", owner: "me" });
  await ask("x");
  expect(answers).toEqual(["here x"]);
  expect(sent).toEqual([]);
});

test("a silent owner is asked again with the same message, and the first answer counts", async () => {
  const { ask, sent, answers } = router();
  await ask("x");
  await sent[0]?.answer(silent);
  expect(sent).toHaveLength(2);
  await sent[1]?.answer(answered("late but there"));
  expect(answers).toEqual(["late but there"]);
});

test("a silent owner has longer for each attempt, and one that follows it does not", async () => {
  const { ask, sent, state, router: made, partition } = router();
  await ask("x", 10_000);
  for (let at = 0; at < 3; at++) await sent[at]?.answer(silent);
  state.owner = "another";
  made.moved(partition);
  expect(sent.map(({ timeoutMs }) => timeoutMs)).toEqual([500, 1000, 2000, 2000, 500]);
});

test("an owner that is silent to the end leaves an unknown outcome, nobody at all a certain one", async () => {
  const first = router();
  await first.ask("x", 600);
  await first.sent[0]?.answer(silent);
  await first.advance(600);
  await first.sent[1]?.answer(silent);
  expect(first.answers).toEqual(["outcome_unknown unknown"]);
  const second = router({ owner: null });
  await second.ask("x", 600);
  for (let ms = 0; ms < 700; ms += 10) await second.advance(10);
  expect(second.answers).toEqual(["store_unavailable retry"]);
  expect(second.sent).toEqual([]);
});

test("where nobody listens, one goes ahead and the others follow it in their order", async () => {
  const { ask, sent, advance, meter, answers } = router();
  await ask("1");
  await sent[0]?.answer(absent);
  await ask("2");
  await ask("3");
  expect(sent).toHaveLength(1);
  await advance(5);
  expect(sent).toHaveLength(2);
  await sent[1]?.answer(absent);
  await advance(4);
  expect(sent).toHaveLength(2);
  expect(meter.unreachable).toBe(2);
  await advance(10);
  expect(sent).toHaveLength(3);
  await advance(4);
  expect(sent.slice(2).map(({ message }) => message)).toEqual(["1", "2", "3"]);
  for (const [at, one] of sent.slice(2).entries()) await one.answer(answered(at));
  expect(answers).toEqual(["0", "1", "2"]);
});

test("a change of owner is acted on at once, and an answer of the former one still counts", async () => {
  const { ask, sent, state, router: made, partition, answers } = router();
  await ask("x");
  state.owner = "another";
  made.moved(partition);
  expect(sent).toHaveLength(2);
  await sent[0]?.answer(answered("of the former"));
  await sent[1]?.answer(answered("of the new one"));
  expect(answers).toEqual(["of the former"]);
});

test("what waits is answered here once the partition is this node's", async () => {
  const { ask, sent, state, router: made, partition, answers, clock } = router();
  await ask("x");
  await sent[0]?.answer(absent);
  state.phase = "owned";
  made.moved(partition);
  await turns(clock);
  expect(answers).toEqual(["here x"]);
});

test("an actor that leaves this node takes its unanswered asks to its next owner", async () => {
  const { ask, sent, state, system, partition, answers, advance } = router({ phase: "owned", owner: "me" });
  await ask("stay");
  state.phase = "away";
  state.owner = "them";
  system.end(new Set([partition]));
  await advance(0);
  expect(sent.map(({ message }) => message)).toEqual(["stay"]);
  await sent[0]?.answer(answered("theirs"));
  expect(answers).toEqual(["theirs"]);
});

test("an owner that does not own it any more is asked again after a pause; a refusal is final", async () => {
  const { ask, sent, answers, advance } = router();
  await ask("x");
  await sent[0]?.answer(refused(new NotHere("shutting_down")));
  expect(answers).toEqual([]);
  await advance(5);
  await sent[1]?.answer(refused(new AppError("no_access")));
  expect(answers).toEqual(["no_access final"]);
});

test("refusals do not leave this node while ownership is in doubt", async () => {
  const { ask, state, answers, advance } = router({ phase: "owned", owner: "me", mayAnswer: false });
  await ask("x", 1000);
  await ask("stored");
  expect(answers).toEqual(["here stored"]);
  state.mayAnswer = true;
  await advance(20);
  expect(answers).toEqual(["here stored", "here x"]);
});

test("where an attempt is under way as the time is over, nobody says that nothing was done", async () => {
  const { ask, sent, state, router: made, partition, answers, advance } = router();
  await ask("x", 300);
  state.owner = null;
  made.moved(partition);
  for (let ms = 0; ms < 400; ms += 10) await advance(10);
  expect(sent).toHaveLength(1);
  expect(answers).toEqual(["outcome_unknown unknown"]);
});

test("tells go to the owner without an answer, and are lost where there is none", async () => {
  const { router: made, published, meter, state } = router();
  made.tell("conversation", "a", { op: "fed" });
  expect(published).toEqual([{ op: "fed" }]);
  state.owner = null;
  made.tell("conversation", "a", { op: "fed" });
  expect(meter.lost).toBe(1);
  expect(made.tellHere("conversation", "a", "x")).toBe(false);
});

test("a stopped router answers everything it owes", async () => {
  const { ask, router: made, answers, clock } = router();
  await ask("x");
  made.stop();
  await turns(clock);
  await ask("y");
  // The first may have been carried out.
  expect(answers).toEqual(["outcome_unknown unknown", "shutting_down retry"]);
});

test("what nobody waits for any more is not asked again", async () => {
  const { clock, router: made, ask, sent, advance, partition, answers } = router();
  const client = new Client(clock);
  await ask("x", 5000, client);
  await advance(500);
  await sent[0]?.answer({ outcome: "silent" });
  expect(sent).toHaveLength(2);
  client.isHere = false;
  await sent[1]?.answer({ outcome: "silent" });
  made.moved(partition);
  await advance(5000);
  expect(sent).toHaveLength(2);
  expect(answers).toEqual(["outcome_unknown unknown"]);
});
