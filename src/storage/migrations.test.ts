// A file is brought to the known schema whole or not at all, and a newer one is refused with the fix.
import { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import { configureFailpoints } from "../lib/failpoints";
import { dueSteps, type Migration, migrate, readSchema, type Step } from "./migrations";
import { mongoMigrations } from "./mongo-migrations";
import { sqliteMigrations } from "./sqlite-schema";

afterEach(() => configureFailpoints(""));

const second: Migration = {
  schema: 2,
  minCompatible: 1,
  up: (db) => db.run("ALTER TABLE heads ADD COLUMN later TEXT"),
};

function tables(db: Database): unknown[] {
  return db.query("SELECT name FROM sqlite_schema WHERE type = 'table'").values().flat();
}

test("an empty file gets every migration and records schema and minCompatible", () => {
  using db = new Database(":memory:");
  expect(migrate(db, [...sqliteMigrations, second])).toEqual({ schema: 2, minCompatible: 1 });
  expect(readSchema(db)).toEqual({ schema: 2, minCompatible: 1 });
  expect(tables(db)).toContain("entries");
});

test("a file of an older schema gets only what is missing, and keeps its generation", () => {
  using db = new Database(":memory:");
  migrate(db, sqliteMigrations);
  const generation = db.query("SELECT value FROM meta WHERE key = 'generation'").get();
  expect(migrate(db, [...sqliteMigrations, second]).schema).toBe(2);
  expect(db.query("SELECT value FROM meta WHERE key = 'generation'").get()).toEqual(generation);
  expect(migrate(db, [...sqliteMigrations, second]).schema).toBe(2);
});

test("a failure in the middle of several migrations leaves the file as it was", () => {
  using db = new Database(":memory:");
  migrate(db, sqliteMigrations);
  configureFailpoints("migrate.middle=throw@2");
  const third: Migration = { ...second, schema: 3, up: (each) => each.run("CREATE TABLE third(x)") };
  expect(() => migrate(db, [...sqliteMigrations, second, third])).toThrow("armed");
  expect(readSchema(db)).toEqual({ schema: 1, minCompatible: 1 });
  expect(tables(db)).not.toContain("third");
  expect(db.query("SELECT name FROM pragma_table_info('heads')").values().flat()).not.toContain("later");
  expect(db.inTransaction).toBe(false);
});

test("a step that an older program could not live with waits until none is left", () => {
  using db = new Database(":memory:");
  migrate(db, sqliteMigrations);
  const drop: Migration = {
    schema: 3,
    minCompatible: 2,
    afterLevel: 2,
    up: (each) => each.run("ALTER TABLE heads DROP COLUMN later"),
  };
  const columns = () => db.query("SELECT name FROM pragma_table_info('heads')").values().flat();
  const release = [...sqliteMigrations, second, drop];
  for (const start of ["first", "second"])
    expect([start, migrate(db, release)]).toEqual([start, { schema: 2, minCompatible: 1 }]);
  expect(migrate(db, sqliteMigrations)).toEqual({ schema: 2, minCompatible: 1 });
  expect(columns()).toContain("later");

  db.run("INSERT INTO meta VALUES('featureLevel', 2)");
  expect(migrate(db, release)).toEqual({ schema: 3, minCompatible: 2 });
  expect(columns()).not.toContain("later");
  expect(() => migrate(db, sqliteMigrations)).toThrow("start the newer version again");
});

test("an empty database gets steps that would wait elsewhere, and none is made before one that waits", () => {
  const steps: readonly Step[] = [
    { schema: 1, minCompatible: 1 },
    { schema: 2, minCompatible: 2, afterLevel: 2 },
    { schema: 3, minCompatible: 1 },
  ];
  const due = (schema: number, level: number) => dueSteps(steps, schema, level).map((step) => step.schema);
  expect([due(0, 0), due(1, 1), due(1, 2), due(2, 1)]).toEqual([[1, 2, 3], [], [2, 3], [3]]);
});

for (const [store, steps] of [
  ["SQLite", sqliteMigrations],
  ["MongoDB", mongoMigrations],
] as const) {
  test(`every step of ${store} leaves room for the release before, or says when none is left`, () => {
    const narrow = (step: Step): boolean => step.schema > 1 && step.minCompatible >= step.schema;
    expect(steps.filter((step: Step) => narrow(step) && step.afterLevel === undefined)).toEqual([]);
  });
}

test("a newer file that allows this version is opened as it is, one that does not is refused with the fix", () => {
  using db = new Database(":memory:");
  migrate(db, [...sqliteMigrations, second]);
  expect(migrate(db, sqliteMigrations)).toEqual({ schema: 2, minCompatible: 1 });
  db.run("UPDATE meta SET value = 2 WHERE key = 'minCompatible'");
  expect(() => migrate(db, sqliteMigrations)).toThrow("start the newer version again");
  expect(readSchema(db)).toEqual({ schema: 2, minCompatible: 2 });
});

test("a database of another program is refused and not touched", () => {
  using db = new Database(":memory:");
  db.run("CREATE TABLE customers(name)");
  expect(() => migrate(db, sqliteMigrations)).toThrow("another program");
  expect(tables(db)).toEqual(["customers"]);
});
