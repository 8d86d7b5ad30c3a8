import { mkdir, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { FirnError } from '../../lake/base/errors.ts';
import { createLogger } from '../../lake/base/log.ts';
import { openReceiptFile, receiptFile } from '../../lake/bundle/receipt-file.ts';
import { loadOrMakeSigner, type Signer } from '../../lake/bundle/signing-key.ts';
import { tenantId } from '../../lake/model/ids.ts';
import { contentsOf, putBundle, type StickFixture, stickFixture } from '../../test/contract/bundles.ts';
import { locationOf, stillClock, tenant } from '../../test/contract/lake-fixtures.ts';
import { type MemoryStore, memoryStore, watchedStore } from '../../test/contract/memory-store.ts';
import { type MadeShipment, madeShipment, manifestUpload } from '../../test/contract/shipments.ts';
import { openTable } from '../catalog/table.ts';
import { type ImportOptions, type ImportResult, importBundles } from './import-bundles.ts';
import { startIngest } from './ingest.ts';
import { comparePositions, marksOf, origin } from './marks.ts';
import { listQuarantine, refusedPositions } from './quarantine.ts';

interface Cloud {
  readonly store: MemoryStore;
  readonly signer: Signer;
  readonly options: Omit<ImportOptions, 'stick'>;
  take(stick: StickFixture, changes?: Partial<ImportOptions>): Promise<ImportResult>;
}

const table = (store: MemoryStore) =>
  openTable({ store, tenant, signal: 'metrics', locationOf, clock: stillClock() });

async function stick(): Promise<StickFixture> {
  const made = await stickFixture();
  onTestFinished(() => made[Symbol.asyncDispose]());
  return made;
}

/** A cloud that trusts this stick's gateways, and runs only when it imports. */
async function cloud(trusted: StickFixture): Promise<Cloud> {
  const folder = await mkdtemp(join(tmpdir(), 'firn-import-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const store = memoryStore();
  const signer = await loadOrMakeSigner(join(folder, 'receipt-key.pem'));
  const clock = stillClock();
  const options: Cloud['options'] = {
    ...{ store, signer, workDirectory: folder, tenants: [tenant], receiptWaitMs: 0, clock },
    keyOf: () => trusted.signer.publicKey,
    ingestNow: async (tenants) => {
      const logger = createLogger('silent');
      await using ingest = startIngest({ store, locationOf, tenants: () => tenants, clock, logger });
      await ingest.pollNow();
    },
    receiptOf: async (_, gateway) => {
      const metrics = table(store);
      const at = (await marksOf(metrics, await metrics.load())).get(gateway);
      return at && { ...at, text: JSON.stringify({ gateway, ...at }), refused: [] };
    },
  };
  return {
    store,
    signer,
    options,
    take: (from, changes) => importBundles({ ...options, stick: from.stick, ...changes }),
  };
}

const shipmentsOf = (first: number, last: number, gateway = 'gw-1'): MadeShipment[] =>
  Array.from({ length: last - first + 1 }, (_, at) => madeShipment({ gateway, number: first + at }));

async function rowsIn(store: MemoryStore): Promise<number> {
  const metrics = table(store);
  const manifests = await metrics.manifestsOf(await metrics.load());
  const entries = await Promise.all(manifests.map((manifest) => metrics.entriesOf(manifest)));
  return entries.flat().reduce((sum, { file }) => sum + file.rows, 0);
}

const rowsOf = (shipments: readonly MadeShipment[]): number =>
  shipments.flatMap(({ manifest }) => manifest.segments).reduce((sum, { rows }) => sum + rows, 0);

const under = (store: MemoryStore, part: string): string[] =>
  [...store.objects.keys()].filter((key) => key.includes(`/${part}/`));

async function receiptOn(from: StickFixture, { signer }: Cloud, gateway = 'gw-1'): Promise<unknown> {
  const file = await readFile(join(from.path, receiptFile(tenant, gateway)), 'utf8');
  return JSON.parse(openReceiptFile(file, signer.publicKey));
}

test('a stick is committed once, however often it is imported, and carries the receipts home', async () => {
  const from = await stick();
  const to = await cloud(from);
  const shipments = [...shipmentsOf(1, 3), ...shipmentsOf(4, 5), ...shipmentsOf(1, 1, 'gw-2')];
  await putBundle(from, shipments.slice(3, 5)); // in any order
  await putBundle(from, shipments.slice(0, 3));
  await putBundle(from, shipments.slice(5));
  const before = await contentsOf(from.path);
  const first = await to.take(from);
  expect(first.bundles.map(({ folder, outcome, shipments: count }) => [folder, outcome, count])).toEqual([
    ['firn_acme_gw-1_1_1-3', 'committed', 3],
    ['firn_acme_gw-2_1_1-1', 'committed', 1],
    ['firn_acme_gw-1_1_4-5', 'committed', 2],
  ]);
  expect(await rowsIn(to.store)).toBe(rowsOf(shipments));
  expect(await receiptOn(from, to)).toMatchObject({ epoch: 1, number: 5 });
  expect(await receiptOn(from, to, 'gw-2')).toMatchObject({ epoch: 1, number: 1 });
  // The bundles are as they were.
  const after = await contentsOf(from.path);
  for (const [name, body] of before) expect(after.get(name)?.equals(body), name).toBe(true);
  const objects = new Map(to.store.objects);
  const second = await to.take(from);
  expect(second.bundles.map(({ outcome, shipments: count }) => [outcome, count])).toEqual([
    ['committed', 0],
    ['committed', 0],
    ['committed', 0],
  ]);
  expect(await rowsIn(to.store)).toBe(rowsOf(shipments));
  expect(to.store.objects).toEqual(objects);
});

test('what came by network too is counted once, whichever was first', async () => {
  const from = await stick();
  const to = await cloud(from);
  const shipments = shipmentsOf(1, 4);
  await putBundle(from, shipments);
  for (const { uploads } of shipments.slice(0, 2))
    for (const { key, body } of uploads) await to.store.put(key, body);
  await to.take(from);
  for (const { uploads } of shipments) for (const { key, body } of uploads) await to.store.put(key, body);
  await to.options.ingestNow([tenant]);
  expect(await rowsIn(to.store)).toBe(rowsOf(shipments));
});

test('a bundle that overtook another waits in the inbox, and says for what', async () => {
  const from = await stick();
  const to = await cloud(from);
  await putBundle(from, shipmentsOf(4, 6));
  expect((await to.take(from)).bundles).toEqual([
    {
      folder: 'firn_acme_gw-1_1_4-6',
      outcome: 'waiting',
      shipments: 3,
      reason: 'it is in the inbox; shipment 1 of gateway gw-1 must arrive before it can be committed',
      hint: expect.stringContaining('import the stick that holds it'),
    },
  ]);
  expect(await from.files()).not.toContain(receiptFile(tenant, 'gw-1'));
  const other = await stick();
  await putBundle({ ...other, signer: from.signer }, shipmentsOf(1, 3));
  await to.take(other);
  expect(await rowsIn(to.store)).toBe(rowsOf(shipmentsOf(1, 6)));
  expect(await receiptOn(other, to)).toMatchObject({ number: 6 });
});

const bad: Record<string, (path: string, from: StickFixture) => Promise<unknown>> = {
  'it is damaged: segments/000002.parquet': async (path) => {
    const file = join(path, 'segments', '000002.parquet');
    const body = await readFile(file);
    body[3] = (body[3] ?? 0) ^ 1;
    return writeFile(file, body);
  },
  'it is damaged: manifests/000002.json': (path) => truncate(join(path, 'manifests', '000002.json'), 10),
  'it is incomplete: bundle.json is missing': (path) => rm(join(path, 'bundle.json')),
  'it is incomplete: bundle.sig is missing': (path) => rm(join(path, 'bundle.sig')),
  'it is incomplete: segments/000001.parquet is missing': (path) =>
    rm(join(path, 'segments'), { recursive: true }),
  'its signature is wrong': (path) => writeFile(join(path, 'bundle.sig'), Buffer.alloc(64)),
  'bundle.json is not valid: it is not JSON': (path) => writeFile(join(path, 'bundle.json'), '{'),
};

test.each(Object.entries(bad))(
  'of a bundle of which "%s" nothing is taken, and the others go on',
  async (reason, damage) => {
    const from = await stick();
    const to = await cloud(from);
    const good = shipmentsOf(1, 2);
    await putBundle(from, good);
    const folder = await putBundle(from, shipmentsOf(3, 5));
    await damage(join(from.path, folder), from);
    const before = await contentsOf(join(from.path, folder));
    const { bundles, receipts } = await to.take(from);
    expect(bundles).toMatchObject([
      { outcome: 'committed', shipments: 2 },
      { outcome: 'refused', folder, shipments: 0, reason: expect.stringContaining(reason) },
    ]);
    expect(receipts).toMatchObject([{ gateway: 'gw-1', number: 2 }]);
    expect(await rowsIn(to.store)).toBe(rowsOf(good));
    expect(under(to.store, 'inbox').sort()).toEqual(
      good.flatMap(({ uploads }) => uploads.map(({ key }) => key)).sort(),
    );
    const [key = ''] = under(to.store, 'quarantine');
    expect(JSON.parse(Buffer.from(to.store.objects.get(key) ?? []).toString())).toMatchObject({
      ...{ tenant, gateway: 'gw-1', epoch: 1, number: 3, manifest: folder },
      reason: expect.stringContaining(reason),
    });
    expect((await listQuarantine(to.store, tenant, { limit: 10 })).records).toMatchObject([
      { gateway: 'gw-1', number: 3, manifest: folder, reason: expect.stringContaining(reason) },
    ]);
    expect(await refusedPositions(to.store, tenant, 'gw-1', origin)).toEqual([]);
    expect(await contentsOf(join(from.path, folder))).toEqual(before);
    // Exported again it is taken, and the complaint is gone.
    await putBundle(from, shipmentsOf(3, 5));
    expect((await to.take(from)).bundles).toMatchObject([{ outcome: 'committed' }, { outcome: 'committed' }]);
    expect(under(to.store, 'quarantine')).toEqual([]);
  },
);

test('what is not of this cloud is refused: unknown keys, unknown tenants, a changed manifest', async () => {
  const from = await stick();
  const to = await cloud(from);
  const foreign = madeShipment({ tenant: tenantId('stranger'), gateway: 'gw-1', number: 1 });
  await putBundle(from, [foreign]);
  expect((await to.take(from)).bundles).toMatchObject([
    { outcome: 'refused', reason: 'there is no tenant stranger in this cloud' },
  ]);
  expect([...to.store.objects.keys()]).toEqual([]);

  await rm(join(from.path, 'firn_stranger_gw-1_1_1-1'), { recursive: true });
  const shipments = shipmentsOf(1, 2);
  await putBundle(from, shipments);
  const denied = new FirnError({
    code: 'denied',
    operation: '',
    subject: '',
    message: 'no key',
    hint: 'trust it',
  });
  const keyOf = (): never => {
    throw denied;
  };
  expect((await to.take(from, { keyOf })).bundles).toMatchObject([
    { outcome: 'refused', reason: 'no key', hint: 'trust it' },
  ]);
  expect(under(to.store, 'inbox')).toEqual([]);

  const { key, body } = manifestUpload({ ...(shipments[1] ?? foreign).manifest, composedUs: 77 });
  await to.store.put(key, body);
  expect((await to.take(from)).bundles).toMatchObject([
    { outcome: 'refused', reason: expect.stringContaining('two gateways ship under this identity') },
  ]);
  expect(under(to.store, 'segments')).toEqual([]);
});

test('a stick that reads well when it is verified and badly when it is copied brings nothing in', async () => {
  const from = await stick();
  const to = await cloud(from);
  const folder = await putBundle(from, shipmentsOf(1, 2));
  let puts = 0;
  const store = watchedStore(to.store, async (method) => {
    if (method === 'putFile' && ++puts === 1)
      await writeFile(join(from.path, folder, 'segments', '000002.parquet'), 'worn out');
  });
  expect((await to.take(from, { store })).bundles).toMatchObject([{ outcome: 'refused' }]);
  expect(puts).toBe(1);
  expect(under(to.store, 'manifests')).toEqual([]);
  expect(await readdir(to.options.workDirectory)).toEqual(['receipt-key.pem']);
});

test('an import that dies at any request is made whole by the next one', async () => {
  const from = await stick();
  const shipments = shipmentsOf(1, 3);
  await putBundle(from, shipments);
  const counting = await cloud(from);
  let requests = 0;
  await counting.take(from, { store: watchedStore(counting.store, () => void requests++) });
  expect(requests).toBeGreaterThan(6);
  for (let at = 1; at <= requests; at++) {
    for (const when of ['before', 'after'] as const) {
      const to = await cloud(from);
      let seen = 0;
      const die = (): void => {
        if (++seen === at) throw new Error('died');
      };
      const store =
        when === 'before' ? watchedStore(to.store, die) : watchedStore(to.store, () => undefined, die);
      // Listings have no "after", so the last few requests may not die.
      await to.take(from, { store }).catch((error: unknown) => expect(String(error)).toContain('died'));
      await to.options.ingestNow([tenant]);
      expect((await to.take(from)).bundles).toMatchObject([{ outcome: 'committed' }]);
      expect(await rowsIn(to.store)).toBe(rowsOf(shipments));
    }
  }
});

test('imports while a cloud runs and while another import does count everything once', async () => {
  const from = await stick();
  const to = await cloud(from);
  const all = [shipmentsOf(1, 3), shipmentsOf(4, 6), shipmentsOf(7, 9)];
  for (const shipments of all) await putBundle(from, shipments);
  const copy = await stick();
  await rm(copy.path, { recursive: true });
  await mkdir(copy.path);
  for (const shipments of all) await putBundle({ ...copy, signer: from.signer }, shipments);
  const logger = createLogger('silent');
  const clock = { ...stillClock(), sleep: () => new Promise<void>((resolve) => setTimeout(resolve, 1)) };
  await using running = startIngest({
    ...{ store: to.store, locationOf, tenants: () => [tenant], clock, logger, pollIntervalMs: 1 },
  });
  const results = await Promise.all([to.take(from), to.take(copy)]);
  for (const { bundles } of results)
    expect(bundles.map(({ outcome }) => outcome)).toEqual(['committed', 'committed', 'committed']);
  await running.pollNow();
  expect(await rowsIn(to.store)).toBe(rowsOf(all.flat()));
  expect(
    comparePositions((await to.options.receiptOf(tenant, 'gw-1')) ?? origin, { epoch: 1, number: 9 }),
  ).toBe(0);
});

test('a shipment that the ingest refused is said to be so, although the receipt covers it', async () => {
  const from = await stick();
  const to = await cloud(from);
  await putBundle(from, shipmentsOf(1, 3));
  const receiptOf: ImportOptions['receiptOf'] = async () => ({
    ...{ epoch: 1, number: 3, text: '{}' },
    refused: [{ epoch: 1, number: 2, reason: 'a wrong day' }],
  });
  expect((await to.take(from, { receiptOf })).bundles).toMatchObject([
    { outcome: 'refused', reason: 'shipment 2 was refused: a wrong day' },
  ]);
});

test('a stick that can not be written keeps no receipt, and what was imported stays', async () => {
  const from = await stick();
  const to = await cloud(from);
  await putBundle(from, shipmentsOf(1, 2));
  const readOnly = { ...from.stick, write: () => Promise.reject(new Error('EROFS: read-only file system')) };
  expect(await to.take(from, { stick: readOnly })).toMatchObject({
    bundles: [{ outcome: 'committed' }],
    receipts: [],
    problems: [expect.stringContaining('could not be written to the stick: EROFS')],
  });
  expect((await to.take(from)).receipts).toMatchObject([{ number: 2 }]);
});

test('a folder may be renamed; what stands around on a stick is left alone', async () => {
  const from = await stick();
  const to = await cloud(from);
  const folder = await putBundle(from, shipmentsOf(1, 1));
  await rename(join(from.path, folder), join(from.path, 'from the pump station'));
  await mkdir(join(from.path, 'photos'));
  await writeFile(join(from.path, 'photos', 'a.txt'), 'x');
  await writeFile(join(from.path, 'bundle.json'), 'x');
  expect((await to.take(from)).bundles).toMatchObject([
    { folder: 'from the pump station', outcome: 'committed' },
  ]);
});
