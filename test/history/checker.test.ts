import { describe, expect, test } from "bun:test";
import { aroundMax, check, describeViolation, shownMax } from "./checker";
import type { HistoryEvent } from "./events";
import { parseHistory } from "./events";
import { Recorder } from "./recorder";

const conv = "g-room";
let clock = 0;

function invoke(sess: string, cid: string, body = `body of ${cid}`): HistoryEvent {
  return { e: "invoke", t: ++clock, sess, user: sess, conv, cid, body };
}
function ack(sess: string, cid: string, seq: number): HistoryEvent {
  return { e: "ack", t: ++clock, sess, user: sess, conv, cid, seq };
}
function recv(sess: string, seq: number, user: string, cid: string, body = `body of ${cid}`): HistoryEvent {
  return { e: "recv", t: ++clock, sess, conv, seq, cid, user, body, kind: 1 };
}
function log(seq: number, user: string, cid: string, epoch: number | null = 1): HistoryEvent {
  return { e: "log", conv, seq, ordinal: seq, kind: 1, cid, user, body: `body of ${cid}`, epoch };
}
function mark(e: "readack" | "readseen", seq: number): HistoryEvent {
  return { e, t: ++clock, user: "ann", conv, seq };
}
function names(events: readonly HistoryEvent[]): string[] {
  return [...new Set(check(events).map((violation) => violation.name))];
}

const good: readonly HistoryEvent[] = [
  { e: "join", sess: "bob", conv, seq: 1 },
  invoke("ann", "a1"),
  invoke("ann", "a2"),
  ack("ann", "a1", 1),
  recv("bob", 1, "ann", "a1"),
  invoke("bob", "b1"),
  recv("bob", 2, "ann", "a2"),
  recv("bob", 3, "bob", "b1"),
  ack("bob", "b1", 3),
  mark("readack", 1),
  mark("readseen", 1),
  { e: "fault", t: ++clock, what: "kill", target: "server" },
  mark("readseen", 3),
  log(1, "ann", "a1", 1),
  log(2, "ann", "a2", 1),
  log(3, "bob", "b1", 2),
  { e: "unread", user: "ann", conv, server: 0, client: 0, oracle: 0 },
];

function without(match: (event: HistoryEvent) => boolean): HistoryEvent[] {
  return good.filter((event) => !match(event));
}

test("a history in which every promise is kept has no violation", () => {
  expect(check(good)).toEqual([]);
});

test("a send that was never acknowledged may be missing from the log", () => {
  expect(names([...good, invoke("ann", "lost")])).toEqual([]);
});

