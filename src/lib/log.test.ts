import { expect, test } from "bun:test";
import { createLog, prettyLine } from "./log";

function capture(level: "info" | "debug" = "info") {
  const lines: string[] = [];
  const log = createLog({ logLevel: level, logFormat: "json" }, { write: (line) => void lines.push(line) });
  return { log, lines };
}

test("a line is one JSON object with its level, time, context and sentence", () => {
  const { log, lines } = capture();
  log.child({ session: 7 }).info({ seq: 3 }, "stored");
  const line = JSON.parse(lines.join("")) as Record<string, unknown>;
  expect(line).toMatchObject({ level: "info", session: 7, seq: 3, msg: "stored" });
  expect(Date.parse(String(line["time"]))).toBeGreaterThan(0);
});

test("secrets, tokens and texts of people are left out, also one level down", () => {
  const { log, lines } = capture();
  log.info(
    { token: "t0p", text: "hello", headers: { authorization: "Bearer t0p" }, auth: { secret: "s3cret" } },
    "seen",
  );
  expect(lines.join("")).not.toMatch(/t0p|hello|s3cret/);
  expect(lines.join("")).toContain("seen");
});

test("what is below the level is not written", () => {
  const { log, lines } = capture();
  log.debug("noise");
  expect(lines).toEqual([]);
});

test("a terminal shows time, level, sentence, fields, and the stack of an error", () => {
  const { log, lines } = capture();
  log.warn({ room: "a b", n: 1, err: new Error("boom") }, "trouble");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control characters
  const shown = prettyLine(lines.join("")).replace(/\u001b\[[\d;]*m/g, "");
  expect(shown).toMatch(/^\d\d:\d\d:\d\d\.\d{3} warn trouble room="a b" n=1\nError: boom\n/);
});
