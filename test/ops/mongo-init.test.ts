// The script that makes the stack's replica set, played against a set in memory: each state that it may find, and what it
// must leave alone. What mongosh adds to the language (awaiting its commands by itself) is not played here.
import { expect, test } from "bun:test";
import { readText } from "./compose-file";

const script = readText("ops/mongo-init.js");
const variables = {
  MONGO_MEMBERS: "mongo-1:27017,mongo-2:27017,mongo-3:27017",
  MONGO_ROOT_PASSWORD: "root's own",
  MONGO_PARLEY_PASSWORD: "parley's own",
  MONGO_DATABASE: "chat",
};

interface User {
  readonly user: string;
  readonly pwd: string;
  readonly roles: readonly unknown[];
}

interface Start {
  readonly initiated?: boolean;
  readonly users?: Readonly<Record<string, string>>;
  /** So many tries find a member that cannot be reached. */
  readonly unreachableTries?: number;
  /** So many looks find no primary, and so many more another one than the script's own. */
  readonly looksWithout?: number;
  readonly looksElsewhere?: number;
}

function failure(code: number): Error {
  return Object.assign(new Error(`code ${code}`), { code });
}

/** A replica set with the rules that the script meets: sign-in, the exception for a first user, who is primary. */
class ReplicaSet {
  readonly changes: string[] = [];
  readonly users: Map<string, string>;
  /** What Parley's user may do. */
  roles: readonly unknown[] = [];
  #initiated: boolean;
  #unreachable: number;
  #without: number;
  #elsewhere: number;

  constructor({ initiated = false, users = {}, unreachableTries = 0, looksWithout = 0, looksElsewhere = 0 }: Start) {
    this.#initiated = initiated;
    this.users = new Map(Object.entries(users));
    this.#unreachable = unreachableTries;
    this.#without = looksWithout;
    this.#elsewhere = looksElsewhere;
  }

  /** A handle on a database, as mongosh gives them. */
  database(name: string, signedIn: boolean) {
    const change = (verb: string, { user, pwd: password, roles }: User): void => {
      if (!signedIn && this.users.has("admin.root")) throw failure(13);
      this.users.set(`${name}.${user}`, password);
      this.changes.push(`${verb} ${name}.${user}`);
      this.roles = roles;
    };
    return {
      adminCommand: (command: Readonly<Record<string, unknown>>) => this.#command(command, signedIn),
      getSiblingDB: (other: string) => this.database(other, signedIn),
      getUser: (user: string) => (this.users.has(`${name}.${user}`) ? { user } : null),
      createUser: (account: User) => change("create", account),
      updateUser: (user: string, account: Omit<User, "user">) => change("update", { user, ...account }),
    };
  }

  connect(address: string) {
    const { username, password } = new URL(address.replaceAll(/,mongo-\d:27017/g, ""));
    if (this.users.get(`admin.${username}`) !== decodeURIComponent(password)) throw failure(18);
    return this.database("admin", true);
  }

  #command(command: Readonly<Record<string, unknown>>, signedIn: boolean): unknown {
    if ("hello" in command) return this.#hello();
    if (!signedIn && this.users.size > 0) throw failure(13);
    if (this.#initiated) throw failure(23);
    if (this.#unreachable-- > 0) throw failure(74);
    this.#initiated = true;
    this.changes.push("initiate");
    return { ok: 1 };
  }

  #hello() {
    if (!this.#initiated) return { isWritablePrimary: false };
    if (this.#without-- > 0) return { setName: "parley", isWritablePrimary: false };
    const elsewhere = this.#elsewhere-- > 0;
    return { setName: "parley", isWritablePrimary: !elsewhere, primary: elsewhere ? "mongo-2:27017" : "mongo-1:27017" };
  }
}

/** Runs the script to its end; answers what it threw, or null. */
function run(set: ReplicaSet): string | null {
  const names = ["db", "connect", "print", "sleep", "process"];
  const play = new Function(...names, script);
  try {
    play(
      set.database("admin", false),
      (address: string) => set.connect(address),
      () => undefined,
      () => undefined,
      { env: variables },
    );
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

const { MONGO_ROOT_PASSWORD: root, MONGO_PARLEY_PASSWORD: parley } = variables;
const made = { "admin.root": root, "parley.parley": parley };

test("on three empty members it makes the set, the administrator and Parley's user, in this order", () => {
  const set = new ReplicaSet({ unreachableTries: 3, looksWithout: 2, looksElsewhere: 4 });
  expect(run(set)).toBeNull();
  expect(set.changes).toEqual(["initiate", "create admin.root", "create parley.parley"]);
  expect(set.roles).toEqual([{ role: "readWrite", db: "chat" }]);
  expect(Object.fromEntries(set.users)).toEqual(made);
});

test("run again it makes nothing, also while another member is primary", () => {
  const set = new ReplicaSet({ initiated: true, users: made, looksElsewhere: 1000 });
  expect(run(set)).toBeNull();
  expect(set.changes).toEqual(["update parley.parley"]);
  expect(Object.fromEntries(set.users)).toEqual(made);
});

test("what an earlier run left undone is finished", () => {
  const withoutUsers = new ReplicaSet({ initiated: true });
  expect([run(withoutUsers), withoutUsers.changes]).toEqual([null, ["create admin.root", "create parley.parley"]]);
  const withoutParley = new ReplicaSet({ initiated: true, users: { "admin.root": root } });
  expect([run(withoutParley), withoutParley.changes]).toEqual([null, ["create parley.parley"]]);
});

test("Parley's password follows the variable; the administrator's is asked for", () => {
  const changed = new ReplicaSet({ initiated: true, users: { ...made, "parley.parley": "an older one" } });
  expect([run(changed), changed.users.get("parley.parley")]).toEqual([null, parley]);
  const other = new ReplicaSet({ initiated: true, users: { ...made, "admin.root": "an older one" } });
  expect(run(other)).toBe("mongo-init: MONGO_ROOT_PASSWORD is not the one that this replica set was made with");
  expect(other.changes).toEqual([]);
});

test("members that stay away, and a set without a primary, end it with a sentence", () => {
  expect(run(new ReplicaSet({ unreachableTries: 1000 }))).toMatch(/^mongo-init: the replica set could not be made: /);
  const headless = new ReplicaSet({ initiated: true, users: made, looksWithout: 1000 });
  expect(run(headless)).toBe("mongo-init: the replica set has no primary: are two of three members up?");
  const elsewhere = new ReplicaSet({ initiated: true, looksElsewhere: 1000 });
  expect(run(elsewhere)).toBe("mongo-init: mongo-1 did not become primary");
});
