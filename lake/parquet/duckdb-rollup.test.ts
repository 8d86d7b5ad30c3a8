import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type MetricRow, metricsBatch, seriesOf } from '../../test/contract/rows.ts';
import { openDuckdb, sqlText } from '../sql/duckdb/engine.ts';
import { type RollupFiles, rollUpSegments } from './duckdb-rollup.ts';
import { openDuckdbWriter } from './duckdb-writer.ts';
import { openParquetjsWriter } from './parquetjs-writer.ts';
import type { SegmentFile, SegmentWriter } from './segment-writer.ts';

const folder = mkdtempSync(join(tmpdir(), 'firn-rollup-'));
let writer: SegmentWriter;
let reader: DuckDBInstance;
beforeAll(async () => {
  writer = await openDuckdbWriter();
  reader = await openDuckdb({ threads: '1' });
});
afterAll(async () => {
  await writer[Symbol.asyncDispose]();
  reader.closeSync();
  rmSync(folder, { recursive: true });
});

const stale = 0x7ff0000000000002n;
const plainNan = 0x7ff8000000000001n;
const bitsOf = (value: number): bigint => new BigInt64Array(new Float64Array([value]).buffer)[0] ?? 0n;
const numberOf = (bits: bigint): number => new Float64Array(new BigInt64Array([bits]).buffer)[0] ?? 0;
const minuteUs = 60_000_000n;
const noon = 1_699_963_200_000_000n;

let made = 0;
async function write(rows: readonly MetricRow[], using = writer): Promise<SegmentFile> {
  const name = ++made;
  const [file, other] = await using.write({
    signal: 'metrics',
    site: 'plant',
    batches: [metricsBatch(rows)],
    labelsOf: (ids) => new Map([...ids].map((id) => [id, seriesOf(id)])),
    pathOf: (day) => join(folder, `${name}-${day}.parquet`),
  });
  if (file === undefined || other !== undefined) throw new Error('the rows should be of one day');
  return file;
}

async function rollUp(
  files: readonly SegmentFile[],
  options: { keptShareMax?: number; rows?: number } = {},
): Promise<RollupFiles | undefined> {
  const name = ++made;
  return rollUpSegments({
    paths: files.map(({ path }) => path),
    rows: files.reduce((sum, { rows }) => sum + rows, 0),
    samplesPath: join(folder, `${name}-samples.parquet`),
    minutesPath: join(folder, `${name}-minutes.parquet`),
    keptShareMax: 1,
    writerMemoryBytesMax: 64 * 1024 * 1024,
    spillDirectory: folder,
    ...options,
  });
}

async function select(sql: string, path: string): Promise<unknown[][]> {
  const connection = await reader.connect();
  const result = await connection.runAndReadAll(`${sql} FROM read_parquet(${sqlText(path)})`);
  const rows = result.getRows();
  connection.closeSync();
  return rows;
}

