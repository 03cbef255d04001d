// A file is brought to the known schema whole or not at all, and a newer one is refused with the fix.
import { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import { configureFailpoints } from "../lib/failpoints";
import { type Migration, migrate, readSchema } from "./migrations";
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
