import fc from 'fast-check';
import { expect, test } from 'vitest';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { initialMetadata } from '../catalog/initial-metadata.ts';
import type { Snapshot, TableMetadata } from '../catalog/metadata.ts';
import { dropOldMarks, markedSnapshotsMax, marksOf, marksProperty, printMarks } from './marks.ts';

const position = fc.record({ epoch: fc.nat(), number: fc.nat() });
const marks = fc
  .dictionary(fc.stringMatching(/^[a-z0-9-]{1,20}$/), position)
  .map((object) => new Map(Object.entries(object)));

const snapshot = (id: number, summary: Record<string, string>): Snapshot => ({
  snapshotId: BigInt(id),
  parentSnapshotId: id > 1 ? BigInt(id - 1) : undefined,
  sequenceNumber: id,
  timestampMs: id,
  manifestList: '',
  summary: { operation: 'append', ...summary },
  schemaId: 0,
});
const tableWith = (snapshots: readonly Snapshot[]): TableMetadata => ({
  ...initialMetadata(tableSchemas.logs, 'file:///t', 'uuid', 0),
  snapshots,
  currentSnapshotId: snapshots.at(-1)?.snapshotId,
});

test('marks read are the marks written', () => {
  fc.assert(
    fc.property(marks, (given) => {
      const metadata = tableWith([snapshot(1, { [marksProperty]: printMarks(given) })]);
      expect(marksOf({ version: 1, metadata }, 't')).toEqual(given);
    }),
  );
});

test('a table that does not exist yet, or has no snapshot, has none', () => {
  expect(marksOf({ version: 0, metadata: undefined }, 't').size).toBe(0);
  expect(marksOf({ version: 1, metadata: tableWith([]) }, 't').size).toBe(0);
});

test.each(['rubbish', '[1]', '{"gw":5}', '{"gw":"5"}', '{"gw":"1-x"}', 'null'])(
  '%s as marks is an error',
  (text) => {
    const metadata = tableWith([snapshot(1, { [marksProperty]: text })]);
    expect(() => marksOf({ version: 1, metadata }, 't')).toThrow(
      expect.objectContaining({ code: 'corrupt' }),
    );
  },
);

test('only the newest snapshots keep marks, so that metadata does not grow with snapshots x gateways', () => {
  const all = Array.from({ length: 30 }, (_, index) =>
    snapshot(index + 1, { [marksProperty]: '{"gw":"1-1"}' }),
  );
  const kept = dropOldMarks(tableWith(all)).snapshots;
  expect(kept).toHaveLength(30);
  expect(kept.filter(({ summary }) => marksProperty in summary)).toEqual(all.slice(-markedSnapshotsMax));
});
