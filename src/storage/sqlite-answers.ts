// What the reading thread answers, as the port's rows; on the main thread.
import type { ReadName, ReadValues } from "./sqlite-reader";
import { changeOf, cursorOf, deviceOf, entryOf, foundOf, headOf, memberOf, membershipOf, userOf } from "./sqlite-rows";
import { syncPageOf } from "./sqlite-sync";
import type { Store } from "./store";

type Answer<N extends ReadName> = Awaited<ReturnType<Store[N]>>;
type Answers = { readonly [N in ReadName]: (values: ReadValues[N]) => Answer<N> };

/** One function a read, by its name. */
export const answers: Answers = {
  audit: (newest) => newest,
  auditAll: (lost) => lost,
  openConversation: (values) => {
    if (!values) return null;
    const [head, members, tail] = values;
    return { head: headOf(head), members: members.map(memberOf), tail: tail.map(entryOf) };
  },
  readRanges: (ranges) => ranges.map(([scannedTo, entries]) => ({ entries: entries.map(entryOf), scannedTo })),
  findClientIds: (found) => found.map(foundOf),
  readMembers: (members) => members.map(memberOf),
  readCursors: (cursors) => cursors.map(cursorOf),
  countOwn: (count) => count,
  countBySender: (rows) => rows.map(([user, count]) => ({ user, count })),
  readReaders: (rows) => rows.map(([user, seq]) => ({ user, seq })),
  countReaders: (count) => count,
  listOpen: (ids) => ids,
  listAdvanced: (rows) => rows.map(([conversation, seq]) => ({ conversation, seq })),
  readHeads: (rows) => rows.map(([conversation, seq, open]) => ({ conversation, seq, open: open === 1 })),
  openFeed: (values) => values && { user: userOf(values[0]), devices: values[1].map(deviceOf) },
  readMemberships: (rows) => rows.map(membershipOf),
  readFeed: ([changes, user]) => ({ changes: changes.map(changeOf), user: user && userOf(user) }),
  unknownUsers: (users) => users,
  fullUsers: (users) => users,
  conversationsOf: (ids) => ids,
  readSync: syncPageOf,
  featureLevel: (level) => level,
};
