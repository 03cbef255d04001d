// The client's records in IndexedDB, and which storage a client has when none was handed in.
import { memoryStorage } from "./storage";
import type { ClientStorage, StorageChange } from "./storage";

const store = "records";

/** Keeps records in the IndexedDB database `name`; it is opened with the first call and may be shared by tabs. */
export function indexedDbStorage(name = "parley"): ClientStorage {
  let opening: Promise<IDBDatabase> | null = null;
  const open = (): Promise<IDBDatabase> => {
    opening ??= openDatabase(name, () => {
      opening = null;
    }).catch((error: unknown) => {
      opening = null;
      throw error;
    });
    return opening;
  };
  return {
    async read(prefix) {
      const database = await open();
      const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
      const records = database.transaction(store).objectStore(store);
      // Both begin in one transaction, so they see the same records in the same order.
      const [keys, values] = await Promise.all([answered(records.getAllKeys(range)), answered(records.getAll(range))]);
      return keys.map((key, i): StorageChange => [String(key), values[i]]);
    },
    async write(changes) {
      const database = await open();
      const transaction = database.transaction(store, "readwrite", { durability: "strict" });
      const records = transaction.objectStore(store);
      const done = completed(transaction);
      try {
        for (const [key, value] of changes) {
          if (value === undefined) records.delete(key);
          else records.put(value, key);
        }
      } catch (error) {
        transaction.abort();
        await done.catch(() => {});
        throw error;
      }
      await done;
    },
    async close() {
      const closing = opening;
      opening = null;
      (await closing?.catch(() => null))?.close();
    },
  };
}

/** IndexedDB where there is one, else memory. */
export function platformStorage(): ClientStorage {
  return typeof indexedDB === "undefined" ? memoryStorage() : indexedDbStorage();
}

/** @param lost called when the browser closes it: the next call opens it again */
function openDatabase(name: string, lost: () => void): Promise<IDBDatabase> {
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => void request.result.createObjectStore(store);
  return answered(request).then((database) => {
    database.onclose = lost;
    // A newer version of the page wants to change the database: it must not wait for this one.
    database.onversionchange = () => {
      database.close();
      lost();
    };
    return database;
  });
}

function answered<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB failed"));
  });
}

function completed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onerror = transaction.onabort = () => reject(transaction.error ?? new Error("IndexedDB failed"));
  });
}