describe("each broken promise is named", () => {
  test("I1: an acknowledged send is missing", () => {
    expect(names([invoke("ann", "a1"), ack("ann", "a1", 2), log(1, "bob", "b1")])).toEqual(["I1"]);
  });

  test("I1: another message stands where a send was acknowledged", () => {
    expect(names([invoke("ann", "a1"), ack("ann", "a1", 1), log(1, "bob", "b1"), log(2, "ann", "a1")])).toEqual(["I1"]);
  });

  test("I1: the acknowledged send stands with another body", () => {
    expect(names([invoke("ann", "a1", "what was meant"), ack("ann", "a1", 1), log(1, "ann", "a1")])).toEqual(["I1"]);
  });

  test("I2: a client id stands twice", () => {
    expect(names([log(1, "ann", "a1"), log(2, "ann", "a1")])).toEqual(["I2"]);
  });

  test("I2: two people may use the same client id", () => {
    expect(names([log(1, "ann", "a1"), log(2, "bob", "a1")])).toEqual([]);
  });

  test("I2: a seq stands twice", () => {
    const second = { ...log(1, "bob", "b1"), ordinal: 2 } as HistoryEvent;
    expect(names([log(1, "ann", "a1"), second])).toEqual(["I2"]);
  });

  test("I2: a seq is missing", () => {
    expect(names([log(1, "ann", "a1"), log(3, "ann", "a3")])).toEqual(["I2"]);
  });

  test("I2: a retry is acknowledged as another seq", () => {
    expect(
      names([invoke("ann", "a1"), ack("ann", "a1", 1), ack("ann", "a1", 2), log(1, "ann", "a1"), log(2, "bob", "b1")]),
    ).toContain("I2");
  });

  test("I3: a session's second send stands before its first", () => {
    expect(names([invoke("ann", "a1"), invoke("ann", "a2"), log(1, "ann", "a2"), log(2, "ann", "a1")])).toEqual(["I3"]);
  });

  test("I4: a send that began after an acknowledgement stands before it", () => {
    expect(
      names([invoke("ann", "a1"), ack("ann", "a1", 2), invoke("bob", "b1"), log(1, "bob", "b1"), log(2, "ann", "a1")]),
    ).toEqual(["I4"]);
  });

  test("I5: an entry is skipped", () => {
    expect(names(without((event) => event.e === "recv" && event.seq === 2))).toEqual(["I5"]);
  });

  test("I5: an entry is delivered twice", () => {
    expect(names([recv("bob", 1, "ann", "a1"), recv("bob", 1, "ann", "a1"), log(1, "ann", "a1")])).toEqual(["I5"]);
  });

  test("I5: the last entry never arrives", () => {
    expect(names(without((event) => event.e === "recv" && event.seq === 3))).toEqual(["I5"]);
  });

  test("I5: a session that was to receive everything receives nothing", () => {
    expect(names(without((event) => event.e === "recv"))).toEqual(["I5"]);
  });

  test("I6: somebody received what the log does not hold", () => {
    expect(names([recv("bob", 1, "ann", "a1"), recv("bob", 2, "ann", "a2"), log(1, "ann", "a1")])).toEqual(["I6"]);
  });

  test("I6: somebody received another entry than the log holds", () => {
    expect(names([recv("bob", 1, "ann", "a1"), log(1, "ann", "a2")])).toEqual(["I6"]);
  });

  test("I7: a mark is shown below one that was acknowledged", () => {
    expect(names([log(1, "ann", "a1"), log(2, "ann", "a2"), mark("readack", 2), mark("readseen", 1)])).toEqual(["I7"]);
  });

  test("I7: a mark is acknowledged past the head", () => {
    expect(names([log(1, "ann", "a1"), mark("readack", 2)])).toEqual(["I7"]);
  });

  test("I8: an older epoch writes behind a newer one", () => {
    expect(names([log(1, "ann", "a1", 2), log(2, "ann", "a2", 1)])).toEqual(["I8"]);
  });

  test("I9: something does not succeed after healing, or not in the stated time", () => {
    const settled = { e: "settled", t: 5, what: "sends", limitMs: 1_000 } as const;
    expect(names([{ ...settled, ms: 1_000 }])).toEqual([]);
    expect(names([{ ...settled, ms: 1_001 }])).toEqual(["I9"]);
    expect(names([{ ...settled, ms: null }])).toEqual(["I9"]);
  });

  test("I9: a partition has two owners, or none", () => {
    const look = (a: number[], b: number[]): HistoryEvent => {
      const owns = (some: number[]) => some.map((partition) => [partition, 1] as const);
      return {
        e: "owners",
        t: 1,
        partitions: 3,
        owned: [
          ["n1", owns(a)],
          ["n2", owns(b)],
        ],
      };
    };
    expect(names([look([0, 2], [1])])).toEqual([]);
    expect(check([look([0, 1, 2], [1])]).map(({ says }) => says)).toEqual(["n1 and n2 answer for partition 1"]);
    expect(check([look([0], [1])]).map(({ says }) => says)).toEqual(["nobody answers for partition 2"]);
  });

  test("I9: a node takes more memory than it may, and a drained one loses requests", () => {
    expect(names([{ e: "memory", t: 1, node: "n1", mib: 300, limitMib: 300 }])).toEqual([]);
    expect(names([{ e: "memory", t: 1, node: "n1", mib: 301, limitMib: 300 }])).toEqual(["I9"]);
    expect(names([{ e: "handoff", t: 1, node: "n1", lost: 0 }])).toEqual([]);
    expect(names([{ e: "handoff", t: 1, node: "n1", lost: 1 }])).toEqual(["I9"]);
  });

  test("I8: a partition's epoch goes back", () => {
    const look = (t: number, epoch: number): HistoryEvent => {
      return { e: "owners", t, partitions: 1, owned: [["n1", [[0, epoch]]]] };
    };
    expect(names([look(1, 4), look(2, 4), look(3, 7)])).toEqual([]);
    expect(names([look(1, 4), look(2, 3)])).toEqual(["I8"]);
  });

  test("G5: three counts differ", () => {
    expect(names([{ e: "unread", user: "ann", conv, server: 1, client: 1, oracle: 2 }])).toEqual(["G5"]);
    expect(names([{ e: "unread", user: "ann", conv, server: 2, client: 1, oracle: 2 }])).toEqual(["G5"]);
  });
});

