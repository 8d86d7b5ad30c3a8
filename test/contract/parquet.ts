import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import type { DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Batch, Signal } from '../../lake/model/batch.ts';
import { hashFile } from '../../lake/parquet/durable-file.ts';
import type { SegmentFile, SegmentWriter } from '../../lake/parquet/segment-writer.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { openDuckdb, sqlText } from '../../lake/sql/duckdb/engine.ts';
import {
  type EventRow,
  type ExemplarRow,
  eventsBatch,
  exemplarLabels,
  exemplarsBatch,
  type GapRow,
  gapsBatch,
  type LogRow,
  logsBatch,
  type MetricRow,
  metricsBatch,
  type RollupRow,
  rollupBits,
  rollupsBatch,
  type SpanRow,
  seriesOf,
  spansBatch,
} from './rows.ts';

// What every SegmentWriter must do. Files are read back with hyparquet, which shares no code with either writer; and
// the bits of values with DuckDB, because hyparquet passes them through JavaScript arrays, which make NaNs quiet.

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'firn-parquet-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const day = 86_400_000_000n;
const noon = 20_000n * day + day / 2n;
const staleNan = 0x7ff0000000000002n;
const plainNan = 0x7ff8000000000001n;
const zero = 0n;
const minusZero = -(2n ** 63n);
const one = 0x3ff0000000000000n;

interface StoredRow {
  readonly [column: string]: unknown;
}

