// The stores that the proof runs over, each with data of its own: what a test opens, and what a server is configured with.
// Used by the socket suite, the crash test and the tests of faults, so that all of them run the same code over every store.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteStore } from "../src/storage/sqlite-store";
import type { Store } from "../src/storage/store";
import type { FaultTarget, Victim } from "./crash/faults";
import type { ReadEpochs } from "./crash/read-logs";

/** One data set, empty at first. */
export interface DataSet {
  /** What `PARLEY_STORE` is set to for a server on it. */
  readonly setting: string;
  /** What a server on it needs beside that. */
  readonly environment: Readonly<Record<string, string>>;
  /** The servers behind it that a test may end, where they are its own. */
  readonly victims: Readonly<Partial<Record<FaultTarget, Victim>>>;
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
  /** @param options `ownServers`: the servers behind it are nobody else's, and may be killed */
  fresh(options?: { readonly ownServers: boolean }): Promise<DataSet>;
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
      victims: {},
      open: () => openSqliteStore({ file }),
      dispose: () => rm(folder, { recursive: true, force: true }),
    };
  },
};

/** By the name that a command line gives. */
export const storesByName: ReadonlyMap<string, StoreUnderTest> = new Map([sqlite].map((store) => [store.name, store]));
