// The user actor: a person's feed (memberships, settings, devices under one gapless userSeq) and what sign-in checks.
// The only writer of that feed; every change is durable before anybody hears of it (G5, output gate).
import type { Clock } from "../lib/clock";
import { AppError } from "../lib/errors";
import type { ConversationId, DeviceId, UserId, UserSeq } from "../protocol/ids";
import { limits } from "../protocol/limits";
import type { FeedTuple, Results } from "../protocol/operations";
import type { DeviceRow, MembershipRow, Store, UserRow } from "../storage/store";
import type { ActorKind, PlacedActor, PlacedContext, Reply } from "./actor";
import type { KindLimits } from "./conversation";
import type { Gateway } from "./gateway";
import { LostActivations } from "./lost-activations";
import type { MembershipTell, SignedIn, UserAsk, UserTell } from "./messages";

/** What every person's actor shares. */
export interface UserDeps {
  readonly store: Store;
  readonly gateway: Gateway;
  readonly clock: Clock;
  /** Tells the person's actor `{ op: "reopen" }`, through the router. */
  readonly reopen: (user: string) => void;
}

/** A device's last sign-in is written again only when the stored one is older than this. */
const signInNotedMs = 24 * 60 * 60 * 1000;

/** The kind to hand to the actor system. */
export function userKind(deps: UserDeps, limits: KindLimits): ActorKind {
  const lost = new LostActivations(deps.clock, deps.reopen);
  return {
    name: "user",
    ...limits,
    activate: (ctx) =>
      lost.takeOver(ctx.key, async (after) => {
        const opened = await deps.store.openFeed(ctx.key as UserId, ctx.epoch);
        if (after !== null) await handOut(deps, ctx.key as UserId, after);
        return new UserActor(deps, ctx, lost, opened?.user ?? null, opened?.devices ?? []);
      }),
  };
}

/** Devices in one answer: all that are signed in, and of the others those signed out last. */
const listedMax = 500;

/** Feed rows read at once when a predecessor's changes are handed out. */
const feedStep = 500;

/** What one change writes, beside the feed rows that say it. */
interface Change {
  readonly user?: Partial<UserRow>;
  readonly changes?: readonly FeedChange[];
  readonly memberships?: readonly MembershipRow[];
  readonly devices?: readonly DeviceRow[];
}

type FeedChange = readonly [kind: FeedTuple[1], subject: string, data: readonly unknown[]];

/** Lets the person's sessions know of changes that are stored and that they may not have heard of. */
async function handOut({ store, gateway }: UserDeps, user: UserId, after: UserSeq): Promise<void> {
  for (let from = after; ; ) {
    const { changes } = await store.readFeed(user, from, feedStep);
    if (changes.length > 0) gateway.feedChanged(user, changes);
    if (changes.length < feedStep) return;
    from = changes.at(-1)?.[0] ?? from;
  }
}

class UserActor implements PlacedActor {
  readonly #deps: UserDeps;
  readonly #ctx: PlacedContext;
  readonly #lost: LostActivations;
  readonly #devices = new Map<DeviceId, DeviceRow>();
  /** Null while nobody by that id exists. */
  #user: UserRow | null;

  constructor(
    deps: UserDeps,
    ctx: PlacedContext,
    lost: LostActivations,
    user: UserRow | null,
    devices: readonly DeviceRow[],
  ) {
    this.#deps = deps;
    this.#lost = lost;
    this.#ctx = ctx;
    this.#user = user;
    for (const device of devices) this.#devices.set(device.device, device);
  }

