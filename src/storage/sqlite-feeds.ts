// Applies one person's feed write inside the writer's transaction: feed rows first, memberships and devices are their fold.
import type { Database, Statement } from "bun:sqlite";
import type { PackedFeed, PackedOutcome } from "./sqlite-packing";
import { upsertOf } from "./sqlite-schema";

const userColumns = ["user_seq", "created_at", "tokens_valid_from", "deleted_at"];
const membershipColumns = [
  ...["type", "peer", "seq", "role", "join_seq", "join_ordinal", "join_own", "floor", "muted", "marked_unread"],
];
const deviceColumns = ["platform", "last_sign_in_at", "signed_out_at"];

/** Not thread-safe: one connection's. Every method runs inside that connection's transaction. */
export class FeedWriter {
  readonly #findUser: Statement;
  readonly #setUser: Statement;
  readonly #addChange: Statement;
  readonly #setMembership: Statement;
  readonly #setDevice: Statement;
  readonly #dropDevice: Statement;

  constructor(db: Database) {
    this.#findUser = db.prepare("SELECT user_seq FROM users WHERE user = ?");
    this.#setUser = db.prepare(upsertOf("users", ["user"], userColumns));
    this.#addChange = db.prepare("INSERT INTO feed(user, user_seq, kind, subject, data) VALUES(?, ?, ?, ?, ?)");
    this.#setMembership = db.prepare(upsertOf("memberships", ["user", "conversation"], membershipColumns));
    this.#setDevice = db.prepare(upsertOf("devices", ["user", "device"], deviceColumns));
    this.#dropDevice = db.prepare("DELETE FROM devices WHERE user = ? AND device = ?");
  }

  apply([, user, , row, changes, memberships, devices, dropped]: PackedFeed): PackedOutcome {
    const stored = this.#findUser.get(user) as { user_seq: number } | null;
    if ((row[0] as number) - changes.length !== (stored?.user_seq ?? 0)) return { outcome: "conflict" };
    for (const change of changes) this.#addChange.run(user, ...(change as string[]));
    for (const membership of memberships) this.#setMembership.run(user, ...(membership as string[]));
    for (const device of devices) this.#setDevice.run(user, ...(device as string[]));
    for (const device of dropped) this.#dropDevice.run(user, device);
    this.#setUser.run(user, ...(row as string[]));
    return { outcome: "stored" };
  }
}
