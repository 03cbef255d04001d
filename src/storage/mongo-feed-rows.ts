// What a feed's documents hold and what follows from them: membership and device rows, and the person's row. Pure.
// Rows are stamped with the number of the write that made them, so that a late one changes nothing (sign-out stays signed out).
import { ObjectId } from "mongodb";
import type { Document } from "mongodb";
import type { Epoch, UserId } from "../protocol/ids";
import type { Update } from "./mongo-commands";
import { devicePartOf, droppedPartOf, membershipPartOf, packChanges, userOf } from "./mongo-schema";
import type { DeviceFields, FeedDoc, FeedRows, MembershipFields, UserDoc } from "./mongo-schema";
import type { FeedWrite, UserRow } from "./store";

/** How long a dropped device stays, milliseconds: far longer than any command is on its way. */
const outlivedMs = 24 * 60 * 60 * 1000;

/** The rows that follow from writes, as the changes that store them. */
export class FeedProjections {
  readonly #memberships = new Map<string, MembershipFields>();
  readonly #devices = new Map<string, DeviceFields | null>();

  /** Takes over what one write projects; later ones win. */
  add({ memberships, devices, devicesDropped }: Omit<FeedRows, "user">): this {
    for (const row of memberships) this.#memberships.set(row.conversation, row);
    for (const row of devices) this.#devices.set(row.device, row);
    for (const device of devicesDropped) this.#devices.set(device, null);
    return this;
  }

  memberships(user: UserId, stamp: number): readonly Update[] {
    return [...this.#memberships].map(([conversation, row]) => ({
      q: { user, conversation },
      u: { $max: { row: membershipPartOf(row, stamp) } },
      upsert: true,
    }));
  }

  /** @param now milliseconds: when those that are dropped were */
  devices(user: UserId, stamp: number, now: number): readonly Update[] {
    return [...this.#devices].map(([device, row]) => ({
      q: { user, device },
      u: { $max: { row: row === null ? droppedPartOf(stamp, now) : devicePartOf(row, stamp) } },
      upsert: true,
    }));
  }

  /** What is deleted: dropped devices of which no write can be on its way any more. Empty where none is dropped now. */
  outlived(user: UserId, now: number): readonly Document[] {
    const drops = [...this.#devices.values()].includes(null);
    return drops ? [{ user, "row.droppedAt": { $lt: now - outlivedMs } }] : [];
  }
}

/** The rows of one write. */
export function projectionsOf({ memberships, devices, devicesDropped = [] }: FeedWrite): FeedProjections {
  return new FeedProjections().add({ memberships, devices, devicesDropped });
}

/** A write with changes as it is stored. */
export function feedDocOf(write: FeedWrite, revision: number): FeedDoc {
  const { epoch, changes, memberships, devices, devicesDropped = [] } = write;
  const { user, userSeq, createdAt, tokensValidFrom, deletedAt } = write.user;
  const first = userSeq - changes.length + 1;
  const person = { createdAt, tokensValidFrom, deletedAt };
  const rows: FeedRows = { user: person, memberships, devices, devicesDropped };
  return { _id: new ObjectId(), user, first, userSeq, epoch, revision, changes: packChanges(changes), rows };
}

/** A change of nothing: it stands where an older owner's write would, which then fails. */
export function fenceDocOf(user: UserId, userSeq: number, epoch: Epoch, revision: number): FeedDoc {
  const changes = packChanges([[userSeq, "fence", "", []]]);
  return { _id: new ObjectId(), user, first: userSeq, userSeq, epoch, revision, changes, rows: null };
}

/** What follows from the documents behind a person's row, ascending, one at least; null: there is no row yet. */
export function foldFeed(
  user: UserId,
  before: UserDoc | null,
  behind: readonly FeedDoc[],
): { readonly row: UserRow; readonly projections: FeedProjections } {
  const projections = new FeedProjections();
  let row: UserRow = before ? userOf(before) : { user, userSeq: 0, createdAt: 0, tokensValidFrom: 0, deletedAt: null };
  for (const { userSeq, rows } of behind) {
    row = { ...row, ...rows?.user, userSeq };
    if (rows) projections.add(rows);
  }
  return { row, projections };
}
