// Times in nanoseconds need 64 bits. They are kept as two halves, as columns take them: a BigInt for each row costs an
// allocation.

/** A 64-bit integer: `low` unsigned or signed, `high` signed. Written again and again by decoders. */
export interface Int64Halves {
  low: number;
  high: number;
}

const TWO_32 = 4294967296;

/** Seconds and nanoseconds since the Unix epoch, both whole; seconds to about +-2^34. */
export function setSeconds(to: Int64Halves, seconds: number, nanoseconds: number): void {
  const upper = Math.floor(seconds / 65_536);
  const product = upper * 1e9;
  const productHigh = Math.floor(product / 65_536);
  const lowest = (product - productHigh * 65_536) * 65_536 + (seconds - upper * 65_536) * 1e9 + nanoseconds;
  to.low = lowest >>> 0;
  to.high = productHigh + Math.floor(lowest / TWO_32);
}

/** Nanoseconds as decimal digits, perhaps with a sign; false when they are none, or more than seconds can be. */
export function setDigits(to: Int64Halves, digits: string): boolean {
  if (!/^-?\d{1,19}$/.test(digits)) return false;
  if (digits.length <= 15) setSeconds(to, 0, Number(digits));
  else setSeconds(to, Number(digits.slice(0, -9)), Number(digits.slice(-9)) * (digits[0] === '-' ? -1 : 1));
  return true;
}

/** Whether tables can hold a time, by its high half: 1698 to 2242, a little less than 64 bits can say. */
export const isStorableTime = (high: number): boolean => high < 2_000_000_000 && high > -2_000_000_000;

/** The same for protocols whose times are unsigned. */
export const isUnsignedTime = (high: number): boolean => high >= 0 && isStorableTime(high);

/** Rounded down to microseconds; exact for times that are storable. */
export function microsecondsOf({ low, high }: Int64Halves): number {
  // In two steps, because the whole has more digits than a number.
  const thousands = Math.floor(high / 1000);
  const rest = (high - thousands * 1000) * TWO_32 + (low >>> 0);
  return thousands * TWO_32 + Math.floor(rest / 1000);
}

/** Unsigned nanoseconds in decimal. */
export function nanosecondsText(time: Int64Halves): string {
  if (time.high < 0 || !isStorableTime(time.high))
    return String(BigInt.asUintN(64, (BigInt(time.high) << 32n) | BigInt(time.low >>> 0)));
  const microseconds = microsecondsOf(time);
  if (microseconds === 0) return String(time.low >>> 0);
  const below = ((time.low >>> 0) - (((microseconds % TWO_32) * 1000) % TWO_32)) >>> 0;
  return `${microseconds}${below < 10 ? '00' : below < 100 ? '0' : ''}${below}`;
}
