import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { type ErrorCode, FirnError } from '../../lake/base/errors.ts';
import { createLogger } from '../../lake/base/log.ts';
import { gatewayId, siteId, tenantId } from '../../lake/model/ids.ts';
import { receiptKey } from '../../lake/model/keys.ts';
import { parseManifest } from '../../lake/model/manifest.ts';
import { printReceipt } from '../../lake/model/receipt.ts';
import type { StreamClass } from '../../lake/model/stream-class.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { hashFile } from '../../lake/parquet/durable-file.ts';
import { metricsBatch } from '../../test/contract/rows.ts';
import { createSegmentClaims, type SegmentClaims } from '../seal/segment-claims.ts';
import { decodeBatch } from '../wal/batch-codec.ts';
import { openWal } from '../wal/open-wal.ts';
import { openWalReader } from '../wal/reader.ts';
import type { Wal } from '../wal/wal.ts';
import { createLink, type LinkSettings } from './link.ts';
import { type Shipper, type ShipperOptions, startShipper } from './shipper.ts';

const identity = { tenant: tenantId('demo'), site: siteId('plant'), gateway: gatewayId('gw') };
const freeLink: LinkSettings = {
  ...{ windows: [], bytesPerSecondMax: 0, bytesPerDayMax: 0, metered: false, meteredIntervalMs: 1000 },
};

let folder: string;
let wal: Wal;
let store: FlakyStore;
let lines: string[];
let sealed: Set<() => void>;
let claims: SegmentClaims;
let sealedTo: number;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'firn-ship-'));
  mkdirSync(join(folder, 'segments', 'metrics'), { recursive: true });
  wal = await openWal({ path: join(folder, 'wal.db'), clock: systemClock, commitIntervalMs: 0, newEpoch: 7 });
  store = createFlakyStore();
  lines = [];
  sealed = new Set();
  claims = createSegmentClaims();
  sealedTo = 0;
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
  /** Whether files wait for their pace. */
  pace: boolean;
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
    throw new Error('a shipper only puts, and reads its receipt');
  };
  const flaky: FlakyStore = {
    objects,
    puts,
    fail: () => undefined,
    pace: false,
    description: 'flaky',
    put: (key, body, options) => put(key, body, options?.signal),
    putFile: async (key, path, options) => {
      const body = readFileSync(path);
      const progress = { sentBytes: 0, totalBytes: body.byteLength };
      if (flaky.pace) await options?.pace?.(body.byteLength, options.signal, progress);
      return put(key, body, options?.signal);
    },
    putIfAbsent: async (key, body, options) => {
      if (objects.has(key)) throw error('conflict');
      return put(key, body, options?.signal);
    },
    putIfMatch: unused,
    get: async (key) => {
      const text = objects.get(key);
      if (text === undefined) throw error('not-found');
      return { key, etag: '1', sizeBytes: text.length, body: Buffer.from(text, 'latin1') };
    },
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
    ...identity,
    wal,
    store,
    claims,
    dataDir: folder,
    link: createLink(freeLink, systemClock, undefined),
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
    receiptIntervalMs: 5,
    ...options,
  });

const pathOf = (number: number): string => `segments/metrics/${number}.parquet`;
const fileOf = (number: number): string => join(folder, pathOf(number));
const segmentKeyOf = (number: number): string => `demo/inbox/gw/segments/metrics/${number}.parquet`;
const manifestKeyOf = (number: number, epoch = 7): string =>
  `demo/inbox/gw/manifests/${String(epoch).padStart(12, '0')}-${String(number).padStart(16, '0')}.json`;

