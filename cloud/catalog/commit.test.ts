import { expect, test } from 'vitest';
import { FirnError } from '../../lake/base/errors.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { countedStore, locationOf, someFile, stillClock, tenant } from '../../test/contract/lake-fixtures.ts';
import { memoryStore, watchedStore } from '../../test/contract/memory-store.ts';
import { changeMetadata, commit } from './commit.ts';
import { printMetadata } from './metadata.ts';
import { type IcebergTable, openTable, type TableLimits } from './table.ts';
import { metadataKey } from './table-head.ts';

const open = (store: ObjectStore, limits: Partial<TableLimits> = {}, clock = stillClock()): IcebergTable =>
  openTable({ store, tenant, signal: 'metrics', locationOf, clock, limits });
const append = (table: IcebergTable, ...names: string[]) =>
  commit(table, () => ({ added: names.map((name) => someFile(name, tableSchemas.metrics)), summary: {} }));

/** Names of the files in the table, with the sequence numbers they were added at. */
async function contents(table: IcebergTable): Promise<Map<string, number>> {
  const state = await table.load();
  const found = new Map<string, number>();
  for (const manifest of await table.manifestsOf(state)) {
    for (const { file, sequenceNumber } of await table.entriesOf(manifest)) {
      expect(found.has(file.path)).toBe(false);
      found.set(file.path.replace(/^.*\/|\.parquet$/g, ''), sequenceNumber);
    }
  }
  return found;
}

test('a table begins with its first commit, and each costs so many requests', async () => {
  const { store, take } = countedStore(memoryStore());
  const table = open(store);
  expect(await table.load()).toEqual({ version: 0, metadata: undefined, confirmedMs: expect.any(Number) });
  expect(take()).toEqual(['get metadata/version-hint.text', 'list metadata/v']);

  await append(table, 'a');
  expect(take()).toEqual([
    expect.stringMatching(/^put metadata\/.*-m0\.avro$/),
    expect.stringMatching(/^put metadata\/snap-\d+-1-.*\.avro$/),
    'putIfAbsent metadata/v1.metadata.json',
    'put metadata/version-hint.text',
  ]);
  await append(table, 'b', 'c');
  expect(take()).toHaveLength(4);

  const reader = open(store);
  expect(await contents(reader)).toEqual(
    new Map([
      ['a', 1],
      ['b', 2],
      ['c', 2],
    ]),
  );
  expect(take().filter((request) => request.startsWith('get'))).toHaveLength(6);
  expect(await contents(reader)).toHaveProperty('size', 3);
  expect(take()).toEqual(['get metadata/v3.metadata.json']);
  await append(table, 'd');
  take();
  await reader.load();
  expect(take()).toEqual(['get metadata/v3.metadata.json', 'get metadata/v4.metadata.json']);
});

test('the summary counts, and metadata says what came before', async () => {
  const table = open(memoryStore());
  await append(table, 'a');
  const { version, metadata } = await append(table, 'b', 'c');
  expect(version).toBe(2);
  expect(metadata?.snapshots.at(-1)).toMatchObject({
    sequenceNumber: 2,
    parentSnapshotId: metadata?.snapshots[0]?.snapshotId,
    summary: {
      operation: 'append',
      'added-data-files': '2',
      'added-records': '20',
      'total-data-files': '3',
      'total-records': '30',
      'total-files-size': '300',
    },
  });
  expect(metadata?.metadataLog).toEqual([
    {
      timestampMs: expect.any(Number),
      metadataFile: locationOf('acme/lake/metrics/metadata/v1.metadata.json'),
    },
  ]);
  expect(metadata?.location).toBe('file:///lake/acme/lake/metrics');
  expect(metadata?.refs.main).toEqual({ 'snapshot-id': metadata?.currentSnapshotId, type: 'branch' });
});

test('of racing writers each gets in once', async () => {
  const store = memoryStore();
  const tables = Array.from({ length: 16 }, () => open(store, { commitAttemptsMax: 1_000 }));
  const names = Array.from({ length: 96 }, (_, index) => `f${index}`);
  await Promise.all(
    tables.map(async (table, writer) => {
      for (const name of names.filter((_, index) => index % tables.length === writer))
        await append(table, name);
    }),
  );
  const found = await contents(open(store));
  expect([...found.keys()].sort()).toEqual([...names].sort());
  expect(new Set(found.values()).size).toBe(names.length);
});

