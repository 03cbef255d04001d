import { describe, expect, test } from "bun:test";
import { placementTimes } from "./placement-events";
import type { PlacementCommand, PlacementEvent, PlacementNews } from "./placement-events";
import { PlacementNode } from "./placement-node";

const [lease, renew] = [placementTimes.ttlMs, placementTimes.renewMs];

/** A node whose time is counted here: each tick renews and audits as a machine would on which both work. */
class Told {
  readonly node = new PlacementNode({ self: "me", partitions: 2, now: 0 });
  now = 0;
  storeWorks = true;
  leasesWork = true;
  /** What was wanted since it was looked at last, leases and audits apart. */
  #wanted: PlacementCommand[] = [];

  tell(event: PlacementEvent): void {
    this.#note(this.node.handle(event, this.now));
  }

  hear(...news: readonly PlacementNews[]): void {
    for (const one of news) this.#note(this.node.hear(one, this.now));
  }

  /** Time passes; others renew their leases too. */
  pass(ms: number, ...others: readonly string[]): void {
    const until = this.now + ms;
    while (this.now < until) {
      this.now += placementTimes.tickMs;
      for (const member of others)
        if (this.now % renew === 0) this.hear({ type: "memberSeen", member, state: "serving", revision: this.now });
      this.tell({ type: "tick" });
    }
  }

  wanted(): readonly PlacementCommand[] {
    return this.#wanted.splice(0);
  }

  /** Connected, all is told, and nobody owns anything. */
  begin(): this {
    this.tell({ type: "connected" });
    this.hear({ type: "claimsRestarted" }, { type: "claimsCurrent" }, { type: "membersCurrent" });
    return this;
  }

  claimed(partition: number, owner: string | null, revision: number): void {
    this.hear({ type: "claimSeen", partition, owner, revision });
  }

  /** It owns partition 0, under epoch 1. */
  own(): this {
    this.begin().claimed(0, "me", 10);
    this.claimed(1, "you", 11);
    this.pass(100, "you");
    this.tell({ type: "bumped", partitions: [0], epoch: 1, beganAt: this.now });
    this.tell({ type: "subscribed", partition: 0, epoch: 1, ok: true });
    this.wanted();
    return this;
  }

  #note(commands: readonly PlacementCommand[]): void {
    for (const command of commands) {
      const beganAt = this.now;
      if (command.op === "renew") this.tell({ type: "renewed", ok: this.leasesWork, beganAt });
      else if (command.op === "audit")
        this.tell({ type: "audited", held: command.held, lost: this.storeWorks ? [] : null, beganAt });
      else this.#wanted.push(command);
    }
  }
}

const ops = (commands: readonly PlacementCommand[]): readonly string[] => commands.map(({ op }) => op);

