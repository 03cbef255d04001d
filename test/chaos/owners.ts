// Which node answers for which partition, as the nodes themselves tell it once a second on the subject of all.
// Asked when everything is healed: then each partition has one owner, and each node tells of itself.
import { connect } from "@nats-io/transport-node";
import { partitionCount } from "../../src/lib/hash";
import { decode } from "../../src/protocol/codec";
import type { Owners } from "../history/events";

/** How long it may take after healing until every partition has one owner, milliseconds. */
const patienceMsUsual = 20_000;
/** What was told longer ago says nothing of now: two beats, and some. */
const freshMs = 3_000;
const lookEveryMs = 250;

type Owned = Owners["owned"][number][1];

/** Who is asked. */
export interface Asked {
  readonly nats: readonly { readonly uri: string }[];
  readonly nodes: readonly unknown[];
}

/** Looks until each partition has one owner, or patience is over; answers what was seen last. */
export async function readOwners({ nats, nodes }: Asked, patienceMs = patienceMsUsual): Promise<Omit<Owners, "t">> {
  const connection = await connect({ servers: nats.map(({ uri }) => uri), timeout: 5_000 });
  const told = new Map<string, { readonly owns: Owned; readonly at: number }>();
  try {
    connection.subscribe("parley.gw.all", {
      callback: (_, message) => {
        const beat = readBeat(message.data);
        if (beat !== null) told.set(beat.node, { owns: beat.owns, at: performance.now() });
      },
    });
    const deadline = performance.now() + patienceMs;
    for (;;) {
      await Bun.sleep(lookEveryMs);
      const now = performance.now();
      const owned = [...told]
        .filter(([, { at }]) => now - at < freshMs)
        .map(([node, { owns }]) => [node, owns] as const);
      if ((owned.length === nodes.length && isWhole(owned)) || now > deadline) {
        return { e: "owners", partitions: partitionCount, owned };
      }
    }
  } finally {
    await connection.close();
  }
}

function isWhole(owned: Owners["owned"]): boolean {
  const all = owned.flatMap(([, owns]) => owns.map(([partition]) => partition));
  return all.length === partitionCount && new Set(all).size === partitionCount;
}

/** A node's own word; null for what else nodes tell everybody. */
function readBeat(bytes: Uint8Array): { readonly node: string; readonly owns: Owned } | null {
  try {
    const [name, node, , , owns] = decode(bytes) as readonly [string, string, number, unknown, Owned];
    return name === "beat" ? { node, owns } : null;
  } catch {
    return null;
  }
}
