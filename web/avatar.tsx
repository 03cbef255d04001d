// A person's or a group's round picture: initials on a tint that follows from the name, with a dot while online.
import type { JSX } from "preact";
import { GroupIcon } from "./icons";
import { initials, tint } from "./words";

const tints = 8;

/** The class of a name's tint: avatars and names share it. */
export function tintOf(name: string): string {
  return `tint-${tint(name, tints)}`;
}

interface AvatarProps {
  readonly name: string;
  readonly group?: boolean;
  readonly online?: boolean;
  readonly small?: boolean;
}

/** Decorative: the name stands in words beside it. */
export function Avatar({ name, group = false, online = false, small = false }: AvatarProps): JSX.Element {
  const classes = ["avatar", tintOf(name), small ? "small" : "", group ? "group" : ""];
  return (
    <span class={classes.filter(Boolean).join(" ")} aria-hidden="true">
      {group ? <GroupIcon /> : initials(name)}
      {online && <span class="dot" />}
    </span>
  );
}
