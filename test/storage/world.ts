// A folder, a store in it, and a way to await its health: what the fault tests begin with.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configureFailpoints } from "../../src/lib/failpoints";
import { openSqliteStore, type SqliteStore } from "../../src/storage/sqlite-store";

/** One store on a file of its own; removed at the end of the test. */
export class World implements AsyncDisposable {
  readonly folder: string;
  readonly #stores: SqliteStore[] = [];
  #waiting: { readonly writable: boolean; resolve(reason: string | null): void }[] = [];

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(): Promise<World> {
    return new World(await mkdtemp(join(tmpdir(), "parley-faults-")));
  }

  get file(): string {
    return join(this.folder, "parley.sqlite");
  }

  /** Opens the store with these failpoints armed in its threads; threads that are started later have none. */
  async open(failpoints = "", onFenced?: () => void): Promise<SqliteStore> {
    configureFailpoints(failpoints);
    try {
      const onHealth = (writable: boolean, reason: string | null) => this.#told(writable, reason);
      const store = await openSqliteStore({ file: this.file, onHealth, ...(onFenced ? { onFenced } : {}) });
      this.#stores.push(store);
      return store;
    } finally {
      configureFailpoints("");
    }
  }

  /** Settles with the reason when the store next says that writes do, or do not, go through. */
  becomes(writable: boolean): Promise<string | null> {
    return new Promise((resolve) => this.#waiting.push({ writable, resolve }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const store of this.#stores) await store.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  #told(writable: boolean, reason: string | null): void {
    const met = this.#waiting.filter((each) => each.writable === writable);
    this.#waiting = this.#waiting.filter((each) => each.writable !== writable);
    for (const { resolve } of met) resolve(reason);
  }
}
