// Compares a starting node with the cluster it would join, by a note under one key beside the claims.
// Each that starts is a member, with a lease, before it looks: of two that start at once with different data one is refused.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import type { KeyValue, KvWatch } from "../actors/placement-kv";
import { placementTimes } from "../actors/placement-events";
import type { Incarnation } from "../actors/placement-shares";
import type { Clock } from "../lib/clock";
import { judgeNote, parseNote } from "./cluster-note";
import type { ClusterNote } from "./cluster-note";
import { ClusterRefusal } from "./cluster-refusal";
import type { NotedKeyValue } from "./nats-kv";

/** What a node joins with. */
export interface JoinClusterOptions {
  readonly claims: NotedKeyValue;
  readonly members: KeyValue;
  readonly clock: Clock;
  readonly self: Incarnation;
  /** What the node's lease says before it takes anything. */
  readonly lease: string;
  readonly note: ClusterNote;
  /** Later the cluster turned out to be another: its note was replaced while this node could not be heard. The node should leave. */
  readonly onForeign: (says: string) => void;
}

/** The key of the note; claims have numbers. */
const noteKey = "cluster";
/** How long members that may be dead already are waited for: a lease's life, and a look more. */
const waitMs = placementTimes.ttlMs + 1000;
const lookMs = 50;
/** What the other of two that start at once has written may be on its way for this long. */
const sureMs = 250;
/** How long NATS may take to answer at all. */
const answerMs = 15_000;
/** How often a note that was lost is written again before that is left to the next watch, and the wait between. */
const renewTries = 20;
const renewRetryMs = 500;

/**
 * Resolves once this node's note and the cluster's are the same. Rejects with a {@link ClusterRefusal} where the node must not
 * join; its lease is taken back then. Where the note differs and nobody else is alive it is replaced.
 */
export async function joinCluster(options: JoinClusterOptions): Promise<void> {
  const { claims, members, self, note, onForeign } = options;
  const living = new Living(members, self, options.clock);
  try {
    await agree(options, living);
  } catch (error) {
    await members.delete(self, null);
    throw error;
  } finally {
    living.stop();
  }
  claims.follow(noteKey, (value) => {
    // Lost with a wiped disk: whoever starts next has to find it.
    if (value === null) return void renew(options);
    const verdict = judgeNote(note, parseNote(value), true);
    if (verdict.outcome === "refused") onForeign(verdict.says);
  });
}

/** Whoever comes first; the others hear of it by their watches. */
async function renew({ claims, clock, note }: JoinClusterOptions): Promise<void> {
  for (let tries = 0; tries < renewTries; tries++) {
    const written = await claims.update(noteKey, JSON.stringify(note), 0);
    if (written.outcome !== "unknown") return;
    await new Promise<void>((resolve) => clock.after(renewRetryMs, resolve));
  }
}

async function agree(options: JoinClusterOptions, living: Living): Promise<void> {
  const { members, clock, self, lease } = options;
  const begun = clock.monotonic();
  for (;;) {
    const passed = clock.monotonic() - begun;
    const leased = await members.put(self, lease);
    const isHeard = leased.outcome === "written" && living.isKnown;
    if (isHeard && (await settle(options, living.count > 0, passed))) return;
    if (passed >= answerMs)
      throw new ClusterRefusal("JetStream on the NATS servers does not answer; see their logs, then start again");
    await new Promise<void>((resolve) => clock.after(lookMs, resolve));
  }
}

/** @returns whether the cluster's note is this node's now; if not, it is worth another look */
async function settle({ claims, note }: JoinClusterOptions, others: boolean, passed: number): Promise<boolean> {
  const found = await claims.read(noteKey);
  if (found === "unknown") return false;
  const verdict = found?.value ? judgeNote(note, parseNote(found.value), others) : null;
  if (verdict?.outcome === "same") return true;
  if (verdict?.outcome === "refused") {
    if (passed >= waitMs) throw new ClusterRefusal(verdict.says);
    return false;
  }
  if (verdict !== null && passed < sureMs) return false;
  const written = await claims.update(noteKey, JSON.stringify(note), found?.revision ?? 0);
  return written.outcome === "written";
}

/** Who else is there: whose lease was written within its life, as far as this node has heard. */
class Living {
  readonly #clock: Clock;
  readonly #seenAt = new Map<Incarnation, number>();
  readonly #watch: KvWatch;
  isKnown = false;

  constructor(members: KeyValue, self: Incarnation, clock: Clock) {
    this.#clock = clock;
    this.#watch = members.watch({
      restarted: () => {
        this.isKnown = false;
      },
      entry: (member, value) => {
        if (value === null) this.#seenAt.delete(member);
        else if (member !== self) this.#seenAt.set(member, clock.monotonic());
      },
      current: () => {
        this.isKnown = true;
      },
    });
  }

  get count(): number {
    const now = this.#clock.monotonic();
    return [...this.#seenAt.values()].filter((at) => now - at <= placementTimes.ttlMs).length;
  }

  stop(): void {
    this.#watch.stop();
  }
}

/** The machine this process runs on: its name, and a digest of what tells it from others of that name. */
export async function thisHost(): Promise<string> {
  const id = await readFile("/etc/machine-id", "utf8").catch(() => "");
  const digest = createHash("sha256").update(`parley\n${hostname()}\n${id.trim()}`).digest("hex");
  return `${hostname()}/${digest.slice(0, 16)}`;
}
