// A MongoDB store in a database of its own, whose commands are watched and whose clock a test may move on. Test code only.
import type { Epoch } from "../../src/protocol/ids";
import { openMongoStore } from "../../src/storage/mongo-store";
import type { Store } from "../../src/storage/store";
import { allPartitions } from "../../src/storage/store-samples.case";
import { shareMongo } from "../services/services";
import { SteeredClock } from "../socket/steered-clock";
import { CommandWatch } from "./mongo-watch";

/** Disposing closes every handle and drops the data. */
export interface WatchedStore extends AsyncDisposable {
  readonly uri: string;
  readonly store: Store;
  readonly epoch: Epoch;
  readonly watch: CommandWatch;
  readonly clock: SteeredClock;
  /** Another handle on the same data, watched too. */
  another(): Promise<Store>;
}

/** Opens it, with all partitions claimed. */
export async function openWatched(): Promise<WatchedStore> {
  const share = await shareMongo();
  const watch = new CommandWatch();
  const clock = new SteeredClock();
  const opened: Store[] = [];
  const another = async () => {
    const store = await openMongoStore({ uri: share.uri, clock, observe: { command: watch.command } });
    opened.push(store);
    return store;
  };
  const store = await another();
  return {
    uri: share.uri,
    store,
    epoch: await store.claim(allPartitions),
    watch,
    clock,
    another,
    async [Symbol.asyncDispose]() {
      for (const each of opened) await each.close();
      await share[Symbol.asyncDispose]();
    },
  };
}
