// Sync: every conversation of a person in pages, exact where shown, and what a returning client missed (G5, G6, G12).
// Run by a session; the answer is built in one synchronous step, so that it and the subscriptions are of the same moment.
import { AppError } from "../lib/errors";
import { encode, Encoded, memberCountOf } from "../protocol/codec";
import type { EntryTuple } from "../protocol/entry";
import type { ConversationId, Seq, UserId } from "../protocol/ids";
import { limits } from "../protocol/limits";
import type { Results, RowTuple, SettingsTuple, TotalsTuple } from "../protocol/operations";
import { unreadOf } from "../protocol/unread";
import type { EntryRow, SyncCount, SyncPage, SyncRow } from "../storage/store";
import type { Looks } from "./interest";
import type { RowPart } from "./messages";
import { peekedPart, toRow, unreadOfPart } from "./rows";
import type { Standing } from "./standing";
import type { SessionWorld } from "./session-world";

/** Bytes of a sync answer that rows may take; missed entries take what they leave. */
const rowBytesMax = 216 * 1024;
/** Bytes of a sync answer beside rows, entries and what is pending. */
const frameBytes = 8 * 1024;
/** Conversations told as pending in one answer; those beyond are shown, or told, by the page that has them. */
const pendingMax = 1_000;
/** Bytes of one conversation's id in an answer. */
const idBytes = 24;
/** Bytes of one conversation's share in `resumed`, beside its entries. */
const resumedBytes = 32;
/** Owners asked by one sync before it is answered; the others are asked after it. */
const askedMax = 1_000;
/** A page that took longer to gather is too old to be built on: what ended meanwhile may be forgotten (Router.recentlyActive). */
const gatherMs = 5_000;

/** What one answer of sync or list is gathered for. */
export interface PageRequest {
  readonly user: UserId;
  readonly after: ConversationId | null;
  readonly limit: number;
  /** Where the client stands, by conversation. */
  readonly positions: ReadonlyMap<ConversationId, Seq>;
  /** Whether totals over all memberships are wanted. */
  readonly withTotals: boolean;
  /** How long owners may take, milliseconds. */
  readonly askMs: number;
  /** Whether the client is to receive counters of such a conversation; null: of none. */
  readonly countsOnly: ((conversation: ConversationId, memberCount: number) => boolean) | null;
}

/** A page as built. `pending`: their owners have not answered. */
export interface Page {
  readonly userSeq: number;
  /** Encoded already: for replies only. */
  readonly rows: readonly RowTuple[];
  /** Whose rows those are. */
  readonly shown: readonly ConversationId[];
  /** Of the same, in the same order; 0 where {@link PageRequest.countsOnly} is null. */
  readonly memberCounts: readonly number[];
  readonly next: ConversationId | null;
  /** Zero where they were not wanted. */
  readonly totals: TotalsTuple;
  readonly pending: readonly ConversationId[];
  readonly resumed: Resumed;
}

type Asked = ReadonlyMap<ConversationId, RowPart | null>;
type Missed = ReadonlyMap<ConversationId, readonly EntryRow[]>;
type Resumed = Results["sync"][5];
/** A row; `gone`: nothing to show; `pending`: its owner has not spoken. */
type Taken = Shown | "gone" | "pending";

/**
 * Gathers a page, then builds it and hands it to `use` in one synchronous step: what `use` subscribes to is shown as it
 * stands at that moment, and authorised then. Rejects with a retryable AppError where the store does not answer.
 */
export async function gatherPage<T>(world: SessionWorld, request: PageRequest, use: (page: Page) => T): Promise<T> {
  const startedAt = world.clock.monotonic();
  const { user, after, limit, withTotals, positions } = request;
  // In a cluster interest comes before reading: what happens from here on is heard of.
  const ahead = world.rows.lookAhead(user, after, withTotals ? null : limit, request.askMs);
  const looks = ahead instanceof Promise ? await ahead : ahead;
  const page = await world.store.readSync(user, after, limit, withTotals);
  const build = (asked: Asked, missed: Missed): Page => {
    if (world.clock.monotonic() - startedAt > gatherMs)
      throw new AppError("store_unavailable", "reading took too long", { retryAfterMs: 1000 });
    return new PageBuilder(world, user, looks, asked, request.countsOnly !== null).build(page, missed, withTotals);
  };
  if (positions.size === 0) {
    // Mostly every row can be taken as it stands, at the first look.
    const atOnce = build(new Map(), new Map());
    if (atOnce.pending.length === 0) return use(atOnce);
  }
  const asked = await askOwners(world, user, toAsk(looks, user, page), request.askMs);
  return use(build(asked, await readMissed(world, looks, request, page.rows, asked)));
}

