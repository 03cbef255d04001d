import { describe } from "bun:test";
import { describeWith } from "../services/services";
import { mongodb, sqlite } from "../stores";
import { dataCases } from "./data.case";

describe("a server over SQLite", () => dataCases(sqlite));
describeWith("mongodb", "a server over MongoDB", () => dataCases(mongodb));