/** Seals one batch as a segment whose file holds some bytes; `ageMs` ago. */
async function seal(number: number, ageMs = 0, streamClass: StreamClass = 'metrics'): Promise<void> {
  await wal.append(metricsBatch([[1n, 1n, 1n]]));
  writeFileSync(fileOf(number), `segment ${number}`);
  const { bytes, sha256 } = await hashFile(fileOf(number));
  const shared = {
    ...({ signal: 'metrics', class: streamClass, day: '1970-01-01', clock: 'trusted' } as const),
    ...{ rows: 1, bytes, minTimestampUs: number, maxTimestampUs: number },
  };
  const nowUs = Date.now() * 1000 - ageMs * 1000;
  const toSeq = sealedTo + 1;
  const segment = {
    ...{ ...shared, path: pathOf(number), tier: 0, epoch: 7, fromSeq: sealedTo, toSeq },
    ...{ minName: null, maxName: null, minReceivedUs: nowUs, maxReceivedUs: nowUs, sealedUs: nowUs },
    manifest: { ...shared, sha256, key: segmentKeyOf(number), bounds: {}, columns: 'names' as const },
    committed: false,
  };
  await wal.commitSeal({ fromSeq: sealedTo, toSeq, segments: [segment] });
  sealedTo = toSeq;
  for (const listener of sealed) listener();
}

function states(): string[] {
  using reader = openWalReader(wal.path);
  return reader.shipments().map(({ state }) => state);
}

/** Numbers of segments in each manifest that is stored, in order of the manifests. */
const shippedSegments = (epoch = 7): number[][] =>
  [...store.objects]
    .filter(([key]) => key.startsWith(manifestKeyOf(0, epoch).slice(0, -21)))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, text]) =>
      parseManifest(text, key).segments.map((segment) => Number(/(\d+)\.parquet/.exec(segment.key)?.[1])),
    );
const shippedInAll = (): number[] =>
  shippedSegments()
    .flat()
    .sort((a, b) => a - b);

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

test('each manifest comes after its segments; every object is put once', async () => {
  for (const number of [1, 2, 3]) await seal(number);
  await using shipper = start();
  await expect.poll(shippedInAll).toEqual([1, 2, 3]);
  checkStore();
  expect(new Set(store.puts).size).toBe(store.puts.length);
  await expect
    .poll(() => shipper.status)
    .toMatchObject({ connected: true, backlog: { segments: 0, bytes: 0 } });
  using reader = openWalReader(wal.path);
  for (const { number, manifest } of reader.shipments())
    expect(store.objects.get(manifestKeyOf(number))).toBe(manifest);
});

test('alarms go first, then the newest, then the backlog, each from new to old', async () => {
  const [alarms, newest, backlog] = [
    [1, 2, 3, 4, 5],
    [6, 7, 8, 9],
    [10, 11, 12],
  ];
  for (const number of backlog) await seal(number, 500_000 - number * 1000);
  for (const number of newest) await seal(number, 10_000 - number * 1000);
  for (const number of alarms) await seal(number, 500_000 - number * 1000, 'alarms');
  await using _ = start();
  await expect.poll(shippedInAll).toEqual([...alarms, ...newest, ...backlog]);
  const order = store.puts.flatMap((key) => Number(/metrics\/(\d+)/.exec(key)?.[1]) || []);
  const at = (numbers: readonly number[]): number[] => numbers.map((number) => order.indexOf(number));
  // As many as may be under way at once begin together, and may overtake each other.
  expect(order.slice(0, 4).sort()).toEqual([2, 3, 4, 5]);
  expect(Math.max(...at(alarms))).toBeLessThan(Math.min(...at(backlog)));
  expect(Math.min(...at(newest))).toBeLessThan(Math.min(...at(backlog)));
  expect(order.indexOf(12)).toBeLessThan(order.indexOf(10));
});

test('a backlog file that takes long does not hold up what is new', async () => {
  await seal(1, 500_000);
  await seal(2, 500_000);
  store.fail = (_, key) => (key === segmentKeyOf(1) || key === segmentKeyOf(2) ? 'hang' : undefined);
  await using shipper = start();
  await expect.poll(() => store.puts.length).toBe(2);
  for (const number of [3, 4, 5]) {
    await seal(number);
    await expect.poll(shippedInAll).toContain(number);
  }
  expect(shipper.status.backlog).toMatchObject({ segments: 2 });
  const text = store.objects.get(manifestKeyOf(shippedSegments().length)) ?? '';
  const { metrics } = parseManifest(text, 'newest').progress;
  expect(metrics?.pending).toEqual([1, 2].map((us) => ({ fromUs: us, toUs: us, rows: 1, bytes: 9 })));
  expect(metrics?.watermarkUs).toBeLessThan(Date.now() * 1000 - 400_000_000);
  expect(metrics?.headUs).toBeGreaterThan(Date.now() * 1000 - 60_000_000);
});