test('a store that reports a conflict about its own success makes no second snapshot', async () => {
  const inner = memoryStore();
  let lies = 1;
  const store = watchedStore(
    inner,
    () => undefined,
    (method, key) => {
      if (method === 'putIfAbsent' && lies-- > 0) throw failure('conflict', key);
    },
  );
  const { version } = await append(open(store), 'a');
  expect(version).toBe(1);
  expect(await contents(open(inner))).toHaveProperty('size', 1);
});

test('who always loses gives up after commitAttemptsMax', async () => {
  let tries = 0;
  const store = watchedStore(memoryStore(), (method, key) => {
    if (method !== 'putIfAbsent') return;
    tries++;
    throw failure('conflict', key);
  });
  await expect(append(open(store, { commitAttemptsMax: 3 }), 'a')).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('commitAttemptsMax'),
  });
  expect(tries).toBe(3);
});

test('a hint that cannot be written does not undo the commit', async () => {
  const inner = memoryStore();
  const store = watchedStore(inner, (method, key) => {
    if (method === 'put' && key.endsWith('version-hint.text')) throw failure('unavailable', key);
  });
  await append(open(store), 'a');
  expect(await contents(open(inner))).toHaveProperty('size', 1);
});

test('small manifests are merged, and their files keep their sequence numbers', async () => {
  const store = memoryStore();
  const limits = { smallManifestsMax: 5, manifestEntriesMax: 12 };
  const table = open(store, limits);
  const expected = new Map<string, number>();
  for (let sequence = 1; sequence <= 60; sequence++) {
    await append(table, `f${sequence}`);
    expected.set(`f${sequence}`, sequence);
    const manifests = await table.manifestsOf(await table.load());
    const small = manifests.filter(
      (each) => 2 * (each.addedFiles + each.existingFiles) < limits.manifestEntriesMax,
    );
    expect(small.length).toBeLessThanOrEqual(limits.smallManifestsMax + 1);
    for (const manifest of manifests)
      expect(manifest.addedFiles + manifest.existingFiles).toBeLessThanOrEqual(limits.manifestEntriesMax);
  }
  expect(await contents(open(store))).toEqual(expected);
});

