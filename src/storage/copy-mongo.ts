// A MongoDB database as the source or the target of a copy. Reading is one ordered pass over each collection, writing one ordered
// insert for each page; the document `copy` of `meta` says how far a copy has come, and keeps servers out until it is whole.
import type { Db, Document } from "mongodb";
import { systemClock } from "../lib/clock";
import { failpoint } from "../lib/failpoints";
import { CopyError, keyOf, PageInMaking, transferKinds } from "./copy";
import type {
  Begun,
  CarriedRows,
  CopyEnd,
  CopyPosition,
  TransferKind,
  TransferPage,
  TransferRow,
  TransferSource,
  TransferState,
  TransferTarget,
} from "./copy";
import { beyond, carriedOf, documentOf, mongoKeys, rowsOf } from "./copy-mongo-rows";
import { MongoCommands } from "./mongo-commands";
import { connectMongo, wtimeoutOf } from "./mongo-connection";
import { isOfDriver } from "./mongo-failures";
import { migrateMongo, mongoMigrations } from "./mongo-migrations";
import { openCollections } from "./mongo-schema";
import type { Collections, FeedDoc } from "./mongo-schema";

/** An open database. */
export interface OpenDatabase {
  /** Its address, without secrets. */
  readonly name: string;
  readonly db: Db;
  readonly collections: Collections;
  readonly wtimeoutMs: number;
  close(): Promise<void>;
}

/** Documents asked for at once. */
const batchSize = 1000;
/** How long a command may take: an ordered pass may sort before it answers, and a page is larger than what servers write. */
const operationMs = 300_000;
/** How long a database that does not answer is waited for at first: an operator watches. */
const startMs = 5000;
const firstPosition: CopyPosition = { kind: "users", after: null };

/** Connects. Rejects with a {@link StartupError} that says the fix and holds no secret. */
export async function openMongoDatabase(uri: string): Promise<OpenDatabase> {
  const { client, db, limits } = await connectMongo({ uri, clock: systemClock, limits: { operationMs, startMs } });
  const wtimeoutMs = wtimeoutOf(limits);
  return {
    name: `mongodb://${client.options.hosts.map(String).join(",")}/${db.databaseName}`,
    ...{ db, wtimeoutMs, collections: openCollections(db, wtimeoutMs) },
    close: () => client.close(),
  };
}

class MongoRows {
  readonly name: string;
  readonly opened: OpenDatabase;

  constructor(opened: OpenDatabase) {
    this.name = opened.name;
    this.opened = opened;
  }

  count(kind: TransferKind): Promise<number> {
    return this.opened.db.collection(kind).estimatedDocumentCount();
  }

  async *pages(kind: TransferKind, after: TransferRow | null): AsyncGenerator<TransferPage, void> {
    const page = new PageInMaking();
    let carried: CarriedRows[] = [];
    for await (const doc of this.#documents(kind, after)) {
      for (const row of rowsOf(kind, doc)) page.add(row);
      const more = kind === "feed" ? carriedOf(doc as FeedDoc) : null;
      if (more) carried.push(more);
      // Between documents only: a position within one could not be gone on from.
      if (!page.isFull) continue;
      yield { rows: page.take(), carried };
      carried = [];
    }
    if (page.rows.length > 0 || carried.length > 0) yield { rows: page.take(), carried };
  }

  /** The value of a document of `meta`. */
  async meta(id: string): Promise<unknown> {
    const found = await this.opened.db.collection("meta").findOne({ _id: id as never });
    return found?.["value"] ?? null;
  }

  close(): Promise<void> {
    return this.opened.close();
  }

  /** One pass; where the server drops it, another one goes on behind the last document. */
  async *#documents(kind: TransferKind, after: TransferRow | null): AsyncGenerator<Document, void> {
    const keys = mongoKeys[kind] as readonly string[];
    for (let from = after; ; ) {
      let read = 0;
      try {
        for await (const doc of this.#find(kind, keys, from)) {
          read++;
          yield doc;
          from = keys.map((key) => doc[key] as string | number);
        }
        return;
      } catch (error) {
        // Without progress it is not the pass that is at fault.
        if (read === 0 || !isOfDriver(error)) throw error;
      }
    }
  }

  #find(kind: TransferKind, keys: readonly string[], after: TransferRow | null): AsyncIterable<Document> {
    const collection = this.opened.collections[kind] as unknown as ReturnType<Db["collection"]>;
    const sort = Object.fromEntries(keys.map((key) => [key, 1 as const]));
    return collection.find(beyond(kind, after), { sort, batchSize });
  }
}

/** Reads a database that servers have used. Rejects with a {@link CopyError} where it holds no data of Parley. */
export async function openMongoSource(opened: OpenDatabase): Promise<TransferSource> {
  const source = new MongoSource(opened);
  try {
    await source.state();
    return source;
  } catch (error) {
    await source.close();
    throw error;
  }
}

class MongoSource extends MongoRows implements TransferSource {
  readonly exact = false;

  async state(): Promise<TransferState> {
    const generation = await this.meta("generation");
    if (typeof generation !== "string") {
      throw new CopyError(
        "refused",
        `${this.name} holds no data of Parley; check the name of the database in the address`,
      );
    }
    if ((await this.meta("copy")) !== null) {
      throw new CopyError("refused", `${this.name} holds an unfinished copy; finish it, or drop the database`);
    }
    await this.#checkSchema();
    const [epoch, featureLevel] = [await this.meta("epoch"), await this.meta("featureLevel")].map((each) =>
      Number(each ?? 0),
    );
    return { store: "mongodb", generation, epoch: epoch ?? 0, featureLevel: featureLevel ?? 0 };
  }