/** `manyRows`: enough for several row groups. */
export function segmentWriterContract(
  name: string,
  open: () => Promise<SegmentWriter>,
  manyRows = 150_000,
): void {
  let writer: SegmentWriter;
  let duckdb: DuckDBInstance;
  beforeAll(async () => {
    writer = await open();
    duckdb = await openDuckdb({ threads: '1' });
  });
  afterAll(async () => {
    await writer[Symbol.asyncDispose]();
    duckdb.closeSync();
  });

  const write = (batches: Parameters<SegmentWriter['write']>[0]['batches'], signal: Signal) =>
    writer.write({
      signal,
      site: 'plant',
      batches,
      labelsOf: (ids) => new Map([...ids].map((id) => [id, seriesOf(id)])),
      pathOf: (text) => join(folder, `${text}.parquet`),
    });
  const writeMetrics = (...batches: MetricRow[][]) => write(batches.map(metricsBatch), 'metrics');
  const writeLogs = (...batches: LogRow[][]) => write(batches.map(logsBatch), 'logs');

  /** What the files hold, in their order, and that their summaries are true. */
  async function storedIn(files: readonly SegmentFile[], signal: Signal): Promise<string[]> {
    const stored: string[] = [];
    for (const file of files) {
      const rows = await readRows(file, signal);
      await checkSummary(file, signal, rows);
      stored.push(...rows.map((row) => textOf(signal, row)));
    }
    return stored;
  }

  test(`${name}: metrics come back bit for bit, sorted, ties in order of arrival`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(metricRows, { maxLength: 4 }), async (batches) => {
        const files = await writeMetrics(...batches);
        expect(await storedIn(files, 'metrics')).toEqual(expectedMetrics(batches.flat()));
      }),
      { numRuns: 30 },
    );
  });

  test(`${name}: logs come back with every text and null, sorted by nanosecond`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(logRows, { maxLength: 4 }), async (batches) => {
        const files = await writeLogs(...batches);
        expect(await storedIn(files, 'logs')).toEqual(expectedLogs(batches.flat()));
      }),
      { numRuns: 30 },
    );
  });

  test(`${name}: spans come back with every text and null, sorted by service and start`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(spanRows, { maxLength: 3 }), async (batches) => {
        const files = await write(batches.map(spansBatch), 'spans');
        expect(await storedIn(files, 'spans')).toEqual(expectedSpans(batches.flat()));
      }),
      { numRuns: 20 },
    );
  });

  test(`${name}: events come back with every text and null, sorted by name and time`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(eventRows, { maxLength: 3 }), async (batches) => {
        const files = await write(batches.map(eventsBatch), 'events');
        expect(await storedIn(files, 'events')).toEqual(expectedEvents(batches.flat()));
      }),
      { numRuns: 20 },
    );
  });

  test(`${name}: rollups come back bit for bit, sorted like metrics`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(rollupRows, { maxLength: 3 }), async (batches) => {
        const files = await write(batches.map(rollupsBatch), 'metrics_1m');
        expect(await storedIn(files, 'metrics_1m')).toEqual(expectedRollups(batches.flat()));
      }),
      { numRuns: 20 },
    );
  });

  test(`${name}: gaps come back with every text and null, sorted by their start`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(gapRows, { maxLength: 3 }), async (batches) => {
        const files = await write(batches.map(gapsBatch), 'gaps');
        expect(await storedIn(files, 'gaps')).toEqual(expectedGaps(batches.flat()));
      }),
      { numRuns: 20 },
    );
  });

  test(`${name}: exemplars come back bit for bit, sorted like metrics`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(exemplarRows, { maxLength: 3 }), async (batches) => {
        const files = await write(batches.map(exemplarsBatch), 'exemplars');
        expect(await storedIn(files, 'exemplars')).toEqual(expectedExemplars(batches.flat()));
      }),
      { numRuns: 20 },
    );
  });

  test(`${name}: columns have the names, types and field ids of the schema`, async () => {
    const [metrics] = await writeMetrics([[1n, noon, one]]);
    if (metrics === undefined) throw new Error('no file');
    expect(columnsOf(metrics)).toEqual([
      ['name', 1, 'BYTE_ARRAY', 'UTF8', undefined],
      ['series_id', 2, 'INT64', undefined, undefined],
      ['timestamp', 3, 'INT64', 'TIMESTAMP_MICROS', true],
      ['value', 4, 'DOUBLE', undefined, undefined],
      ['labels', 5, 'BYTE_ARRAY', 'UTF8', undefined],
      ['site', 6, 'BYTE_ARRAY', 'UTF8', undefined],
      ['quality', 7, 'BYTE_ARRAY', 'UTF8', undefined],
      ['device_timestamp', 8, 'INT64', 'TIMESTAMP_MICROS', true],
      ['histogram', 9, 'BYTE_ARRAY', 'UTF8', undefined],
      ['start_timestamp', 10, 'INT64', 'TIMESTAMP_MICROS', true],
    ]);
    const others: readonly Batch[] = [
      logsBatch([[1n, noon * 1000n, 'x', null, null]]),
      rollupsBatch([[1n, noon, one, 1n]]),
      gapsBatch([[noon, noon, 'test', null, null]]),
      exemplarsBatch([[1n, noon, one, null]]),
    ];
    for (const batch of others) {
      const [file] = await write([batch], batch.signal);
      if (file === undefined) throw new Error('no file');
      expect(columnsOf(file).map(([column, id]) => [column, id])).toEqual(
        tableSchemas[batch.signal].columns.map((column) => [column.name, column.fieldId]),
      );
    }
  });

  test(`${name}: a stale marker stays one among other NaNs, also when values repeat`, async () => {
    const bits = [plainNan, staleNan, zero, minusZero, one];
    const rows = Array.from(
      { length: 5000 },
      (_, index): MetricRow => [1n, noon + BigInt(index), bits[index % 5] ?? 0n],
    );
    const [file] = await writeMetrics(rows);
    if (file === undefined) throw new Error('no file');
    const stored = await readRows(file, 'metrics');
    expect(stored.map((row) => row.value)).toEqual(rows.map(([, , value]) => value));
  });

  test(`${name}: ${manyRows} rows of 300 series keep their order over row groups and pages`, async () => {
    const rows = Array.from(
      { length: manyRows },
      (_, index): MetricRow => [BigInt(index % 300), noon + BigInt((index * 7919) % manyRows), BigInt(index)],
    );
    const [file] = await writeMetrics(rows);
    if (file === undefined) throw new Error('no file');
    const stored = await readRows(file, 'metrics');
    expect(stored.length).toBe(rows.length);
    expect(stored.map((row) => textOf('metrics', row))).toEqual(expectedMetrics(rows));
  });

  test(`${name}: the same rows make the same bytes, over whatever a crash left behind`, async () => {
    const rows: MetricRow[] = [1n, 2n, 3n, 1n].map((id, index) => [id, noon, BigInt(index)]);
    const first = await writeMetrics(rows.slice(0, 2), rows.slice(2));
    const path = first[0]?.path ?? '';
    writeFileSync(path, 'half a fi');
    writeFileSync(`${path}.tmp`, 'x'.repeat(100_000));
    const second = await writeMetrics(rows.slice(0, 2), rows.slice(2));
    expect(second).toEqual(first);
    expect(await hashFile(path)).toEqual({ bytes: first[0]?.bytes, sha256: first[0]?.sha256 });
    expect(readdirSync(folder)).toEqual([basename(path)]);
  });

  test(`${name}: one file for each UTC day, also before 1970`, async () => {
    const files = await writeMetrics([
      [1n, -1n, one],
      [1n, 0n, one],
      [1n, day - 1n, one],
      [1n, day, one],
      [1n, -day, one],
    ]);
    expect(files.map(({ day: text, rows }) => [text, rows])).toEqual([
      ['1969-12-31', 2],
      ['1970-01-01', 2],
      ['1970-01-02', 1],
    ]);
    const logs = await writeLogs([[1n, -1n, 'just before', null, null]]);
    expect(logs.map(({ day: text, maxTimestampUs }) => [text, maxTimestampUs])).toEqual([['1969-12-31', -1]]);
  });

  test(`${name}: no rows make no file; an id without labels is corrupt`, async () => {
    expect(await writeMetrics([])).toEqual([]);
    const write = writer.write({
      signal: 'metrics',
      site: 'plant',
      batches: [metricsBatch([[404n, noon, one]])],
      labelsOf: () => new Map(),
      pathOf: (text) => join(folder, `${text}.parquet`),
    });
    await expect(write).rejects.toMatchObject({ code: 'corrupt', subject: 'labels' });
    expect(readdirSync(folder)).toEqual([]);
  });

  /** Timestamps as microseconds, doubles as their bits. */
  async function readRows(segment: SegmentFile, signal: Signal): Promise<StoredRow[]> {
    const bytes = readFileSync(segment.path);
    const rows = await parquetReadObjects({
      file: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
      compressors: { ZSTD: (input) => zstdDecompressSync(input) },
      parsers: { timestampFromMicroseconds: (value: bigint) => value } as never,
    });
    const doubles = tableSchemas[signal].columns.filter(({ type }) => type === 'double');
    if (doubles.length === 0) return rows;
    const connection = await duckdb.connect();
    try {
      const bits = doubles.map(({ name: column }) => `"${column}"::BIT::BIGINT AS "${column}"`);
      const sql = `SELECT ${bits.join(', ')} FROM read_parquet(${sqlText(segment.path)})`;
      const found = (await connection.runAndReadAll(sql)).getRowObjects();
      return rows.map((row, index) => ({ ...row, ...found[index] }));
    } finally {
      connection.closeSync();
    }
  }

  async function checkSummary(file: SegmentFile, signal: Signal, rows: readonly StoredRow[]): Promise<void> {
    expect(await hashFile(file.path)).toEqual({ bytes: file.bytes, sha256: file.sha256 });
    expect(file.rows).toBe(rows.length);
    for (const column of tableSchemas[signal].boundColumns) {
      const values = rows.map((row) => row[column]);
      const sorted = values.toSorted((a, b) => compareStored(a, b)).map(String);
      expect([column, file.bounds[column]]).toEqual([
        column,
        { nulls: 0, min: sorted[0], max: sorted.at(-1) },
      ]);
    }
    const { min, max } = file.bounds.timestamp ?? {};
    expect([file.minTimestampUs, file.maxTimestampUs]).toEqual([Number(min), Number(max)]);
    const days = new Set(
      rows.map(({ timestamp }) => Number(timestamp as bigint) / Number(day)).map(Math.floor),
    );
    expect([...days].map((number) => new Date(number * 86_400_000).toISOString().slice(0, 10))).toEqual([
      file.day,
    ]);
  }
}

