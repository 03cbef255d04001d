// Two adjacent releases side by side: the one before this in the history, and this one, on one store and one NATS. People on
// both talk to each other, the old node is drained and replaced, and what everybody saw is judged as after a crash.
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readLogs } from "../crash/read-logs";
import { until as untilHolds } from "../until";
import { until } from "../crash/crowd";
import { ResumingClient } from "../crash/resuming-client";
import { ServerProcess } from "../crash/server-process";
import { Recorder } from "../history/recorder";
import { describeWith, shareNats } from "../services/services";
import { findPreviousRelease, PreviousRelease } from "./previous-release";

const people = ["ann", "bob", "cem", "dee"] as const;
/** Enough that each node owns some. */
const rooms = 12;
/** Messages waiting for their acknowledgement, of one person. */
const queuedMax = 8;
const perPhase = 150;

/** One store and one NATS, and the nodes that were started on them. */
class Cluster implements AsyncDisposable {
  readonly #environment: Readonly<Record<string, string>>;
  readonly #opened: AsyncDisposableStack;

  private constructor(environment: Readonly<Record<string, string>>, opened: AsyncDisposableStack) {
    this.#environment = environment;
    this.#opened = opened;
  }

  static async open(): Promise<Cluster> {
    await using opened = new AsyncDisposableStack();
    const folder = mkdtempSync(join(tmpdir(), "parley-upgrade-"));
    opened.defer(() => rmSync(folder, { recursive: true, force: true }));
    const nats = opened.use(await shareNats());
    const environment = {
      PARLEY_STORE: `sqlite:${join(folder, "parley.sqlite")}`,
      PARLEY_NATS: nats.uri,
      PARLEY_NATS_PREFIX: nats.name,
    };
    return new Cluster(environment, opened.move());
  }

  /** Starts a node, of another release where its sources are named; resolves once it has its share of the partitions. */
  async start(sources?: string): Promise<ServerProcess> {
    const server = this.#opened.use(new ServerProcess(this.#environment, sources));
    await server.start();
    await untilHolds(async () => (await figure(server, 'parley_partitions{phase="owned"}')) > 0);
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync();
  }
}

/** One of a node's metrics. */
async function figure({ port }: ServerProcess, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const line = text.split("\n").find((each) => each.startsWith(`${name} `));
  return Number(line?.split(" ")[1] ?? 0);
}

/** Everybody's phone, and the rooms that all of them are in. */
class Talk {
  readonly recorder = new Recorder();
  readonly clients: readonly ResumingClient[];
  readonly #rooms: string[] = [];
  readonly #nodes: ServerProcess[];
  #serial = 0;

  /** @param nodes the nth person begins at the nth of them, by turns */
  constructor(nodes: readonly ServerProcess[]) {
    this.#nodes = [...nodes];
    this.clients = people.map(
      (user, at) =>
        new ResumingClient({
          url: () => this.#nodes[at % this.#nodes.length]?.url ?? "",
          user,
          device: "phone",
          token: (nodes[0] as ServerProcess).token(user),
          recorder: this.recorder,
        }),
    );
  }

  async begin(): Promise<void> {
    for (const client of this.clients) client.start();
    await until("everybody is online", () => this.clients.every(({ online }) => online));
    const [creator] = this.clients as [ResumingClient];
    for (let at = 0; at < rooms; at++) {
      const args = ["group", `room ${at}`, { name: `Room ${at}` }, people.slice(1)] as const;
      const [conv] = await creator.untilDone((connection) => connection.ask("create", args));
      this.#rooms.push(conv);
    }
  }

  /** Whoever is at one node comes to another from now on. */
  replace(node: ServerProcess, by: ServerProcess): void {
    this.#nodes[this.#nodes.indexOf(node)] = by;
  }

  /** Everybody sends so many messages more, in every room by turns; resolves once all are acknowledged. */
  async send(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      await until("the queue has room", () => this.clients.every(({ queued }) => queued < queuedMax));
      for (const client of this.clients) {
        const cid = `${client.setup.user}-${this.#serial++}`;
        client.send(this.#rooms[i % rooms] as string, cid, `says ${cid}`);
      }
    }
    await until("everything is acknowledged", () => this.clients.every(({ queued }) => queued === 0));
  }

  /** Resolves once everybody has what everybody sent. */
  async settle(): Promise<void> {
    const heads = new Map<string, number>();
    for (const { acknowledged } of this.clients)
      for (const { conv, seq } of acknowledged) heads.set(conv, Math.max(seq, heads.get(conv) ?? 0));
    const has = (client: ResumingClient): boolean =>
      [...heads].every(([conv, head]) => (client.known.get(conv)?.position ?? 0) >= head);
    await until("everybody has everything", () => this.clients.every(has));
    await Promise.all(
      this.clients.map((client) => Promise.all([...heads].map(([conv, head]) => client.markRead(conv, head)))),
    );
  }

  async end(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.stop()));
  }
}

const previous = findPreviousRelease();

if ("commit" in previous)
  describeWith("nats", "a rolling upgrade from the release before this one", () => upgrade(previous.commit));
// Without the history there is still this release to be replaced by itself, and the title says what was not seen.
else describeWith("nats", `a rolling restart of this release, for ${previous.missing}`, () => upgrade(null));

function upgrade(commit: string | null): void {
  test("both serve at once and understand each other, the old one is drained and replaced, and nothing is lost", async () => {
    using release = commit === null ? null : new PreviousRelease(commit);
    await using cluster = await Cluster.open();
    const old = await cluster.start(release?.folder);
    const first = await cluster.start();
    const talk = new Talk([old, first]);
    await talk.begin();
    await talk.send(perPhase);
    await talk.settle();

    const talking = talk.send(2 * perPhase);
    const second = await cluster.start();
    talk.replace(old, second);
    expect(await old.stop()).toBe(0);
    await talking;
    await talk.settle();

    await readLogs(second, talk, talk.recorder);
    await talk.end();
    expect(talk.recorder.finish()).toEqual([]);
    expect(await figure(first, 'parley_partitions{phase="owned"}')).toBeGreaterThan(100);
    for (const node of [first, second]) expect(await node.stop()).toBe(0);
  });
}
