// The user actor: a person's feed (memberships, settings, devices under one gapless userSeq) and what sign-in checks.
// The only writer of that feed; every change is durable before anybody hears of it (G5, output gate).
import type { Clock } from "../lib/clock";
import { AppError } from "../lib/errors";
import type { ConversationId, DeviceId, UserId, UserSeq } from "../protocol/ids";
import type { FeedTuple, Results, SettingsTuple } from "../protocol/operations";
import type { DeviceRow, MembershipRow, Store, UserRow } from "../storage/store";
import type { ActorKind, PlacedActor, PlacedContext, Reply } from "./actor";
import type { KindLimits } from "./conversation";
import type { Gateway } from "./gateway";
import { LostActivations } from "./lost-activations";
import type { MembershipTell, SignedIn, UserAsk, UserTell } from "./messages";
import { noSettings } from "./rows";
import { isOut, signedOut, UserDevices } from "./user-devices";

/** What every person's actor shares. */
export interface UserDeps {
  readonly store: Store;
  readonly gateway: Gateway;
  readonly clock: Clock;
  /** Tells the person's actor `{ op: "reopen" }`, through the router; false where it is another node's by now. */
  readonly reopen: (user: string) => boolean;
  /** The store refused a write, as another owner has a newer epoch. For metrics. */
  readonly onFenced?: () => void;
}

/** The kind to hand to the actor system. */
export function userKind(deps: UserDeps, limits: KindLimits): ActorKind {
  const lost = new LostActivations(deps.clock, deps.reopen);
  return {
    name: "user",
    ...limits,
    stop: () => lost.stop(),
    isBacked,
    activate: (ctx) =>
      lost.takeOver(ctx.key, async (after) => {
        const opened = await deps.store.openFeed(ctx.key as UserId, ctx.epoch);
        if (opened && after !== null) await handOut(deps, ctx.key as UserId, after, opened.devices);
        return new UserActor(deps, ctx, lost, opened?.user ?? null, opened?.devices ?? []);
      }),
  };
}

/** That a person exists, or that a sign-out is stored, is true under every owner; a sign-out asked again would void later tokens too. */
function isBacked(message: unknown): boolean {
  const { op } = message as UserAsk;
  return op === "signOut" || op === "ensure";
}

/** Feed rows read at once when a predecessor's changes are handed out. */
const feedStep = 500;

/** What one change writes, beside the feed rows that say it. */
interface Change {
  readonly user?: Partial<UserRow>;
  readonly changes?: readonly FeedChange[];
  readonly memberships?: readonly MembershipRow[];
  readonly devices?: readonly DeviceRow[];
  /** Whose sockets to close once it is stored; null: everybody's. */
  readonly closes?: DeviceId | null;
}

type FeedChange = readonly [kind: FeedTuple[1], subject: string, data: readonly unknown[]];

/**
 * Lets the person's sessions know of changes that are stored and that they may not have heard of, and closes those of
 * devices that are signed out by them.
 */
async function handOut(
  { store, gateway }: UserDeps,
  user: UserId,
  after: UserSeq,
  devices: readonly DeviceRow[],
): Promise<void> {
  const out = new Set<string>(devices.filter(isOut).map(({ device }) => device));
  for (let from = after; ; ) {
    const { changes } = await store.readFeed(user, from, feedStep);
    if (changes.length > 0) gateway.feedChanged(user, changes);
    for (const [, kind, subject] of changes)
      if (kind === "device" && out.has(subject)) gateway.signedOut(user, subject);
    if (changes.length < feedStep) return;
    from = changes.at(-1)?.[0] ?? from;
  }
}

