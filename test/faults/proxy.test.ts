// The fault proxy itself, before a small server that answers every piece with the same bytes, in upper case.
import { createServer, connect, type Server, type Socket } from "node:net";
import { expect, test } from "bun:test";
import { type FaultProxy, startProxy } from "./proxy";

/** Answers in upper case, and remembers what it got. */
class ShoutingServer implements AsyncDisposable {
  readonly heard: string[] = [];
  readonly #server: Server;
  #waiting: (() => void)[] = [];

  private constructor() {
    this.#server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (bytes) => {
        this.heard.push(bytes.toString());
        for (const wake of this.#waiting.splice(0)) wake();
        socket.write(bytes.toString().toUpperCase());
      });
    });
  }

  static async start(): Promise<ShoutingServer> {
    const started = new ShoutingServer();
    await new Promise<void>((resolve) => started.#server.listen(0, "127.0.0.1", resolve));
    return started;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** Settles once it heard all of this. */
  async hears(text: string): Promise<void> {
    while (!this.heard.join("").includes(text)) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
  }
}

/** A client that awaits what comes back, and how the connection ends. */
class Caller {
  readonly socket: Socket;
  readonly ended: Promise<string>;
  #text = "";
  #waiting: (() => void)[] = [];

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("data", (bytes) => {
      this.#text += bytes.toString();
      for (const wake of this.#waiting.splice(0)) wake();
    });
    const { promise, resolve } = Promise.withResolvers<string>();
    this.ended = promise;
    this.socket.on("error", (error) => resolve((error as { code?: string }).code ?? error.message));
    this.socket.on("close", () => resolve("closed"));
  }

  get text(): string {
    return this.#text;
  }

  async hears(text: string): Promise<void> {
    while (!this.#text.includes(text)) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  async ask(text: string): Promise<void> {
    this.socket.write(text);
    await this.hears(text.toUpperCase());
  }
}

async function world(): Promise<{ server: ShoutingServer; proxy: FaultProxy } & AsyncDisposable> {
  const server = await ShoutingServer.start();
  const proxy = await startProxy(server.port);
  const dispose = async (): Promise<void> => {
    await proxy[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  };
  return { server, proxy, [Symbol.asyncDispose]: dispose };
}

/** Looks again after everything that is ready ran. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

test("passes everything on while nothing is wrong, ends included", async () => {
  await using w = await world();
  const caller = new Caller(w.proxy.port);
  await caller.ask("one");
  await caller.ask("two");
  expect([w.server.heard, caller.text, w.proxy.connections]).toEqual([["one", "two"], "ONETWO", 1]);
  caller.socket.end();
  expect(await caller.ended).toBe("closed");
});

test("carries more than it holds at once, whole", async () => {
  await using w = await world();
  const caller = new Caller(w.proxy.port);
  const large = "x".repeat(24 * 1024 * 1024);
  w.proxy.blackHole("toServer");
  caller.socket.write(`${large}last`);
  await w.proxy.heal();
  await caller.hears("LAST");
  expect(caller.text.length).toBe(large.length + 4);
});

test("delays each way by what is asked, in order", async () => {
  await using w = await world();
  w.proxy.delay({ toServerMs: 30, toClientMs: 40 });
  const caller = new Caller(w.proxy.port);
  const began = performance.now();
  caller.socket.write("one");
  await w.server.hears("one");
  expect(performance.now() - began).toBeGreaterThanOrEqual(30);
  await caller.hears("ONE");
  expect(performance.now() - began).toBeGreaterThanOrEqual(70);
});

test("a black hole towards the server holds requests back, and delivers them when it is healed", async () => {
  await using w = await world();
  const caller = new Caller(w.proxy.port);
  await caller.ask("before");
  w.proxy.blackHole("toServer");
  caller.socket.write("lost?");
  const other = new Caller(w.proxy.port);
  other.socket.write("also");
  await until(() => w.proxy.waitingBytes("toServer") === "lost?also".length);
  expect(w.server.heard).toEqual(["before"]);
  await w.proxy.heal();
  await Promise.all([caller.hears("LOST?"), other.hears("ALSO")]);
});

test("a black hole towards the client lets requests be carried out and holds their answers", async () => {
  await using w = await world();
  const caller = new Caller(w.proxy.port);
  await caller.ask("before");
  w.proxy.blackHole("toClient");
  caller.socket.write("done");
  await until(() => w.proxy.waitingBytes("toClient") === "DONE".length);
  expect([w.server.heard, caller.text]).toEqual([["before", "done"], "BEFORE"]);
  await w.proxy.heal();
  await caller.hears("DONE");
});

test("a connection given up in a black hole ends at the server only once it is healed", async () => {
  await using w = await world();
  const caller = new Caller(w.proxy.port);
  await caller.ask("before");
  w.proxy.blackHole("both");
  caller.socket.destroy();
  await caller.ended;
  expect(w.proxy.connections).toBe(1);
  await w.proxy.heal();
  await until(() => w.proxy.connections === 0);
});

test("resets in the middle of a reply, after the bytes that were asked for", async () => {
  await using w = await world();
  const sprung = w.proxy.resetAfter(8);
  const caller = new Caller(w.proxy.port);
  await caller.ask("12345");
  caller.socket.write("abcdef");
  expect([await sprung, await caller.ended, caller.text]).toEqual([true, "ECONNRESET", "12345ABC"]);
});

test("cuts after a request was carried out and before its answer, and only its connection", async () => {
  await using w = await world();
  const cut = w.proxy.cutAfter("commit");
  const [caller, other] = [new Caller(w.proxy.port), new Caller(w.proxy.port)];
  await caller.ask("begin");
  await other.ask("begin");
  // Across two pieces, as a large request arrives.
  caller.socket.write("com");
  await caller.hears("COM");
  caller.socket.write("mit");
  expect([await cut, await caller.ended, caller.text]).toEqual([true, "ECONNRESET", "BEGINCOM"]);
  expect(w.server.heard.join("")).toContain("commit");
  await other.ask("still here");
});

test("cuts before a request reaches the server", async () => {
  await using w = await world();
  const cut = w.proxy.cutBefore("commit");
  const caller = new Caller(w.proxy.port);
  await caller.ask("begin");
  caller.socket.write("commit");
  expect([await cut, await caller.ended, w.server.heard]).toEqual([true, "ECONNRESET", ["begin"]]);
  await new Caller(w.proxy.port).ask("commit");
});

test("a trap that is healed away springs no more, and says so", async () => {
  await using w = await world();
  const cut = w.proxy.cutAfter("commit");
  await w.proxy.heal();
  expect(await cut).toBe(false);
  await new Caller(w.proxy.port).ask("commit");
});

test("refuses connections until it is healed, on the same port", async () => {
  await using w = await world();
  const caller = new Caller(w.proxy.port);
  await caller.ask("before");
  await w.proxy.refuse();
  expect(await caller.ended).toBe("ECONNRESET");
  expect(await new Caller(w.proxy.port).ended).toBe("ECONNREFUSED");
  await w.proxy.heal();
  await new Caller(w.proxy.port).ask("after");
});

test("cut resets everything at once and welcomes what comes back", async () => {
  await using w = await world();
  const callers = [new Caller(w.proxy.port), new Caller(w.proxy.port)];
  for (const caller of callers) await caller.ask("before");
  w.proxy.cut();
  expect(await Promise.all(callers.map(({ ended }) => ended))).toEqual(["ECONNRESET", "ECONNRESET"]);
  await new Caller(w.proxy.port).ask("after");
});

test("a server that is gone shows as a reset", async () => {
  const w = await world();
  await w.server[Symbol.asyncDispose]();
  expect(await new Caller(w.proxy.port).ended).toBe("ECONNRESET");
  await w.proxy[Symbol.asyncDispose]();
});

test("names itself in an address, and keeps a MongoDB driver from going past it", async () => {
  await using w = await world();
  const { port } = w.proxy;
  const given = ["redis://127.0.0.1:1/2", "mongodb://127.0.0.1:1", "mongodb://a:b@127.0.0.1:1/base?replicaSet=rs0"];
  expect(given.map((uri) => w.proxy.through(uri))).toEqual([
    `redis://127.0.0.1:${port}/2`,
    `mongodb://127.0.0.1:${port}/?directConnection=true`,
    `mongodb://a:b@127.0.0.1:${port}/base?replicaSet=rs0&directConnection=true`,
  ]);
  expect(() => w.proxy.through("mongodb://127.0.0.1/base")).toThrow("names no port");
});
