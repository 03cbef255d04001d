// The page in a real Chromium against a real server: two people talk, lose the line, reload, and lose nothing.
// Under the content policy that the server really sends; a violation or any complaint of the console fails the test.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Browser, BrowserContext, BrowserContextOptions } from "playwright-core";
import { buildWeb } from "../../scripts/build-web";
import { loadConfig } from "../../src/lib/config";
import type { UserId } from "../../src/protocol/ids";
import { type RunningServer, startServer } from "../../src/server";
import { signToken } from "../../src/transport/tokens";
import { findChromium, openBrowser } from "./chromium";
import { Link } from "./link";
import { Window } from "./window";

const chromium = await findChromium();
const testBrowser = test.skipIf(chromium === null);
let browser: Browser;
let pageFolder: string;

beforeAll(async () => {
  pageFolder = join(await mkdtemp(join(tmpdir(), "parley-built-")), "web");
  await buildWeb(pageFolder);
  if (chromium !== null) browser = await openBrowser(chromium);
});

afterAll(async () => {
  await browser?.close();
  await rm(dirname(pageFolder), { recursive: true, force: true });
});

testBrowser("two windows of one browser are two people who talk, and ticks tell how far a message came", async () => {
  await using world = await World.create();
  const context = await world.context();
  const [ann, bob] = [await Window.signIn(context, world.url, "ann"), await Window.signIn(context, world.url, "bob")];

  await ann.startDirect("bob");
  await ann.write("Is the pier free on Thursday?");
  await ann.ticked("Is the pier free", "Stored");
  await bob.unread("ann", 1);
  await bob.titled("(1) Parley");

  await bob.row("ann").click();
  await ann.ticked("Is the pier free", "Read");
  await bob.unread("ann", 0);
  await bob.titled("Parley");

  await bob.page.locator(".composer textarea").pressSequentially("It is.");
  await ann.page.getByText("bob is typing").waitFor();
  await bob.page.keyboard.press("Enter");
  await ann.message("It is.").waitFor();
  await ann.page.locator(".heading").getByText("Online").waitFor();

  expect(await ann.texts()).toEqual(["Is the pier free on Thursday?", "It is."]);
  expect(await bob.texts()).toEqual(await ann.texts());
  expect([...ann.complaints, ...bob.complaints]).toEqual([]);
});

testBrowser("naming somebody who never signed in is answered in words, and leaves nothing behind", async () => {
  await using world = await World.create();
  const ann = await Window.signIn(await world.context(), world.url, "ann");

  await ann.fillStart("zed");
  await ann.page.getByRole("alert").getByText("Nobody by the name zed has signed in yet.").waitFor();
  await ann.page.keyboard.press("Escape");
  await ann.page.reload();
  await ann.online();

  expect(await ann.page.locator(".row").count()).toBe(0);
});

testBrowser(
  "what is written without a line survives a reload, arrives once and in order, and the numbers agree",
  async () => {
    await using world = await World.create();
    await using link = await Link.to(world.port);
    const contexts = [await world.context(), await world.context()] as const;
    const ann = await Window.signIn(contexts[0], link.url, "ann");
    const bob = await Window.signIn(contexts[1], world.url, "bob");
    await ann.startDirect("bob");
    await ann.write("before");
    await ann.ticked("before", "Stored");
    await ann.page.waitForFunction(() => navigator.serviceWorker.controller !== null);

    link.cut();
    await contexts[0].setOffline(true);
    await ann.page.getByText("Reconnecting").waitFor();
    await ann.write("first without a line");
    await ann.write("second without a line");
    await ann.ticked("second without a line", "Sending");
    await bob.startGroup("Harbour crew", "ann");
    await bob.write("Did you see this, ann?");
    await bob.ticked("Did you see this", "Stored");

    await ann.page.reload();
    await ann.ticked("first without a line", "Sending");
    await ann.ticked("second without a line", "Sending");
    expect(await ann.texts()).toEqual(["before", "first without a line", "second without a line"]);

    await contexts[0].setOffline(false);
    link.mend();
    await ann.ticked("second without a line", "Stored");
    await ann.unread("Harbour crew", 1);
    await ann.titled("(1) Parley");
    await bob.unread("ann", 3);
    await bob.titled("(3) Parley");

    await bob.page.reload();
    await bob.unread("ann", 3);
    await bob.titled("(3) Parley");
    await bob.row("ann").click();
    await ann.ticked("second without a line", "Read");
    await bob.unread("ann", 0);
    expect(await bob.texts()).toEqual(["before", "first without a line", "second without a line"]);
    expect(await ann.texts()).toEqual(await bob.texts());
  },
);