describe("taking over", () => {
  test("goes from the claim to the epoch to the subscription to what was left open, and no step before its time", () => {
    const told = new Told().begin();
    told.pass(placementTimes.settleMs);
    const claims = told.wanted();
    expect(ops(claims)).toEqual(["claim", "claim"]);
    told.tell({ type: "claimAnswered", partition: 0, attempt: 1, answer: { outcome: "written", revision: 5 } });
    expect(told.node.epochOf(0)).toBeNull();
    told.pass(100);
    expect(told.wanted()).toEqual([
      { op: "moved", partition: 0, owner: "me" },
      { op: "bump", partitions: [0] },
    ]);
    told.tell({ type: "bumped", partitions: [0], epoch: 7, beganAt: told.now });
    expect(told.wanted()).toEqual([{ op: "subscribe", partition: 0, epoch: 7 }]);
    expect(told.node.epochOf(0)).toBe(7);
    told.tell({ type: "subscribed", partition: 0, epoch: 7, ok: true });
    expect(told.wanted()).toEqual([{ op: "reopen", partition: 0, epoch: 7 }]);
    expect(told.node.phaseOf(0)).toBe("owned");
  });

  test("waits for its own lease, and for all claims and members to be told", () => {
    const told = new Told();
    told.tell({ type: "connected" });
    told.pass(2 * placementTimes.restlessMs);
    expect(told.wanted()).toEqual([]);
    told.hear({ type: "claimsCurrent" });
    told.pass(2 * placementTimes.restlessMs);
    expect(told.wanted()).toEqual([]);
    told.leasesWork = false;
    told.pass(lease + renew);
    told.hear({ type: "membersCurrent" });
    told.pass(2 * placementTimes.restlessMs);
    expect(told.wanted()).toEqual([]);
  });

  test("leaves alone whoever renews, and takes what a silent member owned once it may judge", () => {
    const told = new Told().own();
    told.pass(10_000, "you");
    expect(ops(told.wanted())).toEqual([]);
    told.pass(placementTimes.suspectMs - renew);
    expect(ops(told.wanted())).not.toContain("claim");
    told.pass(renew + 200);
    expect(told.wanted()).toContainEqual({ op: "claim", partition: 1, owner: "me", revision: 11, attempt: 1 });
  });

  test("judges nobody while its own lease is young", () => {
    const told = new Told().own();
    told.pass(placementTimes.judgeMs - 200);
    expect(ops(told.wanted())).not.toContain("claim");
  });

  test("takes over at once from a member that left", () => {
    const told = new Told().own();
    told.hear({ type: "memberGone", member: "you" });
    told.pass(100);
    expect(told.wanted()).toContainEqual({ op: "claim", partition: 1, owner: "me", revision: 11, attempt: 1 });
  });

  test("expels a member that two pings did not find, but not for one", () => {
    const told = new Told().own();
    told.pass(10_000, "you");
    told.wanted();
    told.tell({ type: "unreachable", partition: 1 });
    told.tell({ type: "pinged", member: "you", outcome: "absent" });
    expect(told.wanted()).toEqual([
      { op: "ping", member: "you", afterMs: 0 },
      { op: "ping", member: "you", afterMs: placementTimes.pingAgainMs },
    ]);
    told.pass(100);
    told.tell({ type: "pinged", member: "you", outcome: "absent" });
    expect(told.wanted()).toEqual([{ op: "expel", member: "you", revision: 10_000 }]);
    told.pass(100);
    expect(ops(told.wanted())).toEqual(["claim"]);
  });

  test("ignores an epoch that comes when the partition is another's already", () => {
    const told = new Told().begin();
    told.claimed(0, "me", 10);
    told.pass(100, "you");
    told.claimed(0, "you", 11);
    told.tell({ type: "bumped", partitions: [0], epoch: 4, beganAt: told.now });
    expect([told.node.epochOf(0), told.node.phaseOf(0)]).toEqual([null, "away"]);
  });

  test("proves a claim after it stood still, before it takes an epoch", () => {
    const told = new Told().begin();
    told.pass(200, "you");
    told.claimed(0, "me", 10);
    told.claimed(1, "you", 11);
    told.now += placementTimes.pauseMs + 1;
    told.pass(200);
    expect(told.wanted().filter(({ op }) => op === "claim" || op === "bump")).toEqual([
      { op: "claim", partition: 0, owner: "me", revision: 10, attempt: 1 },
    ]);
  });

  test("counts a reply's second from when the epoch was asked for", () => {
    const told = new Told().begin();
    told.claimed(0, "me", 10);
    told.pass(100);
    told.tell({ type: "bumped", partitions: [0], epoch: 1, beganAt: told.now - 900 });
    expect(told.node.mayAnswer(0, told.now + 99)).toBe(true);
    expect(told.node.mayAnswer(0, told.now + 100)).toBe(false);
  });

  test("counts silence anew where nobody could renew, itself included", () => {
    const told = new Told().own();
    told.pass(10_000, "you");
    told.leasesWork = false;
    told.pass(2 * renew + 500);
    told.leasesWork = true;
    told.pass(placementTimes.suspectMs - renew);
    expect(ops(told.wanted())).not.toContain("claim");
  });

  test("claims what nobody owns though members come and go all the time", () => {
    const told = new Told().begin();
    for (let at = 0; at < 60; at++) {
      told.hear({ type: "memberSeen", member: "she", state: at % 2 ? "serving" : "draining", revision: at + 1 });
      told.pass(placementTimes.tickMs);
    }
    expect(ops(told.wanted())).toContain("claim");
  });

  test("asks for the watch to begin afresh where a claim conflicts again and again with what it shows", () => {
    const told = new Told().own();
    told.hear({ type: "memberGone", member: "you" });
    const seen: string[] = [];
    for (let attempt = 1; attempt <= 5; attempt++) {
      told.pass(placementTimes.retryMs);
      told.tell({ type: "claimAnswered", partition: 1, attempt, answer: { outcome: "conflict" } });
      seen.push(...ops(told.wanted()));
    }
    expect(seen).toEqual(["claim", "claim", "claim", "claim", "claim", "rewatch"]);
  });
});

