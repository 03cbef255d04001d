import { expect, test } from "bun:test";
import { createContext, runInContext } from "node:vm";
import { goldenFrames } from "../golden/golden";

interface Codec {
  encode(value: unknown): Uint8Array;
  decode(bytes: Uint8Array): unknown;
}

async function bundle(): Promise<string> {
  const entry = new URL("../../src/protocol/codec.ts", import.meta.url).pathname;
  const built = await Bun.build({ entrypoints: [entry], target: "browser", format: "esm", minify: true });
  expect(built.outputs.length).toBe(1);
  return (built.outputs[0] as (typeof built.outputs)[number]).text();
}

/** The codec as a browser has it: no Buffer, no way to make code from text. */
async function codecInBrowser(): Promise<Codec> {
  const source = (await bundle()).replace(/export\s*\{([^}]*)\};?\s*$/, (_, names: string) => {
    const pairs = names.split(",").map((name) => name.split(" as ").map((part) => part.trim()));
    return `globalThis.codec = {${pairs.map(([inner, outer]) => `${outer ?? inner}: ${inner}`).join(",")}};`;
  });
  const globals = { TextDecoder, TextEncoder, Uint8Array, DataView, Object };
  const context = createContext(globals, { codeGeneration: { strings: false, wasm: false } });
  runInContext(source, context);
  return (context as unknown as { readonly codec: Codec }).codec;
}

test("the codec's bundle makes no code from text, imports nothing and stays under 12 KB", async () => {
  const source = await bundle();

  expect(source).not.toMatch(/\beval\b|\bFunction\s*\(|\bimport\b|\brequire\b/);
  expect(source.length).toBeLessThan(12 * 1024);
});

test("without a Buffer the codec writes and reads the same bytes", async () => {
  const codec = await codecInBrowser();
  for (const { name, bytes, frame } of await goldenFrames()) {
    expect([name, Buffer.from(codec.encode(frame)).toString("hex")]).toEqual([
      name,
      Buffer.from(bytes).toString("hex"),
    ]);
    expect([name, codec.decode(bytes)]).toEqual([name, frame]);
  }
});

test("without a Buffer text that is not strict UTF-8 is refused, and long text is kept", async () => {
  const codec = await codecInBrowser();
  for (const hex of ["91a2c0af", "91a3eda080", "91a180"])
    expect(() => codec.decode(Uint8Array.from(Buffer.from(hex, "hex")))).toThrow("UTF-8");
  for (const text of ["x".repeat(300), "é".repeat(300), "\ufeffx"]) expect(codec.decode(codec.encode(text))).toBe(text);
});
