// Owners of conversations over a wire on which any command may fail in any way: each says what it was answered, and the logs
// that stand in the end judge every answer. Seeded; two nodes take the partitions from each other.
import { encodeEntry } from "../../src/protocol/codec";
import { entryKinds } from "../../src/protocol/entry";
import type { EntryTuple } from "../../src/protocol/entry";
import type { ClientId, ConversationId, UserId } from "../../src/protocol/ids";
import type { ConversationWrite, EntryRow, HeadRow, Store } from "../../src/storage/store";
import { allPartitions, member } from "../../src/storage/store-samples.case";
import { notWritablePrimary, withWriteConcernTimeout } from "../faults/mongo-proxy";
import type { Answer, Handler } from "../faults/mongo-proxy";
import type { Random } from "../sim/random";

/** A wire on which each command fails with this probability: before or behind what it does, with and without a word. */
export function failingWire(random: Random, probability: number): Handler {
  const writes = new Set(["insert", "update", "findAndModify", "delete"]);
  return async ({ name }, forward) => {
    if (!random.chance(probability)) return forward();
    const write = writes.has(name);
    switch (random.int(write ? 7 : 3)) {
      case 0:
        return "silence";
      case 1:
        return "reset";
      case 2:
        return notWritablePrimary();
      case 3:
        return { ok: 0, code: 11602, codeName: "InterruptedDueToReplStateChange", errmsg: "the replica set changed" };
      case 4:
        return withWriteConcernTimeout(await forward());
      default:
        return unheard(await forward(), random);
    }
  };
}

/** What was done is not told. */
function unheard(_reply: unknown, random: Random): Answer {
  return random.chance(0.5) ? "silence" : "reset";
}

/** What one try to append an item was answered. */
export interface Try {
  readonly clientId: string;
  /** Different in every try, so that the log shows which of them it holds. */
  readonly body: string;
  readonly outcome: "stored" | "conflict" | "fenced" | "refused" | "unknown";
  readonly seq: number;
}

/** A handle of one node, and the epoch it took last. */
export interface Node {
  readonly name: string;
  readonly store: Store;
  epoch: number;
}

/** Everybody in every conversation. */
export const people = ["ann", "bob", "cem"] as UserId[];

/** One conversation, as whichever node owns it goes about it; it outlives both. */
export class ChaoticConversation {
  readonly id: ConversationId;
  readonly tries: Try[] = [];
  /** The highest mark each person was answered. */
  readonly marks = new Map<UserId, number>();
  /** Everything that must not be, as it was met. */
  readonly faults: string[] = [];
  readonly #random: Random;
  #serial = 0;
  #bodies = 0;
  /** Items that are not stored as far as anybody was told. */
  #owed: string[] = [];

  constructor(id: ConversationId, random: Random) {
    this.id = id;
    this.#random = random;
  }

  /** Works as the owner for some steps, then closes it or leaves it open. */
  async live(node: Node, steps: number): Promise<void> {
    let head = await this.#open(node);
    for (let step = 0; step < steps && head !== null; step++) {
      const next = await (this.#random.chance(0.25) ? this.#mark(node, head) : this.#append(node, head));
      head = next === "open again" ? await this.#open(node) : next;
    }
    if (head !== null && this.#random.chance(0.5)) await this.#close(node, head);
  }

  /** The head that the store answers; null: it cannot, or not to this node. */
  async #open({ store, epoch }: Node): Promise<HeadRow | null> {
    const stored = this.tries.filter(({ outcome }) => outcome === "stored");
    const told = Math.max(0, ...stored.map(({ seq }) => seq));
    for (let tries = 0; tries < 5; tries++) {
      try {
        const opened = await store.openConversation(this.id, epoch, 4);
        const head = opened?.head ?? this.#blank(epoch);
        if (head.seq < told) this.faults.push(`opened at ${head.seq} after ${told} was stored`);
        return head;
      } catch {
        // It cannot answer now.
      }
    }
    return null;
  }

  #blank(openEpoch: number): HeadRow {
    const nothing = { name: null, picture: null, fields: null, lastMessage: null };
    const numbers = { seq: 0, ordinal: 0, time: 0, memberCount: 0, lastMessageSeq: 0, fedThrough: 0, totalsThrough: 0 };
    return { conversation: this.id, type: "", ...nothing, ...numbers, openEpoch };
  }

