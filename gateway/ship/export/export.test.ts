import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { Hono } from 'hono';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startHttpServer } from '../../../lake/api/http-server.ts';
import { listBundles, readBundle } from '../../../lake/bundle/read-bundle.ts';
import { receiptFile, writeReceiptFile } from '../../../lake/bundle/receipt-file.ts';
import { loadOrMakeSigner } from '../../../lake/bundle/signing-key.ts';
import { openStick, type Stick } from '../../../lake/bundle/stick.ts';
import { gatewayId, siteId } from '../../../lake/model/ids.ts';
import { printManifest } from '../../../lake/model/manifest.ts';
import { printReceipt, type Receipt } from '../../../lake/model/receipt.ts';
import { putBundle } from '../../../test/contract/bundles.ts';
import { stillClock, tenant } from '../../../test/contract/lake-fixtures.ts';
import { type MadeShipment, madeShipment } from '../../../test/contract/shipments.ts';
import { type BundleSource, cloudKeyFile, type ExportLedger, openLocalSource } from './bundle-source.ts';
import { type ExportOptions, type ExportResult, exportToStick } from './export-to-stick.ts';
import { httpSource } from './http-source.ts';
import { exportRoutes } from './routes.ts';

interface Gateway {
  readonly dataDir: string;
  readonly source: BundleSource;
  readonly receipts: Receipt[];
  /** Seals so many shipments more. */
  seal(count: number): Promise<void>;
  fileOf(number: number): string;
  export(to: Stick, changes?: Partial<ExportOptions>): Promise<ExportResult>;
  /** Of its HTTP port. */
  readonly url: string;
}

