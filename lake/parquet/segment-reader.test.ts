import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { hasCode } from '../base/errors.ts';
import type { MetricsBatch } from '../model/batch.ts';
import { openDuckdb, sqlText } from '../sql/duckdb/engine.ts';
import { decodeHybrid, encodeHybrid } from './hybrid-runs.ts';
import { mergeInMemory } from './merge-in-memory.ts';
import { openParquetjsWriter } from './parquetjs-writer.ts';
import { openSegment } from './segment-reader.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'firn-segment-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('codes come back from runs and packed groups, whatever their order', () => {
  const code = fc.integer({ min: 0, max: 2 ** 17 - 1 });
  const stretch = fc.tuple(code, fc.integer({ min: 1, max: 40 }));
  fc.assert(
    fc.property(fc.array(fc.oneof(stretch, fc.tuple(code, fc.constant(1)))), (stretches) => {
      const codes = Uint32Array.from(stretches.flatMap(([value, times]) => Array<number>(times).fill(value)));
      for (const width of [17, 20, 24])
        expect(decodeHybrid(encodeHybrid(codes, width), width, codes.length)).toEqual(codes);
    }),
  );
});

const rows = 3000;

function batch(): MetricsBatch {
  return {
    ...{ signal: 'metrics', rows, metadata: [] },
    seriesId: BigInt64Array.from({ length: rows }, (_, row) => BigInt(row % 30) - 15n),
    timestampUs: BigInt64Array.from({ length: rows }, (_, row) => 1_700_000_000_000_000n + BigInt(row)),
    value: Float64Array.from({ length: rows }, (_, row) => row / 7),
    quality: Array.from({ length: rows }, (_, row) => (row % 7 === 0 ? 'device-past' : null)),
    deviceTimestampUs: Array.from({ length: rows }, (_, row) => (row % 7 === 0 ? BigInt(row) : null)),
    series: [],
  };
}

async function write(): Promise<string> {
  await using writer = openParquetjsWriter({ rowGroupRowsMax: 1000 });
  const [file] = await writer.write({
    ...{ signal: 'metrics', site: 'plant', batches: [batch()] },
    labelsOf: (ids) => new Map([...ids].map((id) => [id, `{"__name__":"m","n":"${id}"}`])),
    pathOf: () => join(folder, 'a.parquet'),
  });
  return file?.path ?? '';
}

test('a damaged file is corrupt, whichever byte is wrong, or its rows are other rows', async () => {
  const path = await write();
  const bytes = readFileSync(path);
  const cut = join(folder, 'cut.parquet');
  await fc.assert(
    fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ flip;
      writeFileSync(cut, damaged);
      try {
        await using segment = await openSegment(cut, 'metrics', rows);
        await segment.read();
      } catch (error) {
        expect([hasCode(error, 'corrupt') || hasCode(error, 'unsupported'), error]).toEqual([true, error]);
      }
    }),
    { numRuns: 300 },
  );
  for (const length of [0, 7, 100, bytes.length - 1]) {
    writeFileSync(cut, bytes.subarray(0, length));
    await expect(openSegment(cut, 'metrics', rows)).rejects.toMatchObject({ code: 'corrupt' });
  }
});

test('what is too large for the memory, or of another writer, is left to others', async () => {
  const path = await write();
  const request = { signal: 'metrics', paths: [path], rows, path: join(folder, 'b.parquet') } as const;
  const limits = { writerMemoryBytesMax: 1000, spillDirectory: folder };
  await expect(
    mergeInMemory({ ...request, ...limits }, 'plant', openParquetjsWriter()),
  ).rejects.toMatchObject({ code: 'limit' });
  const instance = await openDuckdb({});
  const connection = await instance.connect();
  const snappy = join(folder, 'snappy.parquet');
  await connection.run(
    `COPY (FROM ${sqlText(path)}) TO ${sqlText(snappy)} (FORMAT parquet, COMPRESSION snappy)`,
  );
  connection.closeSync();
  instance.closeSync();
  await using segment = await openSegment(snappy, 'metrics', rows);
  await expect(segment.read()).rejects.toMatchObject({ code: 'unsupported' });
});
