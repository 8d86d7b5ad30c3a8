import { expect, test } from 'vitest';
import { createLogger } from '../../lake/base/log.ts';
import { type Signal, signals } from '../../lake/model/batch.ts';
import type { ManifestSegment, ShipmentManifest } from '../../lake/model/manifest.ts';
import { plainReceipts } from '../../lake/model/receipt.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { countedStore, locationOf, stillClock, tenant } from '../../test/contract/lake-fixtures.ts';
import { memoryStore } from '../../test/contract/memory-store.ts';
import { type MadeShipment, madeShipment, manifestUpload } from '../../test/contract/shipments.ts';
import { type IcebergTable, openTable } from '../catalog/table.ts';
import { commitShipments } from './commit-shipments.ts';
import { endedEpochsMax, marksOf } from './marks.ts';
import { listQuarantine } from './quarantine.ts';
import { type IngestLimits, ingestLimits, openTenantIngest } from './tenant-ingest.ts';

// What a gateway ships again in a new epoch, case by case. lost-log.test.ts has the interleavings.

const tables = (store: ObjectStore) =>
  Object.fromEntries(
    signals.map((signal) => [signal, openTable({ store, tenant, signal, locationOf, clock: stillClock() })]),
  ) as Record<Signal, IcebergTable>;

function start(store: ObjectStore, limits: Partial<IngestLimits> = {}) {
  const logs: string[] = [];
  const ingest = openTenantIngest({
    receipts: plainReceipts,
    tenant,
    tables: tables(store),
    logger: createLogger('debug', (line) => logs.push(line)),
    limits: { ...ingestLimits, receiptIntervalMsMin: 0, ...limits },
    verify: 'sha256',
    commitShipments,
  });
  return { ...ingest, logs };
}

async function upload(store: ObjectStore, ...shipments: readonly MadeShipment[]): Promise<void> {
  for (const { uploads } of shipments) for (const { key, body } of uploads) await store.put(key, body);
}

/** A shipment of another epoch that names segments of these, and its own. */
function again(epoch: number, number: number, ...of: readonly MadeShipment[]): MadeShipment {
  const own = madeShipment({ gateway: 'gw-1', epoch, number });
  const segments = [...of, own].flatMap(({ manifest }) => manifest.segments);
  const manifest = { ...own.manifest, segments };
  return { manifest, uploads: [...own.uploads.slice(0, -1), manifestUpload(manifest)] };
}

const only = ({ manifest }: MadeShipment, segments: readonly ManifestSegment[]): MadeShipment => {
  const changed: ShipmentManifest = { ...manifest, segments: [...segments] };
  return { manifest: changed, uploads: [manifestUpload(changed)] };
};

async function pathsIn(store: ObjectStore): Promise<string[]> {
  const table = tables(store).metrics;
  const manifests = await table.manifestsOf(await table.load());
  const entries = (await Promise.all(manifests.map((manifest) => table.entriesOf(manifest)))).flat();
  return entries.map(({ file }) => file.path).sort();
}

const pathsOf = (...shipments: readonly MadeShipment[]): string[] =>
  [
    ...new Set(shipments.flatMap(({ manifest }) => manifest.segments).map(({ key }) => locationOf(key))),
  ].sort();

const first = [1, 2, 3].map((number) => madeShipment({ gateway: 'gw-1', number }));
const [one, two, three] = first as [MadeShipment, MadeShipment, MadeShipment];
const late = madeShipment({ gateway: 'gw-1', number: 4 });

test('what was committed is left out, what was not is taken, and it is looked up once', async () => {
  const memory = memoryStore();
  await upload(memory, ...first);
  await start(memory).round();
  const { store, take } = countedStore(memory);
  const ingest = start(store);
  await ingest.round();
  await memory.put(late.manifest.segments[0]?.key ?? '', late.uploads[0]?.body ?? Buffer.of());
  await upload(memory, again(2, 1, one, late));
  take();
  expect(await ingest.round()).toMatchObject({ shipments: 1, commits: [{ files: 2 }] });
  expect(await pathsIn(memory)).toEqual(
    pathsOf(...first, late, madeShipment({ gateway: 'gw-1', epoch: 2, number: 1 })),
  );
  const reads = (requests: readonly string[]) =>
    requests.filter((each) => /^(get|list) (0|man|gw-1)/.test(each));
  expect(reads(take())).toEqual([
    'list manifests/',
    'get manifests/000000000002-0000000000000001.json',
    // What is committed, and what of it was refused.
    'list manifests/',
    'list gw-1/',
    ...[1, 2, 3].map((number) => `get manifests/000000000001-000000000000000${number}.json`),
  ]);
  expect(ingest.logs.filter((line) => line.includes('were left out'))).toHaveLength(1);

  await upload(memory, again(2, 2, two, late));
  await ingest.round();
  expect(reads(take())).toEqual(['list manifests/', 'get manifests/000000000002-0000000000000002.json']);
  expect(await pathsIn(memory)).toHaveLength(6);
});

test('a shipment of which nothing is left moves the mark, and nothing is read of its segments', async () => {
  const memory = memoryStore();
  await upload(memory, ...first);
  const { store, take } = countedStore(memory);
  const ingest = start(store, { marksLagMax: 1 });
  await ingest.round();
  take();
  await upload(memory, only(madeShipment({ gateway: 'gw-1', epoch: 2, number: 1 }), one.manifest.segments));
  expect(await ingest.round()).toMatchObject({ shipments: 1, commits: [] });
  expect(take().filter((request) => request.includes('.parquet'))).toEqual([]);
  const { metrics } = tables(memory);
  const marks = await marksOf(metrics, await metrics.load());
  expect(marks.get('gw-1')).toEqual({ epoch: 2, number: 1, ended: [{ epoch: 1, number: 3 }] });
  expect(await pathsIn(memory)).toEqual(pathsOf(...first));
});

