import { expect, test } from "bun:test";
import { silentLog } from "../lib/log";
import { decodeFrames } from "../protocol/codec";
import type { ConversationId, UserId } from "../protocol/ids";
import type { RowTuple } from "../protocol/operations";
import type { RowPart } from "./messages";
import { RowSource } from "./rows";
import { pushLateRows } from "./rows-late";
import type { SessionHandle } from "./session-world";

const room = "gAAAAAAAAAAAAAAAAAAAAAA" as ConversationId;
const part: RowPart = {
  info: ["group", null, null, null, 2, null],
  membership: ["member", [1, 0, 0], 1],
  head: [2, 1, 2, null],
  cursor: [0, 0, 0],
  myTotal: 0,
};

test("a late row carries the settings as they are once its owner has answered, not as they were before", async () => {
  const owner = Promise.withResolvers<RowPart>();
  const pushed = Promise.withResolvers<RowTuple>();
  let settings = [false, false];
  const router = {
    ask: async (kind: string) => {
      if (kind === "conversation") return owner.promise;
      return settings;
    },
    peek: () => ({ peek: () => ({ ...part, totalsThrough: 0, sentSince: 0 }) }),
  };
  const rows = new RowSource(router as never, {} as never);
  const session = {
    state: "open",
    user: "ada" as UserId,
    world: { rows, log: silentLog(), directory: { receive: () => false } },
    line: {
      subscribe: () => undefined,
      sendNow: (frame: Uint8Array) => pushed.resolve(decodeFrames(frame)[0]?.[2] as RowTuple),
    },
  } as unknown as SessionHandle;

  pushLateRows(session, [room], null);
  await Promise.resolve();
  settings = [true, false];
  owner.resolve(part);

  expect((await pushed.promise)[3]).toEqual([true, false]);
});

test("a late row whose owner had to be asked again carries the settings of its last moment", async () => {
  const pushed = Promise.withResolvers<RowTuple>();
  let settings = [false, false];
  let looks = 0;
  const seen = (head: number) => ({ ...part, head: [head, 1, 2, null], totalsThrough: 0, sentSince: 0 });
  const router = {
    ask: async (kind: string) => (kind === "conversation" ? part : settings),
    peek: () => {
      // At the first look the conversation has gone on; meanwhile the person mutes it, and is told so.
      if (++looks > 1) return { peek: () => seen(2) };
      settings = [true, false];
      return { peek: () => seen(3) };
    },
  };
  const session = {
    state: "open",
    user: "ada" as UserId,
    world: {
      rows: new RowSource(router as never, {} as never),
      log: silentLog(),
      directory: { receive: () => false },
    },
    line: {
      subscribe: () => undefined,
      sendNow: (frame: Uint8Array) => pushed.resolve(decodeFrames(frame)[0]?.[2] as RowTuple),
    },
  } as unknown as SessionHandle;

  pushLateRows(session, [room], null);

  expect((await pushed.promise)[3]).toEqual([true, false]);
});
