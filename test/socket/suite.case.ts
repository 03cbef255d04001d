// The whole socket-level suite, declared for one store. The test files of this folder name the stores.
import { describe } from "bun:test";
import type { StoreUnderTest } from "../stores";
import { admissionCases } from "./admission.case";
import { chatCases } from "./chat.case";
import { counterCases } from "./counters.case";
import { hostileCases } from "./hostile.case";
import { membershipCases } from "./membership.case";
import { slowCases } from "./slow.case";
import { SocketWorld } from "./socket-world";
import type { StartWorld } from "./socket-world";
import { tokenCases } from "./tokens.case";

/** Every test starts its world on data of its own. */
export function socketSuite(store: StoreUnderTest): void {
  const start: StartWorld = async (options = {}) => {
    const data = await store.fresh();
    return SocketWorld.start({ ...options, store: await data.open(), dispose: () => data.dispose() });
  };
  describe(`sockets over ${store.name}`, () => {
    describe("chat", () => chatCases(start));
    describe("counters", () => counterCases(start));
    describe("membership", () => membershipCases(start));
    describe("tokens", () => tokenCases(start));
    describe("slow readers", () => slowCases(start));
    describe("admission", () => admissionCases(start));
    describe("hostile clients", () => hostileCases(start));
  });
}
