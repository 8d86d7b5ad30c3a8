import fc from 'fast-check';
import { expect, test } from 'vitest';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { initialMetadata } from '../catalog/initial-metadata.ts';
import type { Snapshot, TableMetadata } from '../catalog/metadata.ts';
import {
  dropOldMarks,
  endedEpochsMax,
  lastNumberOf,
  markedSnapshotsMax,
  marksOf,
  marksProperty,
  moveMark,
  noMark,
  printMarks,
} from './marks.ts';

const position = fc.record({ epoch: fc.nat(), number: fc.nat() });
const mark = fc.record({ epoch: fc.nat(), number: fc.nat(), ended: fc.array(position) });
const marks = fc
  .dictionary(fc.stringMatching(/^[a-z0-9-]{1,20}$/), mark)
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

test.each(['rubbish', '[1]', '{"gw":5}', '{"gw":"5"}', '{"gw":"1-x"}', '{"gw":"1-2  1-3"}', 'null'])(
  '%s as marks is an error',
  (text) => {
    const metadata = tableWith([snapshot(1, { [marksProperty]: text })]);
    expect(() => marksOf({ version: 1, metadata }, 't')).toThrow(
      expect.objectContaining({ code: 'corrupt' }),
    );
  },
);

const at = (epoch: number, number: number) => ({ epoch, number });

test('a mark remembers where each epoch ended, by what was taken of it', () => {
  let mark = moveMark(noMark, at(3, 5), []);
  expect(mark).toEqual({ ...at(3, 5), ended: [] });
  mark = moveMark(mark, at(7, 2), [at(3, 6), at(3, 8), at(5, 1), at(7, 1), at(7, 2)]);
  expect(mark).toEqual({ ...at(7, 2), ended: [at(5, 1), at(3, 8)] });
  expect(moveMark(mark, at(7, 1), [])).toBe(mark);
  expect(moveMark(mark, at(7, 3), [at(5, 2)]).ended).toEqual(mark.ended);
  expect([1, 3, 4, 5, 7, 9].map((epoch) => lastNumberOf(mark, epoch))).toEqual([0, 8, 0, 1, 2, 0]);
});

test('of many ended epochs the oldest are forgotten, and a forgotten one is not taken for an unknown one', () => {
  let mark = noMark;
  for (let epoch = 1; epoch <= endedEpochsMax + 3; epoch++) mark = moveMark(mark, at(epoch, epoch), []);
  expect(mark.ended).toHaveLength(endedEpochsMax);
  expect([1, 2, 3, 4].map((epoch) => lastNumberOf(mark, epoch))).toEqual([undefined, undefined, 3, 4]);
});

test('only the newest snapshots keep marks, so that metadata does not grow with snapshots x gateways', () => {
  const all = Array.from({ length: 30 }, (_, index) =>
    snapshot(index + 1, { [marksProperty]: '{"gw":"1-1"}' }),
  );
  const kept = dropOldMarks(tableWith(all)).snapshots;
  expect(kept).toHaveLength(30);
  expect(kept.filter(({ summary }) => marksProperty in summary)).toEqual(all.slice(-markedSnapshotsMax));
});
