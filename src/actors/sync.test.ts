import { expect, test } from "bun:test";
import { systemClock } from "../lib/clock";
import { AppError } from "../lib/errors";
import { silentLog } from "../lib/log";
import { createMetrics } from "../lib/metrics";
import { settings } from "../lib/settings";
import { decode, encode, encodeReply } from "../protocol/codec";
import type { ConversationId, UserId } from "../protocol/ids";
import { limits } from "../protocol/limits";
import type { RowTuple } from "../protocol/operations";
import type { EntryRow, HeadRow, RangeRequest, SyncPage } from "../storage/store";
import { syncRowOf } from "../storage/sync-row";
import type { Joined } from "../storage/sync-row";
import type { PlacedActor } from "./actor";
import type { RowPart } from "./messages";
import { RowSource } from "./rows";
import type { Peeked } from "./standing";
import type { SessionWorld } from "./session-world";
import { gatherPage } from "./sync";
import type { Page, PageRequest } from "./sync";

const ada = "ada" as UserId;
const idOf = (n: number): ConversationId => `g${String(n).padStart(22, "0")}` as ConversationId;
const mark = (seq: number, ordinal = 0) => ({ seq, ordinal, own: 0 });

/** A group of ten entries, five of them counted, two of those Ada's, who has read none. */
function stored(n: number, head: Partial<HeadRow> = {}, floor = 1): Joined {
  const conversation = idOf(n);
  const whole: HeadRow = {
    conversation, type: "group", seq: 10, ordinal: 5, time: 1, name: null, picture: null, fields: null, memberCount: 2,
    lastMessage: encode(["last"]), lastMessageSeq: 10, openEpoch: 0, fedThrough: 10, totalsThrough: 10, ...head,
  }; // biome-ignore format: one row
  return {
    membership: { conversation, peer: null, muted: false, markedUnread: false },
    head: whole,
    member: { role: "member", join: mark(1), floor },
    cursor: { ...mark(0), total: 2 },
  };
}

/** The owner's word: one more entry than stored, and it is another's. */
function part(seq = 11, ordinal = 6): RowPart {
  return {
    info: ["group", null, null, null, 2, null],
    membership: ["member", [1, 0, 0], 1],
    head: [seq, ordinal, 2, null],
    cursor: [0, 0, 0],
    myTotal: 2,
  };
}

function seen(totalsThrough = 10, sentSince = 0): Peeked {
  const { info, membership, head } = part();
  return { info, membership, head, totalsThrough, sentSince };
}

class Node {
  rows: Joined[] = [];
  /** Memberships that are not on the page. */
  others: Joined[] = [];
  more = false;
  active = new Map<ConversationId, Peeked | null>();
  recent = new Set<ConversationId>();
  owners = new Map<ConversationId, RowPart | "silent" | "no_access">();
  ranges: RangeRequest[] = [];
  entryBytes = 0;
  askedOf: ConversationId[] = [];
  dangling = 0;
  readonly world: SessionWorld;

  constructor() {
    const router = {
      ask: (_: string, key: string) => this.#ask(key as ConversationId),
      tell: () => undefined,
      tellHere: () => true,
      peek: (_: string, key: string) => this.#peek(key as ConversationId),
      recentlyActive: (_: string, key: string) => this.recent.has(key as ConversationId),
    };
    const store = {
      readSync: async (): Promise<SyncPage> => ({
        user: null,
        rows: this.rows.map(syncRowOf),
        more: this.more,
        counts: this.others.map(syncRowOf),
      }),
      readRanges: async (requests: readonly RangeRequest[]) => requests.map((request) => this.#range(request)),
    };
    const meter = { ...createMetrics(), danglingRecord: () => this.dangling++ };
    this.world = {
      clock: systemClock, log: silentLog(), meter, settings: settings.parse({}), router, store,
      rows: new RowSource(router, store as never),
    } as unknown as SessionWorld; // biome-ignore format: one object
  }

  gather(request: Partial<PageRequest> = {}): Promise<Page> {
    const positions = new Map<ConversationId, number>();
    const whole = {
      user: ada,
      after: null,
      limit: 500,
      positions,
      withTotals: true,
      askMs: 500,
      countsOnly: null,
      ...request,
    };
    return gatherPage(this.world, whole, (page) => page);
  }

  async #ask(key: ConversationId): Promise<unknown> {
    this.askedOf.push(key);
    const answer = this.owners.get(key) ?? "silent";
    if (answer === "silent") throw new AppError("outcome_unknown");
    if (answer === "no_access") throw new AppError("no_access");
    return answer;
  }