  async #append(node: Node, head: HeadRow): Promise<HeadRow | null | "open again"> {
    if (this.#owed.length === 0 || this.#random.chance(0.7)) this.#owed.push(`item-${this.#serial++}`);
    const items = this.#owed.slice(0, this.#random.between(1, 4));
    const rows = head.type === "" ? this.#creation(head) : [];
    const bodies = items.map((clientId) => `${clientId} try ${this.#bodies++} of ${node.name}`);
    for (const [at, clientId] of items.entries())
      rows.push(message(rows.at(-1) ?? head, clientId, bodies[at] as string));
    const after = headAfter(head, rows, node.epoch);
    const members = head.type === "" ? people.map((user) => member(user, { changedSeq: 2 })) : [];
    const write: ConversationWrite = {
      ...{ conversation: this.id, epoch: node.epoch, entries: rows, head: after, members, cursors: [], totals: [] },
    };
    const answer = await node.store.commit(write);
    const first = (rows.at(-items.length) as EntryRow).seq;
    for (const [at, clientId] of items.entries())
      this.tries.push({ clientId, body: bodies[at] as string, outcome: answer.outcome, seq: first + at });
    switch (answer.outcome) {
      case "stored":
        this.#owed = this.#owed.filter((owed) => !items.includes(owed));
        return after;
      case "conflict":
        this.#learn(answer.duplicates);
        return answer.duplicates.length > 0 ? head : "open again";
      case "refused":
        return head;
      case "unknown":
        return "open again";
      case "fenced":
        return null;
    }
  }

  #creation({ seq, ordinal, time }: HeadRow): EntryRow[] {
    const at = { seq, ordinal, time };
    const first = row(at, entryKinds.conversation, "ann", "make", ["group", { name: "Crew" }]);
    const added = people.map((user) => [0, user, "member", 1]);
    return [first, row(first, entryKinds.members, "ann", null, added)];
  }

  /** Items that the log holds already, by what their earlier tries were answered. */
  #learn(found: readonly { readonly clientId: string; readonly seq: number }[]): void {
    for (const { clientId, seq } of found) {
      const stored = this.tries.find((one) => one.clientId === clientId && one.outcome === "stored");
      if (stored && stored.seq !== seq) this.faults.push(`${clientId} was stored at ${stored.seq}, found at ${seq}`);
      this.#owed = this.#owed.filter((owed) => owed !== clientId);
    }
  }

  async #mark({ store, epoch }: Node, head: HeadRow): Promise<HeadRow | null | "open again"> {
    if (head.seq === 0) return head;
    const user = this.#random.pick(people);
    const seq = this.#random.between(1, head.seq);
    const cursors = [{ user, seq, ordinal: seq, own: 0 }];
    const write = { conversation: this.id, epoch, entries: [], head: null, members: [], cursors, totals: [] };
    const before = this.marks.get(user) ?? 0;
    const answer = await store.commit(write);
    if (answer.outcome === "fenced") return null;
    if (answer.outcome !== "stored") return "open again";
    const told = answer.cursors[0]?.seq ?? 0;
    if (told < before || told < seq)
      this.faults.push(`the mark of ${user} at ${told} after ${before}, asked for ${seq}`);
    this.marks.set(user, Math.max(told, this.marks.get(user) ?? 0));
    return head;
  }

  async #close({ store, epoch }: Node, head: HeadRow): Promise<void> {
    if (head.seq === 0) return;
    const closed = { ...head, openEpoch: 0 };
    const write = { conversation: this.id, epoch, entries: [], head: closed, members: [], cursors: [], totals: [] };
    await store.commit(write);
  }

  /** Judges every answer by what stands in the end, read past every fault; `epochs` are those of the log's entries. */
  judge({ log, epochs, head, marks }: Standing): readonly string[] {
    const faults = [...this.faults];
    const last = log.at(-1);
    const shown = log.findLast(({ kind }) => kind === entryKinds.message);
    // Fences alone make no conversation.
    if (shown && (head?.seq !== last?.seq || head?.ordinal !== last?.ordinal))
      faults.push(`the head at ${head?.seq} of ${last?.seq}`);
    if (head && head.lastMessageSeq !== shown?.seq) faults.push(`the last message at ${head.lastMessageSeq}`);
    if (head && head.name !== "Crew") faults.push(`the name ${head.name}`);
    for (const [user, told] of this.marks) {
      const seq = marks.get(user) ?? 0;
      if (seq < told || seq > log.length) faults.push(`the mark of ${user} at ${seq} after ${told}`);
    }
    if (log.some(({ seq }, at) => seq !== at + 1)) faults.push(`seqs ${log.map(({ seq }) => seq).join()}`);
    if (epochs.some((epoch, at) => at > 0 && epoch < (epochs[at - 1] as number)))
      faults.push(`epochs ${epochs.join()}`);
    const ids = log.flatMap(({ clientId }) => clientId ?? []);
    if (new Set(ids).size !== ids.length) faults.push(`a client id stands twice in ${ids.join()}`);
    const bodies = new Map(log.map(({ seq, bytes }) => [textOf(bytes), seq]));
    for (const { clientId, body, outcome, seq } of this.tries) {
      const at = bodies.get(body);
      if (outcome === "stored" && at !== seq) faults.push(`${clientId} was stored at ${seq}, and stands at ${at}`);
      if (["refused", "fenced", "conflict"].includes(outcome) && at !== undefined)
        faults.push(`${clientId} was ${outcome}, and stands at ${at}`);
    }
    return faults.map((fault) => `${this.id}: ${fault}`);
  }
}

