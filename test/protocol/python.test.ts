// The client in another language, written from PROTOCOL.md, against a real server: it signs in, sends, reads and resumes.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Subprocess } from "bun";
import { SignJWT } from "jose";
import { benchSecret } from "../../bench/tokens";
import { ServerProcess } from "../crash/server-process";
import { Cable } from "./cable";
import { WatchedSocket } from "./watched-socket";

const folder = new URL("../../examples/python/", import.meta.url).pathname;
const python = Bun.which("python3");

/** `chat.py` as a process: lines in, lines out. */
class Chat implements AsyncDisposable {
  readonly #child: Subprocess<"pipe", "pipe", "pipe">;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(url: string, peer: string, token: string) {
    this.#child = Bun.spawn([python as string, "chat.py", url, peer], {
      cwd: folder,
      env: { ...process.env, PARLEY_TOKEN: token, PYTHONDONTWRITEBYTECODE: "1" },
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream() as never).getReader() as never;
  }

  say(text: string): void {
    this.#child.stdin.write(`${text}\n`);
    this.#child.stdin.flush();
  }

  /** The next line that it prints. */
  async line(): Promise<string> {
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error(`it ended with ${await this.#child.exited}: ${await this.complaint()}`);
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    return line;
  }

  async lines(count: number): Promise<string[]> {
    const found: string[] = [];
    while (found.length < count) found.push(await this.line());
    return found;
  }

  /** What it said on its way out, once it ended. */
  async complaint(): Promise<string> {
    return await new Response(this.#child.stderr).text();
  }

  /** Ends it as a person does; answers its exit code. */
  async end(): Promise<number> {
    this.say("");
    return await this.#child.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#child.exited;
  }
}

function tokenOf(user: string, secret = benchSecret): Promise<string> {
  const token = new SignJWT()
    .setProtectedHeader({ alg: "HS256" })
    .setSubject(user)
    .setIssuedAt()
    .setExpirationTime("1h");
  return token.sign(new TextEncoder().encode(secret));
}

test("Python is there where it must be", () => {
  if (process.env["CI"]) expect(python).not.toBeNull();
});

describe.if(python !== null)("the client in Python", () => {
  let server: ServerProcess;
  beforeAll(async () => {
    server = new ServerProcess();
    await server.start();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const peer = async (name: string) => WatchedSocket.signIn(server.url, await tokenOf(name), "device");

  test("signs in, sends, receives, reads, and after a cut receives exactly what it missed", async () => {
    await using bob = await peer("bob");
    await using cable = await Cable.to(server.port);
    await using chat = new Chat(cable.url, "bob", await tokenOf("ada"));
    const [, conversation] = (await chat.line()).match(/^signed in as ada, talking to bob in (d\S+)$/) as string[];

    chat.say("Grüße aus Python 🐍");
    expect((await chat.lines(2)).sort()).toEqual(["3 ada: Grüße aus Python 🐍 (0 unread)", "sent as 3"]);
    await bob.ask("send", conversation, [["b1", ["hello"]]]);
    expect(await chat.line()).toBe("4 bob: hello (1 unread)");
    await bob.push(([name, , marks]) => name === "receipts" && JSON.stringify(marks) === '[["ada",4]]');

    cable.cut();
    await bob.ask("send", conversation, [
      ["b2", ["one"]],
      ["b3", ["two"]],
    ]);
    await bob.ask("send", conversation, [["b4", ["three"]]]);
    cable.mend();
    expect((await chat.lines(3)).map((line) => line.replace(/ \(.*/, ""))).toEqual([
      "5 bob: one",
      "6 bob: two",
      "7 bob: three",
    ]);
    await bob.push(([name, , marks]) => name === "receipts" && JSON.stringify(marks) === '[["ada",7]]');
    expect((await bob.ask("readers", conversation, 7))[0]).toEqual([["ada" as never, 7]]);
    expect(await chat.end()).toBe(0);
  }, 60_000);

  test("sends once what it was told while the server was away, in order, and goes on after the restart", async () => {
    await using dan = await peer("dan"); // a person exists from their first sign-in on
    await using chat = new Chat(server.url, "dan", await tokenOf("cleo"));
    await chat.line();
    chat.say("before");
    await chat.lines(2);
    await server.kill();
    expect(await dan.closed).toBe(1006);
    for (const text of ["first", "second", "third"]) chat.say(text);
    await server.start();

    const printed = await chat.lines(6);
    expect(printed.filter((line) => line.startsWith("sent"))).toEqual(["sent as 4", "sent as 5", "sent as 6"]);
    const shown = printed.filter((line) => !line.startsWith("sent")).map((line) => line.replace(/ \(.*/, ""));
    expect(shown).toEqual(["4 cleo: first", "5 cleo: second", "6 cleo: third"]);
    expect(await chat.end()).toBe(0);
  }, 60_000);

  test("gives up on a token that nobody would take", async () => {
    await using chat = new Chat(server.url, "bob", await tokenOf("ada", "another secret of at least 32 bytes"));

    expect(await chat.complaint()).toStartWith("bad_token: ");
  }, 60_000);
});
