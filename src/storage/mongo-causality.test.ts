import { expect, test } from "bun:test";
import { Timestamp } from "mongodb";
import { MongoCausality } from "./mongo-causality";

const at = (i: number) => new Timestamp({ t: 1_700_000_000, i });

test("without a time nothing but the level is sent; with one, the newest, which nothing sets back", () => {
  const causality = new MongoCausality();
  const { readConcern } = causality;
  causality.noted(undefined);
  expect({ ...readConcern }).toEqual({ level: "majority" } as never);
  for (const i of [2, 1, 3, 2]) causality.noted(at(i));
  expect({ ...readConcern }).toEqual({ level: "majority", afterClusterTime: at(3) } as never);
  // As the driver does for a session that has read before.
  Object.assign(readConcern, { afterClusterTime: at(1) });
  expect({ ...readConcern }).toEqual({ level: "majority", afterClusterTime: at(3) } as never);
  Object.assign(readConcern, { afterClusterTime: at(4) });
  expect({ ...readConcern }).toEqual({ level: "majority", afterClusterTime: at(4) } as never);
});
