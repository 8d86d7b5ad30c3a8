import { expect, test } from 'vitest';
import { FirnError } from '../../lake/base/errors.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { countedStore, locationOf, someFile, stillClock, tenant } from '../../test/contract/lake-fixtures.ts';
import { memoryStore, watchedStore } from '../../test/contract/memory-store.ts';
import { readAvro } from '../catalog/avro.ts';
import { commit } from '../catalog/commit.ts';
import type { DataFile } from '../catalog/manifest-file.ts';
import { printManifestList } from '../catalog/manifest-list.ts';
import { currentSnapshot } from '../catalog/metadata.ts';
import { type IcebergTable, openTable, type TableLimits } from '../catalog/table.ts';
import type { TableState } from '../catalog/table-head.ts';
import { replaceFiles as replace } from './replace-files.ts';

const open = (store: ObjectStore, limits: Partial<TableLimits> = {}): IcebergTable =>
  openTable({ store, tenant, signal: 'metrics', locationOf, clock: stillClock(), limits });
const file = (name: string, rows = 10) => ({
  ...someFile(name, tableSchemas.metrics),
  rows,
  bytes: rows * 10,
});
const replaceFiles = (table: IcebergTable, replaced: readonly DataFile[], added: DataFile) =>
  replace(table, { replaced, added, epoch: 1 });
const append = (table: IcebergTable, summary: Record<string, string>, ...names: string[]) =>
  commit(table, () => ({ added: names.map((name) => file(name)), summary }));

const summaryOf = ({ metadata }: TableState) => metadata && currentSnapshot(metadata)?.summary;

async function names(store: ObjectStore): Promise<string[]> {
  const table = open(store);
  const manifests = await table.manifestsOf(await table.load());
  const entries = await Promise.all(manifests.map((manifest) => table.entriesOf(manifest)));
  return entries
    .flat()
    .map(({ file: { path } }) => path.replace(/^.*\/|\.parquet$/g, ''))
    .sort();
}