/** What should be there, worked out sample by sample. */
function expected(rows: readonly MetricRow[]) {
  const groups = new Map<string, MetricRow[]>();
  for (const row of [...rows].sort((a, b) => (a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0))) {
    const key = `${row[0]} ${row[1] / minuteUs}`;
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  const kept: unknown[][] = [];
  const minutes: unknown[][] = [];
  for (const group of groups.values()) {
    const samples = group.filter(([, , bits]) => bits !== stale);
    const last = group.at(-1);
    const lastSample = samples.at(-1);
    for (const row of new Set([lastSample, last])) if (row !== undefined) kept.push([row[0], row[1], row[2]]);
    if (lastSample === undefined) continue;
    const values = samples.map(([, , bits]) => numberOf(bits));
    const real = values.filter((value) => !Number.isNaN(value));
    minutes.push([
      lastSample[0],
      (lastSample[1] / minuteUs) * minuteUs,
      real.length > 0 ? Math.min(...real) : Number.NaN,
      real.length > 0 ? Math.max(...real) : Number.NaN,
      values.reduce((sum, value) => sum + value, 0),
      BigInt(samples.length),
      lastSample[2],
    ]);
  }
  return { kept, minutes };
}

const inOrder = (rows: readonly unknown[][]): unknown[][] =>
  [...rows].sort((a, b) => {
    const [x, y] = [BigInt(String(a[0])), BigInt(String(b[0]))];
    const [t, u] = [BigInt(String(a[1])), BigInt(String(b[1]))];
    return x < y ? -1 : x > y ? 1 : t < u ? -1 : t > u ? 1 : 0;
  });

async function check(files: readonly SegmentFile[], rows: readonly MetricRow[]): Promise<void> {
  const rolled = await rollUp(files);
  const { kept, minutes } = expected(rows);
  if (minutes.length === 0) return expect(rolled).toBeUndefined();
  if (rolled === undefined) throw new Error('it was rolled up');
  const samples = await select(
    'SELECT series_id, epoch_us(timestamp), value::BIT::BIGINT',
    rolled.samples.path,
  );
  expect(inOrder(samples)).toEqual(inOrder(kept));
  const stored = await select(
    'SELECT series_id, epoch_us(timestamp), min, max, sum, count, last::BIT::BIGINT',
    rolled.minutes.path,
  );
  const found = inOrder(stored);
  for (const [index, row] of inOrder(minutes).entries()) {
    const [id, us, low, high, sum, count, last] = found[index] ?? [];
    expect([id, us, count, last]).toEqual([row[0], row[1], row[5], row[6]]);
    // Zeros of either sign are one smallest and one largest value.
    expect([Number(low) + 0, Number(high) + 0]).toEqual([Number(row[2]) + 0, Number(row[3]) + 0]);
    if (Number.isFinite(row[4])) expect(sum).toBeCloseTo(Number(row[4]), 6);
    else expect(sum).toEqual(row[4]);
  }
  expect(found).toHaveLength(minutes.length);
  const labels = await select('SELECT DISTINCT series_id, name, labels, site', rolled.minutes.path);
  for (const [id, name, text, site] of labels) {
    expect(text).toBe(seriesOf(BigInt(String(id))));
    expect(name).toBe((JSON.parse(String(text)) as { __name__: string }).__name__);
    expect(site).toBe('plant');
  }
  expect(rolled.samples).toMatchObject({ rows: kept.length, day: files[0]?.day });
  expect(rolled.minutes).toMatchObject({ rows: minutes.length, day: files[0]?.day });
}

const specials = [0, -0, 1, -2.5, 1e9, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].map(bitsOf);
const bits = fc.oneof(
  fc.constantFrom(stale, plainNan, ...specials),
  fc.double({ min: -1e6, max: 1e6, noNaN: true }).map(bitsOf),
);
/** Times differ, as samples of one series do; the last is the last. */
const samples = fc
  .uniqueArray(fc.tuple(fc.bigInt({ min: 1n, max: 3n }), fc.bigInt({ min: 0n, max: 240n }), bits), {
    selector: ([id, second]) => `${id} ${second}`,
    minLength: 1,
    maxLength: 80,
  })
  .map((rows) => rows.map(([id, second, value]): MetricRow => [id, noon + second * 1_000_000n, value]));

test('whatever samples there are: last, min, max, sum and count of each minute', {
  timeout: 120_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(samples, { minLength: 1, maxLength: 3 }), async (parts) => {
      const seen = new Set<string>();
      const rows = parts.flat().filter(([id, us]) => {
        const key = `${id} ${us}`;
        return !seen.has(key) && Boolean(seen.add(key));
      });
      const half = Math.ceil(rows.length / 2);
      const files = await Promise.all(
        [rows.slice(0, half), rows.slice(half)].filter((part) => part.length > 0).map((part) => write(part)),
      );
      await check(files, rows);
    }),
    { numRuns: 15 },
  );
});

test('a series that ends within a minute ends there still; one that goes on has no marker', async () => {
  const second = 1_000_000n;
  const rows: MetricRow[] = [
    [1n, noon, bitsOf(1)],
    [1n, noon + 10n * second, bitsOf(2)],
    [1n, noon + 20n * second, stale],
    [2n, noon, bitsOf(3)],
    [2n, noon + 10n * second, stale],
    [2n, noon + 20n * second, bitsOf(4)],
  ];
  const rolled = await rollUp([await write(rows)]);
  const kept = await select('SELECT series_id, value::BIT::BIGINT', rolled?.samples.path ?? '');
  expect(kept.sort()).toEqual(
    [
      [1n, bitsOf(2)],
      [1n, stale],
      [2n, bitsOf(4)],
    ].sort(),
  );
});

