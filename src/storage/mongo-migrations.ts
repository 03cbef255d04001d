// Brings a database to the schema this program knows, or says why it cannot. Several servers may do so at once: every step
// may be repeated, and the recorded schema rises last.
import type { Db } from "mongodb";
import { failpoint, isControlOn } from "../lib/failpoints";
import { partitionCount } from "../lib/hash";
import { MongoCommands } from "./mongo-commands";
import { isOfDriver, reasonOf } from "./mongo-failures";
import { collectionNames, mongoIndexes } from "./mongo-schema";
import type { MetaDoc } from "./mongo-schema";
import { dueSteps } from "./migrations";
import type { Step } from "./migrations";
import { StartupError } from "./sqlite-errors";

/** One step of a database. */
export interface MongoMigration extends Step {
  /** May run again after it ran half or whole, also beside itself. */
  up(commands: MongoCommands): Promise<void>;
}

const alreadyExists = 48;

/** Every migration, ascending. One that was released is never edited; the next one mends it. */
export const mongoMigrations: readonly MongoMigration[] = [
  {
    schema: 1,
    minCompatible: 1,
    async up(commands) {
      // `meta` first: a database that has others but not it belongs to another program.
      for (const name of collectionNames) await createCollection(commands, name);
      failpoint("mongo.migrate.collections");
      await commands.update("meta", [
        { q: { _id: "generation" }, u: { $setOnInsert: { value: crypto.randomUUID() } }, upsert: true },
        { q: { _id: "epoch" }, u: { $setOnInsert: { value: 0 } }, upsert: true },
        { q: { _id: "probe" }, u: { $setOnInsert: { value: 0 } }, upsert: true },
      ]);
      // Each may be there already, by another server that starts at the same time.
      const partitions = Array.from({ length: partitionCount }, (_, _id) => ({ _id, epoch: 0 }));
      let done = 0;
      while (done < partitions.length) done += 1 + (await commands.insert("partitions", partitions.slice(done)));
    },
  },
];

/**
 * Applies what is missing and due ({@link dueSteps}), creates the indexes, records `{schema, minCompatible}`. A newer database that allows this
 * program's schema is left as it is. Rejects with a {@link StartupError} that says the fix for one that does not, for another
 * program's database, and for one that an unfinished copy is being written to, unless `intoCopy`.
 */
export async function migrateMongo(
  db: Db,
  wtimeoutMs: number,
  {
    migrations = mongoMigrations,
    intoCopy = false,
  }: { migrations?: readonly MongoMigration[]; intoCopy?: boolean } = {},
): Promise<void> {
  try {
    await migrate(db, new MongoCommands(db, wtimeoutMs), migrations, intoCopy);
  } catch (error) {
    if (!isOfDriver(error)) throw error;
    throw new StartupError(`the database ${db.databaseName} could not be prepared: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

async function migrate(
  db: Db,
  commands: MongoCommands,
  migrations: readonly MongoMigration[],
  intoCopy: boolean,
): Promise<void> {
  const known = migrations.at(-1)?.schema ?? 0;
  const { schema, minCompatible, featureLevel } = await readSchema(db, intoCopy);
  if (schema > known && minCompatible > known) {
    throw new StartupError(
      `the database ${db.databaseName} was written by a newer version (schema ${schema}, needs ${minCompatible}; this ` +
        `version knows ${known}); start the newer version again, or restore a backup made before the upgrade`,
    );
  }
  const due = dueSteps(migrations, schema, featureLevel);
  for (const migration of due) {
    await migration.up(commands);
    failpoint("mongo.migrate.step");
    if (migration === due.at(-1)) await createIndexes(db, commands);
    const recorded = { schema: migration.schema, minCompatible: migration.minCompatible };
    // Where another server has recorded it, or more, the upsert finds the key taken.
    const q = { _id: "schema", schema: { $lt: migration.schema } };
    await commands.update("meta", [{ q, u: { $set: recorded }, upsert: true }]);
  }
  // The guarantees rest on the unique ones: whoever dropped one gets it back, or is told which keys stand twice.
  if (schema <= known && due.length === 0) await createIndexes(db, commands);
}

interface Recorded {
  readonly schema: number;
  readonly minCompatible: number;
  readonly featureLevel: number;
}

async function readSchema(db: Db, intoCopy: boolean): Promise<Recorded> {
  const names = (await db.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name);
  if (!names.includes("meta")) {
    if (names.length === 0) return { schema: 0, minCompatible: 0, featureLevel: 0 };
    throw new StartupError(
      `the database ${db.databaseName} holds collections of another program; name another one in the store's address`,
    );
  }
  const rows = await db
    .collection<MetaDoc>("meta")
    .find({ _id: { $in: ["schema", "copy", "featureLevel"] } })
    .toArray();
  if (!intoCopy && rows.some(({ _id }) => _id === "copy")) {
    throw new StartupError(
      `the database ${db.databaseName} holds an unfinished copy; run the same \`parley copy\` or \`parley restore\` again ` +
        "to finish it, or drop the database",
    );
  }
  const found = rows.find(({ _id }) => _id === "schema");
  const level = rows.find(({ _id }) => _id === "featureLevel")?.value;
  return {
    schema: found?.schema ?? 0,
    minCompatible: found?.minCompatible ?? 0,
    featureLevel: Number(level ?? 0),
  };
}

async function createCollection(commands: MongoCommands, name: string): Promise<void> {
  try {
    await commands.define({ create: name });
  } catch (error) {
    if (!isOfDriver(error) || !("code" in error) || error.code !== alreadyExists) throw error;
  }
}

async function createIndexes(db: Db, commands: MongoCommands): Promise<void> {
  // A negative control: entries may then stand twice.
  const dropped = isControlOn("negative.noUniqueIndex");
  for (const collection of collectionNames) {
    const wanted = mongoIndexes.filter((each) => each.collection === collection);
    const indexes = wanted
      .filter(({ unique }) => !(dropped && unique && collection === "entries"))
      .map(({ name, key, unique }) => ({ name, key: Object.fromEntries(key.map((field) => [field, 1])), unique }));
    // Only what is not there: a compatible server may fail at being asked for what it has.
    const missing = indexes.length > 0 ? await missingOf(db, collection, indexes) : [];
    if (missing.length > 0) await commands.define({ createIndexes: collection, indexes: missing });
  }
}

interface Index {
  readonly name: string;
  readonly key: Readonly<Record<string, number>>;
  readonly unique: boolean;
}

async function missingOf(db: Db, collection: string, wanted: readonly Index[]): Promise<readonly Index[]> {
  const there = await db.collection(collection).listIndexes().toArray();
  const same = (one: Index): boolean =>
    there.some(
      ({ name, key, unique }) =>
        name === one.name && JSON.stringify(key) === JSON.stringify(one.key) && (unique ?? false) === one.unique,
    );
  return wanted.filter((one) => !same(one));
}
