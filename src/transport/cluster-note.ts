// What all nodes of a cluster must have in common, as one of them noted it in NATS, and who is refused for having it otherwise.
// Pure: nats-cluster-note.ts reads and writes it.

/** What a node brings. It stands in NATS as JSON, so that a person can read it. */
export interface ClusterNote {
  /** How many the actors are spread over; fixed for the life of a cluster's data. */
  readonly partitions: number;
  readonly storeKind: "sqlite" | "mongodb";
  /** Of the data: another one means other data, or restored ones. */
  readonly generation: string;
  /** Where an SQLite file is: it cannot be shared over a network. Null for a database server. */
  readonly host: string | null;
}

/** What follows for the node that compares. */
export type NoteVerdict =
  | { readonly outcome: "same" }
  /** It is of a cluster that nobody is in any more, and may be replaced. */
  | { readonly outcome: "replace" }
  | { readonly outcome: "refused"; readonly says: string };

/** Null: it is not one of ours. */
export function parseNote(text: string): ClusterNote | null {
  const value = parsed(text);
  if (typeof value !== "object" || value === null) return null;
  const { partitions, storeKind, generation, host } = value as Record<string, unknown>;
  if (typeof partitions !== "number" || typeof generation !== "string") return null;
  if (storeKind !== "sqlite" && storeKind !== "mongodb") return null;
  return { partitions, storeKind, generation, host: typeof host === "string" ? host : null };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** @param others whether another member is alive */
export function judgeNote(mine: ClusterNote, theirs: ClusterNote | null, others: boolean): NoteVerdict {
  if (theirs !== null && theirs.partitions !== mine.partitions) {
    return refused(
      `this cluster spreads its actors over ${theirs.partitions} partitions and this release over ${mine.partitions}; ` +
        "run the release that the other nodes run",
    );
  }
  const says = theirs === null ? "the cluster's note in NATS cannot be read" : differenceOf(mine, theirs);
  if (says === null) return { outcome: "same" };
  return others ? refused(says) : { outcome: "replace" };
}

function differenceOf(mine: ClusterNote, theirs: ClusterNote): string | null {
  if (theirs.storeKind !== mine.storeKind) {
    return (
      `the other nodes of this cluster keep their data in ${names[theirs.storeKind]} and this one in ${names[mine.storeKind]}; ` +
      "give all of them the same PARLEY_STORE, or this one another PARLEY_NATS_PREFIX"
    );
  }
  if (theirs.generation !== mine.generation) {
    return (
      "the other nodes of this cluster have other data than this one, or had it before a restore; give all of them the " +
      "same PARLEY_STORE, or this one another PARLEY_NATS_PREFIX; after a restore stop all nodes before you start one"
    );
  }
  if (theirs.host !== mine.host) {
    return (
      `the SQLite file of this cluster is used on the host ${hostName(theirs.host)}, and this is ${hostName(mine.host)}; ` +
      "nodes that share an SQLite file run on one host: stop the others first, or use MongoDB"
    );
  }
  return null;
}

const names = { sqlite: "an SQLite file", mongodb: "MongoDB" } as const;

/** Without what tells hosts of one name apart. */
function hostName(host: string | null): string {
  return host?.split("/")[0] ?? "unknown";
}

function refused(says: string): NoteVerdict {
  return { outcome: "refused", says };
}
