// The MongoDB driver keeps the contract of the port, on a real server: each test has a database of its own.
import { openMongoStore } from "../../src/storage/mongo-store";
import type { Store } from "../../src/storage/store";
import { storeContract } from "../../src/storage/store.case";
import { describeWith, shareMongo } from "../services/services";

describeWith("mongodb", "contract", () => {
  storeContract("mongodb", async () => {
    const share = await shareMongo();
    const opened: Store[] = [];
    const open = async () => {
      const store = await openMongoStore({ uri: share.uri });
      opened.push(store);
      return store;
    };
    const store = await open();
    return {
      store,
      async reopen() {
        await store.close();
        return open();
      },
      second: open,
      async dispose() {
        for (const each of opened) await each.close();
        await share[Symbol.asyncDispose]();
      },
    };
  });
});
