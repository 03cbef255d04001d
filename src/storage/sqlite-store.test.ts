// The SQLite driver keeps the contract of the port, on real files.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteStore } from "./sqlite-store";
import type { Store } from "./store";
import { storeContract } from "./store.case";

storeContract("sqlite", async () => {
  const folder = await mkdtemp(join(tmpdir(), "parley-store-"));
  const file = join(folder, "parley.sqlite");
  const opened: Store[] = [];
  const open = async () => {
    const store = await openSqliteStore({ file });
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
});
