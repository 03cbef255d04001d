// One person's window of the page, in the words a person would use: sign in, start, write, see.
// Every wait is for something shown; a window remembers what its console complained about.
import type { BrowserContext, Locator, Page } from "playwright-core";

/** Most time for anything to be shown, milliseconds; a bound for failures, not a pace. */
const patienceMs = 30_000;

/** A page with somebody in it. */
export class Window {
  readonly page: Page;
  /** Errors and warnings of the console, uncaught errors, and what the content policy forbade. */
  readonly complaints: string[] = [];

  private constructor(page: Page) {
    this.page = page;
    page.setDefaultTimeout(patienceMs);
    page.on("pageerror", (error) => this.complaints.push(`uncaught: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.complaints.push(message.text());
    });
  }

  /** Opens the page where nobody is signed in. */
  static async open(context: BrowserContext, url: string): Promise<Window> {
    const window = new Window(await context.newPage());
    await window.page.goto(url);
    return window;
  }

  /** Opens the page as somebody of this name. */
  static async signIn(context: BrowserContext, url: string, name: string): Promise<Window> {
    const window = await Window.open(context, url);
    await window.page.getByLabel("Your name").fill(name);
    await window.page.keyboard.press("Enter");
    await window.online();
    return window;
  }

  async signInWithToken(token: string): Promise<void> {
    await this.page.getByLabel("Token").fill(token);
    await this.page.keyboard.press("Enter");
  }

  /** Waits until the server and this window agree. */
  async online(): Promise<void> {
    await this.page.locator(".myself").getByText("Online", { exact: false }).waitFor();
  }

  async startDirect(name: string): Promise<void> {
    await this.fillStart(name);
    await this.page.getByRole("textbox", { name: `Message to ${name}` }).waitFor();
  }

  /** Fills the dialog and submits; what comes of it is the caller's to see. */
  async fillStart(name: string): Promise<void> {
    await this.page.locator(".sidebar").getByRole("button", { name: "New conversation" }).click();
    await this.page.getByLabel("With whom?").fill(name);
    await this.page.keyboard.press("Enter");
  }

  async startGroup(name: string, people: string): Promise<void> {
    await this.page.locator(".sidebar").getByRole("button", { name: "New conversation" }).click();
    await this.page.getByText("Group", { exact: true }).click();
    await this.page.getByLabel("Name of the group").fill(name);
    await this.page.getByLabel("Who takes part?").fill(people);
    await this.page.keyboard.press("Enter");
    await this.page.getByRole("textbox", { name: `Message to ${name}` }).waitFor();
  }

  async write(text: string): Promise<void> {
    await this.page.locator(".composer textarea").fill(text);
    await this.page.keyboard.press("Enter");
  }

  /** The row of a conversation in the list. */
  row(name: string): Locator {
    const heading = this.page.locator(".row-name > .clip").filter({ hasText: new RegExp(`^${RegExp.escape(name)}$`) });
    return this.page.locator(".row").filter({ has: heading });
  }

  message(text: string): Locator {
    return this.page.locator(".message", { hasText: text });
  }

  /** Waits until a message shows this tick: Sending, Stored, Read. */
  async ticked(text: string, tick: string): Promise<void> {
    await this.message(text).getByRole("img", { name: tick }).waitFor();
  }

  /** Waits until the number at a conversation is this; 0 is no number. */
  async unread(name: string, count: number): Promise<void> {
    const badge = this.row(name).locator(".badge");
    if (count === 0) await badge.waitFor({ state: "detached" });
    else await badge.getByText(String(count)).waitFor();
  }

  /** Waits for the title, which carries the sum of unread messages. */
  async titled(title: string): Promise<void> {
    await this.page.waitForFunction((wanted) => document.title === wanted, title);
  }

  /** The texts of the open conversation, in shown order. */
  async texts(): Promise<readonly string[]> {
    return this.page.locator(".message .text").allInnerTexts();
  }
}
