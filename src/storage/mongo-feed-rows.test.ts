import { expect, test } from "bun:test";
import type { DeviceId } from "../protocol/ids";
import { feedDocOf, FeedProjections, fenceDocOf, foldFeed } from "./mongo-feed-rows";
import { changesOf, deviceOf } from "./mongo-schema";
import type { UserDoc } from "./mongo-schema";
import { ada, conversationNamed, device, feedWrite, membership, userRow } from "./store-samples.case";

const room = conversationNamed("room");
const before: UserDoc = { _id: ada, ...personOf(3), openEpoch: 1, epoch: 1, lease: "a", revision: 4 };

function personOf(userSeq: number) {
  const { user, ...person } = userRow(ada, userSeq);
  return person;
}

test("a write is one document from its first change to its last", () => {
  const write = feedWrite(7, userRow(ada, 5), [membership(room), membership(conversationNamed(2))]);
  const doc = feedDocOf(write, 3);
  expect([doc.first, doc.userSeq, doc.epoch, doc.revision]).toEqual([4, 5, 7, 3]);
  expect(changesOf(doc)).toEqual(write.changes as never);
});

test("what was left behind a row is folded in order, the later rows win", () => {
  const phone = device("phone");
  const first = feedDocOf({ ...feedWrite(1, userRow(ada, 4), [membership(room)]), devices: [phone, device("web")] }, 4);
  const gone = membership(room, { role: null, seq: 9 });
  const second = feedDocOf(
    { ...feedWrite(1, userRow(ada, 5, { tokensValidFrom: 77 }), [gone]), devicesDropped: ["web" as DeviceId] },
    5,
  );
  const { row, projections } = foldFeed(ada, before, [first, second, fenceDocOf(ada, 6, 2, 6)]);

  expect(row).toEqual(userRow(ada, 6, { tokensValidFrom: 77 }));
  expect(projections.memberships(ada, 6).map(({ u }) => u)).toEqual([
    { $max: { row: expect.objectContaining({ stamp: 6, seq: 9, role: null }) } },
  ] as never);
  expect(projections.devices(ada, 6, 1_000).map(({ q, u }) => [q["device"], u["$max"].row.droppedAt])).toEqual([
    ["phone", undefined],
    ["web", 1_000],
  ]);
});

test("a device that is dropped and comes back is there", () => {
  const web = device("web");
  const back = new FeedProjections()
    .add({ memberships: [], devices: [], devicesDropped: [web.device] })
    .add({ memberships: [], devices: [web], devicesDropped: [] });
  expect(back.devices(ada, 2, 1_000).map(({ u }) => deviceOf({ user: ada, device: web.device, ...u["$max"] }))).toEqual(
    [web],
  );
});

test("what was dropped is kept for a day, so that a late write finds a newer stamp there", () => {
  const dayMs = 24 * 60 * 60 * 1000;
  const drop = new FeedProjections().add({ memberships: [], devices: [], devicesDropped: [device("web").device] });
  const [update] = drop.devices(ada, 5, dayMs);
  expect(deviceOf({ user: ada, device: device("web").device, ...update?.u["$max"] })).toBeNull();
  expect(update?.u["$max"].row.stamp).toBe(5);
  expect(drop.outlived(ada, 3 * dayMs)).toEqual([{ user: ada, "row.droppedAt": { $lt: 2 * dayMs } }] as never);
  expect(new FeedProjections().outlived(ada, 3 * dayMs)).toEqual([]);
});

test("who was begun and never written is made from what was begun", () => {
  const doc = feedDocOf({ ...feedWrite(1, userRow(ada, 1, { createdAt: 12 }), [membership(room)]) }, 1);
  expect(foldFeed(ada, null, [doc]).row).toEqual(userRow(ada, 1, { createdAt: 12 }));
});

test("a fence takes one number and tells nothing", () => {
  expect(changesOf(fenceDocOf(ada, 6, 2, 6))).toEqual([[6, "fence", "", []]]);
});
