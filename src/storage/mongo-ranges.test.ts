// Ranges over a log in memory: the same answers whatever the commands, and how many commands and rows they take.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type EntrySource, readRangesFrom } from "./mongo-ranges";
import type { EntryRow, Range, RangeRequest } from "./store";
import { conversationNamed, entry, range } from "./store-samples.case";

type Logs = Readonly<Record<string, readonly EntryRow[]>>;

/** Answers from arrays, and counts. */
class ArraySource implements EntrySource {
  readonly #logs: Logs;
  commands = 0;
  rows = 0;
  bytes = 0;

  constructor(logs: Logs) {
    this.#logs = logs;
  }

  pieces: EntrySource["pieces"] = async (pieces) => {
    const found = new Map<string, readonly [string, EntryRow]>();
    for (const { conversation, first, last } of pieces)
      for (const row of this.#of(conversation))
        if (row.seq >= first && row.seq <= last) found.set(`${conversation} ${row.seq}`, [conversation, row]);
    // In no particular order, as the port of it says.
    const rows = [...found.values()].reverse();
    this.#count(rows.map(([, row]) => row));
    return rows;
  };

  down: EntrySource["down"] = async (conversation, from, limit) =>
    this.#count(
      this.#of(conversation)
        .filter(({ seq }) => seq <= from)
        .toReversed()
        .slice(0, limit),
    );

  ofKind: EntrySource["ofKind"] = async ({ conversation, first, last, kind, edge }, limit) => {
    const [low, high] = [Math.min(first, last), Math.max(first, last)];
    const inside = this.#of(conversation).filter((row) => row.seq >= low && row.seq <= high);
    const rows = inside.filter((row) => row.kind === kind || row.seq === edge);
    return this.#count((first <= last ? rows : rows.toReversed()).slice(0, limit));
  };

  highest: EntrySource["highest"] = async (conversation, through) => {
    this.commands++;
    return this.#of(conversation).findLast(({ seq }) => seq <= through)?.seq ?? 0;
  };

  #of(conversation: string): readonly EntryRow[] {
    return this.#logs[conversation] ?? [];
  }

  #count<T extends EntryRow>(rows: readonly T[]): readonly T[] {
    this.commands++;
    this.rows += rows.length;
    this.bytes += rows.reduce((sum, row) => sum + row.bytes.length, 0);
    return rows;
  }
}

/** One entry after the other, as store.ts has it. */
function oracle(logs: Logs, requests: readonly RangeRequest[], bytesTotal: number): readonly Range[] {
  let left = bytesTotal;
  let answered = false;
  return requests.map(({ conversation, from, direction, limit, bytesMax, kind, scanMax }) => {
    const log = logs[conversation] ?? [];
    const up = direction === "up";
    const entries: EntryRow[] = [];
    let bytes = Math.min(bytesMax, left);
    let scannedTo = 0;
    let seq = up ? Math.max(1, from) : Math.min(from, log.length);
    for (let looked = 0; looked < scanMax && entries.length < limit; looked++, seq += up ? 1 : -1) {
      const row = log[seq - 1];
      if (!row || (answered && left <= 0)) break;
      if (kind === undefined || row.kind === kind) {
        if (row.bytes.length > bytes && (answered || entries.length > 0)) break;
        bytes -= row.bytes.length;
        entries.push(row);
      }
      scannedTo = seq;
    }
    for (const row of entries) left -= row.bytes.length;
    answered ||= entries.length > 0;
    return { entries, scannedTo };
  });
}

const [one, two] = [conversationNamed("one"), conversationNamed("two")];

function logOf(sizes: readonly number[]): readonly EntryRow[] {
  return sizes.map((size, at) => entry(at + 1, { kind: size % 4 === 0 ? 2 : 1, bytes: new Uint8Array(size) }));
}

const sized = (count: number, bytes: number) => logOf(Array.from({ length: count }, () => bytes));

