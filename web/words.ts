// How the page says times, counts and lists of names, in the reader's own language settings. Pure.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const shortWeekday = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long" });
const shortDate = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const fullDate = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

/** `14:05`. */
export function timeOfDay(time: number): string {
  return clock.format(time);
}

/** The whole of a moment, for a tooltip. */
export function moment(time: number): string {
  return exact.format(time);
}

/** Today, Yesterday, a weekday within the last six days, else a date; with its year unless it is this one. */
export function dayLabel(time: number, now: number): string {
  const days = daysBetween(time, now);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days > 1 && days < 7) return weekday.format(time);
  return new Date(time).getFullYear() === new Date(now).getFullYear() ? date.format(time) : fullDate.format(time);
}

/** For the list, where there is little room: a clock time today, a weekday this week, else a date. */
export function shortWhen(time: number, now: number): string {
  const days = daysBetween(time, now);
  if (days === 0) return clock.format(time);
  return days > 0 && days < 7 ? shortWeekday.format(time) : shortDate.format(time);
}

/** Whether both fall on one day of the reader's calendar. */
export function sameDay(a: number, b: number): boolean {
  return new Date(a).toDateString() === new Date(b).toDateString();
}

function daysBetween(from: number, to: number): number {
  const midnight = (time: number): number => new Date(time).setHours(0, 0, 0, 0);
  return Math.round((midnight(to) - midnight(from)) / 86_400_000);
}

/** `a`, `a and b`, `a, b and 3 others`. */
export function names(list: readonly string[], most = 3): string {
  const rest = list.length - most;
  if (rest > 1) return `${list.slice(0, most).join(", ")} and ${rest} others`;
  return list.length < 2 ? (list[0] ?? "") : `${list.slice(0, -1).join(", ")} and ${list.at(-1)}`;
}

/** Badges stay narrow: `99+` from 100 up. */
export function badge(count: number): string {
  return count > 99 ? "99+" : String(count);
}

/** `1 member`, `4 members`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Up to two letters that stand for a name. */
export function initials(name: string): string {
  const words = name.split(/[\s._@:|+=-]+/).filter((word) => word !== "");
  const letters = words.length > 1 ? [words[0], words.at(-1)] : [words[0] ?? "?"];
  return letters.map((word) => [...(word as string)][0]?.toUpperCase() ?? "").join("");
}

/** One of `count` tints, always the same for a name. */
export function tint(name: string, count: number): number {
  let hash = 0x811c9dc5;
  for (const character of name) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  const mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return ((mixed ^ (mixed >>> 13)) >>> 0) % count;
}
