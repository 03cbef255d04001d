import { expect, test } from "bun:test";
import type { UserId } from "../protocol/ids";
import { ConversationState } from "./conversation-state";
import type { Member } from "./conversation-state";

const ben = "ben" as UserId;
const member = (seq: number): Member => ({
  role: "member",
  join: { seq, ordinal: 0, own: 0 },
  floor: 1,
  changedSeq: seq,
});

test("a removal that is staged holds while an older removal of the same person is committed", () => {
  const state = new ConversationState();
  const head = (seq: number) => ({ ...state.staged, seq });
  const stage = (seq: number, change: Member | null): void => {
    state.staged.seq = seq;
    state.setMember(ben, change);
  };
  const again = member(2);
  stage(1, null);
  stage(2, again);
  stage(3, null);

  state.commit(head(1), [], new Map([[ben, null]]));
  state.commit(head(2), [], new Map([[ben, again]]));
  expect([state.members.has(ben), state.member(ben)]).toEqual([true, null]);
  state.commit(head(3), [], new Map([[ben, null]]));

  expect([state.members.has(ben), state.member(ben)]).toEqual([false, null]);
});