describe("an owner", () => {
  test("serves on while its lease cannot be renewed, and while NATS is away", () => {
    const told = new Told().own();
    told.leasesWork = false;
    told.pass(20_000, "you");
    told.tell({ type: "disconnected" });
    told.pass(20_000);
    expect(told.wanted().filter(({ op }) => op !== "ping")).toEqual([]);
    expect([told.node.epochOf(0), told.node.mayAnswer(0, told.now)]).toEqual([1, true]);
  });

  test("steps down at once for a newer claim, and not for an older one", () => {
    const told = new Told().own();
    told.claimed(0, "you", 9);
    expect(told.node.epochOf(0)).toBe(1);
    told.claimed(0, "you", 12);
    expect(told.wanted()).toEqual([
      { op: "moved", partition: 0, owner: "you" },
      { op: "drop", partition: 0, epoch: 1 },
    ]);
    expect(told.node.epochOf(0)).toBeNull();
  });

  test("stops when an audit finds a newer epoch, and proves its claim before it takes another", () => {
    const told = new Told().own();
    told.tell({ type: "audited", held: [[0, 1]], lost: [0], beganAt: told.now });
    expect(told.wanted()).toEqual([{ op: "drop", partition: 0, epoch: 1 }]);
    told.pass(placementTimes.retryMs, "you");
    expect(told.wanted()).toEqual([{ op: "claim", partition: 0, owner: "me", revision: 10, attempt: 1 }]);
    told.tell({ type: "claimAnswered", partition: 0, attempt: 1, answer: { outcome: "written", revision: 12 } });
    told.pass(placementTimes.tickMs, "you");
    expect(told.wanted()).toEqual([{ op: "bump", partitions: [0] }]);
  });

  test("answers for nobody once its audits are a second old, which counts from when they began", () => {
    const told = new Told().own();
    told.storeWorks = false;
    const { now } = told;
    expect(told.node.mayAnswer(0, now + placementTimes.auditFreshMs - 1)).toBe(true);
    expect(told.node.mayAnswer(0, now + placementTimes.auditFreshMs)).toBe(false);
    told.now += 900;
    told.tell({ type: "audited", held: [[0, 1]], lost: [], beganAt: now + 100 });
    expect(told.node.mayAnswer(0, now + 100 + placementTimes.auditFreshMs)).toBe(false);
  });

  test("audits soon where it is suspected", () => {
    const told = new Told().own();
    told.tell({ type: "suspected", partition: 0 });
    told.now += placementTimes.auditAgainMs;
    const before = told.now;
    told.tell({ type: "tick" });
    expect(told.node.mayAnswer(0, before + placementTimes.auditFreshMs - 1)).toBe(true);
  });

  test("serves on where the claims were lost, and claims anew after an audit", () => {
    const told = new Told().own();
    told.hear({ type: "claimsRestarted" }, { type: "claimsCurrent" });
    expect([told.node.epochOf(0), ops(told.wanted())]).toEqual([1, ["moved", "moved"]]);
    told.storeWorks = false;
    told.pass(placementTimes.settleMs - placementTimes.tickMs, "you");
    expect(told.wanted()).toEqual([]);
    told.storeWorks = true;
    told.pass(placementTimes.auditMs + placementTimes.tickMs, "you");
    expect(told.wanted()).toContainEqual({ op: "claim", partition: 0, owner: "me", revision: 0, attempt: 1 });
  });

  test("stops for another's claim where the claims were lost and an audit says that it is fenced", () => {
    const told = new Told().own();
    told.hear({ type: "claimsRestarted" }, { type: "claimSeen", partition: 0, owner: "you", revision: 3 });
    told.hear({ type: "claimsCurrent" });
    expect(told.node.epochOf(0)).toBe(1);
    told.tell({ type: "audited", held: [[0, 1]], lost: [0], beganAt: told.now });
    told.pass(2 * placementTimes.retryMs, "you");
    expect(told.wanted().filter(({ op }) => op !== "moved")).toEqual([{ op: "drop", partition: 0, epoch: 1 }]);
  });

  test("is not told by a claim that was in flight when the watch began afresh", () => {
    const told = new Told().own();
    told.hear({ type: "memberGone", member: "you" });
    told.pass(100);
    told.hear({ type: "claimsRestarted" }, { type: "claimSeen", partition: 0, owner: "me", revision: 10 });
    told.hear({ type: "claimSeen", partition: 1, owner: "you", revision: 2 }, { type: "claimsCurrent" });
    told.tell({ type: "claimAnswered", partition: 1, attempt: 1, answer: { outcome: "written", revision: 12 } });
    expect(told.node.claimOf(1)).toMatchObject({ owner: "you", revision: 2 });
    told.claimed(1, "she", 3);
    expect(told.node.claimOf(1)).toMatchObject({ owner: "she", revision: 3 });
  });
});