test('within one round the second of two shipments leaves out what the first brings', async () => {
  const memory = memoryStore();
  const [three1, three2] = [again(3, 1, one, two), again(3, 2, two, three)];
  await upload(memory, one, two, three);
  await memory.delete(three.uploads.at(-1)?.key ?? '');
  await upload(memory, three1, three2);
  await start(memory).round();
  expect(await pathsIn(memory)).toEqual(pathsOf(one, two, three, three1, three2));
});

test('a shipment that arrives after its epoch has ended counts for nothing', async () => {
  const memory = memoryStore();
  const ingest = start(memory);
  await upload(memory, one, again(2, 1));
  await ingest.round();
  await upload(memory, two);
  await ingest.round();
  expect(await pathsIn(memory)).toHaveLength(2);
  await upload(memory, again(3, 1, one, two));
  await ingest.round();
  await upload(memory, again(3, 2, two));
  await start(memory).round();
  expect(await pathsIn(memory)).toEqual(pathsOf(one, two, again(2, 1), again(3, 1), again(3, 2)));
});

test('what a refused shipment named was not committed', async () => {
  const memory = memoryStore();
  const body = two.uploads[0]?.body ?? Buffer.of();
  await upload(memory, one, two, three);
  await memory.put(two.uploads[0]?.key ?? '', Buffer.from('damaged'));
  await start(memory).round();
  expect(await pathsIn(memory)).toEqual(pathsOf(one, three));
  await memory.put(two.uploads[0]?.key ?? '', body);
  await upload(memory, only(madeShipment({ gateway: 'gw-1', epoch: 2, number: 1 }), two.manifest.segments));
  await start(memory).round();
  expect(await pathsIn(memory)).toEqual(pathsOf(one, two, three));
});

test('a long epoch is read over several rounds, and the gateway waits for it', async () => {
  const memory = memoryStore();
  const many = Array.from({ length: 7 }, (_, index) => madeShipment({ gateway: 'gw-1', number: index + 1 }));
  await upload(memory, ...many);
  const ingest = start(memory, { earlierManifestsPerRoundMax: 3 });
  await ingest.round();
  await upload(memory, again(2, 1), again(2, 2, ...many));
  expect(await ingest.round()).toMatchObject({ shipments: 1, more: true });
  expect(await ingest.round()).toMatchObject({ shipments: 0, more: true, failure: undefined });
  expect(await ingest.round()).toMatchObject({ shipments: 1 });
  expect(await pathsIn(memory)).toHaveLength(9);
});

test.each([
  ['has other bytes there', { sha256: '0'.repeat(64) }],
  [
    'of a later epoch',
    { key: one.manifest.segments[0]?.key.replace('metrics/000000000001', 'metrics/000000000003') ?? '' },
  ],
])('a segment that is said to be again what it was, but %s, is refused', async (reason, change) => {
  const memory = memoryStore();
  await upload(memory, ...first);
  const ingest = start(memory);
  await ingest.round();
  const segments = one.manifest.segments.map((segment) => ({ ...segment, ...change }));
  await upload(memory, only(madeShipment({ gateway: 'gw-1', epoch: 2, number: 1 }), segments));
  expect(await ingest.round()).toMatchObject({ quarantined: 1 });
  const { records } = await listQuarantine(memory, tenant, { limit: 10 });
  expect(records).toMatchObject([{ epoch: 2, number: 1, reason: expect.stringContaining(reason) }]);
  expect(await pathsIn(memory)).toEqual(pathsOf(...first));
});

test('a segment of an epoch that nobody remembers is refused: it could be a repeat', async () => {
  const memory = memoryStore();
  for (let epoch = 1; epoch <= endedEpochsMax + 2; epoch++)
    await upload(memory, madeShipment({ gateway: 'gw-1', epoch, number: 1 }));
  const ingest = start(memory);
  await ingest.round();
  await upload(memory, again(100, 1, one), again(100, 2));
  expect(await ingest.round()).toMatchObject({ quarantined: 1, shipments: 1 });
  const { records } = await listQuarantine(memory, tenant, { limit: 10 });
  expect(records[0]?.reason).toContain('endedEpochsMax');
});

test('a shipment replayed under its own key is not looked at again', async () => {
  const memory = memoryStore();
  const ingest = start(memory);
  for (let times = 0; times < 3; times++) {
    await upload(memory, ...first);
    await ingest.round();
    await start(memory).round();
  }
  expect(await pathsIn(memory)).toEqual(pathsOf(...first));
});

test('another process that moved the marks meanwhile makes a commit of repeats begin again', async () => {
  const memory = memoryStore();
  await upload(memory, ...first);
  await start(memory).round();
  const { metrics } = tables(memory);
  const batch = (repeats: boolean) => ({
    progress: new Map([['gw-1', { seen: { epoch: 1, number: 1 }, to: { epoch: 2, number: 1 } }]]),
    shipments: [{ position: { epoch: 2, number: 1 }, manifest: again(2, 1, three).manifest, repeats }],
    marksOnly: false,
  });
  await expect(commitShipments(metrics, batch(true))).rejects.toMatchObject({ code: 'conflict' });
  expect(await pathsIn(memory)).toHaveLength(3);
  expect(await commitShipments(metrics, batch(false))).toMatchObject({ files: 2 });
});
