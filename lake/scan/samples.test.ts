import fc from 'fast-check';
import { expect, test } from 'vitest';
import { inOrder } from './samples.ts';

test('any order of samples comes out sorted, one a timestamp, the largest value of each', () => {
  const sample = fc.tuple(fc.integer({ min: 0, max: 20 }), fc.double());
  fc.assert(
    fc.property(fc.array(sample, { minLength: 1 }), (samples) => {
      const best = new Map<number, number>();
      for (const [timeMs, value] of samples) {
        const other = best.get(timeMs);
        if (other === undefined || value > other || Number.isNaN(other)) best.set(timeMs, value);
      }
      const times = [...best.keys()].sort((a, b) => a - b);
      const sorted = inOrder({
        timestampsMs: Float64Array.from(samples, ([timeMs]) => timeMs),
        values: Float64Array.from(samples, ([, value]) => value),
      });
      expect([...sorted.timestampsMs]).toEqual(times);
      // -0 and 0 are equally large.
      expect([...sorted.values].map((value) => value + 0)).toEqual(
        times.map((timeMs) => (best.get(timeMs) ?? 0) + 0),
      );
    }),
  );
});
