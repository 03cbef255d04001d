// The ways in which the connections to a server can be troubled while the server itself is well.
// Used by the stores under test; played by faults.ts.
import type { FaultProxy } from "../faults/proxy";
import type { Trouble } from "./faults";

const soon = [50, 400] as const;
const long = [300, 2_000] as const;
/** Falls into a reply of some rows, and between the replies of a few writes. */
const replyBytes = 700;

/** The letters of a MongoDB command that names its collection, as they stand in the request. */
function command(name: string, collection: string): string {
  return `\u0002${name}\0${String.fromCharCode(collection.length + 1)}\0\0\0${collection}\0`;
}

/** Writes of MongoDB behind which the connection is lost before their reply: commits, marks, heads, feeds. */
export const mongoWrites: ReadonlyMap<string, string> = new Map([
  ["a commit", command("insert", "entries")],
  ["rows of members", command("update", "participants")],
  ["a feed's row", command("insert", "feed")],
  ["a head", command("update", "heads")],
]);

/**
 * Delays, black holes, resets in the middle of a reply, and cuts behind a request that was passed on.
 * @param requests what stands in requests after which the connection is lost, before their reply, by name
 */
export function linkTroubles(proxy: FaultProxy, requests: ReadonlyMap<string, string>): readonly Trouble[] {
  const end = (): Promise<void> => proxy.heal();
  const lostBehind = [...requests].map(([what, request]): Trouble => {
    return { name: `connection lost behind ${what}`, begin: () => void proxy.cutAfter(request), end, lastsMs: long };
  });
  return [
    ...lostBehind,
    { name: "black hole to the server", begin: () => proxy.blackHole("toServer"), end, lastsMs: long },
    { name: "reset in the middle of a reply", begin: () => void proxy.resetAfter(replyBytes), end, lastsMs: soon },
    { name: "black hole from the server", begin: () => proxy.blackHole("toClient"), end, lastsMs: long },
    { name: "connections cut", begin: () => proxy.cut(), end, lastsMs: soon },
    { name: "black hole both ways", begin: () => proxy.blackHole("both"), end, lastsMs: long },
    { name: "delays", begin: () => proxy.delay({ toServerMs: 20, toClientMs: 60 }), end, lastsMs: long },
  ];
}