/** What a store says in the end. */
export interface Standing {
  readonly log: readonly EntryRow[];
  readonly epochs: readonly number[];
  /** As a new owner finds it. */
  readonly head: HeadRow | null;
  readonly marks: ReadonlyMap<UserId, number>;
}

interface Before {
  readonly seq: number;
  readonly ordinal: number;
}

function row({ seq, ordinal }: Before, kind: number, sender: string, clientId: string | null, body: unknown): EntryRow {
  const counts = kind === entryKinds.message;
  const next = { seq: seq + 1, ordinal: ordinal + (counts ? 1 : 0), kind, counts };
  const ids = { sender: sender as UserId, clientId: clientId as ClientId | null };
  const entry: EntryTuple = [
    ...[next.seq, next.ordinal, kind, counts, 1_800_000_000_000 + seq, ids.sender, null, ids.clientId, null, body],
  ] as never;
  return { ...next, ...ids, bytes: encodeEntry(entry) };
}

function message(before: Before, clientId: string, text: string): EntryRow {
  return row(before, entryKinds.message, "ann", clientId, [text]);
}

function headAfter(head: HeadRow, rows: readonly EntryRow[], openEpoch: number): HeadRow {
  const last = rows.at(-1) as EntryRow;
  const info = head.type === "" ? { type: "group", name: "Crew", memberCount: people.length } : {};
  const time = 1_800_000_000_000 + last.seq - 1;
  const shown = { lastMessage: last.bytes, lastMessageSeq: last.seq };
  return { ...head, ...info, ...shown, seq: last.seq, ordinal: last.ordinal, time, openEpoch };
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString("latin1")
    .replace(/^.*?(item-\d+ try \d+ of \w+).*$/s, "$1");
}

/** Takes all partitions for a node; false: the store cannot answer now. */
export async function takeOver(node: Node): Promise<boolean> {
  try {
    node.epoch = await node.store.claim(allPartitions);
    return true;
  } catch {
    return false;
  }
}