  async #checkSchema(): Promise<void> {
    const schema = (await this.opened.collections.meta.findOne({ _id: "schema" }))?.schema ?? 0;
    const known = mongoMigrations.at(-1)?.schema ?? 0;
    if (schema === known) return;
    const other =
      schema < known ? "an older version; start this version on it once" : "a newer version; copy it with that";
    throw new CopyError("refused", `${this.name} was written by ${other} (schema ${schema}, this one writes ${known})`);
  }
}

/** What the document `copy` of `meta` holds while a copy is unfinished, and `copied` afterwards. */
interface Marker {
  readonly from: TransferState;
  readonly position: CopyPosition;
  /** Which process is writing: one that finds another's here has been replaced. */
  readonly run: string;
}

interface EndMarker {
  readonly from: TransferState;
  /** The epoch counter at the end: where it is another one now, a server has used the copy. */
  readonly epoch: number;
}

/** A target; nothing is changed before {@link TransferTarget.begin}. */
export function createMongoTarget(opened: OpenDatabase): TransferTarget {
  return new MongoTarget(opened);
}

class MongoTarget extends MongoRows implements TransferTarget {
  readonly #commands: MongoCommands;
  readonly #run = crypto.randomUUID();
  #from: TransferState | null = null;

  constructor(opened: OpenDatabase) {
    super(opened);
    this.#commands = new MongoCommands(opened.db, opened.wtimeoutMs);
  }

  async begin(from: TransferState): Promise<Begun> {
    this.#from = from;
    const marker = (await this.meta("copy")) as Marker | null;
    if (marker === null) return this.#beginNew(from);
    if (!sameState(marker.from, from)) {
      throw new CopyError(
        "refused",
        `${this.name} holds an unfinished copy of something else, or its source was used since; drop the database and copy again`,
      );
    }
    const { position } = marker;
    await this.#mark(position);
    // What a crash left behind the position may be part of a page.
    await this.#commands.remove(position.kind, [beyond(position.kind, position.after)]);
    return { state: "resumed", position };
  }

  async write(kind: TransferKind, { rows }: TransferPage): Promise<void> {
    const last = rows.at(-1);
    if (!last) return;
    const inserted = await this.#commands.insert(kind, rows.map((row) => documentOf(kind, row)) as never);
    if (inserted < rows.length) {
      const key = JSON.stringify(keyOf(kind, rows[inserted] as TransferRow));
      throw new CopyError("failed", `${this.name}: ${kind} ${key} is there already; is another copy writing to it?`);
    }
    failpoint("copy.page");
    await this.#move({ kind, after: keyOf(kind, last) });
  }

  async finishKind(kind: TransferKind): Promise<void> {
    const next = transferKinds[transferKinds.indexOf(kind) + 1];
    if (next) await this.#move({ kind: next, after: null });
  }

  async finish({ generation, epoch, featureLevel }: CopyEnd): Promise<void> {
    const from = this.#from;
    if (from === null) throw new Error("a copy is begun before it is finished");
    await this.#commands.update("meta", [
      { q: { _id: "generation" }, u: { $set: { value: generation } }, upsert: true },
      { q: { _id: "epoch" }, u: { $max: { value: epoch } }, upsert: true },
      { q: { _id: "featureLevel" }, u: { $max: { value: featureLevel } }, upsert: true },
    ]);
    failpoint("copy.done");
    const value: EndMarker = { from, epoch: Number(await this.meta("epoch")) };
    await this.#commands.update("meta", [{ q: { _id: "copied" }, u: { $set: { value } }, upsert: true }]);
    await this.#commands.remove("meta", [{ _id: "copy", "value.run": this.#run }]);
  }

  async #beginNew(from: TransferState): Promise<Begun> {
    const done = (await this.meta("copied")) as EndMarker | null;
    if (done && sameState(done.from, from) && done.epoch === Number(await this.meta("epoch"))) return { state: "done" };
    for (const kind of transferKinds) {
      if ((await this.opened.db.collection(kind).findOne({})) === null) continue;
      throw new CopyError(
        "refused",
        `${this.name} is not empty; name another database in the address, or drop this one first`,
      );
    }
    await migrateMongo(this.opened.db, this.opened.wtimeoutMs, { intoCopy: true });
    await this.#mark(firstPosition);
    return { state: "empty" };
  }

  /** Takes the copy over, or begins it. */
  async #mark(position: CopyPosition): Promise<void> {
    const value: Marker = { from: this.#from as TransferState, position, run: this.#run };
    await this.#commands.update("meta", [{ q: { _id: "copy" }, u: { $set: { value } }, upsert: true }]);
  }

  async #move(position: CopyPosition): Promise<void> {
    const mine = { _id: "copy", "value.run": this.#run };
    const moved = await this.#commands.update("meta", [{ q: mine, u: { $set: { "value.position": position } } }]);
    if (moved.matched === 0) throw new CopyError("failed", `another copy took ${this.name} over; this one has stopped`);
  }
}

function sameState(a: TransferState, b: TransferState): boolean {
  return a.store === b.store && a.generation === b.generation && a.epoch === b.epoch;
}
