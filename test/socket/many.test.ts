// Ten thousand sockets that never say hello: bounded memory, all closed in time, and whoever chats does not notice (G11).
import { expect, test } from "bun:test";
import { join } from "node:path";
import { SocketWorld } from "./socket-world";

const count = 10_000;
/** Far above what such a socket costs (about 3 KB), far below what a leak of one frame a socket would. */
const bytesMax = 16 * 1024;

async function readLine(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  const { value } = await reader.read();
  return new TextDecoder().decode(value).trim();
}

test("10,000 connects without hello stay cheap and are closed in time, while others chat", async () => {
  let collected = 0;
  const collect = (): void => void collected++;
  await using world = await SocketWorld.start({ connections: { max: 15_000, perAddress: 15_000 }, collect });
  const [ada, bob] = [await world.online("ada"), await world.online("bob")];
  const id = await world.group(ada, "bob");
  Bun.gc(true);
  const before = process.memoryUsage.rss();
  const command = [process.execPath, join(import.meta.dir, "connect-many.ts"), String(world.port), String(count)];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
  const lines = child.stdout.getReader();
  expect(await readLine(lines)).toBe("open");
  expect(world.sockets.connections).toBe(count + 2);
  Bun.gc(true);
  expect((process.memoryUsage.rss() - before) / count).toBeLessThan(bytesMax);

  const [seq] = await ada.request("send", id, [[crypto.randomUUID(), ["still here"]]]);
  await bob.push("entries", ([, entries]) => (entries as number[][]).some(([at]) => at === seq));
  world.clock.advance(12_000);
  expect(await readLine(lines)).toBe("gone");
  expect(world.sockets.connections).toBe(2);
  expect(await bob.refusal("devices")).toBeNull();
  // Once after they came, once after they went, once when the actors that served them are gone, and not again.
  world.clock.advance(10_000);
  expect(collected).toBe(2);
  for (let seconds = 0; seconds < 200; seconds += 20) {
    world.clock.advance(20_000);
    await Promise.all([ada.settled(), bob.settled()]);
  }
  expect(collected).toBe(3);
  child.kill();
  await child.exited;
}, 60_000);