// 8 series under 3 names, times in two days that often coincide, values that a dictionary would mix up.
const someSeries = fc.bigInt({ min: 0n, max: 7n });
const someTime = fc.bigInt({ min: 0n, max: 5n }).map((step) => noon + (step * day) / 4n);
const someBits = fc.oneof(
  fc.constantFrom(staleNan, plainNan, zero, minusZero, one),
  fc.bigInt({ min: 0n, max: 2n ** 62n }),
);
/** Mostly absent, so that whole batches and files have none. */
const someQuality = fc.option(fc.constantFrom('device-past', 'device-future'), { nil: null, freq: 1 });
const someDevice = fc.option(
  fc.bigInt({ min: -9_000_000_000_000_000_000n, max: 9_000_000_000_000_000_000n }),
  {
    nil: null,
    freq: 1,
  },
);
const someHistogram = fc.option(fc.constantFrom('{"schema":0}', '{"schema":3,"count":7}'), { nil: null });
const metricRows: fc.Arbitrary<MetricRow[]> = fc.oneof(
  fc.array(fc.tuple(someSeries, someTime, someBits), { maxLength: 40 }),
  fc.array(fc.tuple(someSeries, someTime, someBits, someQuality, someDevice), { maxLength: 40 }),
  fc.array(fc.tuple(someSeries, someTime, someBits, someQuality, someDevice, someHistogram, someDevice), {
    maxLength: 40,
  }),
);
const exemplarRows: fc.Arbitrary<ExemplarRow[]> = fc.array(
  fc.tuple(someSeries, someTime, someBits, fc.option(fc.constantFrom('ab', 'cd'), { nil: null })),
  { maxLength: 40 },
);
const rollupRows: fc.Arbitrary<RollupRow[]> = fc.array(
  fc.tuple(someSeries, someTime, someBits, fc.bigInt({ min: 0n, max: 60n })),
  { maxLength: 40 },
);
const someText = fc.oneof(
  fc.constantFrom('', 'a', 'NUL \0 inside', '∅ \u{1f600} ü'),
  fc.string({ unit: 'grapheme' }),
);
const logRows: fc.Arbitrary<LogRow[]> = fc.array(
  fc.tuple(
    fc.bigInt({ min: 0n, max: 7n }),
    fc.bigInt({ min: -3n, max: 3000n }).map((step) => step),
    someText,
    fc.option(someText, { nil: null }),
    fc.option(someText, { nil: null }),
    someQuality,
    someDevice,
  ),
  { maxLength: 40 },
);
const someNs = fc.bigInt({ min: -(2n ** 60n), max: 2n ** 60n });
const spanRows: fc.Arbitrary<SpanRow[]> = fc.array(
  fc.tuple(someText, someNs, fc.bigInt({ min: 0n, max: 2n ** 62n }), fc.option(someText, { nil: null })),
  { maxLength: 20 },
);
const eventRows: fc.Arbitrary<EventRow[]> = fc.array(
  fc.tuple(someText, someNs, fc.option(someText, { nil: null })),
  { maxLength: 20 },
);
const gapRows: fc.Arbitrary<GapRow[]> = fc.array(
  fc.tuple(
    someTime,
    someTime,
    someText,
    fc.option(fc.bigInt({ min: 0n, max: 2n ** 62n }), { nil: null }),
    fc.option(someText, { nil: null }),
  ),
  { maxLength: 40 },
);

