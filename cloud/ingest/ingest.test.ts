import { createHash } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { FirnError } from '../../lake/base/errors.ts';
import { createLogger } from '../../lake/base/log.ts';
import { tenantId } from '../../lake/model/ids.ts';
import { manifestKey, receiptKey } from '../../lake/model/keys.ts';
import type { ManifestSegment, ShipmentManifest } from '../../lake/model/manifest.ts';
import { parseReceipt, type Receipt } from '../../lake/model/receipt.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { countedStore, locationOf, stillClock, tenant } from '../../test/contract/lake-fixtures.ts';
import { type MemoryStore, memoryStore, watchedStore } from '../../test/contract/memory-store.ts';
import {
  firstDayUs,
  type MadeShipment,
  madeShipment,
  manifestUpload,
  segmentBody,
} from '../../test/contract/shipments.ts';
import { readMetricMetadata } from '../catalog/metric-metadata.ts';
import { openTable } from '../catalog/table.ts';
import { metadataKey } from '../catalog/table-head.ts';
import { type Ingest, type IngestOptions, startIngest } from './ingest.ts';
import { marksOf } from './marks.ts';
import { listQuarantine, quarantineKey } from './quarantine.ts';
import { manifestBytesMax } from './verify.ts';

/** An ingest that works only when told to. */
function start(store: ObjectStore, options: Partial<IngestOptions> = {}): Ingest & { logs: string[] } {
  const logs: string[] = [];
  const ingest = startIngest({
    store,
    locationOf,
    tenants: () => [tenant],
    clock: { ...stillClock(), sleep: async (ms, signal) => (ms < 1_000 ? undefined : aborted(signal)) },
    logger: createLogger('debug', (line) => logs.push(line)),
    ...options,
  });
  onTestFinished(() => ingest[Symbol.asyncDispose]());
  return { ...ingest, logs };
}

const aborted = (signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted) resolve();
    signal?.addEventListener('abort', () => resolve());
  });

async function upload(store: ObjectStore, ...shipments: readonly MadeShipment[]): Promise<void> {
  for (const { uploads } of shipments) for (const { key, body } of uploads) await store.put(key, body);
}

async function filesIn(store: ObjectStore, signal: 'metrics' | 'logs' = 'metrics'): Promise<string[]> {
  const table = openTable({ store, tenant, signal, locationOf, clock: stillClock() });
  const manifests = await table.manifestsOf(await table.load());
  const entries = await Promise.all(manifests.map((manifest) => table.entriesOf(manifest)));
  return entries
    .flat()
    .map(({ file }) => file.path.replace(/^.*inbox\/|-2023-11-14.parquet$/g, ''))
    .sort();
}

async function marksIn(store: ObjectStore, signal: 'metrics' | 'logs' = 'metrics') {
  const table = openTable({ store, tenant, signal, locationOf, clock: stillClock() });
  const marks = await marksOf(table, await table.load());
  return Object.fromEntries([...marks].map(([gateway, { epoch, number }]) => [gateway, { epoch, number }]));
}

async function receiptIn(store: ObjectStore, gateway: string): Promise<Receipt> {
  const key = receiptKey(tenant, gateway);
  return parseReceipt(Buffer.from((await store.get(key)).body).toString(), key);
}

const keysOf = (...shipments: readonly MadeShipment[]): string[] =>
  shipments
    .flatMap(({ manifest }) => manifest.segments)
    .map(({ key }) => key.replace(/^.*inbox\/|-2023-11-14.parquet$/g, ''))
    .sort();

