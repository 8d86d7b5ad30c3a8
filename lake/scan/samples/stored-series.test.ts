import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import type { MetricsBatch } from '../../model/batch.ts';
import { tenantId } from '../../model/ids.ts';
import { labelsJson } from '../../model/labels.ts';
import { seriesId } from '../../model/series-id.ts';
import { filesSql } from '../../parquet/files-sql.ts';
import { openParquetjsWriter } from '../../parquet/parquetjs-writer.ts';
import { selectorMatchers } from '../../promql/ast.ts';
import { defaultLookbackMs, defaultQueryLimits } from '../../promql/limits.ts';
import { parseSelector } from '../../promql/parse-selector.ts';
import { parseQuery, rangeQuery } from '../../promql/query.ts';
import { bitsOf, setStaleAt } from '../../promql/source.ts';
import { tableSchemas } from '../../schema/tables.ts';
import { type Engine, openEngine, sqlText } from '../../sql/duckdb/engine.ts';
import type { Tables } from '../../tables.ts';
import { createEvaluationPool } from '../evaluation-pool.ts';
import { type SeriesScan, seriesScan } from '../series-scan.ts';

// What threads read from files themselves is what SQL reads from the same files.

let folder: string;
let engine: Engine;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'firn-stored-'));
  engine = await openEngine({ directories: [folder], memoryBytesMax: 500e6, threads: 2 });
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

interface Row {
  readonly series: number;
  readonly ms: number;
  readonly value: number;
  /** 0: a staleness marker; 1: says since when it counts. */
  readonly kind: number;
}

const labelsOfSeries = (series: number): string =>
  labelsJson([
    ['__name__', series % 4 === 3 ? 'other_total' : 'm_total'],
    ['n', String(series)],
    ['parity', series % 2 === 0 ? 'even' : 'odd'],
  ]);
const idOf = (series: number): bigint => seriesId(labelsOfSeries(series));
const labelsById = new Map(Array.from({ length: 8 }, (_, series) => [idOf(series), labelsOfSeries(series)]));

function batchOf(rows: readonly Row[]): MetricsBatch {
  const value = Float64Array.from(rows, (row) => row.value);
  const bits = bitsOf(value);
  for (const [index, { kind }] of rows.entries()) if (kind === 0) setStaleAt(bits, index);
  return {
    ...{ signal: 'metrics', rows: rows.length, metadata: [], series: [], value },
    seriesId: BigInt64Array.from(rows, (row) => idOf(row.series)),
    timestampUs: BigInt64Array.from(rows, ({ ms }) => BigInt(ms) * 1000n + 7n),
    startTimestampUs: rows.map(({ ms, kind }) => (kind === 1 ? BigInt(ms - 5000) * 1000n : null)),
  } as MetricsBatch;
}

const row = (seriesMax: number, kindMin: number): fc.Arbitrary<Row> =>
  fc.record({
    series: fc.nat(seriesMax),
    ms: fc.nat(120).map((step) => step * 5000),
    value: fc.oneof(fc.nat(50), fc.double()),
    kind: fc.integer({ min: kindMin, max: 30 }),
  });

const queries = [
  'm_total',
  '{n=~"1|3|5"}',
  '{parity="even", n!="2"}',
  'rate(m_total[1m])',
  'sum by (parity) (increase({__name__=~".+_total"}[90s]))',
  'avg_over_time(m_total[2m])',
  'sum_over_time(other_total[40s] offset 20s)',
  'count_over_time({n=~".+"}[1m])',
  'topk(2, m_total)',
  'm_total @ 300',
  '{n="1"}',
  'rate(m_total{n="2"}[1m])',
  'last_over_time(other_total{n=~"3|9"}[2m])',
];

test('every query over files gives what it gives over SQL', async () => {
  await using pool = createEvaluationPool({
    ...{ clock: systemClock, threads: 1, cacheBytesMax: 40_000, inlineSamplesMax: 0 },
  });
  await using writer = openParquetjsWriter({ rowGroupRowsMax: 64 });
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(row(7, 0), { minLength: 1, maxLength: 150 }), { maxLength: 4 }),
      fc.array(row(7, 2), { minLength: 1, maxLength: 150 }),
      fc.array(row(7, 2), { maxLength: 20 }),
      fc.record({ from: fc.nat(500), steps: fc.nat(40) }),
      async (files, plain, tail, { from, steps }) => {
        run++;
        const write = async (rows: readonly Row[], name: string): Promise<string> => {
          const [file] = await writer.write({
            ...{ signal: 'metrics', site: 'plant', batches: [batchOf(rows)] },
            labelsOf: (ids) => new Map([...ids].map((id) => [id, labelsById.get(id) ?? ''])),
            pathOf: () => join(folder, name),
          });
          return file?.path ?? '';
        };
        const paths: string[] = [];
        for (const [index, rows] of [plain, ...files].entries())
          paths.push(await write(rows, `${run}-${index}.parquet`));
        const connection = await engine.connect();
        // One that only SQL reads.
        const foreign = await write(plain.slice(0, 9), `${run}-plain.parquet`);
        const snappy = join(folder, `${run}-snappy.parquet`);
        await connection.run(
          `COPY (FROM ${sqlText(foreign)}) TO ${sqlText(snappy)} (FORMAT parquet, COMPRESSION snappy)`,
        );
        connection.closeSync();
        paths.push(snappy);
        const rest =
          tail.length > 0
            ? filesSql(tableSchemas.metrics, [await write(tail, `${run}-tail.parquet`)])
            : undefined;
        const ofFiles = filesSql(tableSchemas.metrics, paths);
        const tables: Tables = {
          tenant: tenantId('demo'),
          metricMetadata: async () => [],
          open: async () => ({
            from: rest === undefined ? ofFiles : `(SELECT * FROM ${ofFiles} UNION ALL SELECT * FROM ${rest})`,
            parts: { files: paths.map((path) => ({ path, bytes: 1 })), rest },
            ...{ filesConsidered: 0, filesPruned: 0, [Symbol.asyncDispose]: async () => undefined },
          }),
        };
        const source = seriesScan({ tables, engine });
        const threaded = seriesScan({ tables, engine, pool });
        const options = {
          ...{ source, clock: systemClock, limits: defaultQueryLimits, lookbackMs: defaultLookbackMs },
          signal: new AbortController().signal,
        };
        const times = { startMs: from * 1000, endMs: from * 1000 + steps * 7000, stepMs: 7000 };
        const text = queries[run % queries.length] ?? '';
        const here = await rangeQuery(parseQuery(text), times, options);
        const there = await rangeQuery(parseQuery(text), times, { ...options, evaluator: pool });
        expect({ ...there, samplesRead: 0 }).toEqual({ ...here, samplesRead: 0 });
        const few = { ...defaultQueryLimits, samplesMax: there.samplesRead - 1 };
        if (there.samplesRead > 0)
          await expect(
            rangeQuery(parseQuery(text), times, { ...options, limits: few, evaluator: pool }),
          ).rejects.toThrow('too many samples');
        const matcherSets =
          run % 2 === 0 ? [] : [selectorMatchers(parseSelector('{n=~"1|2|3", parity!=""}'))];
        const request = { matcherSets, fromMs: times.startMs, toMs: times.endMs, limit: 0 };
        const asked = async (scan: SeriesScan) => [
          await scan.labelNames(request, options.signal),
          await scan.labelValues('n', request, options.signal),
          await scan.series(request, options.signal),
        ];
        expect(await asked(threaded)).toEqual(await asked(source));
      },
    ),
    { numRuns: 30, seed: 6, endOnFailure: true },
  );
});