  #peek(key: ConversationId): PlacedActor | null {
    const state = this.active.get(key);
    return state === undefined ? null : ({ peek: () => state } as unknown as PlacedActor);
  }

  #range(request: RangeRequest): { entries: EntryRow[]; scannedTo: number } {
    this.ranges.push(request);
    const entries = Array.from({ length: request.limit }, (_, i) => {
      const seq = request.from + i;
      return {
        seq,
        ordinal: 0,
        kind: 1,
        counts: true,
        sender: ada,
        clientId: null,
        bytes: encode([seq, ...(this.entryBytes > 0 ? ["x".repeat(this.entryBytes)] : [])]),
      };
    });
    return { entries, scannedTo: request.from + request.limit - 1 };
  }
}

const rowsOf = (page: Page): readonly RowTuple[] => decode(encode(page.rows)) as readonly RowTuple[];
const numbersOf = (page: Page) => rowsOf(page).map((row) => [row[0], row[4][0], row[7]]);

test("a closed conversation is shown as stored", async () => {
  const node = new Node();
  node.rows = [stored(1)];
  const page = await node.gather();
  expect(numbersOf(page)).toEqual([[idOf(1), 10, 3]]);
  expect(page.totals).toEqual([3, 0]);
  expect(node.askedOf).toEqual([]);
});

test("an active conversation speaks for itself, with the person's own entries since", async () => {
  const node = new Node();
  node.rows = [stored(1, { openEpoch: 4 })];
  node.active.set(idOf(1), seen(10, 1));
  const page = await node.gather();
  expect(numbersOf(page)).toEqual([[idOf(1), 11, 3]]);
  expect(node.askedOf).toEqual([]);
});

test("an active conversation whose totals moved on is asked", async () => {
  const node = new Node();
  node.rows = [stored(1, { openEpoch: 4 })];
  node.active.set(idOf(1), seen(11, 0));
  node.owners.set(idOf(1), part());
  expect(numbersOf(await node.gather())).toEqual([[idOf(1), 11, 4]]);
});

test("a conversation left open is asked for, and pending without a number where nobody answers", async () => {
  const node = new Node();
  node.rows = [stored(1, { openEpoch: 4 }), stored(2, { openEpoch: 4 }), stored(3)];
  node.owners.set(idOf(1), part());
  const page = await node.gather();
  expect(numbersOf(page)).toEqual([
    [idOf(1), 11, 4],
    [idOf(3), 10, 3],
  ]);
  expect([page.pending, page.totals, page.shown]).toEqual([[idOf(2)], [7, 0], [idOf(1), idOf(3)]]);
});

test("what was active a moment ago is never shown from the store", async () => {
  const node = new Node();
  node.rows = [stored(1)];
  node.recent.add(idOf(1));
  node.owners.set(idOf(1), part());
  const page = await node.gather();
  expect([page.rows, page.pending]).toEqual([[], [idOf(1)]]);
});

test("an owner's answer that was overtaken is pending, not shown", async () => {
  const node = new Node();
  node.rows = [stored(1, { openEpoch: 4 })];
  node.active.set(idOf(1), seen(11, 0));
  node.owners.set(idOf(1), part(12, 7));
  expect((await node.gather()).pending).toEqual([idOf(1)]);
});

test("the feed of an open conversation grants nothing: the owner's refusal stands", async () => {
  const node = new Node();
  node.rows = [stored(1, { openEpoch: 4 }), stored(2)];
  node.owners.set(idOf(1), "no_access");
  node.active.set(idOf(2), null);
  const page = await node.gather();
  expect([page.shown, page.pending, page.totals]).toEqual([[], [], [0, 0]]);
});

test("a membership whose conversation is gone, or whose log does not know it, is skipped and counted", async () => {
  const node = new Node();
  node.rows = [{ ...stored(1), head: null }, { ...stored(2), member: null }, stored(3)];
  const page = await node.gather();
  expect([page.shown, node.dangling]).toEqual([[idOf(3)], 2]);
});