test('a new seal is shipped at once', async () => {
  await using shipper = start({ retryMinMs: 60_000, retryMaxMs: 60_000 });
  await systemClock.sleep(20);
  await seal(1);
  await expect.poll(states).toEqual(['shipped']);
  // The log knows it before the shipper hears of it.
  await expect.poll(() => shipper.status.shipments).toBe(1);
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
  await expect.poll(() => shipper.status.backlog.segments, { timeout: 10_000 }).toBe(0);
  checkStore();
  expect(broken).toBeUndefined();
  expect(shippedInAll()).toEqual([1, 2, 3, 4]);
});

test('a shipper that dies between the manifest and its mark ships the same bytes again', async () => {
  await seal(1);
  const dying = start({ retryMinMs: 60_000, retryMaxMs: 60_000 });
  store.fail = (_, key) => (key.includes('/manifests/') ? 'after' : undefined);
  await expect.poll(() => store.objects.size).toBe(2);
  await dying[Symbol.asyncDispose]();
  expect(states()).toEqual(['composed']);
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
  expect(shipper.status).toMatchObject({
    connected: false,
    backlog: { segments: 1 },
    lastShippedUs: undefined,
  });
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
  expect(lines.join()).toMatch(/longer than 32 ms/);
});

test.each([
  ['gone', () => rmSync(fileOf(2))],
  ['longer', () => writeFileSync(fileOf(2), 'segment 2 and more')],
  ['of other bytes', () => writeFileSync(fileOf(2), 'segment X')],
])(
  'a segment whose file is %s is never named by a manifest, does not hold up the others, and becomes a gap',
  async (_, harm) => {
    for (const number of [1, 2, 3]) await seal(number);
    harm();
    await using shipper = start();
    await expect.poll(shippedInAll).toEqual([1, 3]);
    await expect
      .poll(() => shipper.status)
      .toMatchObject({ lostSegments: 1, lostRows: 1, backlog: { bytes: 0 } });
    checkStore();
    expect(store.objects.has(segmentKeyOf(2))).toBe(false);
    using reader = openWalReader(wal.path);
    const tail = [...reader.tail('gaps', 0, reader.lastSeq())].map(({ payload }) =>
      decodeBatch('gaps', payload),
    );
    expect(tail).toMatchObject([{ ofSignal: ['metrics'], reason: ['segment-damaged'], rowsMissing: [1n] }]);
  },
);

test('a damaged file of a composed shipment is left out of it', async () => {
  for (const number of [1, 2]) await seal(number);
  await wal.compose({ identity, composedUs: 1, progress: {}, paths: [pathOf(1), pathOf(2)] });
  rmSync(fileOf(1));
  await using _ = start();
  await expect.poll(() => shippedSegments()[0]).toEqual([2]);
  checkStore();
});

test('disposing it stops a put that hangs', async () => {
  store.fail = () => 'hang';
  await seal(1);
  const shipper = start();
  await expect.poll(() => store.puts.length).toBe(1);
  await shipper[Symbol.asyncDispose]();
  expect(states()).toEqual([]);
});

/** What the cloud says about (epoch, number). */
function putReceipt(number: number, changes: object = {}): void {
  const manifest = store.objects.get(manifestKeyOf(number)) ?? '';
  const manifestSha256 = createHash('sha256').update(manifest).digest('hex');
  const receipt = { format: 1, tenant: 'demo', gateway: 'gw', epoch: 7, number, manifestSha256 } as const;
  const text = printReceipt({
    ...receipt,
    committedUs: 5,
    cloudUs: 6,
    progress: {},
    refused: [],
    ...changes,
  });
  store.objects.set(receiptKey(identity.tenant, identity.gateway), text);
}

const committed = (): string[] => {
  using reader = openWalReader(wal.path);
  return reader.segments('metrics').flatMap((segment) => (segment.committed ? [segment.path] : []));
};

