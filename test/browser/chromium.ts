// Finds Chromium for the browser test, or installs it where the machine lets us; without one it says what is not tested.
// On CI a missing browser is a failure. The flags keep a browser of the system quiet: it talks to the tested server only.
import { type Browser, chromium } from "playwright-core";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const quiet = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** The path of a Chromium; null where there is none and this is not CI. Rejects on CI where none can be had. */
export async function findChromium(): Promise<string | null> {
  const found = installed() ?? ((await install()) ? installed() : null);
  if (found !== null) return found;
  const says = "the page is not tested in a browser: there is no Chromium (install the package chromium)";
  if (process.env["CI"] === "true") throw new Error(says);
  process.stderr.write(`${says}\n`);
  return null;
}

function installed(): string | null {
  return names.map((name) => Bun.which(name)).find((path) => path !== null) ?? null;
}

/** Only as root with apt: nobody is asked for a password by a test. */
async function install(): Promise<boolean> {
  if (process.getuid?.() !== 0 || Bun.which("apt-get") === null) return false;
  process.stderr.write("installing Chromium for the browser test ...\n");
  const command = "apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium";
  const run = Bun.spawn(["sh", "-c", command], {
    stdout: "ignore",
    stderr: "inherit",
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  return (await run.exited) === 0;
}

/** Starts a browser without a window. */
export function openBrowser(executablePath: string): Promise<Browser> {
  return chromium.launch({ executablePath, args: quiet });
}
