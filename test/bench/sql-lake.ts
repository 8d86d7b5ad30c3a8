import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { commit } from '../../cloud/catalog/commit.ts';
import type { DataFile } from '../../cloud/catalog/manifest-file.ts';
import { openTable } from '../../cloud/catalog/table.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { tenantId } from '../../lake/model/ids.ts';
import { openObjectStore } from '../../lake/object-store/open.ts';
import { duckdbTypes } from '../../lake/schema/duckdb-types.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { openDuckdb, sqlText } from '../../lake/sql/duckdb/engine.ts';

// A lake with a table of metrics, made by DuckDB and committed as gateways' files are.

const schema = tableSchemas.metrics;
const tenant = tenantId('demo');

/** Of a series: one sample each ten seconds of a day. */
const samplesPerSeries = 8640;
const dayMs = 86_400_000;
const rowsPerFile = 1_000_000;
const firstDay = 20_000;

/** A statement for the rows of one file, sorted as the lake is: one-decimal values, labels of about 90 bytes. */
const fileRows = (file: number, rows: number): string => `
  SELECT 'metric_' || lpad((s % 20)::VARCHAR, 2, '0') AS name, s AS series_id,
    make_timestamptz((${firstDay + file}::BIGINT * ${dayMs} + (i % ${samplesPerSeries}) * 10000) * 1000) AS timestamp,
    round(20 + 5 * sin(i / 100.0) + (i * 7919 % 100) / 50.0, 1) AS value,
    '{"__name__":"metric_' || lpad((s % 20)::VARCHAR, 2, '0') || '","gateway":"gw-1","room":"hall-' || s || '","site":"plant-1"}' AS labels,
    'plant-1' AS site
  FROM (SELECT i, i // ${samplesPerSeries} AS s FROM range(${rows}) t(i)) ORDER BY name, series_id, timestamp`;

export interface BenchLake {
  readonly storePath: string;
  readonly files: readonly string[];
}

export async function makeLake(folder: string, rows: number): Promise<BenchLake> {
  const storePath = join(folder, 'store');
  const data = join(storePath, tenant, 'lake', 'metrics', 'data');
  mkdirSync(data, { recursive: true });
  const { store, locationOf } = await openObjectStore(directoryOf(storePath));
  const table = openTable({ store, tenant, signal: 'metrics', locationOf, clock: systemClock });
  const duckdb = await openDuckdb({ threads: '2', memory_limit: '2GB' });
  const connection = await duckdb.connect();
  const files: string[] = [];
  const added: DataFile[] = [];
  for (let file = 0; file * rowsPerFile < rows; file++) {
    const name = `bench-${String(file).padStart(4, '0')}.parquet`;
    const path = join(data, name);
    const fileCount = Math.min(rowsPerFile, rows - file * rowsPerFile);
    const columns = schema.columns.map((column) =>
      filled.has(column.name) ? column.name : `NULL::${duckdbTypes[column.type]} AS ${column.name}`,
    );
    await connection.run(
      `COPY (SELECT ${columns.join(', ')} FROM (${fileRows(file, fileCount)})) TO ${sqlText(path)} (FORMAT parquet, COMPRESSION zstd)`,
    );
    files.push(path);
    added.push({ ...boundsOf(file, fileCount), path: locationOf(keyOf(name)), bytes: statSync(path).size });
  }
  connection.closeSync();
  duckdb.closeSync();
  await commit(table, () => ({ added, summary: {} }));
  await store.close();
  return { storePath, files };
}

const filled = new Set(['name', 'series_id', 'timestamp', 'value', 'labels', 'site']);
const keyOf = (name: string): string => `${tenant}/lake/metrics/data/${name}`;

/** What a directory store's settings are, as the cloud has them. */
const directoryOf = (path: string): Parameters<typeof openObjectStore>[0] => ({
  ...{ kind: 'directory', path, endpoint: '', region: '', bucket: '', prefix: '' },
  ...{ pathStyle: true, accessKeyId: '', secretAccessKey: '' },
});

function boundsOf(file: number, rows: number): Omit<DataFile, 'path' | 'bytes'> {
  const long = (value: bigint): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    return bytes;
  };
  const fromUs = BigInt((firstDay + file) * dayMs) * 1000n;
  const counts = (count: number) => new Map(schema.columns.map(({ fieldId }) => [fieldId, count]));
  return {
    ...{ format: 'PARQUET', day: firstDay + file, rows, valueCounts: counts(rows), sortOrderId: 1 },
    nullCounts: new Map(schema.columns.map(({ fieldId, name }) => [fieldId, filled.has(name) ? 0 : rows])),
    lowerBounds: new Map([
      [1, Buffer.from('metric_00')],
      [2, long(0n)],
      [3, long(fromUs)],
    ]),
    upperBounds: new Map([
      [1, Buffer.from('metric_19')],
      [2, long(BigInt(Math.ceil(rows / samplesPerSeries)))],
      [3, long(fromUs + BigInt(dayMs) * 1000n)],
    ]),
  };
}

export const forget = (folder: string): void => rmSync(folder, { recursive: true, force: true });
