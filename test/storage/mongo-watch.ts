// What the MongoDB driver sends, compared with the table of queries: which row a command is, and which concerns it carries.
// Test code only; shared by the command monitor's tests.
import type { CommandStartedEvent, Document } from "mongodb";
import { type MongoCommand, type MongoQuery, mongoQueries } from "../../src/storage/mongo-queries";

/** One statement of a command: a filter with its order, or a document to insert. */
interface Statement {
  readonly command: MongoCommand;
  readonly collection: string;
  readonly filter: Document;
  readonly sort: Readonly<Record<string, number>>;
}

/** Commands that carry no query: they connect, go on with a cursor, or lay things out. */
const without = new Set([
  ...["hello", "ping", "endSessions", "getMore", "killCursors", "create", "createIndexes", "listCollections"],
  ...["dropDatabase", "buildInfo", "listIndexes"],
]);
const writes = new Set(["insert", "update", "delete", "findAndModify", "create", "createIndexes"]);
const reads = new Set(["find", "aggregate"]);

/** Collects commands from any number of stores. */
export class CommandWatch {
  #seen: CommandStartedEvent[] = [];

  /** To be handed to a store as its observer of commands. */
  readonly command = (event: CommandStartedEvent): void => {
    this.#seen.push(event);
  };

  /** Everything since the last call, by `name collection`, in order. */
  take(): readonly string[] {
    return this.takeAll().map(({ commandName, command }) => `${commandName} ${String(command[commandName])}`);
  }

  takeAll(): readonly CommandStartedEvent[] {
    return this.#seen.splice(0);
  }
}

/** Rows of the table that a command's statements are; a statement that is none is answered as text that says so. */
export function rowsOf({ commandName, command }: Pick<CommandStartedEvent, "commandName" | "command">): string[] {
  if (without.has(commandName)) return [];
  return statementsOf(commandName, command).map((statement) => {
    const found = Object.entries(mongoQueries).find(([, query]) => isOf(query, statement));
    return found?.[0] ?? `not in the table: ${JSON.stringify(statement)}`;
  });
}

/** Rows of the table that none of these commands is. */
export function idleRows(seen: readonly Pick<CommandStartedEvent, "commandName" | "command">[]): readonly string[] {
  const statements = seen
    .filter(({ commandName }) => !without.has(commandName))
    .flatMap(({ commandName, command }) => statementsOf(commandName, command));
  return Object.entries(mongoQueries).flatMap(([name, query]) =>
    statements.some((statement) => isOf(query, statement)) ? [] : name,
  );
}

/** What a command lacks of the concerns the guarantees rest on; null for nothing. */
export function lackOf({ commandName, command }: Pick<CommandStartedEvent, "commandName" | "command">): string | null {
  if (writes.has(commandName)) {
    const { w, j } = (command["writeConcern"] ?? {}) as Document;
    return w === "majority" && j === true ? null : `${commandName}: ${JSON.stringify(command["writeConcern"])}`;
  }
  if (!reads.has(commandName)) return null;
  const { level } = (command["readConcern"] ?? {}) as Document;
  return level === "majority" || level === "linearizable" ? null : `${commandName}: read concern ${level}`;
}

function statementsOf(name: string, body: Document): readonly Statement[] {
  const collection = String(body[name]);
  const one = (command: MongoCommand, filter: Document, sort: unknown = {}) => {
    const order = sort instanceof Map ? Object.fromEntries(sort) : (sort as Record<string, number>);
    return { command, collection, filter, sort: order };
  };
  const each = (list: unknown) => (list as readonly Document[]) ?? [];
  switch (name) {
    case "find":
      return [one("find", body["filter"], body["sort"])];
    case "aggregate":
      return [one("count", each(body["pipeline"])[0]?.["$match"] ?? {})];
    case "findAndModify":
      return [one("findAndModify", body["query"], body["sort"])];
    case "insert":
      return [one("insert", {})];
    case "update":
      return each(body["updates"]).map(({ q }) => one("update", q));
    case "delete":
      return each(body["deletes"]).map(({ q }) => one("delete", q));
    default:
      return [one(name as MongoCommand, {})];
  }
}

function isOf(query: MongoQuery, { command, collection, filter, sort }: Statement): boolean {
  if (query.command !== command || query.collection !== collection) return false;
  if (JSON.stringify(query.sort ?? {}) !== JSON.stringify(sort)) return false;
  return fits(query, filter);
}

/** Whether a filter compares, bounds and looks at what the row says, and at nothing else. */
function fits(query: MongoQuery, { $or, ...filter }: Document): boolean {
  const clauses = ($or ?? []) as readonly Document[];
  if (clauses.length > 0 && clauses.every((clause) => fits(query, { ...filter, ...clause }))) return true;
  const { equal, range, also = [] } = query;
  if (equal.some((field) => !(field in filter) || kindOf(filter[field]) !== "equal")) return false;
  const extra = clauses.flatMap((clause) => Object.keys(clause));
  const rest = Object.keys(filter).filter((field) => !equal.includes(field));
  const bounded = rest.filter((field) => !(field === range && kindOf(filter[field]) === "range"));
  return [...bounded, ...extra].every((field) => also.includes(field));
}

function kindOf(value: unknown): "equal" | "range" | "other" {
  const isPlain = typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
  const operators = isPlain ? Object.keys(value).filter((name) => name.startsWith("$")) : [];
  if (operators.length === 0) return "equal";
  if (operators.every((name) => name === "$in" || name === "$eq")) return "equal";
  return operators.every((name) => ["$gt", "$gte", "$lt", "$lte"].includes(name)) ? "range" : "other";
}
