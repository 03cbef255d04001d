// Holds the Dockerfile to what it says of itself: a last stage without tools, a person without rights, a health check, and a
// context without secrets.
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readText, root } from "./compose-file";

/** Instructions with their continuation lines joined, by stage. */
const stages = readText("Dockerfile")
  .replaceAll(/^#.*\n/gm, "")
  .replaceAll(/\\\n\s*/g, "")
  .split(/^(?=FROM )/m)
  .map((stage) => stage.split("\n").filter((line) => line !== ""))
  .filter(([first]) => first !== undefined);
const [build = [], last = []] = stages;

test("there are two stages on pinned images, and the second has no package tool and installs nothing", () => {
  expect(stages).toHaveLength(2);
  expect(build[0]).toMatch(/^FROM node:\d+\.\d+\.\d+-bookworm-slim AS build$/);
  expect(last[0]).toMatch(/^FROM debian:bookworm-\d{8}-slim$/);
  expect(
    last.filter((line) => /\b(npm|npx|apt|apt-get|curl|node)\b/.test(line.replaceAll("node_modules", ""))),
  ).toEqual([]);
});

test("it runs as a person without rights, keeps its data in /data, and says whether it is well", () => {
  const position = (start: string): number => last.findIndex((line) => line.startsWith(start));
  expect(position("USER parley")).toBeGreaterThan(position("RUN useradd --uid 1000"));
  expect(last.slice(position("USER")).filter((line) => /^(RUN|COPY|USER root)/.test(line))).toEqual([]);
  for (const start of ["VOLUME /data", "HEALTHCHECK", "STOPSIGNAL SIGTERM", 'CMD ["bun", "src/main.ts", "serve"]']) {
    expect([start, position(start) > 0]).toEqual([start, true]);
  }
});

test("what it copies is there and not left out of the context", () => {
  const copied = build.filter((line) => line.startsWith("COPY ")).flatMap((line) => line.split(" ").slice(1, -1));
  const ignored = readText(".dockerignore").split("\n");
  expect(copied.length).toBeGreaterThan(5);
  expect(copied.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  expect(copied.filter((path) => ignored.includes(path.replace("./", "")))).toEqual([]);
});

test("secrets stay out of the context and out of git", () => {
  const ignored = readText(".dockerignore").split("\n");
  const untracked = readText(".gitignore").split("\n");
  for (const name of [".env*", "parley.env", ".git", "data"]) expect(ignored).toContain(name);
  for (const name of [".env", "parley.env"]) expect(untracked).toContain(name);
});