testBrowser("a server that is restarted under the page is found again without a hand on it", async () => {
  await using world = await World.create();
  await using link = await Link.to(world.port);
  const context = await world.context();
  const [ann, bob] = [await Window.signIn(context, link.url, "ann"), await Window.signIn(context, link.url, "bob")];
  await ann.startDirect("bob");
  await ann.write("before the restart");
  await bob.unread("ann", 1);

  await world.stopServer();
  await ann.page.getByText("Reconnecting").waitFor();
  await ann.write("while it was away");
  await ann.ticked("while it was away", "Sending");
  await world.startServer();
  link.mend(world.port);

  await ann.ticked("while it was away", "Stored");
  await bob.unread("ann", 2);
  await ann.page.getByText("Reconnecting").waitFor({ state: "hidden" });
  await bob.row("ann").click();
  await bob.message("while it was away").waitFor();
  expect(await bob.texts()).toEqual(["before the restart", "while it was away"]);
});

testBrowser("a muted conversation stays out of the title, and a draft outlives a reload", async () => {
  await using world = await World.create();
  const context = await world.context();
  const [ann, bob] = [await Window.signIn(context, world.url, "ann"), await Window.signIn(context, world.url, "bob")];
  await ann.startDirect("bob");
  await ann.page.locator(".composer textarea").fill("half a tho");
  await ann.page.getByRole("button", { name: "Mute" }).click();
  await ann.row("bob").getByText("muted").waitFor({ state: "attached" });
  await ann.page.keyboard.press("Escape");

  await bob.startDirect("ann");
  await bob.write("psst");
  await ann.unread("bob", 1);
  await ann.page.locator(".myself").getByText("1 unread in muted").waitFor();
  await ann.page.reload();

  await ann.unread("bob", 1);
  expect(await ann.page.title()).toBe("Parley");
  await ann.row("bob").click();
  expect(await ann.page.locator(".composer textarea").inputValue()).toBe("half a tho");
});

testBrowser("a large conversation that is not open is counted, and shows everything once it is opened", async () => {
  await using world = await World.create({ PARLEY_COUNTERS_MEMBERS_ABOVE: "1", PARLEY_COUNTERS_EVERY_MS: "50" });
  const context = await world.context();
  const [ann, bob] = [await Window.signIn(context, world.url, "ann"), await Window.signIn(context, world.url, "bob")];
  await ann.startDirect("bob");
  for (const text of ["one.", "two.", "three."]) await ann.write(text);
  await bob.unread("ann", 3);
  await bob.titled("(3) Parley");

  await bob.row("ann").click();
  await bob.message("three.").waitFor();
  await bob.write("four.");
  await ann.message("four.").waitFor();
  await ann.page.keyboard.press("Escape");
  await bob.write("five.");
  await ann.unread("bob", 1);
  await ann.row("bob").click();
  await ann.message("five.").waitFor();
  expect(await bob.texts()).toEqual(["one.", "two.", "three.", "four.", "five."]);
  expect(await ann.texts()).toEqual(await bob.texts());
  expect([...ann.complaints, ...bob.complaints]).toEqual([]);
});

testBrowser("older messages load above while one scrolls, and none is missing or twice", async () => {
  await using world = await World.create();
  const context = await world.context();
  const [ann, bob] = [await Window.signIn(context, world.url, "ann"), await Window.signIn(context, world.url, "bob")];
  await ann.startDirect("bob");
  const sent = Array.from({ length: 130 }, (_, i) => `line ${i + 1}.`);
  for (const text of sent) await ann.write(text);
  await ann.ticked("line 130.", "Stored");

  await bob.row("ann").click();
  await bob.message("line 130.").waitFor();
  await bob.page.locator(".scroller").evaluate(scrollUpUntilTheBeginning);
  expect(await bob.texts()).toEqual(sent);
  expect(await ann.texts()).toEqual(sent);
});

testBrowser(
  "where a signing key is configured one signs in with a token, and a wrong one is told in words",
  async () => {
    const secret = "a secret of more than thirty-two bytes";
    await using world = await World.create({ PARLEY_AUTH_SECRET: secret });
    const context = await world.context();
    const ann = await Window.open(context, world.url);

    await ann.signInWithToken(await signToken(`${secret}, but another one`, "ann" as UserId, { seconds: 600 }));
    await ann.page.getByRole("status").getByText("The token may be wrong").waitFor();
    await ann.signInWithToken(await signToken(secret, "ann" as UserId, { seconds: 600 }));

    await ann.online();
    expect(await ann.page.locator(".myself strong").textContent()).toBe("ann");
  },
);

