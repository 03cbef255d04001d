// Serves the page itself while the server cannot be reached, so that a reload offline still shows what is stored here.
// A service worker: the server is asked first, always; only the page's own files are kept, never an answer of the API.

/** What this worker uses of its global scope; the types of documents do not know it. */
interface WorkerScope {
  addEventListener(type: "install" | "activate", listener: (event: LifeEvent) => void): void;
  addEventListener(type: "fetch", listener: (event: AskEvent) => void): void;
  skipWaiting(): Promise<void>;
  readonly clients: { claim(): Promise<void> };
  readonly location: Location;
}

interface LifeEvent {
  waitUntil(work: Promise<unknown>): void;
}

interface AskEvent extends LifeEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

const scope = globalThis as unknown as WorkerScope;
const cacheName = "parley-page";
const files = [
  "/",
  "/app.js",
  "/app.css",
  "/logo.svg",
  "/onest-latin.woff2",
  "/onest-latin-ext.woff2",
  "/onest-cyrillic.woff2",
];
/** A server that does not answer for this long counts as gone. */
const patienceMs = 4_000;

scope.addEventListener("install", (event) => event.waitUntil(keepAll()));
scope.addEventListener("activate", (event) => event.waitUntil(scope.clients.claim()));
scope.addEventListener("fetch", (event) => {
  const path = new URL(event.request.url).pathname;
  const own = new URL(event.request.url).origin === scope.location.origin;
  if (own && event.request.method === "GET" && files.includes(path)) event.respondWith(answer(path));
});

async function keepAll(): Promise<void> {
  const cache = await caches.open(cacheName);
  await cache.addAll(files);
  await scope.skipWaiting();
}

async function answer(path: string): Promise<Response> {
  const cache = await caches.open(cacheName);
  try {
    const fresh = await fetch(path, { signal: AbortSignal.timeout(patienceMs) });
    if (fresh.ok) await cache.put(path, fresh.clone());
    return fresh;
  } catch (error) {
    const kept = await cache.match(path);
    if (kept === undefined) throw error;
    return kept;
  }
}
