import { expect, test } from "bun:test";
import { Mailbox } from "./mailbox";
import type { MailboxOwner } from "./mailbox";
import { Turns } from "./mailbox-turns";

/** An owner that notes what happens to it. */
function owner(handle: (message: string) => Promise<void> | void): MailboxOwner<string> & { readonly trace: string[] } {
  const trace: string[] = [];
  return {
    trace,
    handle(message) {
      trace.push(message);
      return handle(message);
    },
    failed: (message, error) => void trace.push(`${message} failed: ${String(error)}`),
    rested: () => void trace.push("rests"),
  };
}

test("nothing is handled before the first resume, then everything in order", () => {
  const notes = owner(() => undefined);
  const mailbox = new Mailbox(notes, new Turns(), 10);

  mailbox.offer("a");
  mailbox.offer("b");
  expect(notes.trace).toEqual([]);
  mailbox.resume();

  expect(notes.trace).toEqual(["a", "b", "rests"]);
});

test("the next message waits for the promise of the one before", async () => {
  const gate = Promise.withResolvers<void>();
  const notes = owner((message) => (message === "slow" ? gate.promise : undefined));
  const mailbox = new Mailbox(notes, new Turns(), 10);
  mailbox.resume();

  mailbox.offer("slow");
  mailbox.offer("next");
  expect(notes.trace).toEqual(["slow"]);
  expect(mailbox.busy).toBe(true);
  gate.resolve();
  await gate.promise;

  expect(notes.trace).toEqual(["slow", "next", "rests"]);
});

test("a full mailbox refuses an offer and takes it once there is room", () => {
  const mailbox = new Mailbox(
    owner(() => undefined),
    new Turns(),
    2,
  );

  expect([mailbox.offer("a"), mailbox.offer("b"), mailbox.offer("c")]).toEqual([true, true, false]);
  mailbox.push("beyond");
  expect(mailbox.depth).toBe(3);
  mailbox.resume();

  expect(mailbox.depth).toBe(0);
  expect(mailbox.offer("c")).toBe(true);
});

test("a throw pauses the mailbox and keeps what waits", () => {
  const notes = owner((message) => {
    if (message === "bad") throw new Error("boom");
  });
  const mailbox = new Mailbox(notes, new Turns(), 10);
  for (const message of ["good", "bad", "waits"]) mailbox.offer(message);
  mailbox.resume();

  expect(notes.trace).toEqual(["good", "bad", "bad failed: Error: boom", "rests"]);
  expect(mailbox.takeAll()).toEqual(["waits"]);
});

test("a rejection is a failure like a throw", async () => {
  const notes = owner(() => Promise.reject(new Error("late")));
  const mailbox = new Mailbox(notes, new Turns(), 10);
  mailbox.resume();

  mailbox.offer("bad");
  await Promise.resolve();
  await Promise.resolve();

  expect(notes.trace).toEqual(["bad", "bad failed: Error: late", "rests"]);
  expect(mailbox.busy).toBe(false);
});

test("a mailbox paused by its own handler stops behind that message", () => {
  const notes = owner(() => mailbox.pause());
  const mailbox = new Mailbox(notes, new Turns(), 10);
  mailbox.offer("a");
  mailbox.offer("b");

  mailbox.resume();
  expect(notes.trace).toEqual(["a", "rests"]);
  mailbox.resume();
  expect(notes.trace).toEqual(["a", "rests", "b", "rests"]);
});

test("what one handler sends is handled after it, never inside it", () => {
  const turns = new Turns();
  const trace: string[] = [];
  const receiver = new Mailbox<string>(
    owner(() => void trace.push("receives")),
    turns,
    10,
  );
  receiver.resume();
  const sender = new Mailbox<string>(
    owner(() => {
      receiver.offer("hello");
      trace.push("sender is done");
    }),
    turns,
    10,
  );
  sender.resume();

  sender.offer("go");

  expect(trace).toEqual(["sender is done", "receives"]);
});

test("order holds over thousands of waiting messages", () => {
  const notes = owner(() => undefined);
  const mailbox = new Mailbox(notes, new Turns(), 5000);
  const sent = Array.from({ length: 5000 }, (_, i) => `m${i}`);
  for (const message of sent) mailbox.offer(message);

  mailbox.resume();

  expect(notes.trace.slice(0, -1)).toEqual(sent);
});