test('metadata keeps so many snapshots, log entries, and whatever a tag holds', async () => {
  const store = memoryStore();
  const limits = { snapshotsMax: 3, metadataLogMax: 2 };
  const { metadata: first } = await append(open(store, limits), 'a');
  if (first?.currentSnapshotId === undefined) throw new Error('no snapshot');
  const tag = { 'snapshot-id': first.currentSnapshotId, type: 'tag' };
  const tagged = printMetadata({ ...first, refs: { ...first.refs, keep: tag } });
  await store.put(metadataKey('acme/lake/metrics/', 1), Buffer.from(tagged));
  const table = open(store, limits);
  for (const name of 'bcdefgh') await append(table, name);
  const { metadata } = await table.load();
  expect(metadata?.snapshots.map(({ sequenceNumber }) => sequenceNumber)).toEqual([1, 6, 7, 8]);
  expect(metadata?.snapshotLog).toHaveLength(3);
  expect(metadata?.metadataLog.map(({ metadataFile }) => metadataFile.replace(/^.*\//, ''))).toEqual([
    'v6.metadata.json',
    'v7.metadata.json',
  ]);
  expect(await contents(table)).toHaveProperty('size', 8);
});

test('the newest version is found from any stale one, without asking for each', async () => {
  const inner = memoryStore();
  const { store, take } = countedStore(inner);
  const reader = open(store);
  const writer = open(inner);
  let known = 0;
  for (const behind of [1, 2, 3, 4, 7, 30, 100]) {
    for (let index = 0; index < behind; index++) await append(writer, `f${known++}`);
    take();
    expect((await reader.load()).version).toBe(known);
    expect(take().length).toBeLessThanOrEqual(5 + 2 * Math.log2(behind));
  }
  for (const hint of ['3', 'rubbish', '9999999', undefined]) {
    if (hint === undefined) inner.objects.delete('acme/lake/metrics/metadata/version-hint.text');
    else await inner.put('acme/lake/metrics/metadata/version-hint.text', Buffer.from(hint));
    expect((await open(inner).load()).version, hint ?? 'absent').toBe(known);
  }
});

test('after a long sleep a reader does not trust the next number: it may have been deleted', async () => {
  const store = memoryStore();
  const clock = stillClock();
  const table = open(store, {}, clock);
  await append(table, 'a');
  const other = open(store);
  for (const name of 'bcdef') await append(other, name);
  for (const version of [1, 2, 3]) store.objects.delete(metadataKey('acme/lake/metrics/', version));
  expect((await table.load()).version).toBe(1);
  clock.advance(600_001);
  expect((await table.load()).version).toBe(6);
});

test('loads at one moment share their requests, and a young state needs none', async () => {
  const inner = memoryStore();
  await append(open(inner), 'a');
  const { store, take } = countedStore(inner);
  const clock = stillClock();
  const table = open(store, {}, clock);
  await table.load();
  take();
  await Promise.all(Array.from({ length: 10 }, () => table.load()));
  expect(take()).toHaveLength(2);
  clock.advance(100);
  await table.load(200);
  expect(take()).toHaveLength(0);
  await table.load(50);
  expect(take()).toHaveLength(1);
});

test('a newest version that cannot be read leaves the table readable as it was, and closed to commits', async () => {
  for (const [text, code] of [
    ['{"format-version":9}', 'unsupported'],
    ['{"format-version":2,', 'corrupt'],
  ] as const) {
    const store = memoryStore();
    const table = open(store);
    await append(table, 'a');
    await append(table, 'b');
    const key = metadataKey('acme/lake/metrics/', 3);
    await store.put(key, Buffer.from(text));
    for (const reader of [table, open(store)]) {
      const state = await reader.load();
      expect(state.fault).toMatchObject({
        code,
        subject: key,
        hint: expect.stringContaining('firn lake check'),
      });
      expect(await contents(reader)).toHaveProperty('size', 2);
      await expect(append(reader, 'c')).rejects.toMatchObject({ code, subject: key });
      await expect(changeMetadata(reader, (metadata) => metadata)).rejects.toMatchObject({ code });
    }
    // Whatever stands after it counts again.
    const good = store.objects.get(metadataKey('acme/lake/metrics/', 2));
    await store.put(metadataKey('acme/lake/metrics/', 4), good ?? Buffer.of());
    expect((await table.load()).fault).toBeUndefined();
    await append(table, 'c');
    expect(await contents(open(store))).toHaveProperty('size', 3);
  }
});

test('a table none of whose versions can be read is an error', async () => {
  const store = memoryStore();
  await store.put(metadataKey('acme/lake/metrics/', 1), Buffer.from('rubbish'));
  await expect(open(store).load()).rejects.toMatchObject({ code: 'corrupt' });
});

test('a table of format version 3 is read and not written', async () => {
  const store = memoryStore();
  const { metadata } = await append(open(store), 'a');
  if (!metadata) throw new Error('no table');
  const next = printMetadata({ ...metadata, formatVersion: 3 });
  await store.put(metadataKey('acme/lake/metrics/', 2), Buffer.from(next));
  expect(await contents(open(store))).toHaveProperty('size', 1);
  await expect(append(open(store), 'b')).rejects.toMatchObject({ code: 'unsupported' });
});

test('metadata changes without a snapshot, beside commits of others', async () => {
  const store = memoryStore();
  const [one, two] = [open(store), open(store)];
  await append(one, 'a');
  const set = (table: IcebergTable, name: string) =>
    changeMetadata(table, (metadata) => ({
      ...metadata,
      properties: { ...metadata.properties, [name]: 'x' },
    }));
  await Promise.all([append(one, 'b'), set(two, 'p'), set(open(store), 'q'), append(open(store), 'c')]);
  const { metadata, version } = await open(store).load();
  expect(version).toBe(5);
  expect(metadata?.properties).toMatchObject({ p: 'x', q: 'x' });
  expect(metadata?.snapshots).toHaveLength(3);
  expect(metadata?.metadataLog).toHaveLength(4);
  expect(await changeMetadata(two, () => undefined)).toMatchObject({ version: 5 });
  expect(await contents(two)).toHaveProperty('size', 3);
});

function failure(code: 'conflict' | 'unavailable', subject: string): FirnError {
  return new FirnError({ code, operation: 'test', subject, message: code });
}
