// Decimal arithmetic, as sprig's addf, subf, mulf and divf have it: 0.1 and 0.2 are 0.3.

interface Decimal {
  readonly digits: bigint;
  /** The number is digits / 10^places. */
  readonly places: number;
}

const divisionPlaces = 16;

function decimalOf(value: number): Decimal {
  if (!Number.isFinite(value))
    throw new Error(
      `Cannot create a Decimal from ${Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'}`,
    );
  const [mantissa = '', exponent = '0'] = value.toExponential().split('e');
  const [whole = '', fraction = ''] = mantissa.split('.');
  const places = fraction.length - Number(exponent);
  const digits = BigInt(whole + fraction);
  return places >= 0 ? { digits, places } : { digits: digits * 10n ** BigInt(-places), places: 0 };
}

const scaled = ({ digits, places }: Decimal, to: number): bigint => digits * 10n ** BigInt(to - places);

function added(a: Decimal, b: Decimal, sign: bigint): Decimal {
  const places = Math.max(a.places, b.places);
  return { digits: scaled(a, places) + sign * scaled(b, places), places };
}

/** Rounded to 16 places, halves away from zero. */
function divided(a: Decimal, b: Decimal): Decimal {
  if (b.digits === 0n) throw new Error('decimal division by 0');
  const places = Math.max(a.places, b.places);
  const [top, bottom] = [scaled(a, places) * 10n ** BigInt(divisionPlaces), scaled(b, places)];
  const [size, by] = [top < 0n ? -top : top, bottom < 0n ? -bottom : bottom];
  const rounded = (2n * size + by) / (2n * by);
  return { digits: top < 0n === bottom < 0n ? rounded : -rounded, places: divisionPlaces };
}

const operations = {
  '+': (a: Decimal, b: Decimal): Decimal => added(a, b, 1n),
  '-': (a: Decimal, b: Decimal): Decimal => added(a, b, -1n),
  '*': (a: Decimal, b: Decimal): Decimal => ({ digits: a.digits * b.digits, places: a.places + b.places }),
  '/': divided,
};

/** All of them one after the other. Throws an Error where one is no number, and for a division by 0. */
export function decimal(operation: keyof typeof operations, values: readonly number[]): number {
  const [first = decimalOf(0), ...rest] = values.map(decimalOf);
  const { digits, places } = rest.reduce(operations[operation], first);
  return Number(`${digits}e${-places}`);
}
