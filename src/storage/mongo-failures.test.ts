import { expect, test } from "bun:test";
import { MongoNetworkError, MongoServerError, MongoServerSelectionError, MongoWriteConcernError } from "mongodb";
import { failureOf, isOfDriver, PartlyApplied, reasonOf, WriteRefused } from "./mongo-failures";

const server = (code: number, errmsg = "refused"): MongoServerError => new MongoServerError({ code, errmsg });

test("one document that a server refuses beforehand, or by itself, is certainly not stored", () => {
  for (const code of [10107, 13435, 14031])
    expect(failureOf(server(code), true)).toMatchObject({ certain: true, lasting: false });
  for (const code of [10107, 11000, 14031])
    expect(failureOf(new WriteRefused(code, "refused"), true)).toMatchObject({ certain: true, lasting: false });
});

test("a router that lost a shard's reply says so of the document, which may be stored", () => {
  for (const code of [1, 6, 7, 89, 91, 189, 9001, 11600, 11602])
    expect(failureOf(new WriteRefused(code, "write results unavailable"), true)).toMatchObject({
      certain: false,
      lasting: false,
    });
});

test("what was applied in part is never certainly undone, and says why it failed", () => {
  for (const error of [new MongoServerSelectionError("no server", {} as never), new WriteRefused(121, "refused")]) {
    const partly = new PartlyApplied(error);
    expect(isOfDriver(partly)).toBe(true);
    expect(failureOf(partly, true)).toEqual({ ...failureOf(error, true), certain: false });
    expect(reasonOf(partly)).toBe(reasonOf(error));
  }
  expect(() => failureOf(new PartlyApplied(new TypeError("a bug")), true)).toThrow("a bug");
});

test("of several documents some may be in before the server refuses", () => {
  for (const code of [10107, 14031]) expect(failureOf(server(code), false).certain).toBe(false);
  expect(failureOf(new WriteRefused(1, "refused"), false).certain).toBe(false);
});

test("a server that leaves in the middle, or fails in a way nobody knows, may have applied even one", () => {
  for (const code of [1, 91, 189, 11600, 11602])
    expect(failureOf(server(code, "interrupted"), true)).toMatchObject({ certain: false, lasting: false });
  expect(failureOf(server(50, "operation exceeded time limit"), true).certain).toBe(false);
});

test("what no majority confirmed is applied for now, and may stay", () => {
  const error = new MongoWriteConcernError({ writeConcernError: { code: 64, errmsg: "timed out" }, ok: 1 });
  expect(failureOf(error, true)).toMatchObject({ certain: false, lasting: false });
  expect(failureOf(error, true).reason).toContain("a majority of the database's members did not confirm in time");
});

test("rights and malformed values do not mend by repeating", () => {
  for (const code of [13, 18, 121, 10334]) {
    expect(failureOf(server(code), false)).toMatchObject({ certain: true, lasting: true });
    expect(failureOf(new WriteRefused(code, "refused"), false)).toMatchObject({ certain: true, lasting: true });
  }
});

test("a command is certainly undone only where it never left", () => {
  const unselected = new MongoServerSelectionError("no server", {} as never);
  expect(failureOf(unselected, false)).toMatchObject({ certain: true, lasting: false });
  expect(failureOf(new MongoNetworkError("refused", { beforeHandshake: true }), false).certain).toBe(true);
  expect(failureOf(new MongoNetworkError("connection lost"), true)).toMatchObject({ certain: false, lasting: false });
});

test("who waits for a connection sent nothing; whose connection is taken away has", () => {
  for (const name of ["MongoPoolClearedError", "MongoPoolClosedError", "MongoWaitQueueTimeoutError"])
    expect(failureOf(named(name), true)).toMatchObject({ certain: true, lasting: false });
  for (const name of ["PoolClearedOnNetworkError", "MongoClientClosedError"]) {
    expect(isOfDriver(named(name))).toBe(true);
    expect(failureOf(named(name), true)).toMatchObject({ certain: false, lasting: false });
  }
});

/** An error of a class that the driver does not export. */
function named(name: string): MongoNetworkError {
  return Object.defineProperty(new MongoNetworkError("interrupted"), "name", { value: name });
}

test("a socket's own error, which the driver lets through, is a lost connection: the command may have left", () => {
  for (const syscall of ["write", "read"]) {
    const error = Object.assign(new Error(`${syscall} ECONNRESET`), { code: "ECONNRESET", syscall, errno: -104 });
    expect(isOfDriver(error)).toBe(true);
    expect(failureOf(error, true)).toEqual({
      reason: `the connection to the database was lost (${syscall} ECONNRESET)`,
      certain: false,
      lasting: false,
    });
  }
});

test("what is no error of the driver is not swallowed", () => {
  expect(() => failureOf(new TypeError("a bug"), true)).toThrow("a bug");
});

test("reasons say the fix where there is one", () => {
  expect(reasonOf(server(14031))).toStartWith("the database's disk is full; free space on it (14031");
  expect(reasonOf(server(13))).toContain("grant it readWrite");
});
