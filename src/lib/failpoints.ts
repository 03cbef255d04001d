// Places where a test may stop, delay or spoil the program, by name. Nothing is on unless `main` was told so.

/** Passes, unless a test asked for something to happen at `name`. */
export function failpoint(_name: string): void {
  // nothing is armed
}

/** Whether a test's negative control is on. */
export function isControlOn(_name: string): boolean {
  return false;
}
