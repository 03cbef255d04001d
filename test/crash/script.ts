// Every operation that needs several writes, one after the other, by people of its own: each is repeated under the same ids,
// across restarts, until it is answered. Used where a server is ended between two of its writes.
import { Connection, Refused } from "./connection";
import { pause } from "./crowd";
import type { ServerProcess } from "./server-process";

/** One operation; it may find that an earlier try of it was stored. */
interface Step {
  readonly name: string;
  readonly user: string;
  readonly device?: string;
  /** Reads the person's feed, which hears of a membership some time after it was answered. */
  readonly byFeed?: boolean;
  run(connection: Connection): Promise<unknown>;
}

/** What was answered to an operation that appends: it must stand there in the end. */
export interface AnsweredEntry {
  readonly conversation: string;
  readonly user: string;
  readonly clientId: string;
  readonly seq: number;
}

const retryMs = 10;
const stepMsMax = 30_000;

/** A sequence of operations with a place where it goes on. */
export class Script {
  readonly answered: AnsweredEntry[] = [];
  readonly #server: ServerProcess;
  readonly #name: string;
  readonly #steps: readonly Step[];
  readonly #connections = new Map<string, Connection>();
  #next = 0;
  #group = "";
  #channel = "";

  /** @param name makes its people and ids different from those of other scripts on the same data */
  constructor(server: ServerProcess, name: string) {
    this.#server = server;
    this.#name = name;
    this.#steps = this.#plan();
  }

  /**
   * Goes on to the end, or until the server is gone: then it answers the name of the step that was under way.
   * @param share of its steps after which it stops for this time
   */
  async play(share = 1): Promise<string | null> {
    let gone = false;
    void this.#server.exited.then(() => (gone = true));
    for (; this.#next < this.#steps.length * share; this.#next++) {
      const step = this.#steps[this.#next] as Step;
      const deadline = performance.now() + stepMsMax;
      while (!(await this.#tried(step))) {
        if (gone) return step.name;
        if (performance.now() > deadline) throw new Error(`${step.name} was not answered within ${stepMsMax} ms`);
        await pause(retryMs);
      }
    }
    return null;
  }

  /** Leaves; the server closes what the script opened. */
  close(): void {
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
  }

  async #tried(step: Step): Promise<boolean> {
    try {
      await step.run(await this.#connect(step));
      return true;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (step.byFeed && error.code === "no_access") return false;
      if (error.outcome === "final") throw new Error(`${step.name}: ${error.message}`);
      if (error.code === "connection_lost") this.#connections.delete(connectionOf(step));
      return false;
    }
  }

  async #connect(step: Step): Promise<Connection> {
    const key = connectionOf(step);
    const open = this.#connections.get(key);
    if (open) return open;
    const { url } = this.#server;
    const token = this.#server.token(step.user);
    const connection = await Connection.open(url, token, step.device ?? "phone", () => undefined);
    this.#connections.set(key, connection);
    return connection;
  }

  #plan(): readonly Step[] {
    const [ann, bob, cem, dee] = ["ann", "bob", "cem", "dee"].map((user) => `${user}-${this.#name}`) as FourPeople;
    const hello = (user: string, device = "phone"): Step => {
      return { name: `hello of ${user} on ${device}`, user, device, run: (to) => to.ask("sync", [null, []]) };
    };
    const group = (name: string, user: string, operation: Changing, ...args: readonly unknown[]): Step => {
      const clientId = `${this.#name}-${name}`;
      return { name, user, run: (to) => this.#change(to, user, operation, this.#group, clientId, args) };
    };
    return [
      ...[ann, bob, cem, dee].map((user) => hello(user)),
      hello(ann, "desk"),
      { name: "create", user: ann, run: (to) => this.#create(to, ann, "group", [bob, cem]) },
      this.#send("send of the owner", ann, 3),
      this.#send("send of a member", bob, 1),
      { name: "read mark", user: bob, run: (to) => to.ask("read", [this.#group, "read", 3]) },
      group("add", ann, "add", [dee], null),
      this.#send("send of who was added", dee, 2),
      group("role", ann, "role", bob, "admin"),
      group("rename", ann, "update", { name: "Another name" }),
      group("leave", cem, "leave"),
      {
        name: "settings",
        user: bob,
        byFeed: true,
        run: (to) => to.ask("settings", [this.#group, { muted: true }]),
      },
      group("remove", bob, "remove", [dee]),
      { name: "create channel", user: ann, run: (to) => this.#create(to, ann, "channel", []) },
      { name: "join", user: dee, run: (to) => this.#join(to, dee) },
      { name: "sign out", user: ann, device: "desk", run: (to) => to.ask("signOut", ["phone"]) },
      group("rename again", bob, "update", { name: "The last name" }),
    ];
  }

  #send(name: string, user: string, count: number): Step {
    const items = Array.from({ length: count }, (_, at) => [`${this.#name}-${name}-${at}`, [`text ${at}`]] as const);
    const run = async (to: Connection): Promise<void> => {
      const outcomes = await to.ask("send", [this.#group, items]);
      for (const [at, outcome] of outcomes.entries()) {
        if (typeof outcome !== "number") throw new Refused(outcome);
        this.#answer(this.#group, user, (items[at] as readonly [string, unknown])[0], outcome);
      }
    };
    return { name, user, run };
  }

  async #create(to: Connection, user: string, type: string, others: readonly string[]): Promise<void> {
    const clientId = `${this.#name}-${type}`;
    const [conversation, seq] = await to.ask("create", [type, clientId, { name: "First name" }, others]);
    if (type === "group") this.#group = conversation;
    else this.#channel = conversation;
    this.#answer(conversation, user, clientId, seq);
  }

  async #join(to: Connection, user: string): Promise<void> {
    await this.#change(to, user, "join", this.#channel, `${this.#name}-join`, []);
  }

  async #change(
    to: Connection,
    user: string,
    operation: Changing,
    conversation: string,
    clientId: string,
    args: readonly unknown[],
  ): Promise<void> {
    const [seq] = await to.ask(operation, [conversation, clientId, ...args]);
    this.#answer(conversation, user, clientId, seq);
  }

  #answer(conversation: string, user: string, clientId: string, seq: number): void {
    this.answered.push({ conversation, user, clientId, seq });
  }
}

type FourPeople = [string, string, string, string];
type Changing = "add" | "role" | "update" | "leave" | "remove" | "join";

function connectionOf({ user, device = "phone" }: Step): string {
  return `${user}/${device}`;
}
