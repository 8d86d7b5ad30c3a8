import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Histogram, noBuckets } from '../../promql/histograms/histogram.ts';
import type { SeriesData } from '../../promql/source.ts';
import { resultPieces } from './encode.ts';

const histogram: Histogram = {
  ...{ schema: 0, count: 0, sum: 0, zeroThreshold: 0, zeroCount: 0, customValues: [], hint: 'unknown' },
  ...{ positive: noBuckets, negative: noBuckets },
};

interface Sample {
  readonly ms: number;
  readonly value: number;
  readonly native: boolean;
}

const seriesOf = (samples: readonly Sample[]): SeriesData => ({
  labels: [['a', 'b']],
  timestampsMs: Float64Array.from(samples, ({ ms }) => ms),
  values: Float64Array.from(samples, ({ value }) => value),
  histograms: samples.map(({ native }) => (native ? histogram : undefined)),
});

/** Number() of what Prometheus writes. */
const numberOf = (text: string): number => Number(text.replace('Inf', 'Infinity'));

test('series of a matrix have their own times and values, whatever those before them had', () => {
  const sample = fc.record({
    ms: fc.oneof(fc.nat(3), fc.nat(5000)),
    value: fc.oneof(fc.double(), fc.constantFrom(1e-6, 9.9e-7, 1e21, 1e-7, -0)),
    native: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(fc.array(sample, { maxLength: 5 }), { maxLength: 4 }), (all) => {
      const text = `{${[...resultPieces({ type: 'matrix', series: all.map(seriesOf) })].join('')}}`;
      const { result } = JSON.parse(text) as {
        result: { values?: [number, string][]; histograms?: [number, object][] }[];
      };
      expect(result).toHaveLength(all.length);
      for (const [index, samples] of all.entries()) {
        const { values = [], histograms = [] } = result[index] ?? {};
        const plain = samples.filter(({ native }) => !native);
        expect(values.map(([seconds]) => seconds)).toEqual(plain.map(({ ms }) => ms / 1000));
        expect(values.map(([, value]) => numberOf(value))).toEqual(plain.map(({ value }) => value));
        const native = samples.filter((one) => one.native);
        expect(histograms.map(([seconds]) => seconds)).toEqual(native.map(({ ms }) => ms / 1000));
      }
    }),
    {
      examples: [
        [
          [
            [
              { ms: 0, value: 1, native: true },
              { ms: 1, value: 2, native: false },
            ],
            [{ ms: 2, value: 3, native: false }],
          ],
        ],
      ],
    },
  );
});