test('a receipt frees the local files, and what the cloud refused stays, with a gap', async () => {
  await using shipper = start();
  await seal(1);
  await expect.poll(() => shippedSegments()).toEqual([[1]]);
  await systemClock.sleep(30);
  expect(committed()).toEqual([]);
  putReceipt(1);
  await expect.poll(committed).toEqual([pathOf(1)]);
  await expect.poll(() => shipper.status.receipt).toMatchObject({ epoch: 7, number: 1, committedUs: 5 });
  await seal(2);
  await expect.poll(() => shippedSegments()).toEqual([[1], [2]]);
  putReceipt(2, { refused: [{ epoch: 7, number: 2, key: manifestKeyOf(2), reason: 'wrong site' }] });
  await expect.poll(() => lines.join()).toMatch(/refused a shipment.*wrong site/);
  expect(committed()).toEqual([pathOf(1)]);
  await expect.poll(states).toEqual([]);
});

test.each([
  ['of a newer epoch', 10, { epoch: 9 }],
  ['of a manifest that is not ours', 8, { manifestSha256: 'b'.repeat(64) }],
] as const)(
  'a receipt %s: somebody else ships as us, and everything without a receipt goes again',
  async (_, next, changes) => {
    await using _shipper = start();
    await seal(1);
    await expect.poll(() => shippedSegments()).toEqual([[1]]);
    putReceipt(1, changes);
    await expect.poll(() => shippedSegments(next)).toEqual([[1]]);
    expect(wal.epoch).toBe(next);
    expect(lines.join()).toMatch(/another gateway ships under this identity/);
  },
);

test('a number that somebody else has used: a new epoch, and everything goes again', async () => {
  store.objects.set(manifestKeyOf(1), 'not ours');
  await seal(1);
  await using _ = start();
  await expect.poll(() => shippedSegments(8)).toEqual([[1]]);
  expect(store.objects.get(manifestKeyOf(1))).toBe('not ours');
  expect(lines.join()).toMatch(/another gateway ships under this identity/);
});

test('outside its windows only alarms are shipped', async () => {
  const link = createLink(
    { ...freeLink, windows: ['0 0 1 1 *'] },
    { ...systemClock, nowMs: () => 1e12 },
    undefined,
  );
  await seal(1);
  await seal(2, 0, 'alarms');
  await using _ = start({ link });
  await expect.poll(shippedInAll).toEqual([2]);
  await systemClock.sleep(50);
  expect(shippedInAll()).toEqual([2]);
});

test('a metered link is used in rounds, and what waits is made few files first', async () => {
  const link = createLink({ ...freeLink, metered: true, meteredIntervalMs: 2000 }, systemClock, undefined);
  const asked: number[] = [];
  await using _ = start({ link, consolidate: async (filesMin) => void asked.push(filesMin) });
  for (const number of [1, 2, 3]) await seal(number);
  await systemClock.sleep(100);
  expect(store.puts).toEqual([]);
  await expect.poll(shippedInAll, { timeout: 20_000 }).toEqual([1, 2, 3]);
  expect(asked).toEqual([2]);
});

test('waiting for the budget of the link is not held against the store', async () => {
  const paced: number[] = [];
  const free = createLink(freeLink, systemClock, undefined);
  const pace =
    () =>
    async (bytes: number): Promise<void> => {
      paced.push(bytes);
      await systemClock.sleep(300);
    };
  store.pace = true;
  await seal(1);
  await using shipper = start({ link: { ...free, pace, spent: free.spent }, uploadTimeoutMs: 100 });
  await expect.poll(shippedInAll).toEqual([1]);
  expect(paced).toEqual([9]);
  expect(shipper.status.lastError).toBeUndefined();
  expect(lines).toEqual([]);
});

test('a stream of new files without end does not keep what is uploaded from being shipped', async () => {
  store.pace = true;
  const free = createLink(freeLink, systemClock, undefined);
  // So slow that there is always one under way.
  const pace = () => () => systemClock.sleep(120);
  await using _ = start({ link: { ...free, pace, spent: free.spent } });
  for (let number = 1; shippedInAll().length === 0; number++) {
    expect(number).toBeLessThan(60);
    await seal(number);
    await systemClock.sleep(60);
  }
});
