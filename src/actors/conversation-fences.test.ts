import { expect, test } from "bun:test";
import { encodeEntry } from "../protocol/codec";
import { entryKinds } from "../protocol/entry";
import type { ConversationId, UserId } from "../protocol/ids";
import type { Results } from "../protocol/operations";
import type { HeadRow } from "../storage/store";
import { ann, bob, codeOf, world } from "./conversation.case";
import { conversationIdFor } from "./conversation-id";
import { allPartitions } from "./local-placement";

const system = "parley:system" as UserId;
const group = conversationIdFor(false, ann, "g" as never, [bob]);

/** What an owner leaves who began a conversation and broke off, once another one has opened it. */
function fenceOnly(conversation: ConversationId, openEpoch: number): HeadRow {
  const none = { name: null, picture: null, fields: null, lastMessage: null, lastMessageSeq: 0 };
  const zero = { ordinal: 0, memberCount: 0, fedThrough: 0, totalsThrough: 0 };
  return { conversation, type: "", seq: 1, time: 1000, openEpoch, ...none, ...zero };
}

test("a log of fences only is no conversation, and becomes one behind them", async () => {
  const { store, create, ask, row, send, restart } = await world();
  const epoch = await store.claim(allPartitions);
  const bytes = encodeEntry([1, 0, entryKinds.fence, false, 1000, system, null, null, null, [epoch]]);
  const fence = { seq: 1, ordinal: 0, kind: entryKinds.fence, counts: false, sender: system, clientId: null, bytes };
  const head = fenceOnly(group, epoch);
  await store.commit({ conversation: group, epoch, entries: [fence], head, members: [], cursors: [], totals: [] });
  await restart();

  expect(await codeOf(row(group, ann))).toBe("no_access");
  expect(await create("group", ann, "g", [bob])).toBe(group);
  expect(await send(group, bob, "first")).toEqual([4]);

  const [entries] = await ask<Results["entries"]>(group, "entries", bob, 1, null);
  expect(entries.map(([seq, ordinal, kind]) => [seq, ordinal, kind])).toEqual([
    [1, 0, entryKinds.fence],
    [2, 0, entryKinds.conversation],
    [3, 0, entryKinds.members],
    [4, 1, entryKinds.message],
  ]);
  expect(await create("group", ann, "g", [bob])).toBe(group);
});

test("a write that is refused for a newer owner's sake is counted, by kind", async () => {
  const { store, create, send, ensure, fenced } = await world();
  expect(await create("group", ann, "g", [bob])).toBe(group);
  await store.claim(allPartitions);
  const late = [send(group, ann, "too late"), ensure(["eve" as UserId])];
  expect(await Promise.all(late.map(codeOf))).toEqual(["outcome_unknown", "outcome_unknown"]);
  expect(new Set(fenced)).toEqual(new Set(["conversation", "user"]));
});
