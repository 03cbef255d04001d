// Waiting for a state that nothing tells of: another process's, a disk's, a server's. The test's own time-out bounds it.

const lookMs = 5;

/** Looks again and again until it holds. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await Bun.sleep(lookMs);
}