function expectedMetrics(rows: readonly MetricRow[]): string[] {
  const stored = rows.map((each) => {
    const [id, us, bits, quality = null, device = null, histogram = null, startUs = null] = each;
    const labels = seriesOf(id);
    const name = String(JSON.parse(labels).__name__);
    const row = { name, series_id: id, timestamp: us, value: bits, labels, site: 'plant' };
    return { ...row, quality, device_timestamp: device, histogram, start_timestamp: startUs };
  });
  return byDay('metrics', stored);
}

const floorUs = (ns: bigint): bigint => (ns - (((ns % 1000n) + 1000n) % 1000n)) / 1000n;

function expectedLogs(rows: readonly LogRow[]): string[] {
  const stored = rows.map(([id, ns, line, attributes, severity, quality = null, device = null]) => ({
    stream_id: id,
    timestamp: floorUs(ns),
    timestamp_ns: ns,
    line,
    labels: seriesOf(id),
    attributes,
    severity,
    trace_id: null,
    span_id: 'ab',
    site: 'plant',
    quality,
    device_timestamp: device,
  }));
  return byDay('logs', stored);
}

function expectedSpans(rows: readonly SpanRow[]): string[] {
  const stored = rows.map(([service, ns, duration, text]) => ({
    ...{
      service,
      timestamp: floorUs(ns),
      start_ns: ns,
      duration_ns: duration,
      trace_id: 'ab',
      span_id: 'cd',
    },
    ...{ name: 'GET', kind: 'server', status: 'ok', attributes: '{}', resource: '{}', site: 'plant' },
    ...{ parent_span_id: text, status_message: text, trace_state: text },
    ...{ scope: text, events: text, links: text },
  }));
  return byDay('spans', stored);
}

