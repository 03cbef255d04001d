// Serves the built web page from memory: its files are read once at start, so that no request ever names a path on disk.
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";

interface PageFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly type: string;
  readonly etag: string;
}

/** The built page; answers null for a path that it does not have. */
export interface Page {
  readonly fileCount: number;
  respond(request: Request, path: string): Response | null;
}

/** Most bytes of one page, all files together; a build is far below it. */
const pageBytesMax = 32 * 1024 * 1024;

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
  ".map": "application/json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".webp": "image/webp",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
};

/** Reads the page in `folder`; an absent folder is an empty page. Rejects when it holds more than 32 MiB. */
export async function openPage(folder: string): Promise<Page> {
  const files = new Map<string, PageFile>();
  let total = 0;
  for (const path of await listFiles(folder)) {
    const bytes = new Uint8Array(await readFile(path));
    total += bytes.byteLength;
    if (total > pageBytesMax)
      throw new Error(`${folder} holds more than ${pageBytesMax} bytes: it is not a built page`);
    const etag = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`;
    const type = types[extname(path)] ?? "application/octet-stream";
    files.set(`/${relative(folder, path).split(sep).join("/")}`, { bytes, type, etag });
  }
  const index = files.get("/index.html");
  if (index !== undefined) files.set("/", index);
  return {
    fileCount: files.size,
    respond(request, path) {
      const file = files.get(path);
      return file === undefined ? null : respondWith(request, file);
    },
  };
}

async function listFiles(folder: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function respondWith(request: Request, file: PageFile): Response {
  const headers = {
    "content-type": file.type,
    etag: file.etag,
    // Names carry no hash, so a browser asks each time and is mostly told that nothing changed.
    "cache-control": "no-cache",
    "content-security-policy": contentSecurityPolicy(request.headers.get("host")),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
  };
  if (request.headers.get("if-none-match") === file.etag) return new Response(null, { status: 304, headers });
  return new Response(file.bytes, { headers });
}

/** Nothing inline, nothing from elsewhere; sockets to the host that served the page only. */
export function contentSecurityPolicy(host: string | null): string {
  const sockets = host !== null && /^[A-Za-z0-9.[\]:-]{1,255}$/.test(host) ? ` ws://${host} wss://${host}` : "";
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "manifest-src 'self'",
    `connect-src 'self'${sockets}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}