describe("a drain", () => {
  test("is not answered with partitions by those who do not know of it yet", () => {
    const told = new Told().own();
    told.pass(10_000, "you");
    told.claimed(1, "me", 12);
    told.pass(100);
    told.tell({ type: "bumped", partitions: [1], epoch: 2, beganAt: told.now });
    told.tell({ type: "subscribed", partition: 1, epoch: 2, ok: true });
    told.pass(placementTimes.settleMs - 200);
    told.hear({ type: "memberSeen", member: "you", state: "draining", revision: told.now });
    told.pass(placementTimes.settleMs + 500);
    expect(ops(told.wanted())).not.toContain("release");
  });

  test("releases, hands the claim to another, and leaves", () => {
    const told = new Told().own();
    told.tell({ type: "drain" });
    told.pass(100, "you");
    expect(told.wanted()).toEqual([{ op: "release", partition: 0, epoch: 1 }]);
    expect(told.node.epochOf(0)).toBe(1);
    told.tell({ type: "released", partition: 0, epoch: 1 });
    told.hear({ type: "memberSeen", member: "you", state: "serving", revision: 1 });
    told.pass(100);
    expect(told.wanted()).toEqual([{ op: "claim", partition: 0, owner: "you", revision: 10, attempt: 1 }]);
    told.tell({ type: "claimAnswered", partition: 0, attempt: 1, answer: { outcome: "written", revision: 12 } });
    told.pass(100);
    expect(ops(told.wanted())).toEqual(["moved", "leave", "departed"]);
  });

  test("leaves its partitions to nobody where it is the last", () => {
    const told = new Told().begin();
    told.claimed(0, "me", 10);
    told.tell({ type: "drain" });
    told.pass(200);
    expect(told.wanted()).toContainEqual({ op: "claim", partition: 0, owner: null, revision: 10, attempt: 1 });
  });

  test("does not wait for ever for what is released", () => {
    const told = new Told().own();
    told.tell({ type: "drain" });
    told.pass(placementTimes.releaseMs + 200, "you");
    expect(ops(told.wanted())).toEqual(["release", "drop", "claim"]);
  });
});