test('one file stands in the place of several; counters and marks go on; so many requests', async () => {
  const { store, take } = countedStore(memoryStore());
  const table = open(store);
  await append(table, { 'firn.high-water-marks': '{"gw":"1-1"}' }, 'a', 'b');
  await append(table, { 'firn.high-water-marks': '{"gw":"1-2"}' }, 'c', 'd');
  await append(table, { by: 'another engine' }, 'e');
  take();
  const state = await replaceFiles(
    table,
    ['a', 'b', 'c'].map((name) => file(name)),
    file('merged', 30),
  );
  expect(summaryOf(state)).toEqual({
    operation: 'replace',
    'added-data-files': '1',
    'added-records': '30',
    'added-files-size': '300',
    'deleted-data-files': '3',
    'deleted-records': '30',
    'removed-files-size': '300',
    'changed-partition-count': '1',
    // A merge changes no row.
    'changed-times': '0;1:28332000-28333439,2:28332000-28333439,3:28332000-28333439',
    'total-data-files': '3',
    'total-records': '50',
    'total-files-size': '500',
    'total-delete-files': '0',
    'total-position-deletes': '0',
    'total-equality-deletes': '0',
    'firn.high-water-marks': '{"gw":"1-2"}',
  });
  // Manifests of the three appends are read; what is left of them goes into one with the new file.
  expect(
    take().map((request) =>
      request.replace(/ .*\//, ' ').replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/, '*'),
    ),
  ).toEqual([
    ...Array(3).fill('get *-m0.avro'),
    'put *-m0.avro',
    expect.stringMatching(/^put snap-\d+-1-\*\.avro$/),
    'putIfAbsent v4.metadata.json',
    'put version-hint.text',
  ]);
  expect(await names(store)).toEqual(['d', 'e', 'merged']);
});

test('replaced files are listed as deleted by this snapshot, with their own sequence numbers', async () => {
  const store = memoryStore();
  const table = open(store, { manifestEntriesMax: 2 });
  await append(table, {}, 'a');
  await append(table, {}, 'b', 'c');
  const state = await replaceFiles(table, [file('a'), file('b')], file('merged', 20));
  const manifests = await table.manifestsOf(state);
  const entries = manifests.flatMap(
    ({ path, addedFiles, existingFiles, deletedFiles, minSequenceNumber }) => {
      const { values } = readAvro(store.objects.get(table.locations.keyOf(path)) ?? Buffer.of(), path);
      expect(values).toHaveLength(addedFiles + existingFiles + deletedFiles);
      expect(minSequenceNumber).toBe(existingFiles > 0 ? 2 : 3);
      return values as {
        status: number;
        snapshot_id: bigint;
        sequence_number: bigint | null;
        data_file: { file_path: string };
      }[];
    },
  );
  const ours = state.metadata?.currentSnapshotId;
  const found = entries.map((each) => [
    each.data_file.file_path.replace(/^.*\/|\.parquet$/g, ''),
    ['existing', 'added', 'deleted'][each.status],
    BigInt(each.snapshot_id) === ours,
    each.sequence_number === null ? null : Number(each.sequence_number),
  ]);
  expect(found.sort()).toEqual([
    ['a', 'deleted', true, 1],
    ['b', 'deleted', true, 2],
    ['c', 'existing', false, 2],
    ['merged', 'added', true, null],
  ]);
  // The next snapshot leaves out a manifest that only deletes.
  const next = await append(table, {}, 'd');
  const kept = await table.manifestsOf(next);
  expect(kept.filter(({ addedFiles, existingFiles }) => addedFiles + existingFiles === 0)).toEqual([]);
  expect(await names(store)).toEqual(['c', 'd', 'merged']);
});

test('after a lost race it goes on from the new snapshot, unless a file is gone there', async () => {
  const inner = memoryStore();
  await append(open(inner), {}, 'a', 'b', 'c');
  const others: (() => Promise<unknown>)[] = [];
  const store = watchedStore(inner, async (method) => {
    if (method === 'putIfAbsent') await others.shift()?.();
  });
  others.push(() => append(open(inner), { 'firn.high-water-marks': '{}' }, 'd'));
  const table = open(store);
  const state = await replaceFiles(table, [file('a'), file('b')], file('ab', 20));
  expect(state.version).toBe(3);
  expect(summaryOf(state)).toMatchObject({ 'firn.high-water-marks': '{}', 'total-records': '40' });
  expect(await names(inner)).toEqual(['ab', 'c', 'd']);

  others.push(async () => {
    const other = open(inner);
    await other.load();
    await replaceFiles(other, [file('c'), file('d')], file('cd', 20));
  });
  await expect(replaceFiles(table, [file('ab', 20), file('c')], file('abc', 30))).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('1 of the 2 files'),
  });
  expect(await names(inner)).toEqual(['ab', 'cd']);
});

test('it is not taken for lost where the snapshots that would tell have expired', async () => {
  const inner = memoryStore();
  const limits = { snapshotsMax: 2 };
  await append(open(inner, limits), {}, 'a', 'b');
  const store = watchedStore(
    inner,
    () => undefined,
    async (method, key) => {
      if (method !== 'putIfAbsent') return;
      const other = open(inner, limits);
      await other.load();
      for (const name of ['c', 'd', 'e']) await append(other, {}, name);
      throw new FirnError({ code: 'conflict', operation: 'test', subject: key, message: 'a retry below' });
    },
  );
  await expect(
    replaceFiles(open(store, limits), [file('a'), file('b')], file('ab', 20)),
  ).rejects.toMatchObject({ code: 'unavailable' });
  expect(await names(inner)).toEqual(['ab', 'c', 'd', 'e']);
});

test('a table with delete files is refused: hidden rows would come back', async () => {
  const store = memoryStore();
  const table = open(store);
  const state = await append(table, {}, 'a', 'b');
  const snapshot = state.metadata && currentSnapshot(state.metadata);
  if (!snapshot) throw new Error('no snapshot');
  const manifests = await table.manifestsOf(state);
  const list = [...manifests, ...manifests.map((each) => ({ ...each, content: 'deletes' as const }))];
  await store.put(table.locations.keyOf(snapshot.manifestList), printManifestList(list, snapshot));
  await expect(replaceFiles(open(store), [file('a'), file('b')], file('ab', 20))).rejects.toMatchObject({
    code: 'unsupported',
  });
});