async function temporary(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'firn-export-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

/** A gateway whose log is a list; reached in its own process, or over HTTP. */
async function gateway(how: 'local' | 'http'): Promise<Gateway> {
  const dataDir = await temporary();
  const made: MadeShipment[] = [];
  const receipts: Receipt[] = [];
  const waiting = () =>
    made.filter(({ manifest }) => manifest.number > Math.max(0, ...receipts.map(({ number }) => number)));
  const without = new Set<string>();
  const numbered = ({ manifest }: MadeShipment) => ({
    ...{ epoch: 1, number: manifest.number },
    manifest: printManifest({
      ...manifest,
      segments: manifest.segments.filter(({ key }) => !without.has(key)),
    }),
  });
  let composed = 0;
  const ledger: ExportLedger = {
    epoch: () => 1,
    compose: async () => {
      composed = made.length;
    },
    shipments: () => waiting().slice(0, composed).map(numbered),
    shipment: (number) => made.slice(number - 1, number).map(numbered)[0],
    segmentPath: (number, key) =>
      made[number - 1]?.manifest.segments[0]?.key === key ? fileOf(number) : undefined,
    giveUpDamaged: async (number, key) => {
      const body = await readFile(fileOf(number)).catch(() => undefined);
      if (body?.equals(made[number - 1]?.uploads[0]?.body ?? Buffer.alloc(0))) return 0;
      without.add(key);
      return number;
    },
    applyReceipt: async (receipt) => {
      receipts.push(receipt);
      return 'applied';
    },
  };
  const ids = { tenant, site: siteId('plant'), gateway: gatewayId('gw-1') };
  const local = await openLocalSource({ ledger, dataDir, ...ids, clock: stillClock() });
  const app = new Hono();
  app.route(
    '/',
    exportRoutes({ source: local, ledger, status: () => Promise.reject(new Error('not asked')) }),
  );
  const http = await startHttpServer(app, { host: '127.0.0.1', port: 0 });
  onTestFinished(() => http[Symbol.asyncDispose]());
  const url = `http://127.0.0.1:${http.port}`;
  const source = how === 'local' ? local : httpSource(url);
  const fileOf = (number: number): string =>
    join(dataDir, 'segments', 'metrics', basename(made[number - 1]?.manifest.segments[0]?.key ?? ''));
  return {
    ...{ dataDir, source, receipts, fileOf, url },
    seal: async (count) => {
      for (let more = 0; more < count; more++) {
        const shipment = madeShipment({ gateway: 'gw-1', number: made.length + 1 });
        made.push(shipment);
        await mkdir(dirname(fileOf(made.length)), { recursive: true });
        await writeFile(fileOf(made.length), shipment.uploads[0]?.body ?? '');
      }
    },
    export: (to, changes) =>
      exportToStick({ source, stick: to, bundleBytesMax: 1e9, onlyNew: false, prune: false, ...changes }),
  };
}

const stick = async (): Promise<Stick> => openStick(await temporary());

/** The numbers of all shipments in whole bundles of a stick. */
async function numbersOn({ path }: Stick, { source }: Gateway): Promise<number[]> {
  const { publicKey } = await source.identity();
  const numbers: number[] = [];
  for (const name of await listBundles(path)) {
    const bundle = await readBundle(join(path, name), () => publicKey);
    numbers.push(...bundle.shipments.map(({ manifest }) => manifest.number));
  }
  return numbers;
}

const upTo = (last: number, first = 1): number[] =>
  Array.from({ length: last - first + 1 }, (_, at) => first + at);

async function cloudSigner(gw: Gateway, trusted = true) {
  const signer = await loadOrMakeSigner(join(await temporary(), 'receipt-key.pem'));
  if (trusted) await writeFile(cloudKeyFile(gw.dataDir), signer.publicKey.pem);
  return signer;
}

const receiptText = (number: number, of = 'gw-1'): string =>
  printReceipt({
    ...{ format: 1, tenant, gateway: of, epoch: 1, number, manifestSha256: '0'.repeat(64) },
    ...{ committedUs: 1, cloudUs: 1, progress: {}, refused: [] },
  });

describe.each(['local', 'http'] as const)('a gateway that is reached by %s', (how) => {
  test('exports all that has no receipt, in bounded bundles, and nothing twice to one stick', async () => {
    const gw = await gateway(how);
    const to = await stick();
    expect(await gw.export(to)).toMatchObject({ bundles: [], problems: [] });
    await gw.seal(10);
    const first = await gw.export(to, { bundleBytesMax: 3000 });
    expect(first.bundles.length).toBeGreaterThan(2);
    expect(first.bundles.every(({ bytes }) => bytes <= 3000)).toBe(true);
    expect(await numbersOn(to, gw)).toEqual(upTo(10));
    expect(await gw.export(to)).toMatchObject({ bundles: [], present: first.bundles.length });
    await gw.seal(2);
    expect((await gw.export(to)).bundles).toMatchObject([{ first: 11, last: 12 }]);
    expect(await numbersOn(to, gw)).toEqual(upTo(12));
    const other = await stick();
    expect((await gw.export(other, { onlyNew: true })).bundles).toEqual([]);
    await gw.seal(1);
    await gw.export(other, { onlyNew: true });
    expect(await numbersOn(other, gw)).toEqual([13]);
    const third = await stick();
    await gw.export(third);
    expect(await numbersOn(third, gw)).toEqual(upTo(13));
  });

  test('takes the receipt of the cloud that it trusts, and of nobody else', async () => {
    const gw = await gateway(how);
    const to = await stick();
    await gw.seal(4);
    await gw.export(to);
    const stranger = await cloudSigner(gw, false);
    const write = (text: string, signer = stranger) =>
      writeReceiptFile(to, { tenant, gateway: 'gw-1', text }, signer);
    await write(receiptText(3));
    expect((await gw.export(to)).problems).toMatchObject([
      {
        message: expect.stringContaining('trusts no cloud yet'),
        hint: expect.stringContaining('firn ship trust-cloud'),
      },
    ]);
    const cloud = await cloudSigner(gw);
    expect((await gw.export(to)).problems).toMatchObject([
      { message: expect.stringContaining('but this gateway trusts') },
    ]);
    await write(receiptText(3, 'gw-2'), cloud);
    expect((await gw.export(to)).problems).toMatchObject([
      { message: expect.stringContaining('is for gateway gw-2') },
    ]);
    await write(receiptText(3), cloud);
    const file = join(to.path, receiptFile(tenant, 'gw-1'));
    const good = await readFile(file, 'utf8');
    await writeFile(file, good.replace('number\\":3', 'number\\":4'));
    expect((await gw.export(to)).problems).toMatchObject([
      { message: expect.stringContaining('its signature is wrong') },
    ]);
    await truncate(file, 100);
    expect((await gw.export(to)).problems).toMatchObject([
      { message: expect.stringContaining('it is not a receipt') },
    ]);
    expect(gw.receipts).toEqual([]);
    await writeFile(file, good);
    const other = await stick();
    expect(await gw.export(to)).toMatchObject({ problems: [], receipt: { epoch: 1, number: 3 }, present: 1 });
    expect(gw.receipts).toHaveLength(1);
    await gw.export(other);
    expect(await numbersOn(other, gw)).toEqual([4]);
    await gw.seal(1);
    expect(await gw.export(to, { prune: true })).toMatchObject({ pruned: [], bundles: [{ first: 5 }] });
    await write(receiptText(5), cloud);
    expect((await gw.export(to, { prune: true })).pruned).toHaveLength(2);
    expect(await readdir(to.path)).toEqual([receiptFile(tenant, 'gw-1')]);
  });

  test('gives up a segment that is damaged or gone, and says what is lost', async () => {
    const gw = await gateway(how);
    const to = await stick();
    await gw.seal(6);
    await writeFile(gw.fileOf(2), 'not what was sealed');
    await rm(gw.fileOf(5));
    expect((await gw.export(to)).problems).toMatchObject([
      { message: expect.stringMatching(/0001-0000000000000010-0000000000000020.*; its 2 rows are lost/) },
      { message: expect.stringMatching(/0001-0000000000000040-0000000000000050.*; its 5 rows are lost/) },
    ]);
    expect(await numbersOn(to, gw)).toEqual(upTo(6));
    expect(await readdir(to.path)).toHaveLength(1);
  });

  test('never changes a shipment that has been on a stick; later ones go without it', async () => {
    const gw = await gateway(how);
    await gw.seal(4);
    await gw.export(await stick());
    await writeFile(gw.fileOf(2), 'not what was sealed');
    const to = await stick();
    const { problems } = await gw.export(to);
    expect(problems).toMatchObject([{ message: expect.stringMatching(/0000000000000020.* can't/) }]);
    expect((await numbersOn(to, gw)).sort()).toEqual([1, 3, 4]);
    expect(await readdir(to.path)).toHaveLength(2);
  });
});

test('a stick with little room gets what fits', async () => {
  const gw = await gateway('local');
  await gw.seal(8);
  const inner = await stick();
  let freeBytes = 1024 * 1024 + 20 * 512;
  const to: Stick = { ...inner, space: async () => ({ freeBytes, blockBytes: 512 }) };
  const written: Stick = {
    ...to,
    syncFolder: async (name) => {
      if (name === '.') freeBytes = 1024 * 1024;
      await inner.syncFolder(name);
    },
  };
  const result = await gw.export(written);
  expect(result.bundles).toHaveLength(1);
  expect(result.problems).toMatchObject([
    { message: expect.stringContaining('the stick is full: shipment ') },
  ]);
  const numbers = await numbersOn(to, gw);
  expect(numbers.length).toBeGreaterThan(1);
  expect(numbers.length).toBeLessThan(8);
  expect(numbers).toEqual(upTo(numbers.length));
});

test('what of its own bundles is broken is written anew; others it leaves alone', async () => {
  const gw = await gateway('local');
  const to = await stick();
  await gw.seal(3);
  const [bundle] = (await gw.export(to)).bundles;
  await writeFile(join(to.path, bundle?.folder ?? '', 'segments', '000002.parquet'), 'x');
  await mkdir(join(to.path, 'firn_acme_gw-1_1_7-9'));
  await mkdir(join(to.path, 'firn_acme_gw-1_88_7-9'));
  await mkdir(join(to.path, 'firn_acme_gw-9_1_1-9'));
  const signer = await loadOrMakeSigner(join(await temporary(), 'key.pem'));
  const earlierLife = await putBundle({ stick: to, signer }, [madeShipment({ gateway: 'gw-1', number: 4 })]);
  expect((await gw.export(to)).bundles).toMatchObject([{ first: 1, last: 3 }]);
  expect((await readdir(to.path)).sort()).toEqual(
    [bundle?.folder, 'firn_acme_gw-1_88_7-9', 'firn_acme_gw-9_1_1-9', earlierLife].sort(),
  );
});

test('a stick that is pulled out is an error, and nothing counts as exported', async () => {
  const gw = await gateway('local');
  await gw.seal(3);
  const inner = await stick();
  const to: Stick = { ...inner, rename: () => Promise.reject(new Error('EIO')) };
  await expect(gw.export(to)).rejects.toThrow('EIO');
  expect((await gw.export(await stick(), { onlyNew: true })).bundles).toMatchObject([{ first: 1, last: 3 }]);
});

test('over HTTP nothing but shipments can be read, and no web page can call it', async () => {
  const gw = await gateway('http');
  await gw.seal(1);
  await writeFile(join(gw.dataDir, 'secret'), 'x');
  const base = `${gw.url}/api/v1/firn/ship`;
  const statuses = async (...paths: string[]): Promise<number[]> =>
    Promise.all(paths.map(async (path) => (await fetch(`${base}/${path}`)).status));
  expect(await statuses('shipments/1/1/segments/0')).toEqual([200]);
  const wrong = [
    '1/1/segments/1',
    '1/1/segments/-1',
    '1/1/segments/x',
    '2/1/segments/0',
    '1/9/segments/0',
    '1/1/segments/..%2F..%2Fsecret',
  ];
  expect(await statuses(...wrong.map((path) => `shipments/${path}`))).toEqual(wrong.map(() => 404));
  const post = async (path: string, body: string, type: string): Promise<number> =>
    (await fetch(`${base}/${path}`, { method: 'POST', body, headers: { 'Content-Type': type } })).status;
  expect(await post('compose', '{}', 'text/plain')).toBe(400);
  expect(await post('exported', '{"epoch":1,"first":1,"last":9}', 'application/x-www-form-urlencoded')).toBe(
    400,
  );
  expect(await post('bundle', '{"path":"/etc"}', 'application/json')).toBe(400);
  expect(await post('compose', '{}', 'application/json')).toBe(204);
});

test('without a gateway at the URL the error says how to name it', async () => {
  await expect(httpSource('http://127.0.0.1:1').identity()).rejects.toMatchObject({
    code: 'unavailable',
    message: 'no gateway answers at http://127.0.0.1:1',
    hint: expect.stringContaining('--gateway-url'),
  });
});
