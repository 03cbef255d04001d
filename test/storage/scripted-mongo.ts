// A MongoDB store by way of a scripted wire, with short time-outs, and a way to await its health.
// What the tests of outcomes begin with.
import { MongoClient } from "mongodb";
import { openMongoStore } from "../../src/storage/mongo-store";
import type { Store } from "../../src/storage/store";
import { allPartitions } from "../../src/storage/store-samples.case";
import { startMongoProxy } from "../faults/mongo-proxy";
import type { MongoProxy } from "../faults/mongo-proxy";
import { shareMongo } from "../services/services";

/** Long enough for a busy machine to answer, short enough to be waited for. */
const limits = { operationMs: 500, serverSelectionMs: 2_000, decideMs: 1_200 };

/** One store on a database of its own; everything is closed and dropped at the end of the test. */
export class ScriptedMongo implements AsyncDisposable {
  /** By way of the proxy; all partitions are claimed under {@link epoch}. */
  readonly store: Store;
  readonly epoch: number;
  readonly proxy: MongoProxy;
  /** Past the proxy. */
  readonly direct: MongoClient;
  readonly database: string;
  readonly #uri: string;
  readonly #opened: AsyncDisposableStack;
  #waiting: (() => void)[] = [];

  private constructor(parts: Pick<ScriptedMongo, "store" | "epoch" | "proxy" | "direct" | "database">, uri: string) {
    ({ store: this.store, epoch: this.epoch, proxy: this.proxy, direct: this.direct, database: this.database } = parts);
    this.#uri = uri;
    this.#opened = new AsyncDisposableStack();
  }

  static async open(): Promise<ScriptedMongo> {
    await using opened = new AsyncDisposableStack();
    const share = opened.use(await shareMongo());
    const proxy = opened.use(await startMongoProxy(share.uri));
    const direct = opened.use(new MongoClient(share.uri));
    let world: ScriptedMongo | null = null;
    const onHealth = (writable: boolean): void => world?.told(writable);
    const store = await openMongoStore({ uri: proxy.uri, limits, onHealth });
    opened.defer(() => store.close());
    // Whatever is still played would only make closing wait.
    opened.defer(() => proxy.onCommand(null));
    const epoch = await store.claim(allPartitions);
    world = new ScriptedMongo({ store, epoch, proxy, direct, database: share.name }, share.uri);
    world.#opened.use(opened.move());
    return world;
  }

  /** Another server's store on the same data, past the proxy. */
  async second(): Promise<Store> {
    const store = await openMongoStore({ uri: this.#uri, limits });
    this.#opened.defer(() => store.close());
    return store;
  }

  /** Resolves once writes go through. */
  writable(): Promise<void> {
    if (this.store.health().writable) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** The store says whether writes go through. */
  told(writable: boolean): void {
    if (writable) for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync();
  }
}
