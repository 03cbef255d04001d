import { describe, expect, test } from "bun:test";
import type { ServerInfo } from "@nats-io/transport-node";
import { unfitness } from "./nats";

function info(version: string, cluster: string | null, payload = 1024 * 1024): ServerInfo {
  return { version, max_payload: payload, ...(cluster === null ? {} : { cluster }) } as ServerInfo;
}

describe("which NATS servers a cluster of nodes may stand on", () => {
  test("clusters from 2.11, and single servers from 2.9", () => {
    for (const version of ["2.11.0", "2.11.4-RC.1", "2.15.2", "3.0.0"])
      expect(unfitness(info(version, "c"))).toBeNull();
    for (const version of ["2.9.10", "2.10.22", "2.15.2"]) expect(unfitness(info(version, null))).toBeNull();
  });

  test("older clusters are refused with what may happen and what to do", () => {
    for (const version of ["2.10.29", "2.9.10"])
      expect(unfitness(info(version, "c"))).toBe(
        `the NATS servers are a cluster of version ${version}, in which two nodes may both own a partition; ` +
          "upgrade them to 2.11 or newer, or use one server alone",
      );
  });

  test("servers that lack what the buckets use are refused", () => {
    for (const version of ["2.8.4", "1.4.1"])
      for (const cluster of [null, "c"])
        expect(unfitness(info(version, cluster))).toBe(
          `the NATS server is of version ${version}; upgrade it to 2.11 or newer`,
        );
  });

  test("servers that take only small messages are refused with what to set", () => {
    expect(unfitness(info("2.15.2", null, 65_536))).toContain("set its max_payload to 1048576 or more");
  });
});
