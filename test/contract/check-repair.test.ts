import { expect, test } from 'vitest';
import { type CheckOptions, checkTable } from '../../cloud/catalog/check-table.ts';
import { repairTable } from '../../cloud/catalog/repair-table.ts';
import { openTable } from '../../cloud/catalog/table.ts';
import { startIngest } from '../../cloud/ingest/ingest.ts';
import { planScan } from '../../cloud/tables/plan-scan.ts';
import { createLogger } from '../../lake/base/log.ts';
import { locationOf, stillClock, tenant } from './lake-fixtures.ts';
import { type MemoryStore, memoryStore } from './memory-store.ts';
import { madeShipment } from './shipments.ts';

// A table of three shipments, damaged in each way; found, repaired, and filled again from the inbox, each row once.

const shipments = [1, 2, 3].map((number) => madeShipment({ gateway: 'gw-1', number }));
const prefix = 'acme/lake/metrics/';
const open = (store: MemoryStore) =>
  openTable({ store, tenant, signal: 'metrics', locationOf, clock: stillClock() });

async function ingestAll(store: MemoryStore): Promise<readonly string[]> {
  const logger = createLogger('silent');
  await using ingest = startIngest({
    store,
    locationOf,
    tenants: () => [tenant],
    clock: stillClock(),
    logger,
  });
  await ingest.pollNow();
  return ingest.status().failing.map(({ reason }) => reason);
}

async function filled(): Promise<MemoryStore> {
  const store = memoryStore();
  for (const { uploads } of shipments) {
    for (const { key, body } of uploads) await store.put(key, body);
    await ingestAll(store);
  }
  return store;
}

async function filesIn(store: MemoryStore): Promise<string[]> {
  const table = open(store);
  const manifests = await table.manifestsOf(await table.load());
  const entries = await Promise.all(manifests.map((manifest) => table.entriesOf(manifest)));
  return entries.flat().map(({ file }) => table.locations.keyOf(file.path));
}

const check = async (store: MemoryStore, options: CheckOptions = { data: true }) => {
  const found = await checkTable(open(store), options);
  return found?.problems.map(({ object, what, repair }) => ({ object, what, repair: repair.kind })) ?? [];
};
const keysOf = (store: MemoryStore, pattern: RegExp): string[] =>
  [...store.objects.keys()].filter((key) => key.startsWith(prefix) && pattern.test(key));

/** The list of the newest snapshot, and the manifest that only it names. */
async function newestOf(store: MemoryStore) {
  const table = open(store);
  const state = await table.load();
  const snapshot = state.metadata?.snapshots.at(-1);
  const [newest] = (await table.manifestsOf(state)).filter(
    (each) => each.addedSnapshotId === snapshot?.snapshotId,
  );
  return {
    list: table.locations.keyOf(snapshot?.manifestList ?? ''),
    manifest: table.locations.keyOf(newest?.path ?? ''),
  };
}
const allFiles = shipments.flatMap(({ manifest }) => manifest.segments.map(({ key }) => key)).sort();

test('a whole table has no problems, and there is nothing to say of one that does not exist', async () => {
  const store = await filled();
  expect(await checkTable(open(store), { data: true })).toEqual({
    snapshots: 3,
    manifests: 3,
    files: 3,
    problems: [],
  });
  expect(await checkTable(open(memoryStore()), { data: true })).toBeUndefined();
});

type Damage = readonly [
  what: string,
  damage: (store: MemoryStore) => Promise<string> | string,
  said: RegExp,
  repair: string,
];
const newestMetadata = `${prefix}metadata/v3.metadata.json`;
const replacedBy = (text: string) => (store: MemoryStore, key: string) => {
  store.objects.set(key, Buffer.from(text));
  return key;
};
const without = (store: MemoryStore, key: string): string => {
  store.objects.delete(key);
  return key;
};

