// Everything a person may ask about a conversation, compared with what its log says. Used by the simulated world.
// Answers are as of the head their owner had committed: somewhere between what it had published and what the store held.
import type { RowPart } from "../../src/actors/messages";
import { toAppError } from "../../src/lib/errors";
import { entryKinds } from "../../src/protocol/entry";
import type { ConversationId, Seq, UserId } from "../../src/protocol/ids";
import type { Results } from "../../src/protocol/operations";
import { unreadOf } from "../../src/protocol/unread";
import type { ChatWorldView } from "./chat-client";
import { expectSame } from "./log-fold";
import type { FoldedLog } from "./log-fold";

/** What an answer is judged with. */
interface Asked {
  readonly user: UserId;
  readonly log: FoldedLog;
  /** What the owner had published when it was asked. */
  readonly published: Seq;
}

/** See the head of this file. Refusals are counted, and not judged further. */
export class ChatReads {
  readonly #world: ChatWorldView;

  constructor(world: ChatWorldView) {
    this.#world = world;
  }

  row(user: UserId, conversation: ConversationId): void {
    this.#ask(user, conversation, "row", null, (value, { log }) => {
      const { membership, head, cursor, myTotal, info } = value as RowPart;
      const [seq, ordinal, time, last] = head;
      const member = log.membersAt(seq).get(user);
      const join = member && [member.join.seq, member.join.ordinal, member.join.own];
      expectSame(`row of ${user}: head`, [ordinal, time], [log.ordinalAt(seq), log.entry(seq)?.[4]]);
      expectSame(`row of ${user}: membership`, membership, [member?.role, join, member?.floor]);
      expectSame(`row of ${user}: members`, info[4], present(log, seq).length);
      expectSame(`row of ${user}: total`, myTotal, log.ownThrough(user, seq));
      if (last && last[0] < (member?.floor ?? 0)) throw new Error(`${user} is shown ${last[0]}, below their floor`);
      const mark = { seq: cursor[0], ordinal: cursor[1], own: cursor[2] };
      const unread = unreadOf({ headOrdinal: ordinal, myTotal, cursor: mark, join: member?.join ?? mark });
      expectSame(`row of ${user}: unread`, unread, log.unread(user, cursor[0], seq));
    });
  }

  entries(user: UserId, conversation: ConversationId): void {
    const { random } = this.#world.schedule;
    const from = random.int(this.#headOf(conversation) + 2);
    const limit = random.between(1, 30);
    this.#ask(user, conversation, "entries", [from, limit], (value, asked) => {
      const [entries, head, floor] = value as Results["entries"];
      const first = Math.max(from, floor, 1);
      expectSame(
        `entries from ${from}`,
        entries,
        asked.log.entries.slice(first - 1, Math.min(head, first + limit - 1)),
      );
      checkFloor(asked, floor);
      checkHead(asked, head);
    });
  }

  history(user: UserId, conversation: ConversationId): void {
    const { random } = this.#world.schedule;
    const direction = random.pick(["before", "after", "around"] as const);
    const seq = random.chance(0.2) ? null : random.int(this.#headOf(conversation) + 2);
    const limit = random.between(1, 30);
    this.#ask(user, conversation, "history", [direction, seq, limit, null], (value, asked) => {
      const [messages, hasBefore, hasAfter, first, last, floor] = value as Results["history"];
      const name = `history ${direction} ${seq}, ${limit}: ${first}–${last}`;
      const { log } = asked;
      checkFloor(asked, floor);
      if (messages.length > limit) throw new Error(`${name} answers ${messages.length}`);
      const covered = log.entries.slice(Math.max(first, 1) - 1, Math.max(last, 0));
      const expected = covered.filter(([at, , kind]) => kind === entryKinds.message && at >= floor);
      expectSame(
        name,
        messages.map(([message]) => message),
        expected,
      );
      expectSame(`${name}: hasBefore`, hasBefore, first > Math.max(1, floor));
      if (hasAfter && last >= log.head) throw new Error(`${name} promises more, the log ends at ${log.head}`);
      if (!hasAfter && last < asked.published) throw new Error(`${name} ends before ${asked.published}`);
      if (direction === "before" && seq !== null && messages.length > 0 && last < Math.min(seq - 1, asked.published))
        throw new Error(`${name} leaves a gap below ${seq}`);
      if (direction === "after" && messages.length > 0 && first > Math.max((seq ?? 0) + 1, floor, 1))
        throw new Error(`${name} leaves a gap above ${seq}`);
    });
  }

  members(user: UserId, conversation: ConversationId): void {
    this.#ask(user, conversation, "members", [null, null], (value, { log, published }) => {
      const [members, next] = value as Results["members"];
      const heads = range(Math.min(published, log.head), log.head);
      const says = heads.some((head) => Bun.deepEquals(members, present(log, head)));
      if (!says || next !== null) throw new Error(`members are ${JSON.stringify(members)}`);
    });
  }

  readers(user: UserId, conversation: ConversationId): void {
    const seq = this.#world.schedule.random.between(1, Math.max(1, this.#headOf(conversation)));
    this.#ask(user, conversation, "readers", [seq, null, null], (value) => {
      const cursors = this.#world.data.log(conversation)?.cursors;
      for (const [reader, at] of (value as Results["readers"])[0]) {
        const stored = cursors?.get(reader)?.seq ?? 0;
        if (at < seq || at > stored) throw new Error(`${reader} has read ${at} of ${seq}, ${stored} is stored`);
      }
    });
  }

  #headOf(conversation: ConversationId): Seq {
    return this.#world.data.logs.of(conversation).head;
  }

  #ask(
    user: UserId,
    conversation: ConversationId,
    op: string,
    args: readonly unknown[] | null,
    judge: (value: unknown, asked: Asked) => void,
  ): void {
    const { node, data, count } = this.#world;
    const asked = { user, log: data.logs.of(conversation), published: node.gateway.published(conversation) };
    const message = args === null ? { op, user } : { op, user, args: [conversation, ...args] };
    node
      .ask("conversation", conversation, message)
      .then(
        (value) => {
          count(op);
          judge(value, asked);
        },
        (thrown: unknown) => count(`${op} ${toAppError(thrown).code}`),
      )
      .catch((error: unknown) => this.#world.broken(error));
  }
}

/** As an owner answers members: by id, with role and the seq of their join. */
function present(log: FoldedLog, head: Seq): readonly (readonly [UserId, string, Seq])[] {
  return [...log.membersAt(head)]
    .flatMap(([user, { role, join }]) => (role === null ? [] : [[user, role, join.seq] as const]))
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** The floor is one that the person had while this was asked. */
function checkFloor({ user, log, published }: Asked, floor: Seq): void {
  const heads = range(Math.min(published, log.head), log.head);
  const had = heads.some((head) => log.isMemberAt(user, head) && log.membersAt(head).get(user)?.floor === floor);
  if (!had) throw new Error(`${user} reads with floor ${floor}`);
}

function checkHead({ log, published }: Asked, head: Seq): void {
  if (head < Math.min(published, log.head) || head > log.head)
    throw new Error(`answered head ${head}, published ${published}, stored ${log.head}`);
}

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}