  async receive(message: unknown, reply: Reply): Promise<void> {
    const ask = message as UserAsk | UserTell;
    try {
      reply.ok(await this.#handle(ask));
    } catch (thrown) {
      if (!(thrown instanceof AppError)) throw thrown;
      reply.fail(thrown);
    }
  }

  async passivate(): Promise<boolean> {
    return true; // every write was awaited within its message
  }

  abort(): void {
    // nothing is held between messages
  }

  #handle(ask: UserAsk | UserTell): Promise<unknown> {
    switch (ask.op) {
      case "signIn":
        return this.#signIn(ask);
      case "ensure":
        return this.#ensure();
      case "signOut":
        return this.#signOut(ask.device);
      case "devices":
        return Promise.resolve(this.#listDevices());
      case "settings":
        return this.#settings(ask);
      case "membership":
        return this.#membership(ask);
      case "reopen":
        return Promise.resolve(); // the activation did it
    }
  }

  async #ensure(): Promise<{ created: boolean }> {
    if (this.#user) return { created: false };
    await this.#commit({});
    return { created: true };
  }

  async #signIn({ device, platform, issuedAt }: Extract<UserAsk, { op: "signIn" }>): Promise<SignedIn> {
    if (this.#user?.deletedAt != null || issuedAt < (this.#user?.tokensValidFrom ?? 0))
      throw new AppError("signed_out");
    const known = this.#devices.get(device);
    if (known?.signedOutAt != null && issuedAt < known.signedOutAt) throw new AppError("signed_out");
    const now = this.#ctx.clock.now();
    const present = known !== undefined && known.signedOutAt === null;
    if (!present || now - known.lastSignInAt > signInNotedMs) {
      const row: DeviceRow = {
        device,
        platform: platform ?? known?.platform ?? null,
        lastSignInAt: now,
        signedOutAt: null,
      };
      await this.#noteDevice(row, present);
    }
    return { userSeq: this.#user?.userSeq ?? 0 };
  }

  /** Keeps the devices of a person bounded: the one that signed in longest ago makes room. */
  async #noteDevice(row: DeviceRow, present: boolean): Promise<void> {
    const changes: FeedChange[] = present ? [] : [["device", row.device, ["added", row.platform]]];
    const devices = [row];
    const others = [...this.#devices.values()].filter(
      (other) => other.signedOutAt === null && other.device !== row.device,
    );
    const oldest =
      others.length < limits.devicesPerUserMax
        ? null
        : others.reduce((a, b) => (a.lastSignInAt <= b.lastSignInAt ? a : b));
    if (oldest) {
      devices.push({ ...oldest, signedOutAt: this.#nextSecond() });
      changes.push(["device", oldest.device, ["signedOut", oldest.platform]]);
    }
    await this.#commit({ changes, devices });
    if (oldest) this.#deps.gateway.signedOut(this.#ctx.key as UserId, oldest.device);
  }

  async #signOut(device: DeviceId | null): Promise<Results["signOut"]> {
    if (!this.#user) throw new AppError("unknown_user");
    const from = this.#nextSecond();
    const known = [...this.#devices.values()].filter((row) => device === null || row.device === device);
    if (device !== null && known.length === 0)
      throw new AppError("bad_request", "no device by that id", { details: device });
    const present = known.filter((row) => row.signedOutAt === null);
    await this.#commit({
      user: device === null ? { tokensValidFrom: from } : {},
      changes: present.map((row) => ["device", row.device, ["signedOut", row.platform]]),
      // Of everybody's the person's own row speaks: those that are out already need not be written again.
      devices: (device === null ? present : known).map((row) => ({ ...row, signedOutAt: from })),
    });
    this.#deps.gateway.signedOut(this.#ctx.key as UserId, device);
    return [];
  }

  #listDevices(): Results["devices"] {
    const out = (row: DeviceRow): number => row.signedOutAt ?? Number.POSITIVE_INFINITY;
    const rows = [...this.#devices.values()].sort((a, b) => out(b) - out(a) || b.lastSignInAt - a.lastSignInAt);
    return [
      rows.slice(0, listedMax).map((row) => [row.device, row.platform, row.lastSignInAt, row.signedOutAt !== null]),
    ];
  }

  async #settings({ args: [conversation, set] }: Extract<UserAsk, { op: "settings" }>): Promise<Results["settings"]> {
    const membership = await this.#membershipOf(conversation);
    if (!membership?.role) throw new AppError("no_access");
    const row = { ...membership, ...set };
    if (row.muted === membership.muted && row.markedUnread === membership.markedUnread)
      return [this.#user?.userSeq ?? 0];
    await this.#commit({
      changes: [["settings", conversation, [row.muted, row.markedUnread]]],
      memberships: [row],
    });
    return [this.#user?.userSeq ?? 0];
  }

  async #membership(tell: MembershipTell): Promise<void> {
    const user = this.#ctx.key as UserId;
    const { conversation, type, peer, seq, change, role, join, floor, by } = tell;
    const before = await this.#membershipOf(conversation);
    if (!before || before.seq < seq) {
      const kept = { muted: before?.muted ?? false, markedUnread: before?.markedUnread ?? false };
      const row: MembershipRow = { conversation, type, peer, seq, role, join, floor, ...kept };
      const place = role ? [[join.seq, join.ordinal, join.own], floor] : [null, null];
      await this.#commit({
        changes: [["membership", conversation, [change, seq, role, ...place, by]]],
        memberships: [row],
      });
    }
    this.#ctx.tell("conversation", conversation, { op: "fed", user, seq: Math.max(seq, before?.seq ?? 0) });
  }

  async #membershipOf(conversation: ConversationId): Promise<MembershipRow | null> {
    const [row] = await this.#deps.store.readMemberships(this.#ctx.key as UserId, [conversation]);
    return row ?? null;
  }

  /** Writes one change, takes it over once it is stored and then lets the person's sessions know. */
  async #commit({ user = {}, changes = [], memberships = [], devices = [] }: Change): Promise<void> {
    const key = this.#ctx.key as UserId;
    const before = this.#user ?? {
      user: key,
      userSeq: 0,
      createdAt: this.#ctx.clock.now(),
      tokensValidFrom: 0,
      deletedAt: null,
    };
    const row = { ...before, ...user, userSeq: before.userSeq + changes.length };
    const feed = changes.map((change, i): FeedTuple => [before.userSeq + 1 + i, ...change]);
    const { epoch } = this.#ctx;
    const result = await this.#deps.store.commitFeed({ epoch, user: row, changes: feed, memberships, devices });
    switch (result.outcome) {
      case "stored":
        this.#user = row;
        for (const device of devices) this.#devices.set(device.device, device);
        if (feed.length > 0) this.#deps.gateway.feedChanged(key, feed);
        return;
      case "refused":
        throw new AppError("store_unavailable", undefined, { cause: result.reason, retryAfterMs: 500 });
      case "unknown":
      case "conflict":
      case "fenced":
        // What the store holds is not known here any more: the next activation loads it anew.
        if (result.outcome !== "fenced") this.#lost.lost(key, before.userSeq);
        this.#ctx.stop();
        throw new AppError("outcome_unknown");
    }
  }

  /** Tokens carry whole seconds: every one issued until now is before the next second. */
  #nextSecond(): number {
    return Math.floor(this.#ctx.clock.now() / 1000) + 1;
  }
}