test("a violation shows the part of the history that it is about, and no more than that", () => {
  const noise = Array.from({ length: 100 }, (_, i) => recv(`s${i}`, 1, "ann", "a1"));
  const found = check([invoke("ann", "a1"), ack("ann", "a1", 2), ...noise, log(1, "ann", "a1")]);

  expect(found.length).toBe(1);
  expect(describeViolation(found[0]!)).toContain("I1 in g-room: ann's a1 was acknowledged as 2");
  expect(found[0]!.around).toContainEqual(expect.objectContaining({ e: "invoke", cid: "a1" }));
  expect(found[0]!.around.length).toBeLessThanOrEqual(aroundMax);
});

test("a violation shows the faults that came before it, newest last", () => {
  const fault = (t: number): HistoryEvent => ({ e: "fault", t, what: "kill", target: `n${t}` });
  const [found] = check(
    [1, 2, 3, 4, 5, 6, 7].map(fault).concat({ e: "settled", t: 6, what: "sends", ms: null, limitMs: 1 }),
  );

  expect(describeViolation(found!)).toContain("I9 in the cluster: sends did not succeed within 1 ms of healing");
  expect(found!.around).toEqual([3, 4, 5, 6].map(fault));
});

test("of thousands of violations the first of each invariant are shown, and all are counted", () => {
  const lost = Array.from({ length: 3 * shownMax }, (_, i) => ack("ann", `a${i}`, i + 1));
  const found = check(lost);

  expect(found.length).toBe(3 * shownMax);
  expect(found.filter(({ around }) => around.length > 0).length).toBe(shownMax);
});

test("conversations are judged apart", () => {
  const elsewhere = { ...log(1, "ann", "a1"), conv: "g-other" } as HistoryEvent;

  expect(names([log(1, "ann", "a1"), elsewhere])).toEqual([]);
});

test("a recorded history is judged, closed and read back as it was written", async () => {
  const recorder = new Recorder();
  recorder.invoke("s1", "ann", conv, "a1", "hello");
  recorder.ack("s1", "ann", conv, "a1", 1);
  const file = `${process.env["TMPDIR"] ?? "/tmp"}/parley-history-${crypto.randomUUID()}.jsonl`;

  expect(recorder.finish().map((violation) => violation.name)).toEqual(["I1"]);
  await Bun.write(file, "what an earlier run left behind\n".repeat(100));
  recorder.save(file);
  const events = parseHistory(await Bun.file(file).text());
  await Bun.file(file).delete();

  expect(events).toEqual([...recorder.events]);
  expect(events.at(-1)).toEqual({ e: "end", violations: 1 });
});

test("a push that lags behind another device is no regression, one that lags behind its own device is", () => {
  const recorder = new Recorder();
  for (const seq of [1, 2])
    recorder.log({ conv, seq, ordinal: seq, kind: 1, cid: `${seq}`, user: "bob", body: "b", epoch: null });
  recorder.readAck("phone", "ann", conv, 2, recorder.marksNow());
  recorder.readPushed("laptop", "ann", conv, 1);
  expect(recorder.finish()).toEqual([]);

  recorder.readPushed("phone", "ann", conv, 1);
  expect(recorder.finish().map((violation) => violation.name)).toEqual(["I7"]);
});

test("an answer that is older than what became known meanwhile is no regression, one older than its question is", () => {
  const recorder = new Recorder();
  for (const seq of [1, 2])
    recorder.log({ conv, seq, ordinal: seq, kind: 1, cid: `${seq}`, user: "bob", body: "b", epoch: null });
  const asked = recorder.marksNow();
  recorder.readAck("phone", "ann", conv, 2, recorder.marksNow());
  recorder.readAnswered("laptop", "ann", conv, 1, asked);
  expect(recorder.finish()).toEqual([]);

  recorder.readAnswered("laptop", "ann", conv, 1, recorder.marksNow());
  expect(recorder.finish().map((violation) => violation.name)).toEqual(["I7"]);
});
