// What nodes and clients of the simulated cluster ask of their world.
// Types only.
import type { SessionWorld } from "../../src/actors/session-world";
import type { FanOutLine } from "./fanout-line";
import type { MemoryNet } from "./memory-bus";
import type { Schedule } from "./simulate";
import type { WatchedData } from "./watched-data";

/** A node, as a client comes to it. */
export interface Door {
  readonly name: string;
  readonly world: SessionWorld;
  /** A socket to this node. */
  line(take: (frame: Uint8Array) => void, closed: (retryMs: number) => void): FanOutLine;
}

/** What clients ask. */
export interface ClientHost {
  readonly schedule: Schedule;
  readonly data: WatchedData;
  /** Entries that clients received as pushes. */
  received: number;
  /** Any node that is up. */
  anyNode(): Door | null;
  /** Something that must not happen has happened. */
  broke(error: unknown): void;
}

/** What nodes ask. */
export interface NodeHost {
  readonly schedule: Schedule;
  readonly data: WatchedData;
  readonly net: MemoryNet;
  readonly faults: { readonly readFails: number };
  readonly resyncs: boolean;
  readonly meter: Readonly<Record<string, (...args: never[]) => void>>;
  ownerOf(partition: number): string | null;
  /** An activation was fenced on that node. */
  suspected(node: string, partition: number): void;
  broke(error: unknown): void;
}
