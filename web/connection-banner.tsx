// Says that the connection is gone, when it is tried again, and that nothing is lost meanwhile.
// Silent for the first moment of a connection, so that a quick reconnect does not flash.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { ConnectionState } from "../src/client/types";
import { useNow } from "./observe";

const quietMs = 900;

interface ConnectionBannerProps {
  readonly connection: ConnectionState;
  readonly onRetry: () => void;
}

/** A strip above everything; empty while online. */
export function ConnectionBanner({ connection, onRetry }: ConnectionBannerProps): JSX.Element {
  const away = connection.state === "connecting" || connection.state === "offline";
  const [patient, setPatient] = useState(true);
  useEffect(() => {
    setPatient(true);
    if (!away) return;
    const timer = setTimeout(() => setPatient(false), quietMs);
    return () => clearTimeout(timer);
  }, [away]);
  const shown = away && !patient;
  return (
    <div class={shown ? "banner shown" : "banner"} role="status">
      {shown && <BannerText connection={connection} onRetry={onRetry} />}
    </div>
  );
}

function BannerText({ connection, onRetry }: ConnectionBannerProps): JSX.Element {
  const now = useNow(250);
  const waitMs = connection.retryAt === null ? 0 : connection.retryAt - now;
  const seconds = Math.ceil(waitMs / 1000);
  return (
    <>
      <span class="pulse" aria-hidden="true" />
      <span>
        <strong>Reconnecting{seconds > 0 && connection.state === "offline" ? ` in ${seconds} s` : "…"}</strong>
        <span class="banner-detail"> What you write is kept and sent then.</span>
      </span>
      {connection.state === "offline" && (
        <button type="button" class="link" onClick={onRetry}>
          Try now
        </button>
      )}
    </>
  );
}
