import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import {
  asyncBufferFromFile,
  type ParquetQueryFilter,
  parquetMetadataAsync,
  parquetReadObjects,
} from 'hyparquet';
import { afterAll, expect, test } from 'vitest';
import { logsBatch, seriesOf } from '../../test/contract/rows.ts';
import { openDuckdb, sqlText } from '../sql/duckdb/engine.ts';
import { openParquetjsWriter } from './parquetjs-writer.ts';

const folder = mkdtempSync(join(tmpdir(), 'firn-bloom-'));
afterAll(() => rmSync(folder, { recursive: true }));

const rows = 2_000;
const traceOf = (row: number): string | null => (row % 3 === 0 ? null : `${row}`.padStart(32, '0'));
const streamOf = (row: number): bigint => BigInt(row % 40) * 0x0123_4567_89ab_cdefn;

async function writeLogs(): Promise<string> {
  await using writer = openParquetjsWriter({ rowGroupRowsMax: 500 });
  const all = Array.from({ length: rows }, (_, row) => row);
  const batch = logsBatch(all.map((row) => [streamOf(row), BigInt(row), `line ${row}`, null, null]));
  const path = join(folder, 'logs.parquet');
  await writer.write({
    ...{ signal: 'logs', site: 'plant', batches: [{ ...batch, traceId: all.map(traceOf) }] },
    labelsOf: (ids) => new Map([...ids].map((id) => [id, seriesOf(id)])),
    pathOf: () => path,
  });
  return path;
}

test('DuckDB and hyparquet leave out row groups by the filters, and no row that is there', async () => {
  const path = await writeLogs();
  const instance = await openDuckdb({});
  const connection = await instance.connect();
  // Which row groups a value can't be in, as DuckDB reads the filters.
  const excluded = async (column: string, value: string): Promise<number> => {
    const probe = `SELECT count(*) FILTER (bloom_filter_excludes) FROM parquet_bloom_probe(${sqlText(path)}, '${column}', ${value})`;
    return Number((await connection.runAndReadAll(probe)).getRows()[0]?.[0]);
  };
  const file = await asyncBufferFromFile(path);
  const metadata = await parquetMetadataAsync(file);
  const compressors = { ZSTD: (bytes: Uint8Array) => new Uint8Array(zstdDecompressSync(bytes)) };
  const options = { file, metadata, compressors, useBloomFilters: true, columns: ['line'] };
  const read = (filter: ParquetQueryFilter) => parquetReadObjects({ ...options, filter });
  expect(metadata.row_groups).toHaveLength(4);
  for (let row = 0; row < rows; row += 97) {
    const trace = traceOf(row);
    if (trace !== null) {
      expect(await excluded('trace_id', `'${trace}'`)).toBeLessThan(4);
      expect(await read({ trace_id: { $eq: trace } })).toEqual([{ line: `line ${row}` }]);
    }
    expect(await excluded('stream_id', String(BigInt.asIntN(64, streamOf(row))))).toBe(3);
    expect(await read({ stream_id: { $eq: streamOf(row) } })).toHaveLength(rows / 40);
  }
  let wrong = 0;
  for (let each = 0; each < 200; each++) wrong += 4 - (await excluded('trace_id', `'absent ${each}'`));
  // One in a hundred, of 800.
  expect(wrong).toBeLessThan(30);
  connection.closeSync();
  instance.closeSync();
});