test.each<Damage>([
  [
    'metadata that was cut short',
    (store) => replacedBy('{"format-')(store, newestMetadata),
    /not JSON/,
    'restore-metadata',
  ],
  [
    'metadata from the future',
    (store) => replacedBy('{"format-version":4}')(store, newestMetadata),
    /format version 4/,
    'restore-metadata',
  ],
  [
    'a missing manifest list',
    async (store) => without(store, (await newestOf(store)).list),
    /not there/,
    'roll-back',
  ],
  [
    'a missing manifest',
    async (store) => without(store, (await newestOf(store)).manifest),
    /not there/,
    'roll-back',
  ],
  [
    'a damaged manifest',
    async (store) => replacedBy('Obj\u0001rubbish')(store, (await newestOf(store)).manifest),
    /not a readable Avro file/,
    'roll-back',
  ],
])('%s is found, repaired, and everything is there once again', async (_what, damage, said, repair) => {
  const store = await filled();
  const object = await damage(store);
  const problems = await check(store);
  expect(problems).toEqual([{ object, what: expect.stringMatching(said), repair }]);
  // Until then queries and commits name the object; the state before it can be read.
  if (repair === 'roll-back') {
    const plan = planScan(open(store), {}, 0);
    await expect(plan).rejects.toMatchObject({
      subject: object,
      hint: expect.stringContaining('firn lake check'),
    });
    const [, second] = (await open(store).load()).metadata?.snapshots ?? [];
    const asOf = { kind: 'snapshot', id: second?.snapshotId ?? 0n } as const;
    expect((await planScan(open(store), { asOf }, 0)).files).toHaveLength(2);
  } else expect((await planScan(open(store), {}, 0)).files).toHaveLength(2);
  for (const { key, body } of madeShipment({ gateway: 'gw-1', number: 4 }).uploads)
    await store.put(key, body);
  if (repair === 'restore-metadata')
    expect(await ingestAll(store)).toEqual([expect.stringContaining(object)]);

  const found = await checkTable(open(store), { data: true });
  expect(await repairTable(open(store), found?.problems ?? [], { dropFiles: false })).toHaveLength(1);
  expect(await check(store)).toEqual([]);
  expect(await ingestAll(store)).toEqual([]);
  const fourth = madeShipment({ gateway: 'gw-1', number: 4 }).manifest.segments.map(({ key }) => key);
  expect((await filesIn(store)).sort()).toEqual([...allFiles, ...fourth].sort());
});

test.each<[string, (body: Uint8Array) => Uint8Array | undefined, RegExp, CheckOptions]>([
  ['is missing', () => undefined, /not there/, { data: false }],
  ['is shorter', (body) => body.subarray(1), /has \d+ bytes; the table says/, { data: false }],
  ['ends otherwise', (body) => new Uint8Array(body.length), /does not end as a Parquet file/, { data: true }],
])('a data file that %s is found, and the table can do without it', async (_what, damaged, said, options) => {
  const store = await filled();
  const [object = ''] = allFiles;
  const body = damaged(store.objects.get(object) ?? new Uint8Array());
  if (body) store.objects.set(object, body);
  else store.objects.delete(object);
  expect(await check(store, options)).toEqual([
    { object, what: expect.stringMatching(said), repair: 'drop-file' },
  ]);
  const { problems = [] } = (await checkTable(open(store), options)) ?? {};
  expect(await repairTable(open(store), problems, { dropFiles: false })).toEqual([]);
  expect(await repairTable(open(store), problems, { dropFiles: true })).toEqual([
    '1 files are no longer in the table',
  ]);
  expect(await check(store, options)).toEqual([]);
  // The marks are still there: what was dropped does not come again.
  expect(await ingestAll(store)).toEqual([]);
  expect((await filesIn(store)).sort()).toEqual(allFiles.slice(1));
});

test('a table none of whose metadata can be read is said to be lost, and is left alone', async () => {
  const store = await filled();
  for (const key of keysOf(store, /\.metadata\.json$/)) store.objects.set(key, Buffer.from('{'));
  expect(await check(store)).toMatchObject([{ object: newestMetadata, repair: 'none' }]);
  const found = await checkTable(open(store), { data: true });
  expect(await repairTable(open(store), found?.problems ?? [], { dropFiles: true })).toEqual([]);
});