testBrowser("on a phone's width the list and the conversation take turns, by touch and by keyboard", async () => {
  await using world = await World.create();
  const phone = await world.context({ viewport: { width: 390, height: 844 }, colorScheme: "dark" });
  const ann = await Window.signIn(phone, world.url, "ann");
  await Window.signIn(await world.context(), world.url, "bob");

  await ann.startDirect("bob");
  expect(await ann.row("bob").isVisible()).toBe(false);
  await ann.page.getByRole("button", { name: "Back to the list" }).click();
  await ann.row("bob").waitFor();
  expect(await ann.page.locator(".thread").isVisible()).toBe(false);

  await ann.row("bob").focus();
  await ann.page.keyboard.press("Enter");
  await ann.page.locator(".thread").waitFor();
  await ann.page.goBack();
  await ann.row("bob").waitFor();
  expect(await ann.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
});

testBrowser("with the keyboard alone one skips the list, moves in it, opens, writes, and comes back", async () => {
  await using world = await World.create();
  const context = await world.context();
  const [ann] = [await Window.signIn(context, world.url, "ann"), await Window.signIn(context, world.url, "bob")];
  await Window.signIn(context, world.url, "cleo");
  await ann.startDirect("bob");
  await ann.startDirect("cleo");
  const { page } = ann;
  await page.reload();
  await ann.online();

  await page.locator(".skip").focus();
  await page.keyboard.press("Enter");
  expect(await focused(ann)).toBe("conversation");
  await page.locator(".composer textarea").focus();
  await page.keyboard.press("Escape");
  expect(await focused(ann)).toBe("cleo");
  await page.keyboard.press("ArrowDown");
  expect(await focused(ann)).toBe("bob");
  await page.keyboard.press("Home");
  expect(await focused(ann)).toBe("cleo");
  await page.keyboard.press("End");
  await page.keyboard.press("Enter");
  await page.getByRole("textbox", { name: "Message to bob" }).waitFor();
  await page.keyboard.type("one");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("two");
  await page.keyboard.press("Enter");

  await ann.ticked("one", "Stored");
  expect(await ann.texts()).toEqual(["one\ntwo"]);
});

testBrowser("a script that is not the server's own does not run", async () => {
  await using world = await World.create();
  const ann = await Window.signIn(await world.context(), world.url, "ann");
  await Window.signIn(await world.context(), world.url, "bob");
  await ann.startDirect("bob");
  await ann.write("<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>");
  await ann.ticked("onerror", "Stored");

  const ran = await ann.page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "document.title = 'broken'";
    document.head.append(script);
    return document.title;
  });

  expect(ran).not.toBe("broken");
  expect(ann.complaints.some((complaint) => complaint.includes("Content Security Policy"))).toBe(true);
});

/** The id of what has the focus, or the name of the row that has it. */
function focused({ page }: Window): Promise<string> {
  return page.evaluate(() => {
    const element = document.activeElement;
    return element?.querySelector(".row-name > .clip")?.textContent ?? element?.id ?? "";
  });
}

/** Runs in the page. Resolves when the beginning is shown. */
function scrollUpUntilTheBeginning(scroller: Element): Promise<void> {
  return new Promise((resolve) => {
    const climb = (): void => {
      if (scroller.querySelector(".older")?.textContent?.includes("where it began")) return resolve();
      scroller.scrollTop = 0;
      requestAnimationFrame(climb);
    };
    climb();
  });
}

/** A server with a data folder of its own, restartable, and the browser's contexts that visit it. */
class World implements AsyncDisposable {
  readonly #folder: string;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #contexts: BrowserContext[] = [];
  #server: RunningServer | null = null;

  private constructor(folder: string, environment: Readonly<Record<string, string>>) {
    this.#folder = folder;
    this.#environment = environment;
  }

  static async create(environment: Readonly<Record<string, string>> = {}): Promise<World> {
    const world = new World(await mkdtemp(join(tmpdir(), "parley-page-")), environment);
    await world.startServer();
    return world;
  }

  get url(): string {
    if (this.#server === null) throw new Error("the server is stopped");
    return this.#server.url;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  async startServer(): Promise<void> {
    const fixed = { PARLEY_PORT: "0", PARLEY_DATA_DIR: this.#folder, PARLEY_LOG_LEVEL: "silent" };
    const loaded = loadConfig({ environment: { ...this.#environment, ...fixed }, file: null });
    if (!loaded.ok) throw new Error(loaded.problem);
    this.#server = await startServer(loaded.config, { pageFolder });
  }

  async stopServer(): Promise<void> {
    await this.#server?.stop();
    this.#server = null;
  }

  async context(options: BrowserContextOptions = {}): Promise<BrowserContext> {
    const context = await browser.newContext(options);
    this.#contexts.push(context);
    return context;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const context of this.#contexts) await context.close();
    await this.stopServer();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