const requestAny = fc.record({
  conversation: fc.constantFrom(one, two, conversationNamed("none")),
  from: fc.integer({ min: -2, max: 420 }),
  direction: fc.constantFrom("up" as const, "down" as const),
  limit: fc.integer({ min: 0, max: 300 }),
  bytesMax: fc.integer({ min: 0, max: 4000 }),
  scanMax: fc.integer({ min: 0, max: 400 }),
  kind: fc.constantFrom(undefined, 1, 2, 9),
});

test("any ranges of any logs are answered as a look at one entry after the other would", async () => {
  const log = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 400 }).map(logOf);
  const whole = fc.tuple(log, log, fc.array(requestAny, { maxLength: 6 }), fc.integer({ min: 0, max: 9000 }));
  await fc.assert(
    fc.asyncProperty(whole, async ([first, second, given, bytesTotal]) => {
      const logs = { [one]: first, [two]: second };
      const requests = given.map(({ kind, ...rest }): RangeRequest => (kind === undefined ? rest : { ...rest, kind }));
      const got = await readRangesFrom(new ArraySource(logs), requests, bytesTotal);
      const expected = oracle(logs, requests, bytesTotal);
      expect(got.map(({ entries }) => entries)).toEqual(expected.map(({ entries }) => entries));
      for (const [at, { scannedTo }] of got.entries()) {
        const wanted = expected[at]?.scannedTo;
        // Where bytes ran out before the first of a kind, how far it looked is its own affair.
        if ((got[at]?.entries.length ?? 0) > 0 || requests[at]?.kind === undefined) expect(scannedTo).toBe(wanted ?? 0);
      }
    }),
    { numRuns: 300 },
  );
});

test("a page of fifty messages is one command", async () => {
  for (const direction of ["up", "down"] as const) {
    const source = new ArraySource({ [one]: sized(500, 301) });
    const from = direction === "up" ? 101 : 400;
    const page = range(one, { direction, from, limit: 50, kind: 1, scanMax: 400, bytesMax: 98_304 });
    const [answer] = await readRangesFrom(source, [page], page.bytesMax);
    expect([answer?.entries.length, source.commands]).toEqual([50, 1]);
  }
});

test("a short log, read to its end by kind, is one command where the span ends at its head", async () => {
  const source = new ArraySource({ [one]: sized(12, 301) });
  const up = range(one, { from: 1, limit: 50, kind: 1, scanMax: 12 });
  expect((await readRangesFrom(source, [up], 98_304))[0]?.scannedTo).toBe(12);
  expect(source.commands).toBe(1);
});

test("of the largest entries, no more than the first command is fetched for nothing", async () => {
  const source = new ArraySource({ [one]: sized(1000, 98_000) });
  const page = range(one, { limit: 200, bytesMax: 196_608, scanMax: 200 });
  const [answer] = await readRangesFrom(source, [page], page.bytesMax);
  expect([answer?.entries.length, source.rows, source.commands]).toEqual([2, 64, 1]);
});

test("what five hundred conversations missed takes a handful of commands", async () => {
  const rooms = Array.from({ length: 500 }, (_, at) => conversationNamed(`missed-${at}`));
  const source = new ArraySource(Object.fromEntries(rooms.map((room) => [room, sized(9, 101)])));
  const requests = rooms.map((room) => range(room, { from: 8, limit: 2, scanMax: 2 }));
  const answers = await readRangesFrom(source, requests, 262_144);
  expect(answers.every(({ entries }) => entries.length === 2)).toBe(true);
  expect([source.commands, source.rows]).toEqual([5, 1000]);
});

test("once the bytes of a call are spent nothing more is fetched", async () => {
  const rooms = Array.from({ length: 500 }, (_, at) => conversationNamed(`spent-${at}`));
  const source = new ArraySource(Object.fromEntries(rooms.map((room) => [room, sized(9, 1000)])));
  const answers = await readRangesFrom(
    source,
    rooms.map((room) => range(room, { from: 1, limit: 4, scanMax: 4 })),
    20_000,
  );
  expect(answers.flatMap(({ entries }) => entries).length).toBe(20);
  expect([source.commands, source.rows]).toEqual([1, 64]);
});
