import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Int64Halves, microsecondsOf, nanosecondsText, setDigits, setSeconds } from './nanoseconds.ts';

const whole = ({ low, high }: Int64Halves): bigint => (BigInt(high) << 32n) + BigInt(low >>> 0);
const someNs = fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n });
const floorDivide = (a: bigint, b: bigint): bigint => a / b - (a % b < 0n ? 1n : 0n);

test('seconds and nanoseconds become halves of 64 bits', () => {
  const to = { low: 0, high: 0 };
  fc.assert(
    fc.property(someNs, (ns) => {
      const seconds = floorDivide(ns, 1_000_000_000n);
      setSeconds(to, Number(seconds), Number(ns - seconds * 1_000_000_000n));
      expect(whole(to)).toBe(ns);
      expect(BigInt(microsecondsOf(to))).toBe(floorDivide(ns, 1000n));
    }),
  );
});

test('digits too, and nothing else', () => {
  const to = { low: 0, high: 0 };
  fc.assert(
    fc.property(someNs, (ns) => {
      expect(setDigits(to, String(ns))).toBe(true);
      expect(whole(to)).toBe(ns);
    }),
  );
  for (const text of ['', '-', '1.5', '1e9', ' 1', '12345678901234567890', '0x1'])
    expect(setDigits(to, text)).toBe(false);
});

test('unsigned nanoseconds in decimal', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.nat({ max: 60 }), (any, shift) => {
      const ns = any >> BigInt(shift);
      const time = { low: Number(BigInt.asIntN(32, ns)), high: Number(BigInt.asIntN(32, ns >> 32n)) };
      expect(nanosecondsText(time)).toBe(String(ns));
    }),
  );
});
