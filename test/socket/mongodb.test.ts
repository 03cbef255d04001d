import { afterAll } from "bun:test";
import { describeWith } from "../services/services";
import { ReusedDatabases } from "../stores";
import { socketSuite } from "./suite.case";

describeWith("mongodb", "on a MongoDB-compatible server", () => {
  const databases = new ReusedDatabases();
  afterAll(() => databases[Symbol.asyncDispose]());
  socketSuite(databases);
});
