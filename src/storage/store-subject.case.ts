// What the contract suite runs on: a store with its data, opened afresh for every test. Test code only.
import type { Epoch } from "../protocol/ids";
import type { Store } from "./store";
import { allPartitions } from "./store-samples.case";

/** A store under test with its data. */
export interface StoreSubject {
  /** The open store, empty at first. */
  readonly store: Store;
  /** Closes the store and opens the same data again. */
  reopen(): Promise<Store>;
  /** A second handle on the same data while the first stays open, as a second server would have. */
  second(): Promise<Store>;
  /** Closes every handle and removes the data. */
  dispose(): Promise<void>;
}

/** Opens a fresh, empty subject for one test. */
export type OpenSubject = () => Promise<StoreSubject>;

/** Runs `use` with a fresh subject, all of whose partitions are claimed under `epoch`, and disposes of it. */
export async function withStore(
  open: OpenSubject,
  use: (store: Store, epoch: Epoch, subject: StoreSubject) => Promise<void>,
): Promise<void> {
  const subject = await open();
  try {
    await use(subject.store, await subject.store.claim(allPartitions), subject);
  } finally {
    await subject.dispose();
  }
}
