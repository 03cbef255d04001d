// A promise with its handles. `Promise.withResolvers` is newer than some of the browsers and Node releases this runs on.

/** A promise that somebody else settles; only the first call counts. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: Error): void;
}

/** @param handled true where nobody has to await the promise: then a rejection is no unhandled one */
export function deferred<T>(handled: "handled" | "awaited" = "awaited"): Deferred<T> {
  let resolve: (value: T) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  if (handled === "handled") promise.catch(() => {});
  return { promise, resolve, reject };
}
