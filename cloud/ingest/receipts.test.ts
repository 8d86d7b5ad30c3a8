import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { FirnError } from '../../lake/base/errors.ts';
import { createLogger } from '../../lake/base/log.ts';
import { type Signal, signals } from '../../lake/model/batch.ts';
import { manifestKey, receiptKey } from '../../lake/model/keys.ts';
import { parseReceipt, plainReceipts } from '../../lake/model/receipt.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { countedStore, locationOf, stillClock, tenant } from '../../test/contract/lake-fixtures.ts';
import { memoryStore, watchedStore } from '../../test/contract/memory-store.ts';
import { type MadeShipment, madeShipment, manifestUpload } from '../../test/contract/shipments.ts';
import type { IcebergTable } from '../catalog/table.ts';
import { openTable } from '../catalog/table.ts';
import { commitShipments } from './commit-shipments.ts';
import { ingestLimits, openTenantIngest, type TenantIngest } from './tenant-ingest.ts';

const clock = stillClock();

function start(store: ObjectStore, receiptIntervalMsMin = 0): TenantIngest & { logs: string[] } {
  const logs: string[] = [];
  const tables = signals.map((signal) => [signal, openTable({ store, tenant, signal, locationOf, clock })]);
  const ingest = openTenantIngest({
    receipts: plainReceipts,
    tenant,
    tables: Object.fromEntries(tables) as Record<Signal, IcebergTable>,
    logger: createLogger('debug', (line) => logs.push(line)),
    limits: { ...ingestLimits, receiptIntervalMsMin },
    verify: 'sha256',
    commitShipments,
  });
  return { ...ingest, logs };
}

async function upload(store: ObjectStore, ...shipments: readonly MadeShipment[]): Promise<void> {
  for (const { uploads } of shipments) for (const { key, body } of uploads) await store.put(key, body);
}

async function receiptIn(store: ObjectStore) {
  const key = receiptKey(tenant, 'gw-1');
  return parseReceipt(Buffer.from((await store.get(key)).body).toString(), key);
}

const progress = { metrics: { headUs: 9, watermarkUs: 4, pending: [] } };
const shipment = (number: number): MadeShipment => madeShipment({ gateway: 'gw-1', number, progress });
const sha256Of = ({ manifest }: MadeShipment): string =>
  createHash('sha256').update(manifestUpload(manifest).body).digest('hex');
const outbox = (requests: readonly string[]): string[] =>
  requests.filter((request) => /receipt|list gw-1/.test(request));

test('a receipt is put after each round that committed something, by one request', async () => {
  const memory = memoryStore();
  const { store, take } = countedStore(memory);
  await upload(memory, shipment(1), shipment(2));
  const ingest = start(store);
  await ingest.round();
  expect(outbox(take())).toEqual(['list gw-1/', 'get gw-1/receipt.json', 'putIfAbsent gw-1/receipt.json']);
  const nowUs = clock.nowMs() * 1000;
  expect(await receiptIn(memory)).toEqual({
    format: 1,
    tenant,
    gateway: 'gw-1',
    site: 'plant',
    epoch: 1,
    number: 2,
    manifestSha256: sha256Of(shipment(2)),
    committedUs: nowUs,
    cloudUs: nowUs,
    progress,
    refused: [],
  });
  expect(ingest.shipping()).toEqual([{ gateway: 'gw-1', site: 'plant', progress, lastHeardUs: nowUs }]);
  await ingest.round();
  expect(outbox(take())).toEqual([]);
  await upload(memory, shipment(3));
  await ingest.round();
  expect(outbox(take())).toEqual(['putIfMatch gw-1/receipt.json']);
  expect(await receiptIn(memory)).toMatchObject({ number: 3, manifestSha256: sha256Of(shipment(3)) });
});

test('while much is committed, receipts are put at most every receiptIntervalMsMin', async () => {
  const memory = memoryStore();
  const ingest = start(memory, 1_000);
  for (const number of [1, 2, 3]) {
    await upload(memory, shipment(number));
    await ingest.round();
  }
  expect(await receiptIn(memory)).toMatchObject({ number: 1 });
  clock.advance(1_000);
  await ingest.round();
  expect(await receiptIn(memory)).toMatchObject({ number: 3 });
});

