// Read marks are answered from what a majority holds, and never as refused once the database took them (G5).
import { expect, test } from "bun:test";
import { MongoServerSelectionError } from "mongodb";
import { VirtualClock } from "../../test/sim/virtual-clock";
import type { MongoCommands } from "./mongo-commands";
import { MongoCursors } from "./mongo-cursors";
import { MongoHealth } from "./mongo-health";
import type { Collections, ParticipantDoc } from "./mongo-schema";
import { ada, bob, conversationNamed } from "./store-samples.case";

const room = conversationNamed("room");
const unreachable = new MongoServerSelectionError("no server", {} as never);

type Read = readonly ParticipantDoc[] | Error;

/** Marks whose writing succeeds, and whose reading goes as listed, the last one for ever. */
function marks(...reads: readonly Read[]) {
  const clock = new VirtualClock();
  const health = new MongoHealth({ clock, decideMs: 1000, probe: async () => {}, onHealth: () => {} });
  let written = 0;
  const upsert = async (): Promise<void> => void written++;
  const toArray = async (): Promise<Read> => {
    const read = reads[Math.min(written, reads.length) - 1] as Read;
    if (read instanceof Error) throw read;
    return read;
  };
  const collections = { participants: { find: () => ({ toArray }) } } as unknown as Collections;
  const cursors = new MongoCursors(collections, { upsert } as unknown as MongoCommands, health, clock);
  return { cursors, clock };
}

function at(user: typeof ada, seq: number): ParticipantDoc {
  return { conversation: room, user, mark: { seq, ordinal: seq, own: 0 } };
}

test("a mark that was stored and cannot be read is not answered as refused", async () => {
  const { cursors, clock } = marks(unreachable);
  const answer = cursors.move(room, [{ user: ada, seq: 3, ordinal: 3, own: 0 }]);
  clock.advance(60_000);
  expect(await answer).toMatchObject({ decided: false, certain: false });
});

test("a mark is answered only once a majority shows it, or a later one", async () => {
  const { cursors, clock } = marks([at(ada, 1), at(bob, 2)], [at(ada, 3)], [at(ada, 3), at(bob, 9)]);
  const answer = cursors.move(room, [
    { user: ada, seq: 3, ordinal: 3, own: 0 },
    { user: bob, seq: 2, ordinal: 2, own: 0 },
  ]);
  clock.advance(60_000);
  expect(await answer).toMatchObject({
    decided: true,
    value: [
      { user: ada, seq: 3 },
      { user: bob, seq: 9 },
    ],
  });
});
