import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { PendingRange } from '../../lake/model/progress.ts';
import { mergeRanges } from './progress.ts';

const ranges = fc
  .array(fc.record({ fromUs: fc.nat(1000), length: fc.nat(50), rows: fc.nat(9), bytes: fc.nat(9) }))
  .map((all) =>
    all
      .map(({ fromUs, length, ...size }): PendingRange => ({ fromUs, toUs: fromUs + length, ...size }))
      .sort((a, b) => a.fromUs - b.fromUs),
  );
const sum = (all: readonly PendingRange[], of: 'rows' | 'bytes'): number =>
  all.reduce((total, range) => total + range[of], 0);

test('merged ranges cover all of them, apart from each other and in order, with their sizes', () => {
  fc.assert(
    fc.property(ranges, fc.integer({ min: 1, max: 6 }), (all, max) => {
      const merged = mergeRanges(all, max);
      expect(merged.length).toBeLessThanOrEqual(max);
      for (const { fromUs, toUs } of all)
        expect(merged.some((range) => range.fromUs <= fromUs && range.toUs >= toUs)).toBe(true);
      merged
        .slice(1)
        .forEach(({ fromUs }, index) => void expect(fromUs).toBeGreaterThan(merged[index]?.toUs ?? 0));
      for (const of of ['rows', 'bytes'] as const) expect(sum(merged, of)).toBe(sum(all, of));
    }),
  );
});

test('the widest distances stay open', () => {
  const at = (fromUs: number): PendingRange => ({ fromUs, toUs: fromUs, rows: 1, bytes: 1 });
  const merged = mergeRanges([0, 1, 100, 101, 103, 500].map(at), 3);
  expect(merged.map(({ fromUs, toUs }) => [fromUs, toUs])).toEqual([
    [0, 1],
    [100, 103],
    [500, 500],
  ]);
});
