import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { type ErrorCode, FirnError } from '../../lake/base/errors.ts';
import { createLogger } from '../../lake/base/log.ts';
import { segmentName } from '../../lake/model/keys.ts';
import { parseManifest, type ShipmentManifest1 } from '../../lake/model/manifest.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { hashFile } from '../../lake/parquet/durable-file.ts';
import { metricsBatch } from '../../test/contract/rows.ts';
import { openWal } from '../wal/open-wal.ts';
import { openWalReader } from '../wal/reader.ts';
import type { Wal } from '../wal/wal.ts';
import { type Shipper, type ShipperOptions, startShipper } from './shipper.ts';

let folder: string;
let wal: Wal;
let store: FlakyStore;
let lines: string[];
let sealed: Set<(sealed: { bytes: number }) => void>;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'firn-ship-'));
  mkdirSync(join(folder, 'segments', 'metrics'), { recursive: true });
  wal = await openWal({ path: join(folder, 'wal.db'), clock: systemClock, commitIntervalMs: 0 });
  store = createFlakyStore();
  lines = [];
  sealed = new Set();
});
afterEach(async () => {
  await wal[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

interface FlakyStore extends ObjectStore {
  readonly objects: Map<string, string>;
  /** Keys in the order in which puts were tried. */
  readonly puts: string[];
  /** What the next puts throw, by number of the put; undefined lets it pass. */
  fail: (put: number, key: string) => ErrorCode | 'hang' | 'after' | undefined;
}

/** A store that keeps objects in memory and fails when told to; `after`: it stores and then loses the answer. */
function createFlakyStore(): FlakyStore {
  const objects = new Map<string, string>();
  const puts: string[] = [];
  const error = (code: ErrorCode): FirnError =>
    new FirnError({ code, operation: 'put', subject: 'flaky', message: `${code} at put ${puts.length}` });
  const put = async (key: string, body: Uint8Array, signal?: AbortSignal) => {
    puts.push(key);
    const failure = flaky.fail(puts.length, key);
    if (failure === 'hang') await systemClock.sleep(60_000, signal);
    if (failure !== undefined && failure !== 'after' && failure !== 'hang') throw error(failure);
    objects.set(key, Buffer.from(body).toString('latin1'));
    if (failure === 'after') throw error('unavailable');
    return { key, etag: '1', sizeBytes: body.byteLength };
  };
  const unused = () => {
    throw new Error('a shipper only puts');
  };
  const flaky: FlakyStore = {
    objects,
    puts,
    fail: () => undefined,
    description: 'flaky',
    put: (key, body, options) => put(key, body, options?.signal),
    putFile: (key, path, options) => put(key, readFileSync(path), options?.signal),
    putIfAbsent: unused,
    putIfMatch: unused,
    get: unused,
    getRange: unused,
    getFile: unused,
    head: unused,
    list: unused,
    listFolders: unused,
    delete: unused,
    localPath: unused,
    close: unused,
  };
  return flaky;
}

const start = (options: Partial<ShipperOptions> = {}): Shipper =>
  startShipper({
    wal,
    store,
    dataDir: folder,
    seals: {
      onSealed: (listener) => {
        sealed.add(listener);
        return () => sealed.delete(listener);
      },
    },
    clock: systemClock,
    logger: createLogger('info', (line) => lines.push(line)),
    retryMinMs: 5,
    retryMaxMs: 10,
    refusedRetryMs: 30,
    ...options,
  });

const nameOf = (number: number): string =>
  segmentName({ epoch: 7, fromSeq: number - 1, toSeq: number, day: '1970-01-01' });
const fileOf = (number: number): string => join(folder, 'segments', 'metrics', nameOf(number));

/** Seals one batch as a shipment whose segment is a file of some bytes. */
async function seal(number: number): Promise<void> {
  await wal.append(metricsBatch([[1n, 1n, 1n]]));
  writeFileSync(fileOf(number), `segment ${number}`);
  const file = await hashFile(fileOf(number));
  const shared = {
    signal: 'metrics' as const,
    day: '1970-01-01',
    rows: 1,
    minTimestampUs: 1,
    maxTimestampUs: 1,
  };
  const key = segmentKeyOf(number);
  const manifest: ShipmentManifest1 = {
    ...{
      format: 1,
      tenant: 'demo',
      site: 'plant',
      gateway: 'gw',
      epoch: 7,
      number,
      sealedUs: 5,
      metadata: [],
    },
    ...{ fromSeq: number - 1, toSeq: number },
    segments: [{ ...shared, ...file, key, bounds: {}, columns: 'names' }],
  };
  const record = {
    ...shared,
    path: `segments/metrics/${nameOf(number)}`,
    bytes: file.bytes,
    shipment: number,
  };
  await wal.commitSeal({
    manifest,
    segments: [{ ...record, tier: 0, minName: null, maxName: null }],
    metadataVersions: [],
  });
  for (const listener of sealed) listener({ bytes: file.bytes });
}

const manifestKeyOf = (number: number): string =>
  `demo/inbox/gw/manifests/000000000007-${String(number).padStart(16, '0')}.json`;
const segmentKeyOf = (number: number): string => `demo/inbox/gw/segments/metrics/${nameOf(number)}`;

function states(): string[] {
  using reader = openWalReader(wal.path);
  return reader.shipments().map(({ state }) => state);
}

/** What must hold at every moment: a manifest that is stored names only objects that are stored, byte for byte. */
function checkStore(): void {
  const manifests = [...store.objects].filter(([key]) => key.includes('/manifests/'));
  const numbers = manifests
    .map(([key, text]) => parseManifest(text, key))
    .map((manifest) => {
      for (const { key, bytes } of manifest.segments) expect(store.objects.get(key)?.length).toBe(bytes);
      return manifest.number;
    });
  expect(numbers.toSorted((a, b) => a - b)).toEqual(numbers.map((_, index) => index + 1));
}

test('a backlog is shipped in order, each manifest after its segments, with exactly one put each', async () => {
  for (const number of [1, 2, 3]) await seal(number);
  await using shipper = start({ shipmentsInFlightMax: 2 });
  await expect.poll(states).toEqual(['shipped', 'shipped', 'shipped']);
  expect(store.puts).toEqual([
    ...[segmentKeyOf(1), segmentKeyOf(2), manifestKeyOf(1), manifestKeyOf(2)],
    ...[segmentKeyOf(3), manifestKeyOf(3)],
  ]);
  await expect
    .poll(() => shipper.status)
    .toMatchObject({ connected: true, backlogShipments: 0, backlogBytes: 0 });
  checkStore();
  using reader = openWalReader(wal.path);
  for (const { number, manifest } of reader.shipments())
    expect(store.objects.get(manifestKeyOf(number))).toBe(manifest);
});

test('a new seal is shipped at once', async () => {
  await using shipper = start({ retryMinMs: 60_000, retryMaxMs: 60_000 });
  await systemClock.sleep(20);
  await seal(1);
  expect(shipper.status).toMatchObject({ backlogShipments: 1, backlogBytes: 9 });
  await expect.poll(states).toEqual(['shipped']);
});

test('whatever put fails, before or after it was stored, in the end everything is there once', async () => {
  for (const number of [1, 2, 3, 4]) await seal(number);
  const failures = ['unavailable', 'after', undefined, 'after', 'unavailable'] as const;
  let broken: unknown;
  store.fail = (put, key) => {
    try {
      checkStore();
    } catch (error) {
      broken ??= error;
    }
    return put < 60 ? failures[(put * 7 + key.length) % failures.length] : undefined;
  };
  await using shipper = start();
  await expect.poll(states, { timeout: 10_000 }).toEqual(['shipped', 'shipped', 'shipped', 'shipped']);
  checkStore();
  expect(broken).toBeUndefined();
  expect(store.objects.size).toBe(8);
  await expect.poll(() => shipper.status.backlogBytes).toBe(0);
});

test('a shipper that dies between the manifest and its mark ships the same bytes again', async () => {
  await seal(1);
  const dying = start();
  store.fail = (_, key) => (key.includes('/manifests/') ? 'after' : undefined);
  await expect.poll(() => store.objects.size).toBe(2);
  await dying[Symbol.asyncDispose]();
  expect(states()).toEqual(['sealed']);
  const before = new Map(store.objects);
  store.fail = () => undefined;
  await using _ = start();
  await expect.poll(states).toEqual(['shipped']);
  expect(store.objects).toEqual(before);
});

test('a store that is away is logged once, and again when it is back', async () => {
  store.fail = () => 'unavailable';
  await using shipper = start();
  await seal(1);
  await expect.poll(() => store.puts.length).toBeGreaterThan(5);
  expect(shipper.status).toMatchObject({ connected: false, backlogShipments: 1, lastShippedUs: undefined });
  expect(shipper.status.lastError).toMatch(/unavailable at put/);
  store.fail = () => undefined;
  await expect.poll(states).toEqual(['shipped']);
  await expect.poll(() => shipper.status.lastError).toBeUndefined();
  expect(lines.map((line) => line.replace(/^\S+ /, '').split(' ')[0])).toEqual(['WARN', 'INFO']);
});

test.each(['denied', 'invalid'] as const)('%s is retried slowly', async (code) => {
  store.fail = () => code;
  await seal(1);
  await using shipper = start({ refusedRetryMs: 60_000 });
  await expect.poll(() => shipper.status.lastError).toMatch(code);
  await systemClock.sleep(60);
  expect(store.puts.length).toBe(1);
});

test('a put that hangs is given up after uploadTimeoutMs', async () => {
  store.fail = (put) => (put === 1 ? 'hang' : undefined);
  await seal(1);
  await using _ = start({ uploadTimeoutMs: 30 });
  await expect.poll(states).toEqual(['shipped']);
  expect(lines.join()).toMatch(/longer than 30 ms/);
});

test.each([
  ['gone', () => rmSync(fileOf(2))],
  ['longer', () => writeFileSync(fileOf(2), 'segment 2 and more')],
  ['of other bytes', () => writeFileSync(fileOf(2), 'segment X')],
])(
  'a segment whose file is %s is never named by a manifest, and does not hold up the others',
  async (_, harm) => {
    for (const number of [1, 2, 3]) await seal(number);
    harm();
    await using shipper = start({ shipmentsInFlightMax: 1 });
    await expect.poll(states).toEqual(['shipped', 'shipped', 'shipped']);
    checkStore();
    expect(parseManifest(store.objects.get(manifestKeyOf(2)) ?? '', '2').segments).toEqual([]);
    expect(store.objects.has(segmentKeyOf(2))).toBe(false);
    await expect.poll(() => shipper.status).toMatchObject({ lostSegments: 1, lostRows: 1, backlogBytes: 0 });
  },
);

test('disposing it stops a put that hangs', async () => {
  store.fail = () => 'hang';
  await seal(1);
  const shipper = start();
  await expect.poll(() => store.puts.length).toBe(1);
  await shipper[Symbol.asyncDispose]();
  expect(states()).toEqual(['sealed']);
});
