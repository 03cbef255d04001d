// PROTOCOL.md against the code: every table and every example, so that the page cannot drift from what is spoken.
import { describe, expect, test } from "bun:test";
import { capabilities } from "../../src/protocol/capabilities";
import { closeCodes, errorCodes } from "../../src/protocol/codes";
import { entryKinds, memberChanges, messageFlags } from "../../src/protocol/entry";
import { frameTypes, socketPath, subprotocol } from "../../src/protocol/frames";
import { limits } from "../../src/protocol/limits";
import { operations } from "../../src/protocol/operations";
import { fromHex, goldenFrames } from "../golden/golden";
import { pushShapes } from "./shapes";

const page = await Bun.file(new URL("../../docs/PROTOCOL.md", import.meta.url)).text();
const golden = await goldenFrames();

/** What stands under a heading of the second level. */
function section(title: string): string {
  const found = page.split(/^## /m).find((part) => part.startsWith(`${title}\n`));
  if (found === undefined) throw new Error(`PROTOCOL.md has no section ${title}`);
  return found;
}

/** Rows of a section's first table, without head and marks of code. */
function rows(title: string): readonly (readonly string[])[] {
  const lines = section(title).split("\n");
  const start = lines.findIndex((line) => line.startsWith("|"));
  const rest = lines.slice(start + 2);
  const end = rest.findIndex((line) => !line.startsWith("|"));
  return rest.slice(0, end < 0 ? undefined : end).map((line) =>
    line
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim().replaceAll("`", "")),
  );
}

describe("tables", () => {
  test("errors are those of the code, word for word", () => {
    expect(rows("Errors")).toEqual(
      Object.entries(errorCodes).map(([code, { outcome, says }]) => [code, outcome, says]),
    );
  });

  test("close codes are those of the code, word for word", () => {
    const wanted = Object.entries(closeCodes).map(([name, { code, says }]) => [String(code), name, says]);
    expect(rows("Close codes")).toEqual(wanted);
  });

  test("capabilities are those of the code, word for word", () => {
    expect(rows("What may change")).toEqual(Object.entries(capabilities).map(([name, { says }]) => [name, says]));
  });

  test("limits are those of the code", () => {
    expect(rows("Limits").map(([name, value]) => [name, Number(value)])).toEqual(Object.entries(limits));
  });

  test("pushes are those of the code", () => {
    expect(rows("Pushes").map(([name]) => name as string)).toEqual(Object.keys(pushShapes));
  });

  test("frames are those of the code", () => {
    const wanted = Object.entries(frameTypes).map(([name, type]) => `${name} [${type}`);
    expect(rows("Frames").map(([name, items]) => `${name} ${items?.match(/^\[\d/)?.[0]}`)).toEqual(wanted);
  });

  test("kinds of entries are those of the code, and so are changes and flags", () => {
    const log = section("The log");
    expect(rows("The log").map(([kind, name]) => [name, Number(kind)])).toEqual(Object.entries(entryKinds));
    for (const [name, code] of Object.entries(memberChanges))
      expect(log).toMatch(new RegExp(`\\b${code} ${name}|${name}\\b.*\\b${code}`));
    for (const [name, bit] of Object.entries(messageFlags)) expect(log).toContain(`${bit} (${name}:`);
  });

  test("path and subprotocol are those of the code", () => {
    expect(section("Connecting")).toContain(`\`${socketPath}\``);
    expect(section("Connecting")).toContain(`\`${subprotocol}\``);
  });
});

describe("operations", () => {
  const parts = section("Operations").split(/^### /m).slice(1);

  test("each operation stands there once, in the order of the table", () => {
    expect(parts.map((part) => part.slice(0, part.indexOf("\n")))).toEqual(Object.keys(operations));
  });

  test("each says its arguments, who may call it, and explains every argument in its place", () => {
    for (const [i, [name, { names, access }]] of Object.entries(operations).entries()) {
      const part = parts[i] as string;
      expect(part).toContain(`\`${name}(${names})\` · ${access} · answers `);
      const explained = [...part.matchAll(/^- `(\w+)\??`: /gm)].map(([, argument]) => argument);
      expect(explained.join(", ")).toBe(names);
    }
  });

  test("an argument is marked as optional exactly where nil is accepted", () => {
    for (const [i, [name, { args }]] of Object.entries(operations).entries()) {
      const marks = [...(parts[i] as string).matchAll(/^- `\w+(\??)`: /gm)].map(([, mark]) => mark === "?");
      expect([name, ...marks]).toEqual([name, ...args.map(acceptsNil)]);
    }
  });
});

function acceptsNil(field: { read(value: unknown): unknown }): boolean {
  try {
    field.read(null);
    return true;
  } catch {
    return false;
  }
}

describe("examples", () => {
  const blocks = [...page.matchAll(/^```hex\n(.+)\n(.+)\n([^`]+)```$/gm)].map(([, names, json, hex]) => ({
    names: (names as string).split(", "),
    json: json as string,
    hex: hex as string,
  }));
  const find = (name: string) => {
    const one = golden.find((frame) => frame.name === name);
    if (one === undefined) throw new Error(`no golden frame ${name}`);
    return one;
  };

  test("each is made of golden frames: their bytes and their values", () => {
    for (const { names, json, hex } of blocks) {
      const frames = names.map(find);
      expect(json).toBe(frames.map((frame) => frame.json).join(" "));
      expect(fromHex(hex)).toEqual(Uint8Array.from(frames.flatMap(({ bytes }) => [...bytes])));
    }
  });

  test("there is one of every type of frame, and one message of several frames", () => {
    const types = new Set(blocks.flatMap(({ names }) => names.map((name) => find(name).frame[0] as number)));
    expect([...types].sort()).toEqual(Object.values(frameTypes));
    expect(blocks.some(({ names }) => names.length > 1)).toBeTrue();
  });
});

test("every limit and every code that the text names exists", () => {
  const names = [...page.matchAll(/`([a-z]+(?:[A-Z][a-z]+)*Max)`/g)].map(([, name]) => name as string);
  const ofTheOperator = ["unansweredMax"];
  expect(names.filter((name) => !(name in limits) && !ofTheOperator.includes(name))).toEqual([]);
  const codes = [...page.matchAll(/\b4[05]\d\d\b/g)].map(([code]) => Number(code));
  const known: number[] = [...Object.values(closeCodes).map(({ code }) => code), 4499, 4999, 4000, 4096];
  expect(codes.filter((code) => !known.includes(code))).toEqual([]);
});
