import { expect, test } from "bun:test";
import type { SessionHandle } from "../actors/session-world";
import { systemClock } from "../lib/clock";
import type { Clock } from "../lib/clock";
import { capabilities } from "../protocol/capabilities";
import { decode, encodeEntriesPush, encodeEntry, encodePush } from "../protocol/codec";
import type { ConversationId, UserId } from "../protocol/ids";
import { Counters, counterTopic } from "./hub-counters";

const idOf = (n: number): ConversationId => `g${String(n).padStart(22, "A")}` as ConversationId;
const room = idOf(0);

/** A node whose time passes when told, and whose topics are as large as told. */
class Node {
  now = 0;
  receivers = 1;
  /** What was published: topic and seq. */
  readonly told: (readonly [string, unknown])[] = [];
  readonly looked: string[] = [];
  readonly #due: { readonly at: number; readonly call: () => void }[] = [];
  readonly counters = new Counters({
    clock: {
      ...systemClock,
      monotonic: () => this.now,
      after: (ms, call) => {
        this.#due.push({ at: this.now + ms, call });
        return () => undefined;
      },
      endOfTurn: (call) => void this.#due.push({ at: this.now, call }),
    } satisfies Clock,
    settings: { counters: { membersAbove: 2, everyMs: 1_000 } },
    publish: (topic, frame) => void this.told.push([topic, (decode(frame) as unknown[])[3]]),
    subscribers: (topic) => {
      this.looked.push(topic);
      return this.receivers;
    },
    sessionsOf: () => [],
  });
  readonly topics = new Set<string>();
  readonly session = {
    user: "ada" as UserId,
    capabilities: capabilities.counters.bit,
    lookedAt: null,
    line: {
      subscribe: (topic: string) => void this.topics.add(topic),
      unsubscribe: (topic: string) => void this.topics.delete(topic),
      isSubscribed: (topic: string) => this.topics.has(topic),
      sendNow: () => undefined,
    },
  } as unknown as SessionHandle;

  say(seq: number, conversation = room): void {
    const entry = encodeEntry([seq, seq, 1, true, seq, "bob" as UserId, null, null, null, ["x"]]);
    this.counters.published(conversation, encodeEntriesPush(conversation, [entry]));
  }

  pass(ms: number): void {
    this.now += ms;
    for (const { call } of this.#due.splice(0).filter((one) => one.at <= this.now || !this.#due.push(one))) call();
  }

  get seqs(): unknown[] {
    return this.told.map(([, seq]) => seq);
  }
}

test("a counter is told at the end of the turn, then once a while", () => {
  const node = new Node();
  node.counters.receive(node.session, room, 3);
  node.say(1);
  node.say(2);
  expect(node.told).toEqual([]);
  node.pass(0);
  expect(node.told).toEqual([[counterTopic(room), 2]]);
  node.say(3);
  node.pass(999);
  expect(node.seqs).toEqual([2]);
  node.pass(1);
  node.pass(1_000);
  expect(node.seqs).toEqual([2, 3]);
});

test("where very many receive it, it is told as much less often", () => {
  const node = new Node();
  node.receivers = 4_000;
  node.counters.receive(node.session, room, 4_000);
  node.say(1);
  node.pass(0);
  node.say(2);
  node.pass(3_999);
  expect(node.seqs).toEqual([1]);
  node.pass(1);
  expect(node.seqs).toEqual([1, 2]);
});

test("what is no entry counts nothing, and what nobody here is counted costs no look", () => {
  const node = new Node();
  node.say(1, idOf(1));
  expect(node.looked).toEqual([]);
  node.counters.receive(node.session, room, 3);
  node.counters.published(room, encodePush("signal", room, "bob" as UserId, "typing", null));
  node.pass(0);
  expect(node.told).toEqual([]);
});

test("conversations that nobody is counted any more are forgotten, when they speak or when there are many", () => {
  const node = new Node();
  node.counters.receive(node.session, room, 3);
  node.receivers = 0;
  node.say(1);
  node.looked.length = 0;
  node.say(2);
  node.pass(0);
  expect([node.looked, node.told]).toEqual([[], []]);
  for (let n = 0; n < 5_000; n++) node.counters.receive(node.session, idOf(n), 3);
  node.looked.length = 0;
  let spoke = 0;
  for (let n = 0; n < 5_000; n++) {
    node.say(1, idOf(n));
    if (node.looked.length > 0) spoke++;
    node.looked.length = 0;
  }
  expect(spoke).toBeLessThanOrEqual(1_024);
});
