// The page's drawings: one stroke weight, one size, coloured by the text around them. Decorative: names stand on the buttons.
import type { ComponentChildren, JSX } from "preact";

function icon(children: ComponentChildren, viewBox = "0 0 20 20"): () => JSX.Element {
  return () => (
    <svg class="icon" viewBox={viewBox} aria-hidden="true" focusable="false">
      {children}
    </svg>
  );
}

/** A speech bubble with the two ticks of a message that was read: the mark of Parley. */
export function Logo(): JSX.Element {
  return <img class="logo" src="/logo.svg" alt="" width="32" height="32" />;
}

/** Write: begins a conversation. */
export const ComposeIcon = icon(
  <path d="M9 4H5.5A2.5 2.5 0 0 0 3 6.5v8A2.5 2.5 0 0 0 5.5 17h8a2.5 2.5 0 0 0 2.5-2.5V11M16.2 2.8a1.4 1.4 0 0 1 2 2L11 12l-3 .8.800-3Z" />,
);
/** Back to the list, on a narrow screen. */
export const BackIcon = icon(<path d="M12.5 4 6.5 10l6 6" />);
/** Send what was written. */
export const SendIcon = icon(<path d="M10 16V4M4.5 9.5 10 4l5.5 5.5" />);
/** No sound from this conversation. */
export const MutedIcon = icon(
  <path d="M8 4.2A4.5 4.5 0 0 1 14.5 8c0 1.5.300 2.7.700 3.6M5.6 7a5 5 0 0 0-.1 1c0 3.5-1.5 4.5-1.5 5.5h9.5M8.3 16.3a2 2 0 0 0 3.4 0M3 3l14 14" />,
);
/** This conversation may be heard. */
export const BellIcon = icon(
  <path d="M5.5 8a4.5 4.5 0 0 1 9 0c0 3.5 1.5 4.5 1.5 5.5H4c0-1 1.5-2 1.5-5.5ZM8.3 16.3a2 2 0 0 0 3.4 0" />,
);
/** Close a dialog or a notice. */
export const CloseIcon = icon(<path d="m5 5 10 10M15 5 5 15" />);
/** Leave this window's session. */
export const SignOutIcon = icon(
  <path d="M8 3H5.5A2.5 2.5 0 0 0 3 5.5v9A2.5 2.5 0 0 0 5.5 17H8M13 13.5 16.5 10 13 6.5M16 10H8" />,
);
/** Several people. */
export const GroupIcon = icon(
  <path d="M7.5 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM2 16.5c0-2.8 2.3-4.5 5.5-4.5s5.5 1.7 5.5 4.5M13 3.8a3 3 0 0 1 0 5.4M15 12.3c1.9.700 3 2.2 3 4.2" />,
);
/** To the newest message. */
export const DownIcon = icon(<path d="M4 7.5 10 13.5l6-6" />);
/** On its way: not stored yet. */
export const SendingTick = icon(<path d="M8 3.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9ZM8 5.6V8l1.5 1" />, "0 0 18 16");
/** Stored: the server will not lose it. */
export const StoredTick = icon(<path d="m4 8.5 3.2 3.2L14 4.5" />, "0 0 18 16");
/** Read by somebody. */
export const ReadTick = icon(<path d="m1.5 8.5 3.2 3.2L11.5 4.5M8.7 11.2l.5.500L16 4.5" />, "0 0 18 16");
/** Not delivered. */
export const FailedTick = icon(<path d="M9 3v6.2M9 12.6v.1" />, "0 0 18 16");
