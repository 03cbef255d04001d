// The stores that the proof runs over, each with data of its own: what a test opens, and what a server is configured with.
// Used by the socket suite, the crash test and the tests of faults, so that all of them run the same code over every store.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteStore } from "../src/storage/sqlite-store";
import type { Store } from "../src/storage/store";
import type { FaultTarget, Troubles } from "./crash/faults";
import type { ReadEpochs } from "./crash/read-logs";

/** One data set, empty at first. */
export interface DataSet {
  /** What `PARLEY_STORE` is set to for a server on it. */
  readonly setting: string;
  /** What a server on it needs beside that. */
  readonly environment: Readonly<Record<string, string>>;
  /** What a test may put it to: empty where its servers are shared with other tests. */
  readonly troubles: Troubles;
  /** Where the store keeps the epoch of each entry. */
  readonly readEpochs?: ReadEpochs;
  /** A handle on it, as a server opens one; to be closed by the caller. */
  open(): Promise<Store>;
  /** Removes it, once every handle and server on it is closed. */
  dispose(): Promise<void>;
}

/** A kind of store, and how a fresh data set of it comes about. */
export interface StoreUnderTest {
  readonly name: "memory" | "sqlite" | "mongodb";
  /** @param targets what is going to be troubled, so that it has to be there for this data set alone */
  fresh(targets?: readonly FaultTarget[]): Promise<DataSet>;
}

/** A file in a folder of its own. */
export const sqlite: StoreUnderTest = {
  name: "sqlite",
  async fresh() {
    const folder = await mkdtemp(join(tmpdir(), "parley-data-"));
    const file = join(folder, "parley.sqlite");
    return {
      setting: `sqlite:${file}`,
      environment: {},
      troubles: {},
      open: () => openSqliteStore({ file }),
      dispose: () => rm(folder, { recursive: true, force: true }),
    };
  },
};

/** By the name that a command line gives. */
export const storesByName: ReadonlyMap<string, StoreUnderTest> = new Map([sqlite].map((store) => [store.name, store]));
