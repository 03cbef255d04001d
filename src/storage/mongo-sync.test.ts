// Sync takes no snapshot: whatever becomes durable between its commands, a row answered as closed is exact, by a count over the log (G5).
import { expect, test } from "bun:test";
import type { MongoClient } from "mongodb";
import { decode } from "../protocol/codec";
import type { RowTuple } from "../protocol/operations";
import type { Mark } from "../protocol/unread";
import { blankHead } from "./mongo-heads";
import { type Collections, type HeadDoc, headDocOf, type ParticipantDoc } from "./mongo-schema";
import { readSyncFrom } from "./mongo-sync";
import type { SyncPage, SyncRow } from "./store";
import { ada, bob, conversationNamed } from "./store-samples.case";

const room = conversationNamed("room");
const epoch = 7;

/** What the collections hold of ada in one room, changed by one write after the other, in the order of a commit. */
class Room {
  head = headDocOf({ ...blankHead(room, 0), type: "group" }, { epoch, lease: "", revision: 1 });
  participant: ParticipantDoc = { conversation: room, user: ada };
  readonly log: (typeof ada)[] = [];
  join: Mark = { seq: 0, ordinal: 0, own: 0 };

  /** One life of an activation: ada sends and reads, the head is stored once on the way, everything is made exact, it closes. */
  readonly life: readonly (() => void)[] = [
    () => this.#setHead({ open: true, openEpoch: epoch }),
    () => void this.log.push(bob, ada, ada),
    () => (this.participant = { ...this.participant, mark: this.markAt(this.log.length - 1) }),
    () => this.#setHead(this.#headNow()),
    () => void this.log.push(bob, ada, bob),
    () => (this.participant = { ...this.participant, total: { through: this.log.length, count: this.ownAt() } }),
    () => this.#setHead({ ...this.#headNow(), totalsThrough: this.log.length, open: false, openEpoch: 0 }),
  ];

  /** Ada's membership begins anew at the head, as a leave and a join within one life would have it. */
  rejoin(): void {
    this.log.push(bob);
    this.join = this.markAt(this.log.length);
    const member = { changedSeq: this.log.length, role: "member" as const, join: this.join, floor: 1 };
    this.participant = { ...this.participant, member };
  }

  ownAt(seq = this.log.length): number {
    return this.log.slice(0, seq).filter((sender) => sender === ada).length;
  }

  markAt(seq: number): Mark {
    return { seq, ordinal: seq, own: this.ownAt(seq) };
  }

  unreadAt(headSeq: number, cursor: Mark, join: Mark): number {
    return this.log.slice(Math.max(cursor.seq, join.seq), headSeq).filter((sender) => sender !== ada).length;
  }

  #headNow() {
    return { seq: this.log.length, ordinal: this.log.length };
  }

  #setHead(over: Partial<typeof this.head>): void {
    this.head = { ...this.head, ...over };
  }
}

const client = { startSession: () => ({ endSession: async () => {} }) } as unknown as MongoClient;

/** Collections over a room; `before` runs ahead of each command. */
function collectionsOf(it: Room, before: (collection: string) => void): Collections {
  const over = (name: string, documents: () => readonly unknown[]) => ({
    find: () => ({
      async toArray() {
        before(name);
        return documents();
      },
    }),
  });
  const user = { _id: ada, userSeq: 1, createdAt: 1, tokensValidFrom: 0, deletedAt: null };
  const row = { peer: null, muted: false, markedUnread: false };
  return {
    users: over("users", () => [user]),
    memberships: over("memberships", () => [{ conversation: room, row }]),
    heads: over("heads", () => [it.head]),
    participants: over("participants", () => [it.participant]),
  } as unknown as Collections;
}

/** A room that was used and closed, and what happens next in it: a life of sends alone, one with a new join, a plain one. */
function usedRoom(): { readonly it: Room; readonly steps: readonly (() => void)[] } {
  const it = new Room();
  const [open, ...rest] = it.life as [() => void, ...(() => void)[]];
  for (const step of [open, () => it.rejoin(), ...rest]) step();
  const sends = it.life.filter((_, at) => at !== 2);
  return { it, steps: [...sends, open, () => it.rejoin(), ...rest, ...it.life] };
}

/** Syncs with the first `before` steps done when the heads are read, and `between` more when the participants are. */
async function syncAmid(before: number, between: number): Promise<{ it: Room; head: HeadDoc; page: SyncPage }> {
  const { it, steps } = usedRoom();
  let { head } = it;
  const collections = collectionsOf(it, (name) => {
    if (name === "heads") for (const step of steps.slice(0, before)) step();
    if (name === "heads") head = it.head;
    if (name === "participants") for (const step of steps.slice(before, before + between)) step();
  });
  const page = await readSyncFrom(collections, client, ada, null, 10, true);
  return { it, head, page };
}

/** The row says of the head that was read what the log up to there says. */
function expectExact(it: Room, head: HeadDoc, row: SyncRow): void {
  const { headSeq, headOrdinal, cursor, join, myTotal } = row;
  expect([headSeq, headOrdinal]).toEqual([head.seq, head.ordinal]);
  expect(myTotal).toBe(it.ownAt(headSeq));
  expect(cursor).toEqual(it.markAt(cursor.seq));
  expect(Math.max(cursor.seq, join.seq)).toBeLessThanOrEqual(headSeq);
  const [, , , , , , , unread] = decode(row.row as Uint8Array) as RowTuple;
  expect(unread).toBe(it.unreadAt(headSeq, cursor, join));
}

test("a closed row is exact, wherever between two commands a conversation is opened, written and closed", async () => {
  const { length } = usedRoom().steps;
  const states = { open: 0, closed: 0 };
  for (let before = 0; before <= length; before++) {
    for (let between = 0; before + between <= length; between++) {
      const { it, head, page } = await syncAmid(before, between);
      const row = page.rows[0] as SyncRow;
      states[row.open ? "open" : "closed"]++;
      if (!row.open) expectExact(it, head, row);
      // Nothing was written in between: then the store speaks for what it says is closed.
      if (between === 0) expect(row.open).toBe(head.open);
    }
  }
  expect(states.closed).toBeGreaterThan(length / 4);
  expect(states.open).toBeGreaterThan(length);
});

test("a total stored before its head is answered with how far it is exact", async () => {
  const { it, steps } = usedRoom();
  for (const step of steps.slice(0, -1)) step();
  const [row] = (
    await readSyncFrom(
      collectionsOf(it, () => {}),
      client,
      ada,
      null,
      10,
      false,
    )
  ).rows;
  expect(row).toMatchObject({ open: true, myTotal: it.ownAt(), totalsThrough: it.log.length });
  expect(it.head.totalsThrough).toBeLessThan(it.log.length);
});

test("a membership whose conversation never began, or is gone, is answered without a row", async () => {
  const it = new Room();
  it.head = { ...it.head, type: "" };
  const { rows } = await readSyncFrom(
    collectionsOf(it, () => {}),
    client,
    ada,
    null,
    10,
    false,
  );
  expect(rows).toMatchObject([{ row: null, headSeq: 0, open: false }]);
});
