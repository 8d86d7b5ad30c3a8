import type { TimeDoubt } from '../time-doubt.ts';

// Whether to believe the time that a device says. A device whose clock was never set says 1970, one whose battery died
// says 2000 or 2036; believing them would put rows where nobody looks for them, and dropping them would lose them.

/** What the gateway knows of its own time. */
export interface OwnTime {
  /** Its clock is right, or was put right. */
  readonly trusted: boolean;
  /** It is later than this for sure, whatever its clock says. */
  readonly floorUs: number;
}

/** No device measures before it was made. */
const pastUs = Date.UTC(2000, 0, 1) * 1000;
/** A gateway that does not know the time itself calls no time wrong but one that nothing in its life can be. */
const lifeUs = 10 * 365 * 86_400_000_000;
/** The year 9999; beyond it no client can print a time. */
const printableUsMax = 253_402_300_799_000_000;

export interface RowTime {
  readonly timestampUs: number;
  readonly doubt: TimeDoubt | undefined;
}

/** The time of a row: what its device said, or the time of receipt and why. */
export function rowTime(
  deviceUs: number | undefined,
  receivedUs: number,
  own: OwnTime,
  futureUsMax: number,
): RowTime {
  if (deviceUs === undefined) return { timestampUs: receivedUs, doubt: undefined };
  const latestUs = own.trusted ? receivedUs + futureUsMax : Math.max(receivedUs, own.floorUs) + lifeUs;
  const quality = deviceUs < pastUs ? 'device-past' : deviceUs > latestUs ? 'device-future' : undefined;
  if (quality === undefined) return { timestampUs: deviceUs, doubt: undefined };
  const printable = Math.abs(deviceUs) <= printableUsMax;
  const deviceTimestampUs = printable ? BigInt(Math.round(deviceUs)) : null;
  return { timestampUs: receivedUs, doubt: { quality, deviceTimestampUs } };
}
