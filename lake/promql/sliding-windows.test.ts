import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bordersOfEach, columnFunctions } from './column-windows.ts';
import { windowFunctions } from './functions/over-time.ts';

const value = fc.oneof(fc.constantFrom(Number.NaN, 0, -0, 1, 2, Infinity, -Infinity), fc.double());
const samples = fc.array(fc.record({ gapMs: fc.integer({ min: 1, max: 40 }), value }), { maxLength: 80 });

test.each([
  ...['min_over_time', 'max_over_time', 'resets', 'changes'],
  ...['first_over_time', 'last_over_time', 'present_over_time', 'count_over_time'],
])('%s of all steps is what it is of each window', (name) => {
  fc.assert(
    fc.property(
      samples,
      fc.record({ rangeMs: fc.integer({ min: 1, max: 400 }), stepMs: fc.integer({ min: 1, max: 200 }) }),
      (given, { rangeMs, stepMs }) => {
        let atMs = 0;
        const timestampsMs = Float64Array.from(given, ({ gapMs }) => (atMs += gapMs));
        const values = Float64Array.from(given, (one) => one.value);
        const steps = Math.ceil((atMs + rangeMs) / stepMs) + 1;
        const times = { startMs: 0, stepMs, steps };
        const result = { values: new Float64Array(steps), present: new Uint8Array(steps) };
        const borders = bordersOfEach({ offsetMs: 0, atMs: undefined }, rangeMs, times)(timestampsMs);
        // What an earlier series has left behind must not show.
        const column = columnFunctions[name];
        const other = { values: new Float64Array(steps), present: new Uint8Array(steps) };
        column?.({ values: values.toReversed() }, borders, other);
        column?.({ values }, borders, result);
        for (let step = 0; step < steps; step++) {
          const endMs = step * stepMs;
          const startMs = endMs - rangeMs;
          const from = timestampsMs.findIndex((ms) => ms > startMs && ms <= endMs);
          const to = timestampsMs.findLastIndex((ms) => ms > startMs && ms <= endMs) + 1;
          expect(result.present[step]).toBe(from < 0 ? 0 : 1);
          if (from < 0) continue;
          const window = {
            timestampsMs,
            values,
            startsMs: undefined,
            from,
            to,
            startMs,
            endMs,
            evalMs: endMs,
          };
          const wanted = windowFunctions[name]?.({ ...window, overlap: false }, []);
          expect(result.values[step]).toBe(wanted);
        }
      },
    ),
    { numRuns: 300, seed: 6 },
  );
});
