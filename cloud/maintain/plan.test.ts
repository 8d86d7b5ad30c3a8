import fc from 'fast-check';
import { expect, test } from 'vitest';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { someFile } from '../../test/contract/lake-fixtures.ts';
import type { ManifestEntry } from '../catalog/manifest-file.ts';
import { type MergeLimits, planMerge } from './plan.ts';

const limits: MergeLimits = {
  ...{ filesMin: 4, pastFilesMin: 2, filesMax: 10, rowsMax: 1_000_000, bytesMax: 1_000_000 },
};
const today = 100;
let made = 0;

const entry = (rows: number, more: { day?: number; bytes?: number } = {}): ManifestEntry => {
  made++;
  const file = { ...someFile(`f${made}`, tableSchemas.metrics), rows, day: more.day ?? today };
  return {
    ...{ status: 'existing', snapshotId: 1n, sequenceNumber: made, fileSequenceNumber: made },
    file: { ...file, bytes: more.bytes ?? rows },
  };
};
const times = (count: number, make: () => ManifestEntry): ManifestEntry[] =>
  Array.from({ length: count }, make);
const plan = (entries: readonly ManifestEntry[], held: readonly string[] = []) =>
  planMerge(entries, today, limits, (group) => held.includes(group));

test.each<[string, ManifestEntry[], { group: string; files: number } | undefined]>([
  ['too few', times(3, () => entry(5)), undefined],
  ['enough', times(4, () => entry(5)), { group: 'day 100 tier 1', files: 4 }],
  ['too few of each tier', [...times(3, () => entry(5)), ...times(3, () => entry(20))], undefined],
  ['too few of each day', [...times(3, () => entry(5)), ...times(1, () => entry(5, { day: 98 }))], undefined],
  ['fewer for a past day', times(2, () => entry(5, { day: 99 })), { group: 'day 99 tier 2', files: 2 }],
  [
    'the largest group',
    [...times(4, () => entry(5)), ...times(6, () => entry(1))],
    { group: 'day 100 tier 0', files: 6 },
  ],
  ['at most filesMax', times(30, () => entry(1)), { group: 'day 100 tier 0', files: 10 }],
  ['at most rowsMax', times(4, () => entry(400_000, { bytes: 1 })), { group: 'day 100 tier 9', files: 2 }],
  ['at most bytesMax', times(4, () => entry(1, { bytes: 300_000 })), { group: 'day 100 tier 0', files: 3 }],
  ['none of over half of rowsMax', times(9, () => entry(500_001, { bytes: 1 })), undefined],
  ['none of over half of bytesMax', times(9, () => entry(1, { bytes: 500_001 })), undefined],
])('a merge takes %s', (_name, entries, expected) => {
  const merge = plan(entries);
  expect(merge && { group: merge.group, files: merge.files.length }).toEqual(expected);
  if (merge) expect(merge.rows).toBe(merge.files.reduce((sum, { rows }) => sum + rows, 0));
});

test('the oldest files go first, and a group that is held lets the next one through', () => {
  const [newer, ...older] = times(12, () => entry(1)).toReversed();
  if (!newer) throw new Error('there are twelve');
  expect(plan([newer, ...older])?.files).toEqual(
    older
      .toReversed()
      .slice(0, 10)
      .map(({ file }) => file),
  );
  const entries = [...times(9, () => entry(1)), ...times(4, () => entry(5))];
  expect(plan(entries, ['day 100 tier 0'])?.group).toBe('day 100 tier 1');
});

test('files of a foreign partition spec have no day and are left alone', () => {
  const foreign = times(9, () => entry(1)).map((each) => ({
    ...each,
    file: { ...each.file, day: undefined },
  }));
  expect(plan(foreign)).toBeUndefined();
});

test('a row is rewritten a logarithmic number of times, and few files are left', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 100, maxLength: 800 }), (arriving) => {
      let entries: ManifestEntry[] = [];
      const rewrites = new Map<string, number>();
      for (const rows of arriving) {
        entries.push(entry(rows));
        for (let merge = plan(entries); merge; merge = plan(entries)) {
          const { files } = merge;
          const output = entry(merge.rows);
          const before = Math.max(...files.map(({ path }) => rewrites.get(path) ?? 0));
          rewrites.set(output.file.path, before + 1);
          entries = [...entries.filter(({ file }) => !files.includes(file)), output];
        }
      }
      const total = arriving.reduce((sum, rows) => sum + rows, 0);
      const tiers = Math.ceil(Math.log(total) / Math.log(limits.filesMin)) + 1;
      expect(Math.max(...rewrites.values())).toBeLessThanOrEqual(tiers);
      expect(entries.length).toBeLessThanOrEqual((limits.filesMin - 1) * tiers);
      expect(entries.reduce((sum, { file }) => sum + file.rows, 0)).toBe(total);
    }),
    { numRuns: 30 },
  );
});