test('what all gateways have shipped is one snapshot a table, and then waiting is cheap', async () => {
  const memory = memoryStore();
  const { store, take } = countedStore(memory);
  const gateways = ['gw-1', 'gw-2', 'gw-3'];
  const shipments = gateways.flatMap((gateway) =>
    [1, 2, 3].map((number) => madeShipment({ gateway, number, signals: ['metrics', 'logs'] })),
  );
  await upload(memory, ...shipments);
  const ingest = start(store);
  const commits: unknown[] = [];
  ingest.onCommit((commit) => commits.push(commit));
  await ingest.pollNow();
  const bytesOf = (table: string): number =>
    shipments
      .flatMap(({ manifest }) => manifest.segments)
      .filter(({ signal }) => signal === table)
      .reduce((sum, { bytes }) => sum + bytes, 0);
  expect(commits).toEqual(
    ['metrics', 'logs'].map((table) => ({
      ...{ tenant, table, version: 1, files: 9, rows: 18, bytes: bytesOf(table) },
    })),
  );
  expect((await filesIn(memory)).concat(await filesIn(memory, 'logs')).sort()).toEqual(keysOf(...shipments));
  expect(await marksIn(memory)).toMatchObject({ 'gw-2': { epoch: 1, number: 3 } });

  take();
  await ingest.pollNow();
  expect(take().sort()).toEqual([...gateways.map(() => 'list manifests/'), 'listFolders inbox/']);

  await upload(memory, madeShipment({ gateway: 'gw-2', number: 4 }));
  await ingest.pollNow();
  // 4 looks; is there a newer snapshot of either table; the shipment; the commit.
  expect(
    take()
      .slice(4)
      .map((request) =>
        request
          .replace(/ .*\//, ' ')
          .replace(/(?:-\d+-1-)?[0-9a-f-]{36}-?/, '')
          .replace(/ .*\.parquet$/, ' parquet'),
      ),
  ).toEqual([
    'get v2.metadata.json',
    'get v2.metadata.json',
    'get 000000000001-0000000000000004.json',
    'getRange parquet',
    'put m0.avro',
    'put snap.avro',
    'putIfAbsent v2.metadata.json',
    'put version-hint.text',
  ]);
  expect(ingest.status()).toMatchObject({
    commits: 3,
    files: 19,
    shipments: 10,
    failures: 0,
    gatewaysWaiting: 0,
  });
});

test('another process goes on where this one stopped, without reading what is committed', async () => {
  const memory = memoryStore();
  await upload(
    memory,
    ...[1, 2, 3].map((number) => madeShipment({ gateway: 'gw-1', number, signals: ['metrics', 'logs'] })),
  );
  await start(memory).pollNow();
  const fourth = madeShipment({ gateway: 'gw-1', number: 4 });
  await upload(memory, fourth);
  const { store, take } = countedStore(memory);
  await start(store).pollNow();
  expect(take().filter((request) => /manifests\/0|segments/.test(request))).toHaveLength(1);
  expect(await filesIn(memory)).toHaveLength(4);
});

test('a hole is waited for, and filled in order', async () => {
  const store = memoryStore();
  const [first, second, third] = [1, 2, 3].map((number) => madeShipment({ gateway: 'gw-1', number }));
  if (!first || !second || !third) throw new Error('three shipments');
  await upload(store, first, third);
  const ingest = start(store);
  await ingest.pollNow();
  await ingest.pollNow();
  expect(await filesIn(store)).toEqual(keysOf(first));
  expect(ingest.status().gatewaysWaiting).toBe(1);
  expect(ingest.logs.filter((line) => line.includes('waiting for a shipment'))).toHaveLength(1);
  await upload(store, second);
  await ingest.pollNow();
  expect(await filesIn(store)).toEqual(keysOf(first, second, third));
  expect(ingest.status().gatewaysWaiting).toBe(0);
});

test('a new epoch ends the waiting for holes of the old one', async () => {
  const store = memoryStore();
  const old = [1, 3, 4, 5, 6, 7].map((number) => madeShipment({ gateway: 'gw-1', number }));
  const young = [1, 2].map((number) => madeShipment({ gateway: 'gw-1', epoch: 5, number }));
  await upload(store, ...old);
  // Also when the page that is listed ends before the new epoch.
  const ingest = start(store, { limits: { shipmentsPerRoundMax: 3 } });
  await ingest.pollNow();
  expect(await filesIn(store)).toHaveLength(1);
  await upload(store, ...young);
  await ingest.pollNow();
  expect(await filesIn(store)).toEqual(keysOf(...old, ...young));
  expect(await marksIn(store)).toEqual({ 'gw-1': { epoch: 5, number: 2 } });
  expect(ingest.logs.filter((line) => line.includes('will never arrive'))).toHaveLength(1);
});

test('a round takes at most shipmentsPerRoundMax of a gateway, and the next follows at once', async () => {
  const store = memoryStore();
  await upload(
    store,
    ...Array.from({ length: 7 }, (_, index) => madeShipment({ gateway: 'gw-1', number: index + 1 })),
  );
  const ingest = start(store, { limits: { shipmentsPerRoundMax: 3 } });
  await ingest.pollNow();
  expect(ingest.status()).toMatchObject({ commits: 3, files: 7 });
});

/** Each makes shipment 2 of three a bad one. */
const bad: Record<string, (store: MemoryStore, shipment: MadeShipment) => Promise<unknown> | unknown> = {
  'is refused: it is not JSON': (store, { manifest }) => putManifest(store, manifest, 'nonsense'),
  'sha256: Invalid string': (store, { manifest }) => putManifest(store, change(manifest, { sha256: 'abc' })),
  'it says tenant "other"': (store, { manifest }) => putManifest(store, { ...manifest, tenant: 'other' }),
  'it says gateway "gw-9"': (store, { manifest }) => putManifest(store, { ...manifest, gateway: 'gw-9' }),
  'it says number 7': (store, { manifest }) => putManifest(store, { ...manifest, number: 7 }),
  'it says epoch 3': (store, { manifest }) => putManifest(store, { ...manifest, epoch: 3 }),
  'site id "A B" is not valid': (store, { manifest }) => putManifest(store, { ...manifest, site: 'A B' }),
  'is not under acme/inbox/gw-1/segments/metrics/': (store, { manifest }) =>
    putManifest(store, change(manifest, { key: manifest.segments[0]?.key.replace('gw-1', 'gw-2') ?? '' })),
  'is not named after epoch, range, day and class': (store, { manifest }) =>
    putManifest(store, change(manifest, { class: 'alarms' })),
  'is of a later epoch': (store, { manifest }) =>
    putManifest(store, renamed(manifest, /metrics\/0{11}1/, '2')),
  'was merged from committed segments': (store, { manifest }) =>
    putManifest(store, renamed(manifest, /\.parquet/, '-t1.parquet')),
  'is listed twice': (store, { manifest }) =>
    putManifest(store, { ...manifest, segments: [...manifest.segments, ...manifest.segments] }),
  'but holds a timestamp of': (store, { manifest }) =>
    putManifest(store, change(manifest, { maxTimestampUs: firstDayUs + 86_400_000_000 })),
  'bound "soon" of timestamp is not a 64-bit integer': (store, { manifest }) =>
    putManifest(store, change(manifest, { bounds: { timestamp: { nulls: 0, min: 'soon' } } })),
  'no object acme/inbox/gw-1/segments/metrics': (store, { uploads }) => store.delete(uploads[0]?.key ?? ''),
  "doesn't have the SHA-256": (store, { uploads: [segment] }) =>
    segment && store.put(segment.key, Buffer.from(segment.body).reverse()),
  'is not a Parquet file': (store, { manifest }) => putSegment(store, manifest, Buffer.from('rows')),
  'has rows of site "other"; the manifest says "plant"': (store, { manifest }) =>
    putSegment(store, manifest, segmentBody('rows', 'other')),
  'the Parquet footer of segment': (store, { manifest }) =>
    putSegment(store, manifest, Buffer.from('rubbish\x07\0\0\0PAR1')),
  'has more bytes': (store, { uploads: [segment] }) =>
    segment && store.put(segment.key, Buffer.concat([segment.body, segment.body])),
  'has 5 bytes': (store, { uploads: [segment] }) =>
    segment && store.put(segment.key, segment.body.subarray(0, 5)),
  [`more than ${manifestBytesMax} (manifestBytesMax)`]: (store, { manifest }) =>
    putManifest(store, manifest, `{${' '.repeat(manifestBytesMax)}}`),
};

const putManifest = (store: MemoryStore, manifest: ShipmentManifest, text?: string) =>
  store.put(manifestKey(tenant, 'gw-1', 1, 2), Buffer.from(text ?? JSON.stringify(manifest)));
async function putSegment(store: MemoryStore, manifest: ShipmentManifest, body: Buffer): Promise<void> {
  const sha256 = createHash('sha256').update(body).digest('hex');
  await store.put(manifest.segments[0]?.key ?? '', body);
  await putManifest(store, change(manifest, { bytes: body.byteLength, sha256 }));
}

const change = (manifest: ShipmentManifest, segment: Partial<ManifestSegment>): ShipmentManifest => ({
  ...manifest,
  segments: manifest.segments.map((each) => ({ ...each, ...segment })),
});
const renamed = (manifest: ShipmentManifest, from: RegExp, to: string): ShipmentManifest =>
  change(manifest, {
    key: manifest.segments[0]?.key.replace(from, to.length === 1 ? `metrics/${to.padStart(12, '0')}` : to),
  } as Partial<ManifestSegment>);

test.each(Object.entries(bad))(
  'a shipment of which it holds "%s" is put aside, and the rest goes on',
  async (reason, spoil) => {
    const store = memoryStore();
    const [first, second, third] = [1, 2, 3].map((number) => madeShipment({ gateway: 'gw-1', number }));
    if (!first || !second || !third) throw new Error('three shipments');
    await upload(store, first, second, third);
    await spoil(store, second);
    const ingest = start(store);
    await ingest.pollNow();
    await ingest.pollNow();
    expect(await filesIn(store)).toEqual(keysOf(first, third));
    expect(await marksIn(store)).toEqual({ 'gw-1': { epoch: 1, number: 3 } });
    const record = await store.get(quarantineKey(tenant, 'gw-1', manifestKey(tenant, 'gw-1', 1, 2)));
    const told = { gateway: 'gw-1', number: 2, reason: expect.stringContaining(reason) };
    expect(JSON.parse(Buffer.from(record.body).toString())).toMatchObject(told);
    expect((await listQuarantine(store, tenant, { limit: 10 })).records).toMatchObject([told]);
    const key = manifestKey(tenant, 'gw-1', 1, 2);
    expect((await receiptIn(store, 'gw-1')).refused).toEqual([
      { epoch: 1, number: 2, key, reason: expect.stringContaining(reason) },
    ]);
    expect(ingest.status()).toMatchObject({ quarantined: 1, failures: 0 });
    expect(ingest.logs.filter((line) => line.includes('quarantined'))).toHaveLength(1);
  },
);

test('objects that are not manifests are said once and passed by', async () => {
  const store = memoryStore();
  const shipment = madeShipment({ gateway: 'gw-1', number: 1 });
  for (const name of ['0', 'readme.txt', '000000000001-0000000000000000.json'])
    await store.put(`acme/inbox/gw-1/manifests/${name}`, Buffer.from('x'));
  await upload(store, shipment);
  const ingest = start(store);
  await ingest.pollNow();
  await ingest.pollNow();
  expect(await filesIn(store)).toEqual(keysOf(shipment));
  expect(ingest.logs.filter((line) => line.includes('not named like'))).toHaveLength(2);
});

test('large segments are hashed in parts, and size alone can be asked for', async () => {
  const memory = memoryStore();
  const { manifest } = madeShipment({ gateway: 'gw-1', number: 1 });
  const body = segmentBody(Buffer.alloc(16 * 1024 * 1024 - 1000, 'firn'));
  const sha256 = createHash('sha256').update(body).digest('hex');
  const large = change(manifest, { bytes: body.byteLength, sha256 });
  await memory.put(large.segments[0]?.key ?? '', body);
  const { key, body: text } = manifestUpload(large);
  await memory.put(key, text);
  const { store, take } = countedStore(memory);
  await start(store).pollNow();
  expect(take().filter((request) => request.includes('parquet'))).toHaveLength(2);
  expect(await filesIn(memory)).toHaveLength(1);

  for (const name of [...memory.objects.keys()]) if (name.includes('/lake/')) memory.objects.delete(name);
  await start(store, { verify: 'size' }).pollNow();
  expect(take().filter((request) => request.includes('parquet'))).toEqual([expect.stringMatching(/^head/)]);
  expect(await filesIn(memory)).toHaveLength(1);
});

test('a store that fails is tried again, and what other gateways sent is not held up', async () => {
  const memory = memoryStore();
  const shipments = ['gw-1', 'gw-2'].map((gateway) => madeShipment({ gateway, number: 1 }));
  await upload(memory, ...shipments);
  let down = true;
  const store = watchedStore(memory, (method, key) => {
    if (down && method === 'getRange' && key.includes('gw-1'))
      throw new FirnError({ code: 'unavailable', operation: 'get', subject: key, message: 'no route' });
  });
  const ingest = start(store);
  await ingest.pollNow();
  await ingest.pollNow();
  expect(await filesIn(memory)).toHaveLength(1);
  expect(ingest.status()).toMatchObject({
    failures: 3,
    quarantined: 0,
    failing: [{ tenant, reason: 'no route' }],
  });
  expect(ingest.logs.filter((line) => line.includes('no route'))).toHaveLength(1);
  down = false;
  await ingest.pollNow();
  expect(await filesIn(memory)).toEqual(keysOf(...shipments));
  expect(ingest.status().failing).toEqual([]);
});

test('tenants come and go, and one that fails is none of the others’ business', async () => {
  const memory = memoryStore();
  const other = tenantId('other');
  await upload(memory, madeShipment({ gateway: 'gw-1', number: 1 }));
  await upload(memory, madeShipment({ tenant: other, gateway: 'gw-1', number: 1 }));
  await memory.put(`${other}/lake/metrics/metadata/v1.metadata.json`, Buffer.from('damaged'));
  let names = [other];
  const ingest = start(memory, { tenants: () => names });
  await ingest.pollNow();
  expect(ingest.status()).toMatchObject({ files: 0, failing: [{ tenant: other }] });
  names = [other, tenant];
  await ingest.pollNow();
  expect(await filesIn(memory)).toHaveLength(1);
  names = [tenant];
  await ingest.pollNow();
  expect(ingest.status().failing).toEqual([]);
});

test('the mark of a table without rows is moved alone when it lags by marksLagMax', async () => {
  const store = memoryStore();
  const ingest = start(store, { limits: { marksLagMax: 5 } });
  for (let number = 1; number <= 12; number++) {
    await upload(store, madeShipment({ gateway: 'gw-1', number }));
    await ingest.pollNow();
  }
  expect(await marksIn(store)).toEqual({ 'gw-1': { epoch: 1, number: 12 } });
  expect(await marksIn(store, 'logs')).toEqual({ 'gw-1': { epoch: 1, number: 10 } });
  expect(await filesIn(store, 'logs')).toEqual([]);
});

test('descriptions of metrics are merged, by whichever process', async () => {
  const store = memoryStore();
  const describe = (name: string, help: string) => [{ name, type: 'gauge', help, unit: '' }];
  await upload(store, madeShipment({ gateway: 'gw-1', number: 1, metadata: describe('b', 'one') }));
  await upload(store, madeShipment({ gateway: 'gw-2', number: 1, metadata: describe('a', 'two') }));
  await Promise.all([start(store).pollNow(), start(store).pollNow()]);
  await upload(store, madeShipment({ gateway: 'gw-1', number: 2, metadata: describe('b', 'three') }));
  await start(store).pollNow();
  const { metrics } = await readMetricMetadata(store, tenant);
  expect(metrics).toEqual([...describe('a', 'two'), ...describe('b', 'three')]);
  expect(await filesIn(store)).toHaveLength(3);
});

test('a table whose marks are lost is not filled a second time', async () => {
  const store = memoryStore();
  await upload(store, madeShipment({ gateway: 'gw-1', number: 1 }));
  await start(store).pollNow();
  const key = metadataKey('acme/lake/metrics/', 1);
  const text = Buffer.from((await store.get(key)).body).toString();
  await store.put(key, Buffer.from(text.replace('firn.high-water-marks', 'gone')));
  const ingest = start(store);
  await ingest.pollNow();
  expect(ingest.status().failing).toEqual([
    { tenant, reason: expect.stringContaining('the high-water marks of acme/lake/metrics/ cannot be read') },
  ]);
});

test('after a snapshot by another engine the marks of its ancestor hold', async () => {
  const store = memoryStore();
  await upload(store, madeShipment({ gateway: 'gw-1', number: 1 }));
  await start(store).pollNow();
  const { commit } = await import('../catalog/commit.ts');
  const table = openTable({ store, tenant, signal: 'metrics', locationOf, clock: stillClock() });
  await commit(table, () => ({ added: [], summary: { operation: 'replace' } }));
  await upload(store, madeShipment({ gateway: 'gw-1', number: 2 }));
  await start(store).pollNow();
  expect(await filesIn(store)).toHaveLength(2);
});

test('a table that was rolled back gets again what it lost, once', async () => {
  const store = memoryStore();
  const shipments = [1, 2, 3, 4].map((number) => madeShipment({ gateway: 'gw-1', number }));
  const ingest = start(store);
  for (const shipment of shipments.slice(0, 3)) {
    await upload(store, shipment);
    await ingest.pollNow();
  }
  const first = (await store.get(metadataKey('acme/lake/metrics/', 1))).body;
  await store.put(metadataKey('acme/lake/metrics/', 4), first);
  expect(await filesIn(store)).toHaveLength(1);
  for (const shipment of shipments.slice(3)) await upload(store, shipment);
  await ingest.pollNow();
  expect(ingest.status().failing).toEqual([{ tenant, reason: expect.stringContaining('rolled back') }]);
  await ingest.pollNow();
  expect(await filesIn(store)).toEqual(keysOf(...shipments));
  expect(ingest.status().failing).toEqual([]);
});

test('it stops while it waits, and when the last round is over', async () => {
  const ingest = start(memoryStore());
  await ingest.pollNow();
  await ingest[Symbol.asyncDispose]();
  await ingest.pollNow();
  expect(ingest.status().rounds).toBeLessThan(4);
});
