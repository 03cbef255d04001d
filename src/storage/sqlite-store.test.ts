// The SQLite driver keeps the contract of the port, on real files: alone, and where other processes may have the file open too.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteStore } from "./sqlite-store";
import type { Store } from "./store";
import { sharedContract, storeContract } from "./store.case";
import type { StoreSubject } from "./store-subject.case";

async function subject(shared: boolean): Promise<StoreSubject> {
  const folder = await mkdtemp(join(tmpdir(), "parley-store-"));
  const file = join(folder, "parley.sqlite");
  const opened: Store[] = [];
  const open = async () => {
    const store = await openSqliteStore({ file, shared });
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
      await rm(folder, { recursive: true });
    },
  };
}

storeContract("sqlite", () => subject(false));
sharedContract("shared sqlite", () => subject(true));