test.each([
  ['missing', undefined],
  ['damaged', 'no receipt'],
])('a receipt that is %s is put at the start, from the manifest that the marks name', async (_, text) => {
  const memory = memoryStore();
  await upload(memory, shipment(1), shipment(2));
  await start(memory).round();
  memory.objects.delete(receiptKey(tenant, 'gw-1'));
  if (text !== undefined) await memory.put(receiptKey(tenant, 'gw-1'), Buffer.from(text));
  const { store, take } = countedStore(memory);
  // The mark of a table without rows lags behind: what was committed after it is looked at again.
  await start(store).round();
  expect(await receiptIn(memory)).toMatchObject({
    epoch: 1,
    number: 2,
    manifestSha256: sha256Of(shipment(2)),
  });
  expect(outbox(take()).at(-1)).toMatch(text === undefined ? /^putIfAbsent/ : /^putIfMatch/);
});

test('a receipt that is there already costs one request at the start', async () => {
  const memory = memoryStore();
  await upload(memory, madeShipment({ gateway: 'gw-1', number: 1, signals: [...signals], progress }));
  await start(memory).round();
  const { store, take } = countedStore(memory);
  const ingest = start(store);
  await ingest.round();
  expect(outbox(take())).toEqual(['get gw-1/receipt.json']);
  expect(ingest.shipping()).toMatchObject([{ gateway: 'gw-1', site: 'plant', progress }]);
});

test('a cloud that commits and dies before the receipt puts it when it is back', async () => {
  const memory = memoryStore();
  let dead = true;
  const store = watchedStore(memory, (_method, key) => {
    if (dead && key.includes('/outbox/')) throw new Error('killed');
  });
  await upload(memory, madeShipment({ gateway: 'gw-1', number: 1, signals: [...signals], progress }));
  await start(store).round();
  expect([...memory.objects.keys()].filter((key) => key.includes('/outbox/'))).toEqual([]);
  dead = false;
  const { store: counted, take } = countedStore(store);
  await start(counted).round();
  expect(await receiptIn(memory)).toMatchObject({ number: 1, progress, site: 'plant' });
  expect(outbox(take())).toEqual(['get gw-1/receipt.json', 'list gw-1/', 'putIfAbsent gw-1/receipt.json']);
});

test('a receipt that cannot be put fails no commit, is said once, and is tried again', async () => {
  const memory = memoryStore();
  let down = true;
  const store = watchedStore(memory, (method, key) => {
    if (down && method.startsWith('put') && key.includes('/outbox/'))
      throw new FirnError({ code: 'denied', operation: method, subject: key, message: 'not allowed' });
  });
  const ingest = start(store);
  for (const number of [1, 2]) {
    await upload(memory, shipment(number));
    expect(await ingest.round()).toMatchObject({ shipments: 1, failure: undefined });
  }
  expect(ingest.logs.filter((line) => line.includes('not allowed'))).toHaveLength(1);
  down = false;
  await ingest.round();
  expect(await receiptIn(memory)).toMatchObject({ number: 2 });
  expect(ingest.logs.filter((line) => line.includes('receipts are written again'))).toHaveLength(1);
});

test('of two processes the one that is behind does not put an older receipt over a newer one', async () => {
  const memory = memoryStore();
  const [one, other] = [start(memory), start(memory)];
  await upload(memory, shipment(1));
  await one.round();
  await other.round();
  await upload(memory, shipment(2));
  await one.round();
  await upload(memory, shipment(3));
  await other.round();
  await one.round();
  await one.round();
  expect(await receiptIn(memory)).toMatchObject({ number: 3, manifestSha256: sha256Of(shipment(3)) });
});

test('a gateway of which all is refused gets a receipt that says so', async () => {
  const memory = memoryStore();
  const key = manifestKey(tenant, 'gw-1', 1, 1);
  await memory.put(key, Buffer.from('rubbish'));
  const ingest = start(memory);
  await ingest.round();
  expect(await receiptIn(memory)).toMatchObject({
    number: 1,
    manifestSha256: createHash('sha256').update('rubbish').digest('hex'),
    progress: {},
    refused: [{ epoch: 1, number: 1, key, reason: expect.stringContaining('not JSON') }],
  });
  expect(ingest.shipping()).toEqual([]);
});
