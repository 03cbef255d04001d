// Processes that write to one file, what each of them was told is stored, and the comparison with the logs. Test code only.
import { expect } from "bun:test";
import { join } from "node:path";
import type { ConversationId } from "../../src/protocol/ids";
import type { Store } from "../../src/storage/store";
import { seqs, wholeLog } from "../../src/storage/store-samples.case";
import { Child } from "./child-lines";

/** One entry that a process was told is stored. */
interface Acked {
  readonly room: ConversationId;
  readonly seq: number;
  readonly clientId: string;
}

interface Awaited {
  met(): boolean;
  resolve(): void;
}

/** A process of shared-child.ts; its lines are read as they come. */
export class SharedWriter implements AsyncDisposable {
  readonly acked: Acked[] = [];
  /** Every other line. */
  readonly said: string[] = [];
  /** Settles with the signal that ended it. */
  readonly ended: Promise<unknown>;
  readonly #child: Child;
  #waiting: Awaited[] = [];

  /** @param mode as shared-child.ts has it */
  constructor(mode: "own" | "fight", file: string, index: number, of: number, failpoints = "") {
    const script = join(import.meta.dir, "shared-child.ts");
    this.#child = new Child([process.execPath, script, mode, file, String(index), String(of)], failpoints);
    this.ended = this.#read().then(() => this.#child.ended());
  }

  /** Once it has opened the store. */
  async ready(): Promise<void> {
    await this.until(() => this.said.includes("ready"));
  }

  begin(): void {
    void this.#child.tell("go");
  }

  /** Once so many more entries are acknowledged. */
  async advances(count: number): Promise<void> {
    const goal = this.acked.length + count;
    await this.until(() => this.acked.length >= goal);
  }

  until(met: () => boolean): Promise<void> {
    if (met()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ met, resolve }));
  }

  kill(): void {
    process.kill(this.#child.pid, "SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
    await this.ended;
  }

  async #read(): Promise<void> {
    for (let line = await this.#child.until(""); line !== null; line = await this.#child.until("")) {
      const [word, room, seq, clientId = ""] = line.split(" ");
      if (word === "acked") this.acked.push({ room: room as ConversationId, seq: Number(seq), clientId });
      else this.said.push(line);
      const met = this.#waiting.filter((each) => each.met());
      this.#waiting = this.#waiting.filter((each) => !met.includes(each));
      for (const { resolve } of met) resolve();
    }
  }
}

/**
 * Every log is gapless, holds each acknowledged entry at its seq, no client id twice, and those of one writer in their order.
 */
export async function expectLogs(store: Store, writers: readonly Pick<SharedWriter, "acked">[]): Promise<void> {
  const acked = writers.flatMap((each) => each.acked);
  for (const [room, told] of Map.groupBy(acked, (each) => each.room)) {
    const log = await wholeLog(store, room);
    expect(seqs(log)).toEqual(Array.from({ length: log.length }, (_, at) => at + 1));
    const ids = log.map(({ clientId }) => String(clientId));
    expect(new Set(ids).size).toBe(ids.length);
    expect(told.filter(({ seq, clientId }) => ids[seq - 1] !== clientId)).toEqual([]);
    for (const [, own] of Map.groupBy(ids, (id) => id.split("-")[0])) {
      const numbers = own.map((id) => Number(id.split("-")[1]));
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    }
  }
}
