import fc from 'fast-check';
import { expect, test } from 'vitest';
import { dayOfUs, tableSchemas } from '../../lake/schema/tables.ts';
import type { Prune } from '../../lake/tables.ts';
import { someFile } from '../../test/contract/lake-fixtures.ts';
import { encodeBound, encodeLong } from '../catalog/bounds.ts';
import { initialMetadata } from '../catalog/initial-metadata.ts';
import type { DataFile } from '../catalog/manifest-file.ts';
import { describeManifest } from '../catalog/manifest-list.ts';
import { fileFilter, manifestMayMatch } from './prune.ts';

const schema = tableSchemas.metrics;
const metadata = initialMetadata(schema, { location: 'file:///t', tableUuid: 'uuid', nowMs: 0 });

interface Row {
  readonly name: string;
  readonly timestampUs: number;
}

const day = 86_400_000_000;
const name = fc
  .string({ unit: fc.constantFrom('a', 'b', '\u{10ffff}', '\uffff'), maxLength: 20 })
  .map((text) => `${'same'.repeat(3)}${text}`);
const timestampUs = fc.integer({ min: -2 * day, max: 3 * day });
const row: fc.Arbitrary<Row> = fc.record({ name, timestampUs });
const prune: fc.Arbitrary<Prune> = fc
  .record({ fromUs: timestampUs, toUs: timestampUs, name }, { requiredKeys: [] })
  .map((given) => given as Prune);

/** Files of one day each, described as ingest describes them. */
function filesOf(rows: readonly Row[]): { file: DataFile; rows: readonly Row[] }[] {
  return [...Map.groupBy(rows, (each) => dayOfUs(each.timestampUs))].map(([ofDay, members]) => {
    const times = members.map((each) => BigInt(each.timestampUs)).sort((a, b) => (a < b ? -1 : 1));
    const names = members
      .map((each) => each.name)
      .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    const bounds = (side: 'lower' | 'upper'): Map<number, Uint8Array> => {
      const text = encodeBound('string', names.at(side === 'lower' ? 0 : -1) ?? '', side);
      const time = encodeLong(times.at(side === 'lower' ? 0 : -1) ?? 0n);
      return new Map([[3, time], ...(text ? ([[1, text]] as const) : [])]);
    };
    const file = {
      ...someFile('f', schema, ofDay),
      lowerBounds: bounds('lower'),
      upperBounds: bounds('upper'),
    };
    return { file, rows: members };
  });
}

const wanted = (each: Row, { fromUs, toUs, name: exact }: Prune): boolean =>
  (fromUs === undefined || each.timestampUs >= fromUs) &&
  (toUs === undefined || each.timestampUs <= toUs) &&
  (exact === undefined || each.name === exact);

test('no file and no manifest with a wanted row is left out', () => {
  let leftOut = 0;
  fc.assert(
    fc.property(fc.array(row, { minLength: 1 }), prune, (rows, by) => {
      const files = filesOf(rows);
      const whyNot = fileFilter(schema, by);
      for (const { file, rows: members } of files) {
        if (members.some((each) => wanted(each, by))) expect(whyNot(file)).toBeUndefined();
        else if (whyNot(file) !== undefined) leftOut++;
      }
      const entries = files.map(({ file }) => ({
        status: 'added' as const,
        snapshotId: 1n,
        sequenceNumber: 1,
        fileSequenceNumber: 1,
        file,
      }));
      const manifest = describeManifest({ path: 'm', bytes: 1 }, entries, {
        snapshotId: 1n,
        sequenceNumber: 1,
      });
      if (rows.some((each) => wanted(each, by))) expect(manifestMayMatch(manifest, metadata, by)).toBe(true);
      else if (!manifestMayMatch(manifest, metadata, by)) leftOut++;
    }),
    { numRuns: 500 },
  );
  expect(leftOut).toBeGreaterThan(50);
});

test('a file about which nothing is known stays', () => {
  const bare: DataFile = {
    ...someFile('f', schema),
    day: undefined,
    lowerBounds: new Map(),
    upperBounds: new Map(),
  };
  expect(fileFilter(schema, { fromUs: 1, toUs: 2, name: 'x', seriesId: 5n })(bare)).toBeUndefined();
});

test('days of a partition that is not by day say nothing', () => {
  const manifest = {
    ...describeManifest({ path: 'm', bytes: 1 }, [], { snapshotId: 1n, sequenceNumber: 1 }),
    days: { first: 5, last: 6 },
  };
  expect(manifestMayMatch(manifest, metadata, { fromUs: 100 * day })).toBe(false);
  const hourly = metadata.partitionSpecs.map((spec) => ({
    ...spec,
    fields: spec.fields.map((field) => ({ ...field, transform: 'hour' })),
  }));
  expect(manifestMayMatch(manifest, { ...metadata, partitionSpecs: hourly }, { fromUs: 100 * day })).toBe(
    true,
  );
});
