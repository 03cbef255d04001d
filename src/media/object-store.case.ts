// The contract of the media port, run over every driver by its own test.
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import type { ObjectFacts, ObjectStore } from "./object-store";

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

const factsOf = (text: string): ObjectFacts => ({
  bytes: bytesOf(text).length,
  sha256: createHash("sha256").update(text).digest("hex"),
});

async function* parts(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield bytesOf(text);
}

async function readBack(store: ObjectStore, key: string): Promise<string | null> {
  const opened = await store.open(key);
  return opened && new Response(opened.content).text();
}

/** @param make a store with nothing in it */
export function objectStoreContract(name: string, make: () => ObjectStore): void {
  test(`${name}: an object comes back whole, with its facts, whatever its parts`, async () => {
    const store = make();
    expect(await store.put("a/b", parts("one ", "two ", "three"), factsOf("one two three"))).toEqual({
      outcome: "stored",
    });
    expect((await store.open("a/b"))?.facts).toEqual(factsOf("one two three"));
    expect(await readBack(store, "a/b")).toBe("one two three");
    expect(await readBack(store, "another")).toBeNull();
  });

  test(`${name}: content that is too short, too long or another is refused, and what was there stays`, async () => {
    const store = make();
    await store.put("key", parts("before"), factsOf("before"));
    for (const wrong of ["tw", "two and more", "owt"])
      expect((await store.put("key", parts(wrong), factsOf("two"))).outcome).toBe("mismatch");
    expect(await readBack(store, "key")).toBe("before");
  });

  test(`${name}: content that breaks off leaves nothing`, async () => {
    const store = make();
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield bytesOf("half");
      throw new Error("the line broke");
    };
    await expect(store.put("key", broken(), factsOf("half and half"))).rejects.toThrow("the line broke");
    expect(await readBack(store, "key")).toBeNull();
  });

  test(`${name}: a put replaces the whole object, and a removed one is gone`, async () => {
    const store = make();
    await store.put("key", parts("a longer first one"), factsOf("a longer first one"));
    await store.put("key", parts("second"), factsOf("second"));
    expect(await readBack(store, "key")).toBe("second");
    await store.remove("key");
    await store.remove("key");
    expect(await readBack(store, "key")).toBeNull();
  });
}
