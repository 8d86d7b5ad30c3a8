import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseLogExpr } from '../../logql/parse.ts';
import { lineTest } from '../../logql/pipeline/line-filter.ts';
import { planPipeline } from '../../logql/plan.ts';
import { type LinesRequest, newStats } from '../../logql/source.ts';
import type { LogsBatch } from '../../model/batch.ts';
import { mergeStreaming } from '../../parquet/merge-streaming.ts';
import { openParquetjsWriter } from '../../parquet/parquetjs-writer.ts';
import { fileLogs } from './file-logs.ts';
import { createLogFiles, type LogFile } from './log-file.ts';

// Of a row group with several pages only those are read that may have what is searched for.

const startNs = BigInt(Date.UTC(2026, 0, 15)) * 1_000_000n;
const rows = 40_000;
const folder = mkdtempSync(join(tmpdir(), 'firn-trigrams-'));
let file: LogFile;

const lineOf = (row: number): string =>
  `line ${row} of a stream whose words are the same in most of its lines, as they are: ${row % 977} ${
    row === 17_000 ? 'burst of a pipe' : row % 10_000 === 1 ? 'BURST' : ''
  }`;

beforeAll(async () => {
  const all = Array.from({ length: rows }, (_, row) => row);
  const batch: LogsBatch = {
    ...{ signal: 'logs', rows, line: all.map(lineOf), series: [{ id: 1n, labels: '{"app":"x"}' }] },
    streamId: BigInt64Array.from(all, () => 1n),
    timestampNs: BigInt64Array.from(all, (row) => startNs + BigInt(row) * 1_000_000n),
  };
  await using writer = openParquetjsWriter();
  const [segment] = await writer.write({
    ...{ signal: 'logs', site: 'plant', batches: [batch], labelsOf: () => new Map([[1n, '{"app":"x"}']]) },
    pathOf: (day) => join(folder, `${day}.parquet`),
  });
  const path = join(folder, 'merged.parquet');
  const paths = [segment?.path ?? ''];
  await mergeStreaming({ signal: 'logs', paths, rows, path, memoryBytesMax: 1e9, compressionLevel: 3 });
  file = createLogFiles({ bytesMax: 1e8 }).open(path);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function found(query: string, direction: LinesRequest['direction']) {
  const expr = parseLogExpr(query);
  const stats = newStats();
  const request: LinesRequest = {
    ...{ matchers: expr.matchers, lineFilters: planPipeline(expr).pushed, bytesMax: 1e9, stats },
    ...{ fromNs: 0n, toNs: 2n ** 62n, needs: { line: true, metadata: false } },
    ...(direction && { direction }),
  };
  const { signal } = new AbortController();
  const source = fileLogs([file], () => async () => undefined);
  const lines: string[] = [];
  for await (const batch of source.lines(request, signal)) lines.push(...batch.lines);
  const counts = { ...request, stats: newStats(), originNs: startNs, bucketNs: 1e18, rowsMax: 10 };
  const counted = await source.counts({ ...counts, labels: [], bytes: false }, signal);
  expect(counts.stats.lines).toBe(stats.lines);
  expect(counted.reduce((sum, { value }) => sum + value, 0)).toBe(lines.length);
  return { lines, looked: stats.lines };
}

test.each([undefined, 'forward', 'backward'] as const)(
  'pages without the words are passed over (%s)',
  async (direction) => {
    const [group] = file.groups;
    const pages = group?.pages('line') ?? [];
    expect(pages.length).toBeGreaterThan(3);
    const rowsOfPage = (row: number): number =>
      pages.find(({ firstRow, values }) => row >= firstRow && row < firstRow + values)?.values ?? 0;

    expect(await found('{app="x"} |= "burst of a"', direction)).toEqual({
      ...{ lines: [lineOf(17_000)], looked: rowsOfPage(17_000) },
    });
    expect(await found('{app="x"} |~ "bur+st of"', direction)).toMatchObject({ lines: [lineOf(17_000)] });
    expect(await found('{app="x"} |= "no such words"', direction)).toEqual({ lines: [], looked: 0 });
    const upper = [1, 10_001, 20_001, 30_001].map(lineOf);
    expect((await found('{app="x"} |= "BURST"', direction)).lines.toSorted()).toEqual(upper.toSorted());
    expect((await found('{app="x"} != "BURST"', direction)).lines).toHaveLength(rows - upper.length);
  },
);

test.each([
  '|= "burst" or "BURST"',
  '|~ "burst of|BURST|no such words"',
  '!~ "burst of|BURST"',
  '!= "no such words" |= "BURST"',
  '|= "words" != "BURST" |~ "pipe|no such words"',
  '|~ "[13]000[12] of|pipe" !~ "pipe$"',
])('pages have what each of several texts needs: %s', async (filters) => {
  const query = `{app="x"} ${filters}`;
  const tests = planPipeline(parseLogExpr(query)).pushed.map(lineTest);
  const wanted = Array.from({ length: rows }, (_, row) => lineOf(row)).filter((line) =>
    tests.every((passes) => passes(line)),
  );
  expect(wanted.length).toBeGreaterThan(0);
  expect((await found(query, 'forward')).lines).toEqual(wanted);
});
