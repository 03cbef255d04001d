// Writes down what a harness observes, in the order it observes it, for checker.ts. One recorder a run.
import { closeSync, openSync, writeSync } from "node:fs";
import { check } from "./checker";
import type { Violation } from "./checker";
import type { ClusterEvent, HistoryEvent, LogLine, Recv } from "./events";

type Untimed<E> = E extends unknown ? Omit<E, "e" | "t"> : never;

type Timeless<E> = E extends unknown ? Omit<E, "t"> : never;

const linesPerWrite = 10_000;

/** A history being written. Times are taken here, so that every event stands on one monotonic clock. */
export class Recorder {
  readonly #events: HistoryEvent[] = [];
  readonly #began = performance.now();
  /** The highest mark that anybody learnt of, by person and conversation. */
  readonly #highest = new Map<string, number>();
  /** The highest mark that one device learnt of. */
  readonly #ofDevice = new Map<string, number>();

  get events(): readonly HistoryEvent[] {
    return this.#events;
  }

  invoke(sess: string, user: string, conv: string, cid: string, body: string): void {
    this.#events.push({ e: "invoke", t: this.#now(), sess, user, conv, cid, body });
  }

  ack(sess: string, user: string, conv: string, cid: string, seq: number): void {
    this.#events.push({ e: "ack", t: this.#now(), sess, user, conv, cid, seq });
  }

  recv(recv: Untimed<Recv>): void {
    this.#events.push({ e: "recv", t: this.#now(), ...recv });
  }

  join(sess: string, conv: string, seq: number): void {
    this.#events.push({ e: "join", sess, conv, seq });
  }

  /**
   * A read mark was acknowledged as `seq`; `asked` are the marks known when it left. Several may be in flight and their
   * answers arrive in any order, so one below a mark that became known meanwhile is left out.
   */
  readAck(device: string, user: string, conv: string, seq: number, asked: ReadonlyMap<string, number>): void {
    if (this.#isLate(user, conv, seq, asked)) return;
    this.#note(device, user, conv, seq);
    this.#events.push({ e: "readack", t: this.#now(), user, conv, seq });
  }

  /** The marks known now: what a question that is asked now must not be answered below. */
  marksNow(): ReadonlyMap<string, number> {
    return new Map(this.#highest);
  }

  /**
   * A cursor that was asked for, such as at sign-in, when `asked` were the marks known. One below a mark that became known
   * only while the answer was under way is no regression and is left out.
   */
  readAnswered(device: string, user: string, conv: string, seq: number, asked: ReadonlyMap<string, number>): void {
    if (!this.#isLate(user, conv, seq, asked)) this.readSeen(device, user, conv, seq);
  }

  /** A cursor that was asked for after everything recorded so far. */
  readSeen(device: string, user: string, conv: string, seq: number): void {
    this.#note(device, user, conv, seq);
    this.#events.push({ e: "readseen", t: this.#now(), user, conv, seq });
  }

  /**
   * A cursor that was pushed. Sockets are read in any order, so a push that lags behind what another device was told is no
   * regression and is left out; one that lags behind what this very device was told is.
   */
  readPushed(device: string, user: string, conv: string, seq: number): void {
    const key = JSON.stringify([user, device, conv]);
    const own = this.#ofDevice.get(key) ?? 0;
    const anybody = this.#highest.get(JSON.stringify([user, conv])) ?? 0;
    if (seq >= own && seq < anybody) this.#ofDevice.set(key, seq);
    else this.readSeen(device, user, conv, seq);
  }

  unread(user: string, conv: string, counts: { server: number; client: number; oracle: number }): void {
    this.#events.push({ e: "unread", user, conv, ...counts });
  }

  fault(what: string, target: string): void {
    this.#events.push({ e: "fault", t: this.#now(), what, target });
  }

  /** Something about the cluster as a whole, seen now. */
  cluster(seen: Timeless<ClusterEvent>): void {
    this.#events.push({ t: this.#now(), ...seen });
  }

  log(line: Omit<LogLine, "e">): void {
    this.#events.push({ e: "log", ...line });
  }

  /** Judges what was recorded and closes the history. */
  finish(): Violation[] {
    const violations = check(this.#events);
    this.#events.push({ e: "end", violations: violations.length });
    return violations;
  }

  /** Writes the history, one JSON object a line, in place of what the file held, or behind it. */
  save(file: string, how: "replace" | "append" = "replace"): void {
    const descriptor = openSync(file, how === "replace" ? "w" : "a");
    try {
      for (let at = 0; at < this.#events.length; at += linesPerWrite) {
        const lines = this.#events.slice(at, at + linesPerWrite).map((event) => `${JSON.stringify(event)}\n`);
        writeSync(descriptor, lines.join(""));
      }
    } finally {
      closeSync(descriptor);
    }
  }

  #isLate(user: string, conv: string, seq: number, asked: ReadonlyMap<string, number>): boolean {
    const key = JSON.stringify([user, conv]);
    return seq >= (asked.get(key) ?? 0) && seq < (this.#highest.get(key) ?? 0);
  }

  #note(device: string, user: string, conv: string, seq: number): void {
    raise(this.#highest, JSON.stringify([user, conv]), seq);
    raise(this.#ofDevice, JSON.stringify([user, device, conv]), seq);
  }

  #now(): number {
    return Math.round(performance.now() - this.#began) / 1000;
  }
}

function raise(marks: Map<string, number>, key: string, seq: number): void {
  marks.set(key, Math.max(marks.get(key) ?? 0, seq));
}
