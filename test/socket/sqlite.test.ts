import { sqlite } from "../stores";
import { socketSuite } from "./suite.case";

socketSuite(sqlite);
