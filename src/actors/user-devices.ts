// The devices of one person: which are signed in, since when tokens hold on each, and which are forgotten (G11, G12).
// Owned by the user actor, which stores what these functions plan before it takes it over. No token is ever revived by forgetting.
import type { DeviceId } from "../protocol/ids";
import { limits } from "../protocol/limits";
import type { Results } from "../protocol/operations";
import type { DeviceRow } from "../storage/store";

/** Signed-out devices that are kept; with those signed in, they fit into one answer. */
export const goneDevicesMax = 450;
/** Rows dropped with one write. */
const droppedMax = 500;
/** A device's last sign-in is written again only when the stored one is older than this. */
const signInNotedMs = 24 * 60 * 60 * 1000;
/** No token is taken whose `iat` lies further ahead: the most that `auth.toleranceSeconds` may be. */
const aheadMaxMs = 60_000;
/** Id of the row that speaks for devices without one; no client can have it. */
const noDevice = "" as DeviceId;

/** What a change writes of devices. */
export interface DevicesWrite {
  readonly devices: readonly DeviceRow[];
  readonly devicesDropped: readonly DeviceId[];
}

/** Whether the device is signed out: it signed in with no token that holds since. */
export function isOut({ signedOutAt, lastSignInAt }: DeviceRow): boolean {
  return signedOutAt !== null && signedOutAt * 1000 > lastSignInAt;
}

/** Not thread-safe: one activation's. Holds `devicesPerUserMax` and {@link goneDevicesMax} rows, and one. */
export class UserDevices {
  readonly #rows = new Map<DeviceId, DeviceRow>();

  constructor(rows: readonly DeviceRow[]) {
    for (const row of rows) this.#rows.set(row.device, row);
  }

  /** Every row: also of those that are out, and of those that have none. */
  all(): readonly DeviceRow[] {
    return [...this.#rows.values()];
  }

  get(device: DeviceId): DeviceRow | null {
    return this.#rows.get(device) ?? null;
  }

  /** Devices that are signed in. */
  present(): readonly DeviceRow[] {
    return this.#known().filter((row) => !isOut(row));
  }

  /** Whether a token issued then (`iat`, seconds) is void on this device. */
  voids(device: DeviceId, issuedAt: number): boolean {
    const from = (this.#rows.get(device) ?? this.#rows.get(noDevice))?.signedOutAt ?? null;
    return from !== null && issuedAt < from;
  }

  /** The row that a sign-in writes; null where the stored one says enough. */
  signIn(device: DeviceId, platform: string | null, issuedAt: number, now: number): DeviceRow | null {
    const known = this.get(device);
    const latest = Math.max(now, Math.floor(issuedAt * 1000));
    // A token from the future is always noted: a sign-out before its time has to void it.
    const noted = latest > now ? known !== null && known.lastSignInAt >= latest : isFresh(known, now);
    if (known !== null && !isOut(known) && noted) return null;
    return {
      device,
      platform: platform ?? known?.platform ?? null,
      lastSignInAt: latest,
      signedOutAt: known?.signedOutAt ?? null,
    };
  }

  /** Who makes room for `device`: where as many others are signed in as may be, the one that signed in longest ago. */
  crowdedOut(device: DeviceId): DeviceRow | null {
    const others = this.present().filter((row) => row.device !== device);
    if (others.length < limits.devicesPerUserMax) return null;
    return others.reduce((a, b) => (a.lastSignInAt <= b.lastSignInAt ? a : b));
  }

  /**
   * Since when (seconds) tokens hold again on these devices once they are signed out `now`: later than every token issued
   * until now, which carries whole seconds, and than every one they signed in with, whose issuer's clock may be ahead.
   */
  outFrom(rows: readonly DeviceRow[], now: number): number {
    let latest = now;
    for (const row of rows) latest = Math.max(latest, Math.min(holdsUntil(row), now + aheadMaxMs));
    return Math.floor(latest / 1000) + 1;
  }

  /**
   * What to write so that these rows are stored and no more than {@link goneDevicesMax} are out: those out longest are
   * dropped, and a token that was void on one of them stays void on every device without a row.
   *
   * @param validFrom since when the person's tokens hold at all: what is void by that needs no row
   */
  plan(rows: readonly DeviceRow[], validFrom: number): DevicesWrite {
    if (rows.length === 0 || this.#rows.size + rows.length <= goneDevicesMax)
      return { devices: rows, devicesDropped: [] };
    const after = new Map(this.#rows);
    for (const row of rows) after.set(row.device, row);
    const gone = [...after.values()].filter((row) => row.device !== noDevice && isOut(row));
    const surplus = Math.min(gone.length - goneDevicesMax, droppedMax);
    if (surplus <= 0) return { devices: rows, devicesDropped: [] };
    const dropped = gone.sort((a, b) => outAt(a) - outAt(b) || a.lastSignInAt - b.lastSignInAt).slice(0, surplus);
    const names = new Set(dropped.map((row) => row.device));
    const devices = rows.filter((row) => !names.has(row.device));
    const before = outAt(this.#rows.get(noDevice));
    const floor = Math.max(before, ...dropped.map(outAt).filter((from) => from > validFrom));
    if (floor > before) devices.push({ device: noDevice, platform: null, lastSignInAt: 0, signedOutAt: floor });
    return { devices, devicesDropped: [...names] };
  }

  /** Takes over what was stored. */
  stored({ devices, devicesDropped }: DevicesWrite): void {
    for (const device of devicesDropped) this.#rows.delete(device);
    for (const row of devices) this.#rows.set(row.device, row);
  }

  /** All that are signed in, then the others, those signed out last first. */
  list(now: number): Results["devices"] {
    const out = (row: DeviceRow): number => (isOut(row) ? outAt(row) : Number.POSITIVE_INFINITY);
    const rows = [...this.#known()].sort((a, b) => out(b) - out(a) || b.lastSignInAt - a.lastSignInAt);
    const listed = rows.slice(0, limits.devicesPerUserMax + goneDevicesMax);
    return [listed.map((row) => [row.device, row.platform, Math.min(row.lastSignInAt, now), isOut(row)])];
  }

  #known(): readonly DeviceRow[] {
    return [...this.#rows.values()].filter((row) => row.device !== noDevice);
  }
}

/** The row of a device that is signed out: `from` as {@link UserDevices.outFrom} has it. What was void stays so. */
export function signedOut(row: DeviceRow, from: number): DeviceRow {
  const signedOutAt = Math.max(from, outAt(row));
  return { ...row, lastSignInAt: Math.min(row.lastSignInAt, signedOutAt * 1000 - 1), signedOutAt };
}

/** No token of later than this was taken on the device, milliseconds. */
function holdsUntil(row: DeviceRow): number {
  return Math.max(row.lastSignInAt, outAt(row) * 1000 - 1);
}

function isFresh(known: DeviceRow | null, now: number): boolean {
  return known !== null && now - known.lastSignInAt <= signInNotedMs;
}

function outAt(row: DeviceRow | undefined): number {
  return row?.signedOutAt ?? 0;
}
