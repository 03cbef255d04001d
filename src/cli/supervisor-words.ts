// What a node process and its supervisor tell each other, and when they lose patience. The channel is the one that a spawned
// process has with its parent; whoever finds it closed knows that the other one is gone.

/** What a node tells its supervisor every {@link supervisorTimes.beatMs}, and when it changes: its event loop turns. */
export interface NodeBeat {
  /** Where it listens, once it does and has its data: for all who share the port, and for itself. */
  readonly at: { readonly url: string; readonly adminUrl: string } | null;
  /** Whether clients are welcome, and if not, why. */
  readonly ready: boolean;
  readonly reason: string | null;
}

/** Milliseconds. */
export const supervisorTimes = {
  beatMs: 500,
  /** A node that says nothing for this long is killed: stopped in the middle of a write it would hold the SQLite file. */
  silentMs: 3_000,
  /** So long a process may take until its first word: loading on a busy machine takes seconds. */
  firstWordMs: 30_000,
  /** How often it is looked; a look that comes later than `lateMs` after the last judges nobody. */
  lookMs: 250,
  lateMs: 1_000,
  /** Past `drainMs`, before a node that was told to end is killed. */
  graceMs: 1_000,
  /** Past `drainMs`, before a node that was killed and is still there is waited for no more. */
  stuckMs: 3_000,
  /** Longest wait for a restarted node to be ready; past it a rolling restart is given up. */
  readyMs: 60_000,
  /** The first start of the other nodes waits this long for the first one's. */
  firstStartMs: 10_000,
  /** Before a crashed node is started again: doubled at each crash, up to the longest; half as much more or less by chance. */
  backOffMs: 200,
  backOffMaxMs: 30_000,
  /** A node that was ready for this long ran well: the next crash counts as its first. */
  wellMs: 10_000,
} as const;

/** A message from the channel; null where it is none that is known. */
export function readNodeBeat(value: unknown): NodeBeat | null {
  if (typeof value !== "object" || value === null) return null;
  const { at, ready, reason } = value as Readonly<Record<string, unknown>>;
  if (typeof ready !== "boolean" || typeof at !== "object") return null;
  const { url, adminUrl } = (at ?? {}) as Readonly<Record<string, unknown>>;
  const place = typeof url === "string" && typeof adminUrl === "string" ? { url, adminUrl } : null;
  return { at: place, ready, reason: typeof reason === "string" ? reason : null };
}
