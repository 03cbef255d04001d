// `bun scripts/standby.ts URL [EVERY_MS]`: waits while another server answers at URL, and ends with 0 once it is gone: the
// own one starts then. Meanwhile it listens where that one will (PARLEY_HOST, PARLEY_PORT) and answers as one that is alive
// and not ready. Two servers on one database would fence each other in turn; taking over too early costs a pause, never a
// message.
import { setTimeout as sleep } from "node:timers/promises";

/** Between two looks where it is not given, and the longest that an answer may take, milliseconds. */
const usualEveryMs = 1_000;
const answerWithinMs = 2_000;
/** So many looks in vain in a row, and the other is gone. */
const missesMax = 5;
/** So many where it was never seen: everything may have been started together, and this one first. */
const missesBeforeFirstMax = 20;

/** Settles, with the looks in vain, once the server at `url` is gone. Any answer is life, also "starting" or "not ready". */
async function whenGone(url: string, everyMs: number): Promise<number> {
  let limit = missesBeforeFirstMax;
  for (let misses = 0; misses < limit; ) {
    const answered = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(answerWithinMs) }).then(
      () => true,
      () => false,
    );
    misses = answered ? 0 : misses + 1;
    if (answered && limit !== missesMax) {
      limit = missesMax;
      console.log(`${url} answers`);
    }
    await sleep(everyMs);
  }
  return limit;
}

function answer(request: Request, url: string): Response {
  const { pathname } = new URL(request.url);
  if (pathname === "/healthz") return Response.json({ ok: true });
  // Without figures, but there: whoever collects them sees that the standby stands by.
  if (pathname === "/metrics") return new Response("", { headers: { "content-type": "text/plain; version=0.0.4" } });
  return Response.json({ ready: false, reason: `standing by for ${url}` }, { status: 503 });
}

const url = process.argv[2]?.replace(/\/$/, "");
const everyMs = Number(process.argv[3] ?? usualEveryMs);
if (!url || !URL.canParse(url) || !(everyMs > 0)) {
  console.error("usage: bun scripts/standby.ts http://HOST:PORT [EVERY_MS]");
  process.exit(2);
}
const { PARLEY_HOST: hostname = "127.0.0.1", PARLEY_PORT: port = "7700" } = process.env;
const waiting = Bun.serve({ hostname, port: Number(port), fetch: (request) => answer(request, url) });
console.log(`standing by at ${waiting.url.origin} for ${url}`);
const misses = await whenGone(url, everyMs);
console.log(`${url} did not answer ${misses} times in a row: taking over`);
await waiting.stop(true);