class UserActor implements PlacedActor {
  readonly #deps: UserDeps;
  readonly #ctx: PlacedContext;
  readonly #lost: LostActivations;
  readonly #devices: UserDevices;
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
    this.#devices = new UserDevices(devices);
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
        return Promise.resolve(this.#devices.list(this.#ctx.clock.now()));
      case "settings":
        return this.#settings(ask);
      case "settingsOf":
        return this.#settingsOf(ask.conversation);
      case "membership":
        return this.#membership(ask);
      case "reopen":
        return Promise.resolve(); // the activation did it
      default:
        return Promise.reject(new AppError("unknown_operation")); // of a later release's node;
    }
  }

  async #ensure(): Promise<{ created: boolean }> {
    if (this.#user) return { created: false };
    await this.#commit({});
    return { created: true };
  }

  async #signIn({ device, platform, issuedAt }: Extract<UserAsk, { op: "signIn" }>): Promise<SignedIn> {
    const isVoid = issuedAt < (this.#user?.tokensValidFrom ?? 0) || this.#devices.voids(device, issuedAt);
    if (this.#user?.deletedAt != null || isVoid) throw new AppError("signed_out");
    const row = this.#devices.signIn(device, platform, issuedAt, this.#ctx.clock.now());
    if (row) await this.#noteDevice(row);
    return { userSeq: this.#user?.userSeq ?? 0 };
  }

  /** Keeps the devices of a person bounded: the one that signed in longest ago makes room. */
  async #noteDevice(row: DeviceRow): Promise<void> {
    const present = this.#devices.present().some(({ device }) => device === row.device);
    const changes: FeedChange[] = present ? [] : [["device", row.device, ["added", row.platform]]];
    const devices = [row];
    const oldest = this.#devices.crowdedOut(row.device);
    if (oldest) {
      devices.push(signedOut(oldest, this.#devices.outFrom([oldest], this.#ctx.clock.now())));
      changes.push(["device", oldest.device, ["signedOut", oldest.platform]]);
    }
    await this.#commit(oldest ? { changes, devices, closes: oldest.device } : { changes, devices });
  }

  async #signOut(device: DeviceId | null): Promise<Results["signOut"]> {
    if (!this.#user) throw new AppError("unknown_user");
    const present = this.#devices.present().filter((row) => device === null || row.device === device);
    const known = device === null ? null : this.#devices.get(device);
    if (device !== null && !known) throw new AppError("bad_request", "no device by that id", { details: device });
    const from = this.#devices.outFrom(known ? [known] : this.#devices.all(), this.#ctx.clock.now());
    // Of everybody's the person's own row speaks: those that are out already need not be written again.
    const rows = known ? [known] : present;
    await this.#commit({
      user: device === null ? { tokensValidFrom: Math.max(from, this.#user.tokensValidFrom) } : {},
      changes: present.map((row) => ["device", row.device, ["signedOut", row.platform]]),
      devices: rows.map((row) => signedOut(row, from)),
      closes: device,
    });
    return [];
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

  /** Read in a turn of its own, so that no commit is under way that sessions hear of before the answer. */
  async #settingsOf(conversation: ConversationId): Promise<SettingsTuple> {
    const row = await this.#membershipOf(conversation);
    return row ? [row.muted, row.markedUnread] : noSettings;
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
  async #commit({ user = {}, changes = [], memberships = [], devices = [], closes }: Change): Promise<void> {
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
    const planned = this.#devices.plan(devices, row.tokensValidFrom);
    const result = await this.#deps.store.commitFeed({ epoch, user: row, changes: feed, memberships, ...planned });
    switch (result.outcome) {
      case "stored":
        this.#user = row;
        this.#devices.stored(planned);
        this.#handOut(feed, before.userSeq, closes);
        return;
      case "refused":
        throw new AppError("store_unavailable", undefined, { cause: result.reason, retryAfterMs: 500 });
      case "unknown":
      case "conflict":
      case "fenced":
        // What the store holds is not known here any more: the next activation loads it anew.
        if (result.outcome === "fenced") this.#deps.onFenced?.();
        else this.#lost.lost(key, before.userSeq);
        this.#ctx.stop();
        throw new AppError("outcome_unknown");
    }
  }

  /** A throw of whoever is told ends this activation; the next one tells again. */
  #handOut(feed: readonly FeedTuple[], after: UserSeq, closes: DeviceId | null | undefined): void {
    const key = this.#ctx.key as UserId;
    try {
      if (feed.length > 0) this.#deps.gateway.feedChanged(key, feed);
      if (closes !== undefined) this.#deps.gateway.signedOut(key, closes);
    } catch (thrown) {
      this.#lost.lost(key, after);
      throw thrown;
    }
  }
}
