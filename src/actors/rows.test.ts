import { expect, test } from "bun:test";
import { AppError } from "../lib/errors";
import type { ConversationId, Seq, UserId } from "../protocol/ids";
import type { PlacedActor } from "./actor";
import type { RowPart } from "./messages";
import { noSettings, RowSource } from "./rows";

const ada = "ada" as UserId;
const id = `g${"A".repeat(22)}` as ConversationId;

function partAt(seq: Seq): RowPart {
  return {
    info: ["group", null, null, null, 2, null],
    membership: ["member", [1, 0, 0], 1],
    head: [seq, 0, 0, null],
    cursor: [0, 0, 0],
    myTotal: 0,
  };
}

/** An owner whose log is at `heads[i]` at the i-th look, and answers `answers[i]` to the i-th ask. */
function source(answers: readonly (Seq | AppError)[], heads: readonly (Seq | null)[], recently = false): RowSource {
  let asks = 0;
  let looks = 0;
  const router = {
    ask: async (kind: string) => {
      if (kind === "user") return noSettings;
      const answer = answers[asks++] as Seq | AppError;
      if (answer instanceof AppError) throw answer;
      return partAt(answer);
    },
    tell: () => undefined,
    tellHere: () => true,
    peek: () => {
      const head = heads[looks++];
      if (head === undefined) return null;
      const seen = head === null ? null : { ...partAt(head), totalsThrough: 0, sentSince: 0 };
      return { peek: () => seen } as unknown as PlacedActor;
    },
    recentlyActive: () => recently,
  };
  return new RowSource(router, {} as never);
}

const headOf = (part: RowPart | null): Seq | null => part?.head[0] ?? null;

test("an answer that was overtaken is asked for again until it holds", async () => {
  expect(await source([5, 6, 7], [6, 7, 7]).settled(id, ada, 500, headOf)).toBe(7);
});

test("an owner that never stands still is a retryable error, not a stale row", async () => {
  const settled = source([1, 2, 3, 4], [9, 9, 9, 9]).settled(id, ada, 500, headOf);
  await expect(settled).rejects.toMatchObject({ code: "store_unavailable" });
});

test("whoever was removed between answer and use is asked about again, and is no member then", async () => {
  expect(await source([5, new AppError("no_access")], [null]).settled(id, ada, 500, headOf)).toBeNull();
});

test("an owner that is silent rejects", async () => {
  const settled = source([new AppError("outcome_unknown")], []).settled(id, ada, 500, headOf);
  await expect(settled).rejects.toMatchObject({ code: "outcome_unknown" });
});

test("what ended a moment ago does not vouch for an answer", async () => {
  expect(source([], [], true).holds(id, ada, partAt(1))).toBe(false);
  expect(source([], [], false).holds(id, ada, partAt(1))).toBe(true);
});
