// Binds an observable of the client SDK to a component: it renders anew when the snapshot changes, once a tick.
import { useEffect, useState } from "preact/hooks";
import type { Observable } from "../src/client/types";

/** The present snapshot; the component renders again when it changes. */
export function useObservable<T>(observable: Observable<T>): T {
  const [, setSeen] = useState<unknown>(null);
  const snapshot = observable.getSnapshot();
  useEffect(() => {
    const look = (): void => setSeen(() => observable.getSnapshot());
    // What changed between the rendering and this subscription is seen too.
    look();
    return observable.subscribe(look);
  }, [observable]);
  return snapshot;
}

/** The present time, ms since 1970, renewed every `everyMs` while the component is shown. */
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
