import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import {
  countedStore,
  locationOf,
  seededRandom,
  seededUuid,
  stillClock,
  tenant,
} from '../../test/contract/lake-fixtures.ts';
import { type MemoryStore, memoryStore } from '../../test/contract/memory-store.ts';
import { initialMetadata } from '../catalog/initial-metadata.ts';
import { objectsOf, type Snapshot, type TableMetadata } from '../catalog/metadata.ts';
import { type IcebergTable, openTable } from '../catalog/table.ts';
import type { TableState } from '../catalog/table-head.ts';
import {
  dropOldMarks,
  endedEpochsMax,
  lastNumberOf,
  type Mark,
  markedSnapshotsMax,
  marksOf,
  marksProperty,
  marksSummary,
  marksTextMax,
  moveMark,
  noMark,
  printMarks,
  readMarks,
} from './marks.ts';

const at = (epoch: number, number: number) => ({ epoch, number });
const uuid = seededUuid(seededRandom(1));

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
  ...initialMetadata(tableSchemas.logs, { location: 'file:///t', tableUuid: 'uuid', nowMs: 0 }),
  snapshots,
  currentSnapshotId: snapshots.at(-1)?.snapshotId,
});
const stateWith = (summary: Record<string, string>): TableState => ({
  version: 1,
  metadata: tableWith([snapshot(1, summary)]),
});
const logsTable = (store: ObjectStore = memoryStore()): IcebergTable =>
  openTable({ store, tenant, signal: 'logs', locationOf, clock: stillClock() });

test('marks read are the marks written', async () => {
  await fc.assert(
    fc.asyncProperty(marks, async (given) => {
      expect(await marksOf(logsTable(), stateWith({ [marksProperty]: printMarks(given) }))).toEqual(given);
    }),
  );
});

test('a table that does not exist yet, or has no snapshot, has none', async () => {
  expect((await marksOf(logsTable(), { version: 0, metadata: undefined })).size).toBe(0);
  expect((await marksOf(logsTable(), { version: 1, metadata: tableWith([]) })).size).toBe(0);
});

test.each(['rubbish', '[1]', '{"gw":5}', '{"gw":"5"}', '{"gw":"1-x"}', '{"gw":"1-2  1-3"}', 'null'])(
  '%s as marks is an error',
  async (text) => {
    const reading = marksOf(logsTable(), stateWith({ [marksProperty]: text }));
    await expect(reading).rejects.toMatchObject({ code: 'corrupt' });
  },
);

test('of 10,000 gateways a commit writes what moves, and all of them once in a while', async () => {
  const inner = memoryStore();
  const { store, take } = countedStore(inner);
  const table = logsTable(store);
  const gateways = Array.from({ length: 10_000 }, (_, index) => `gateway-${String(index).padStart(5, '0')}`);
  const expected = new Map(gateways.map((name) => [name, { ...at(1, 1), ended: [] } as Mark]));
  let summary = await marksSummary(
    table,
    await readMarks(table, stateWith({ [marksProperty]: '{}' })),
    expected,
    uuid,
  );
  let [objects, texts] = [0, 0];
  const rounds = 200;
  for (let round = 0; round < rounds; round++) {
    const moved = new Map<string, Mark>();
    for (let each = 0; each < 20; each++) {
      const name = gateways[(round * 7919 + each * 104_729) % gateways.length] ?? '';
      moved.set(name, { ...at(1, round + 2), ended: [] });
    }
    for (const [name, mark] of moved) expected.set(name, mark);
    take();
    summary = await marksSummary(table, await readMarks(table, stateWith(summary)), moved, uuid);
    const requests = take();
    // What this process has written it does not read again.
    expect(requests.filter((request) => request.startsWith('get'))).toEqual([]);
    objects += requests.length;
    texts = Math.max(texts, JSON.stringify(summary).length);
  }
  expect(texts).toBeLessThanOrEqual(marksTextMax + 2_500);
  expect(objects).toBeLessThan(rounds / 5);
  // Whoever removes orphans has to know it.
  const [object = ''] = objectsOf(snapshot(1, summary));
  expect(inner.objects.has(table.locations.keyOf(object))).toBe(true);
  expect(await marksOf(logsTable(inner), stateWith(summary))).toEqual(expected);
});

test.each([
  ['is gone', (store: MemoryStore, key: string) => store.objects.delete(key)],
  ['is damaged', (store: MemoryStore, key: string) => store.objects.set(key, Buffer.from('rubbish'))],
])('an object of marks that %s is an error that names it, not a new beginning', async (_what, damage) => {
  const store = memoryStore();
  const many = new Map(Array.from({ length: 1000 }, (_, n) => [`gateway-${n}`, { ...at(1, n), ended: [] }]));
  const summary = await marksSummary(
    logsTable(store),
    { marks: new Map(), object: undefined, since: new Map() },
    many,
    uuid,
  );
  const [key = ''] = [...store.objects.keys()];
  damage(store, key);
  await expect(marksOf(logsTable(store), stateWith(summary))).rejects.toMatchObject({
    code: 'corrupt',
    message: expect.stringContaining(key),
  });
});

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