function expectedEvents(rows: readonly EventRow[]): string[] {
  const stored = rows.map(([name, ns, text]) => ({
    ...{ name, timestamp: floorUs(ns), timestamp_ns: ns, attributes: '{}', resource: '{}', source: 'press' },
    ...{ body: text, severity: text, trace_id: text, span_id: text, site: 'plant' },
  }));
  return byDay('events', stored);
}

function expectedRollups(rows: readonly RollupRow[]): string[] {
  const stored = rows.map(([id, us, bits, count]) => {
    const labels = seriesOf(id);
    const name = String(JSON.parse(labels).__name__);
    return { name, series_id: id, timestamp: us, ...rollupBits(bits), count, labels, site: 'plant' };
  });
  return byDay('metrics_1m', stored);
}

function expectedExemplars(rows: readonly ExemplarRow[]): string[] {
  const stored = rows.map(([id, us, bits, trace]) => {
    const labels = seriesOf(id);
    const name = String(JSON.parse(labels).__name__);
    return {
      ...{ name, series_id: id, timestamp: us, value: bits, labels },
      ...{ exemplar_labels: exemplarLabels(trace), trace_id: trace, span_id: null, site: 'plant' },
    };
  });
  return byDay('exemplars', stored);
}

function expectedGaps(rows: readonly GapRow[]): string[] {
  const stored = rows.map(([from, to, reason, missing, detail]) => ({
    ...{ timestamp: from, end_timestamp: to, signal: 'metrics', class: 'metrics', kind: 'gap', reason },
    ...{ rows: missing, detail, gateway: 'gw-1', site: 'plant' },
  }));
  return byDay('gaps', stored);
}

/** As texts, sorted as files are. Stable, so that ties stay in order of arrival. */
function byDay(signal: Signal, rows: readonly (StoredRow & { readonly timestamp: bigint })[]): string[] {
  const dayOf = ({ timestamp }: { readonly timestamp: bigint }): bigint =>
    (timestamp - (((timestamp % day) + day) % day)) / day;
  const sorted = rows.toSorted((a, b) => {
    let order = compareStored(dayOf(a), dayOf(b));
    for (const column of tableSchemas[signal].sortBy) order ||= compareStored(a[column], b[column]);
    return order;
  });
  return sorted.map((row) => textOf(signal, row));
}

function compareStored(a: unknown, b: unknown): number {
  if (typeof a === 'string' && typeof b === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b));
  const [left, right] = [a as bigint, b as bigint];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Compared as text: a matcher would take one NaN for another. */
const textOf = (signal: Signal, row: StoredRow): string =>
  JSON.stringify(
    tableSchemas[signal].columns.map(({ name }) => [name, row[name] ?? null]),
    (_, value) => (typeof value === 'bigint' ? String(value) : value),
  );

function columnsOf(file: SegmentFile) {
  const bytes = readFileSync(file.path);
  const { schema } = parquetMetadata(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  return schema
    .slice(1)
    .map(({ name, field_id, type, converted_type, logical_type }) => [
      name,
      field_id,
      type,
      converted_type === 'INT_64' ? undefined : converted_type,
      logical_type?.type === 'TIMESTAMP' ? logical_type.isAdjustedToUTC : undefined,
    ]);
}
