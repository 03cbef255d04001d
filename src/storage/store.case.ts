// The contract of the store port as a test suite: every driver passes it, every sentence of store.ts has a test here.
// A driver's test file calls `storeContract`; its parts are the other `store-*.case.ts` files.
import { describe } from "bun:test";
import { clusterCases } from "./store-cluster.case";
import { commitCases } from "./store-commit.case";
import { cursorCases } from "./store-cursor.case";
import { feedCases } from "./store-feed.case";
import { fenceCases } from "./store-fence.case";
import { openCases } from "./store-open.case";
import { rangeCases } from "./store-range.case";
import { readCases } from "./store-read.case";
import { syncCases } from "./store-sync.case";
import type { OpenSubject } from "./store-subject.case";

/** The parts that other writers of the same data bear on, for a driver whose other parts are tested already. */
export function sharedContract(name: string, open: OpenSubject): void {
  describe(`the ${name} store`, () => {
    describe("commit", () => commitCases(open));
    describe("fencing", () => fenceCases(open));
    describe("in a cluster", () => clusterCases(open));
    describe("open and closed", () => openCases(open));
  });
}

/** Declares the tests of the contract for the driver called `name`. */
export function storeContract(name: string, open: OpenSubject): void {
  describe(`the ${name} store`, () => {
    describe("commit", () => commitCases(open));
    describe("fencing", () => fenceCases(open));
    describe("in a cluster", () => clusterCases(open));
    describe("open and closed", () => openCases(open));
    describe("cursors and totals", () => cursorCases(open));
    describe("ranges", () => rangeCases(open));
    describe("reads", () => readCases(open));
    describe("feeds", () => feedCases(open));
    describe("sync", () => syncCases(open));
  });
}
