import { expect, test } from "bun:test";
import { VirtualClock } from "../../test/sim/virtual-clock";
import { partitionOf } from "../lib/hash";
import type { ActorKind } from "./actor";
import type { Bus, BusMessage } from "./bus";
import { ClusterInbox } from "./cluster-inbox";
import { decodeAnswer, encodeRequest } from "./node-wire";
import type { NodeRequest } from "./node-wire";
import { createActorSystem } from "./system";

const partition = partitionOf("conversation", "a");

const usual: NodeRequest = {
  kind: "conversation",
  key: "a",
  caller: "them",
  connection: 1,
  timeoutMs: 5000,
  message: "",
  number: 1,
  sentAt: null,
  epoch: null,
};

/** An inbox that serves the partition of actor `a`, which answers when the test says so. */
async function inbox() {
  const clock = new VirtualClock();
  const state = { epoch: 1 as number | null };
  const received: unknown[] = [];
  const replies: ((value: unknown) => void)[] = [];
  const kind: ActorKind = {
    name: "conversation",
    mailboxMax: 100,
    idleMs: 60_000,
    activeMax: 100,
    activate: async () => ({
      receive(message, reply) {
        received.push(message);
        replies.push((value) => reply.ok(value));
      },
      passivate: async () => true,
      abort: () => undefined,
    }),
  };
  const system = createActorSystem({
    clock,
    kinds: [kind],
    placement: { epochOf: () => state.epoch, mayAnswer: () => true, suspect: () => undefined },
    events: { failed: () => undefined, dropped: () => undefined },
  });
  let handle: (message: BusMessage) => void = () => undefined;
  const bus: Bus = {
    connected: true,
    connection: 1,
    publish: () => true,
    request: async () => ({ outcome: "silent" }),
    subscribe(_, heard) {
      handle = heard;
      return { drain: async () => undefined, unsubscribe: () => undefined };
    },
    flush: async () => true,
    onConnection: (listener) => listener(true),
  };
  const [ignored, suspected]: [string[], number[]] = [[], []];
  const made = new ClusterInbox({
    bus,
    clock,
    system,
    epochOf: () => state.epoch,
    suspect: (number) => void suspected.push(number),
    listener: { owned: () => undefined, lost: () => undefined, nodeGone: () => undefined },
    meter: {
      ignored: (reason) => void ignored.push(reason),
      handedOff: () => undefined,
      droppedPartition: () => undefined,
      ownerChanged: () => undefined,
    },
    reopen: () => undefined,
    moved: () => undefined,
  });
  await made.subscribe(partition, 1);
  const answers: string[] = [];
  const send = async (name: string, given: Partial<NodeRequest> = {}): Promise<void> => {
    handle({
      bytes: encodeRequest({ ...usual, message: name, ...given }),
      answer(bytes) {
        const answer = decodeAnswer(bytes);
        const says = answer.ok ? String(answer.value) : answer.error.code;
        answers.push(`${name}: ${says}${!answer.ok && answer.epoch > 0 ? ` of ${answer.epoch}` : ""}`);
      },
    });
    await turns(clock);
  };
  return { clock, state, system, inbox: made, received, replies, ignored, suspected, answers, send };
}

async function turns(clock: VirtualClock): Promise<void> {
  for (let turn = 0; turn < 10; turn++) {
    clock.settle();
    await Promise.resolve();
  }
}

test("what is asked again while it is being handled is handled once, and the last attempt is answered", async () => {
  const { clock, send, received, replies, answers, ignored } = await inbox();
  await send("first");
  await send("again");
  await send("and again", { connection: 2 });
  expect(received).toEqual(["first"]);
  replies[0]?.("done");
  await turns(clock);
  expect(answers).toEqual(["and again: done"]);
  expect(ignored).toEqual(["repeated", "repeated"]);

  await send("after it", { connection: 2 });
  expect(received).toEqual(["first", "after it"]);
});

test("other asks, of the same caller or of another with the same number, are handled by themselves", async () => {
  const { send, received } = await inbox();
  await send("first");
  await send("second", { number: 2 });
  await send("third", { caller: "others" });
  await send("of an older release", { number: 0 });
  await send("of an older release", { number: 0 });
  expect(received).toEqual(["first", "second", "third", "of an older release", "of an older release"]);
});

test("what was under way for longer than its caller waits is not done: it was repeated elsewhere, and answered otherwise", async () => {
  const { clock, send, received, ignored } = await inbox();
  await send("in time", { sentAt: 100, number: 1 });
  clock.advance(6_000);
  await send("held back", { sentAt: 200, number: 2 });
  await send("held back too, over another connection", { sentAt: 900, number: 3, connection: 2 });
  await send("slow, but waited for", { sentAt: 1_500, number: 4, connection: 2 });
  await send("of a release that does not say", { number: 5, connection: 2 });
  expect(received).toEqual(["in time", "slow, but waited for", "of a release that does not say"]);
  expect(ignored).toEqual(["late", "late"]);
});

test("an ask that ends with the partition is not waited for by its repetition", async () => {
  const { clock, send, state, inbox: made, answers, received } = await inbox();
  await send("first");
  state.epoch = null;
  made.drop(partition);
  clock.advance(1);
  await turns(clock);
  expect(answers).toEqual(["first: outcome_unknown"]);
  await send("again");
  expect(answers.at(-1)).toBe("again: shutting_down");

  state.epoch = 2;
  await made.subscribe(partition, 2);
  await send("again");
  expect(received).toEqual(["first", "again"]);
});

test("what is for another epoch of the partition is not carried out; its caller is told of this one", async () => {
  const { send, state, inbox: made, received, answers, suspected } = await inbox();
  await send("for the first", { number: 1, epoch: 1 });
  made.drop(partition);
  state.epoch = 2;
  await made.subscribe(partition, 2);
  await send("for the first, late", { number: 2, epoch: 1 });
  expect(suspected).toEqual([]);
  await send("for one to come", { number: 3, epoch: 3 });
  expect(suspected).toEqual([partition]);
  await send("of one who knows of none", { number: 4, epoch: 0 });
  await send("for the second", { number: 5, epoch: 2 });
  await send("for any", { number: 6 });
  expect(received).toEqual(["for the first", "for the second", "for any"]);
  expect(answers.slice(1)).toEqual([
    "for the first, late: shutting_down of 2",
    "for one to come: shutting_down of 2",
    "of one who knows of none: shutting_down of 2",
  ]);
});