test('of two samples of one moment the one that came later stays', async () => {
  const files = [await write([[1n, noon, bitsOf(1)]]), await write([[1n, noon, bitsOf(2)]])];
  const rolled = await rollUp(files);
  expect(await select('SELECT value', rolled?.samples.path ?? '')).toEqual([[2]]);
});

test('what a device said about its time is kept with the sample', async () => {
  const rolled = await rollUp([await write([[1n, noon, bitsOf(1), 'device-past', 5n]])]);
  expect(await select('SELECT quality, epoch_us(device_timestamp)', rolled?.samples.path ?? '')).toEqual([
    ['device-past', 5n],
  ]);
});

test('native histograms stay as they are, beside the samples of their minute', async () => {
  const rows: MetricRow[] = [
    [1n, noon, bitsOf(1)],
    [1n, noon + 1n, plainNan, null, null, '{"schema":0}', 7n],
    [1n, noon + 2n, bitsOf(2)],
    [2n, noon + 3n, stale, null, null, '{"schema":1}'],
  ];
  const rolled = await rollUp([await write(rows)]);
  expect(
    await select('SELECT series_id, value, histogram, epoch_us(start_timestamp)', rolled?.samples.path ?? ''),
  ).toEqual([
    [1n, Number.NaN, '{"schema":0}', 7n],
    [1n, 2, null, null],
    [2n, Number.NaN, '{"schema":1}', null],
  ]);
  expect(await select('SELECT series_id, count, last', rolled?.minutes.path ?? '')).toEqual([[1n, 2n, 2]]);
});

test('files of the other writer are rolled up too', async () => {
  await using other = await openParquetjsWriter({});
  const rows = Array.from(
    { length: 30 },
    (_, index): MetricRow => [1n, noon + BigInt(index) * 7_000_000n, bitsOf(index)],
  );
  await check([await write(rows, other)], rows);
});

test('what would hardly become less is left as it is, and nothing is written', async () => {
  const rows = Array.from(
    { length: 10 },
    (_, index): MetricRow => [1n, noon + BigInt(index) * minuteUs, bitsOf(index)],
  );
  const file = await write(rows);
  const before = readdirSync(folder).length;
  expect(await rollUp([file], { keptShareMax: 0.7 })).toBeUndefined();
  expect(readdirSync(folder)).toHaveLength(before);
});

test('files that hold other rows than they should are refused', async () => {
  await expect(rollUp([await write([[1n, noon, bitsOf(1)]])], { rows: 2 })).rejects.toMatchObject({
    code: 'corrupt',
  });
});

test('a million samples of 200 series, one a second, in 64 MiB of memory', { timeout: 120_000 }, async () => {
  const rows = 1_000_000;
  const seriesId = BigInt64Array.from({ length: rows }, (_, index) => BigInt(index % 200));
  const timestampUs = BigInt64Array.from(
    { length: rows },
    (_, index) => noon + BigInt(Math.floor(index / 200)) * 1_000_000n,
  );
  const value = Float64Array.from({ length: rows }, (_, index) => (index * 7919) % 1000);
  const [file] = await writer.write({
    signal: 'metrics',
    site: 'plant',
    batches: [{ signal: 'metrics', rows, seriesId, timestampUs, value, series: [], metadata: [] }],
    labelsOf: (ids) => new Map([...ids].map((id) => [id, seriesOf(id)])),
    pathOf: (day) => join(folder, `large-${day}.parquet`),
  });
  if (file === undefined) throw new Error('no file');
  const rolled = await rollUp([file]);
  expect(rolled?.samples.rows).toBe(rolled?.minutes.rows);
  expect(rolled?.minutes.rows).toBe(200 * 84);
  expect((rolled?.samples.bytes ?? 0) + (rolled?.minutes.bytes ?? 0)).toBeLessThan(file.bytes / 5);
});
