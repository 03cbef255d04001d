import { MemoryStore } from "../sim/memory-store";
import { socketSuite } from "./suite.case";

socketSuite({
  name: "memory",
  fresh: async () => ({
    setting: "",
    environment: {},
    troubles: {},
    open: async () => new MemoryStore(),
    dispose: async () => undefined,
  }),
});