test("muted conversations are summed apart", async () => {
  const node = new Node();
  const row = stored(1);
  node.rows = [{ ...row, membership: { ...row.membership, muted: true } }, stored(2)];
  expect((await node.gather()).totals).toEqual([3, 3]);
});

test("missed entries are resumed from the position or the floor on, up to the head, and not where there are too many", async () => {
  const node = new Node();
  const long = stored(3, { seq: 2 + limits.resumeEntriesMax + 1 });
  node.rows = [stored(1), stored(2, {}, 7), long, stored(4), stored(5)];
  const positions = new Map([
    [idOf(1), 8],
    [idOf(2), 3],
    [idOf(3), 2],
    [idOf(4), 10],
    [idOf(5), 12],
  ]);
  const { resumed } = await node.gather({ positions });
  const seqs = (decode(encode(resumed)) as [string, number[][]][]).map(([id, some]) => [id, some.flat()]);
  expect(seqs).toEqual([
    [idOf(1), [9, 10]],
    [idOf(2), [7, 8, 9, 10]],
  ]);
});

test("five hundred conversations fit into one answer, large ones into several that begin where the last ended", async () => {
  const node = new Node();
  node.rows = Array.from({ length: 500 }, (_, n) => stored(n, { lastMessage: encode(["x".repeat(190)]) }));
  expect((await node.gather()).shown.length).toBe(500);

  node.rows = Array.from({ length: 10 }, (_, n) => stored(n, { lastMessage: encode(["x".repeat(60_000)]) }));
  const page = await node.gather();
  expect(page.next).toBe(page.shown.at(-1) as ConversationId);
  expect(page.shown.length).toBe(3);
  expect(page.totals).toEqual([30, 0]);
  expect(encode([page.rows, page.resumed]).length).toBeLessThan(256 * 1024);
});

test("rows that end a page early leave missed entries no more than what is left of the frame", async () => {
  const node = new Node();
  node.entryBytes = 1_000;
  node.rows = Array.from({ length: 10 }, (_, n) =>
    stored(n, { seq: 260, lastMessageSeq: 260, lastMessage: encode(["x".repeat(60_000)]) }),
  );
  const { rows, resumed } = await node.gather({ positions: new Map(node.rows.map((_, n) => [idOf(n), 10])) });
  expect(resumed.length).toBeGreaterThan(0);
  expect(encode([rows, resumed]).length).toBeLessThan(256 * 1024);
});

test("thousands that are pending leave room in the frame for what is shown", async () => {
  const node = new Node();
  node.entryBytes = 1_000;
  node.rows = Array.from({ length: 10 }, (_, n) =>
    stored(n, { seq: 260, lastMessageSeq: 260, lastMessage: encode(["x".repeat(54_000)]) }),
  );
  node.others = Array.from({ length: 9_000 }, (_, n) => stored(100 + n, { openEpoch: 4 }));
  node.more = true;
  const page = await node.gather({ positions: new Map(node.rows.map((_, n) => [idOf(n), 10])) });
  expect(page.shown.length).toBe(4);
  expect(page.pending.length).toBe(1_000);
  const { userSeq, rows, next, totals, pending, resumed } = page;
  const answer = encodeReply(1, [userSeq, rows, next, totals, pending, resumed]);
  expect(answer.length).toBeLessThan(256 * 1024);
});

test("a page without totals has nothing pending that it does not show", async () => {
  const node = new Node();
  const large = { lastMessage: encode(["x".repeat(90_000)]) };
  node.rows = [stored(1, large), stored(2, large), stored(3, large), stored(4, { openEpoch: 4 })];
  const page = await node.gather({ withTotals: false });
  expect([page.shown, page.pending]).toEqual([[idOf(1), idOf(2)], []]);
});

test("one row that is larger than a page's share is shown by itself", async () => {
  const node = new Node();
  node.rows = [
    stored(1, { lastMessage: encode(["x".repeat(97_000)]), fields: encode({ a: "y".repeat(140_000) }) }),
    stored(2),
  ];
  expect((await node.gather()).shown).toEqual([idOf(1)]);
});

test("a page that took too long to gather is refused as retryable, not built", async () => {
  const node = new Node();
  node.rows = [stored(1)];
  let now = 0;
  (node.world as { clock: unknown }).clock = { ...systemClock, monotonic: () => (now += 6_000) };
  await expect(node.gather()).rejects.toMatchObject({ code: "store_unavailable" });
});