/** Conversations that the store cannot speak for: left open by an owner, or active until a moment ago. */
function toAsk(looks: Looks, user: UserId, page: SyncPage): readonly ConversationId[] {
  const found = new Set<ConversationId>();
  const look = ({ conversation, open, totalsThrough: through }: SyncCount, standing: Standing): void => {
    // Nobody that could be asked: it follows once somebody can.
    if (standing.state === "away") return;
    const known =
      standing.state === "active" ? standing.seen?.totalsThrough === through : standing.state === "quiet" && !open;
    const gone = standing.state === "active" && standing.seen === null;
    if (!known && !gone && found.size < askedMax) found.add(conversation);
  };
  for (const row of page.rows) if (row.row) look(row, standingOf(looks, user, row));
  for (const count of page.counts) look(count, countStanding(looks, user, count));
  return [...found];
}

/** Who does not answer in time is left out; null: the person is no member there. */
async function askOwners(
  world: SessionWorld,
  user: UserId,
  conversations: readonly ConversationId[],
  timeoutMs: number,
): Promise<Asked> {
  const asked = new Map<ConversationId, RowPart | null>();
  const ask = async (conversation: ConversationId): Promise<void> => {
    try {
      asked.set(conversation, await world.rows.ask(conversation, user, timeoutMs));
    } catch (error) {
      world.meter.dropped("row_late");
      world.log.debug({ err: error, conversation }, "an owner did not answer in time");
    }
  };
  await Promise.all(conversations.map(ask));
  return asked;
}

/** Entries after the client's positions, where they are few enough. */
async function readMissed(
  world: SessionWorld,
  looks: Looks,
  { positions, user, countsOnly }: PageRequest,
  rows: readonly SyncRow[],
  asked: Asked,
): Promise<Missed> {
  if (positions.size === 0) return new Map();
  const wanted = rows.flatMap((row) => {
    const { conversation, floor } = row;
    const position = positions.get(conversation);
    const headSeq = headKnown(looks, user, row, asked);
    if (position === undefined || position >= headSeq) return [];
    const from = Math.max(position + 1, floor);
    const limit = headSeq - from + 1;
    if (limit < 1 || limit > limits.resumeEntriesMax) return [];
    if (row.row !== null && countsOnly?.(conversation, memberCountOf(row.row))) return [];
    return [{ conversation, from, direction: "up" as const, limit, bytesMax: limits.pageBytesMax, scanMax: limit }];
  });
  if (wanted.length === 0) return new Map();
  const ranges = await world.store.readRanges(wanted, limits.frameBytesMax);
  return new Map(wanted.map(({ conversation }, i) => [conversation, ranges[i]?.entries ?? []]));
}

function standingOf(looks: Looks, user: UserId, { conversation, headSeq, join }: SyncRow): Standing {
  return looks.standing(conversation, user, headSeq, join.seq);
}

/** Nobody is subscribed by a count; where a conversation is closed, its totals reach to its head. */
function countStanding(looks: Looks, user: UserId, { conversation, totalsThrough }: SyncCount): Standing {
  return looks.standing(conversation, user, totalsThrough, null);
}

/** The highest head that anybody tells: the stored one of an open conversation may lag behind its owner's. */
function headKnown(looks: Looks, user: UserId, row: SyncRow, asked: Asked): Seq {
  const { conversation, headSeq } = row;
  const standing = standingOf(looks, user, row);
  const seen = standing.state === "active" ? standing.seen?.head[0] : null;
  return Math.max(headSeq, asked.get(conversation)?.head[0] ?? 0, seen ?? 0);
}

/** One row that the answer shows. */
interface Shown {
  readonly conversation: ConversationId;
  readonly encoded: Encoded;
  readonly headSeq: Seq;
  readonly floor: Seq;
  readonly unread: number;
  readonly memberCount: number;
}

/** Builds one answer without waiting for anything. */
class PageBuilder {
  readonly #world: SessionWorld;
  readonly #user: UserId;
  readonly #looks: Looks;
  readonly #asked: Asked;
  /** Whether it matters how many members a conversation has. */
  readonly #counting: boolean;
  /** Unread by conversation; null where it is not shown. */
  readonly #unread = new Map<ConversationId, number | null>();
  readonly #pending = new Set<ConversationId>();
  #bytesLeft = limits.frameBytesMax - frameBytes - pendingMax * idBytes;

  constructor(world: SessionWorld, user: UserId, looks: Looks, asked: Asked, counting: boolean) {
    this.#world = world;
    this.#user = user;
    this.#looks = looks;
    this.#asked = asked;
    this.#counting = counting;
  }

  build(page: SyncPage, missed: Missed, withTotals: boolean): Page {
    const shown: Shown[] = [];
    const next = this.#showRows(page, shown);
    // Before `pending` is read: totals find more of them.
    const totals: TotalsTuple = withTotals ? this.#totals(page) : [0, 0];
    for (const { conversation, headSeq } of shown) this.#looks.shows(conversation, headSeq);
    return {
      userSeq: page.user?.userSeq ?? 0,
      rows: shown.map(({ encoded }) => encoded as unknown as RowTuple),
      shown: shown.map(({ conversation }) => conversation),
      memberCounts: shown.map(({ memberCount }) => memberCount),
      next,
      totals,
      pending: [...this.#pending],
      resumed: shown.flatMap((row) => this.#resume(row, missed.get(row.conversation))),
    };
  }

  /** Rows in order until the bytes are spent; answers where the next page begins. */
  #showRows(page: SyncPage, shown: Shown[]): ConversationId | null {
    const leastLeft = this.#bytesLeft - rowBytesMax;
    let last: ConversationId | null = null;
    for (const row of page.rows) {
      const { conversation } = row;
      const taken = this.#take(row);
      const one = typeof taken === "string" ? null : taken;
      // An id more where the client is told which conversations are large.
      const left = this.#bytesLeft - (one ? one.encoded.bytes.length + (this.#counting ? idBytes : 0) : 0);
      if (left < leastLeft && shown.length > 0) return last;
      this.#bytesLeft = left;
      last = conversation;
      if (one) shown.push(one);
      if (taken === "pending") this.#pending.add(conversation);
      this.#unread.set(conversation, one?.unread ?? null);
    }
    return page.more ? last : null;
  }

  /** A row as it stands now, from whoever may speak for it. */
  #take(row: SyncRow): Taken {
    const { conversation } = row;
    const standing = standingOf(this.#looks, this.#user, row);
    const asked = this.#asked.get(conversation);
    if (standing.state === "active") {
      if (standing.seen === null) return "gone";
      const part = peekedPart(row, standing.seen);
      if (part) return shownOf(row, part);
    } else if (asked === null) return "gone";
    if (asked && this.#looks.holds(conversation, this.#user, asked)) return shownOf(row, asked);
    if (standing.state !== "quiet" || asked || row.open) return "pending";
    if (row.row === null) return this.#dangling();
    const { headSeq, floor } = row;
    const memberCount = this.#counting ? memberCountOf(row.row) : 0;
    return { conversation, encoded: new Encoded(row.row), headSeq, floor, unread: unreadOf(row), memberCount };
  }

  #dangling(): "gone" {
    this.#world.meter.danglingRecord("membership");
    return "gone";
  }

  /** Sums over all memberships, muted ones apart; what is pending is left out and follows with its row. */
  #totals({ rows, counts }: SyncPage): TotalsTuple {
    let unread = 0;
    let muted = 0;
    for (const count of [...rows, ...counts]) {
      const known = this.#unread.get(count.conversation);
      const one = (known === undefined ? this.#count(count) : known) ?? 0;
      if (count.muted) muted += one;
      else unread += one;
    }
    return [unread, muted];
  }

  /** Unread of a conversation that is not on this page; null where it is not known or no membership. */
  #count(count: SyncCount): number | null {
    const { conversation, cursor } = count;
    const standing = countStanding(this.#looks, this.#user, count);
    const asked = this.#asked.get(conversation);
    if (standing.state === "active") {
      const { seen } = standing;
      if (seen === null) return null;
      if (seen.totalsThrough === count.totalsThrough) {
        const [seq, ordinal, own] = seen.membership[1];
        const myTotal = count.myTotal + seen.sentSince;
        return unreadOf({ headOrdinal: seen.head[1], myTotal, cursor, join: { seq, ordinal, own } });
      }
    } else if (asked === null) return null;
    if (asked && this.#looks.holds(conversation, this.#user, asked)) return unreadOfPart(asked);
    if (standing.state === "quiet" && !asked && !count.open) return unreadOf(count);
    if (this.#pending.size < pendingMax) this.#pending.add(conversation);
    return null;
  }

  /** The entries that this member missed: not below the floor, not past the head that the row tells. */
  #resume({ conversation, headSeq, floor }: Shown, missed: readonly EntryRow[] | undefined): Resumed {
    if (missed === undefined) return [];
    const entries: EntryTuple[] = [];
    for (const { seq, bytes } of missed) {
      if (seq < floor) continue;
      if (seq > headSeq || this.#bytesLeft < bytes.length + resumedBytes) break;
      this.#bytesLeft -= bytes.length;
      entries.push(new Encoded(bytes) as unknown as EntryTuple);
    }
    if (entries.length === 0) return [];
    this.#bytesLeft -= resumedBytes;
    return [[conversation, entries]];
  }
}

/** An owner's row, encoded once: its size decides how many fit, and the answer takes the bytes as they are. */
function shownOf({ conversation, muted, markedUnread }: SyncRow, part: RowPart): Shown {
  const settings: SettingsTuple = [muted, markedUnread];
  const encoded = new Encoded(encode(toRow(conversation, part, settings)));
  const { head, membership, info } = part;
  return {
    conversation,
    encoded,
    headSeq: head[0],
    floor: membership[2],
    unread: unreadOfPart(part),
    memberCount: info[4],
  };
}
