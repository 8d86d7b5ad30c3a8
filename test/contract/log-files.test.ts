import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { defaultLogqlLimits } from '../../lake/logql/limits.ts';
import { parseExpr, parseSelector } from '../../lake/logql/parse.ts';
import { instantQuery, logQuery, type QueryResult, rangeQuery } from '../../lake/logql/query.ts';
import type { LogSource, StoredLogs } from '../../lake/logql/source.ts';
import type { LogsBatch } from '../../lake/model/batch.ts';
import { tenantId } from '../../lake/model/ids.ts';
import { openDuckdbWriter } from '../../lake/parquet/duckdb-writer.ts';
import { filesSql } from '../../lake/parquet/files-sql.ts';
import { mergeStreaming } from '../../lake/parquet/merge-streaming.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import type { SegmentWriter } from '../../lake/parquet/segment-writer.ts';
import { duckdbLogs } from '../../lake/scan/duckdb-logs.ts';
import { logScan } from '../../lake/scan/log-scan.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { openEngine, sqlText } from '../../lake/sql/duckdb/engine.ts';
import type { Tables } from '../../lake/tables.ts';

// Whatever is asked of lines, reading the files' pages answers as DuckDB does over the same files.

const startNs = BigInt(Date.UTC(2026, 0, 15)) * 1_000_000n;
const rowsPerFile = 1500;

const labelTexts = ['orders', 'web', 'scada', 'idle'].map((app, index) =>
  JSON.stringify({ app, ...(index === 1 ? { status: '599' } : {}), pod: `pod-${index}` }),
);

/** Lines as they come and as they should not: each kind often enough to stand in several pages. */
function lineOf(index: number): string {
  const random = (index * 2_654_435_761) % 4_294_967_296;
  const kinds = [
    `{"ts":"${index}","level":"${random % 7 === 0 ? 'error' : 'info'}","status":${200 + (random % 400)},"took":"${random % 90}ms"}`,
    `10.0.${random % 256}.7 - - "GET /api/orders/${random % 5000} HTTP/1.1" ${random % 9 === 0 ? 503 : 200} ${random % 100}`,
    `drive ${random % 40} over temperature station=${index % 9}`,
    `{"status":"503","nested":{"status":700},"list":[1,"status"]}`,
    `{"status":oops`,
    '',
    `{"status":404,"status":501} order`,
    `grüße order ${random} \ud83d\ude00 order`,
    `{"${index % 2 ? ' status' : 'Status'}":501,"status":200,"msg":"a \\"status\\": 500 b"}`,
    index % 2 ? 'same line again and again' : 'a NUL a\0b in it',
  ];
  return kinds[index % 13 < 4 ? 0 : index % kinds.length] ?? '';
}

const attributesOf = (index: number): string | null =>
  index % 5 === 0
    ? null
    : JSON.stringify({ level: index % 3 ? 'info' : 'warn', ...(index % 11 ? {} : { status: '501' }) });

function batchOf(file: number, rows: number): LogsBatch {
  const all = Array.from({ length: rows }, (_, row) => file * rows + row);
  return {
    signal: 'logs',
    rows,
    streamId: BigInt64Array.from(all, (index) => BigInt(index % 17 === 0 ? 2 : index % 3)),
    timestampNs: BigInt64Array.from(all, (index) => startNs + BigInt(index) * 1_000_001n),
    line: all.map((index) =>
      index % 700 === 7 ? `${lineOf(index)} ${'long '.repeat(80_000)}` : lineOf(index),
    ),
    attributes: all.map(attributesOf),
    series: labelTexts.map((labels, id) => ({ id: BigInt(id), labels })),
  };
}

async function write(writer: SegmentWriter, folder: string, name: string, batch: LogsBatch): Promise<string> {
  const labels = new Map(batch.series.map(({ id, labels: text }) => [id, text]));
  const [file] = await writer.write({
    ...{ signal: 'logs', site: 'plant', batches: [batch], labelsOf: () => labels },
    pathOf: (day) => join(folder, `${name}-${day}.parquet`),
  });
  return file?.path ?? '';
}

const queries = [
  '{app=~".+"}',
  '{app="orders"} |= "order"',
  '{app=~"orders|web"} |= "order" != "grüße"',
  '{app=~".+"} |= "order" or "over" |= "t"',
  '{app!="web", pod=~".+"} |~ "drive [0-9]+ over|HTTP/1.1\\" 50[0-9]"',
  '{app=~".+"} |~ "(?i)DRIVE 1"',
  '{app=~".+"} !~ "status|long"',
  '{app=~".+"} |~ "[0-9]ms"',
  '{app=~".+"} |= "\ud83d\ude00"',
  '{app=~".+"} |= "no such text anywhere"',
  '{app=~".+"} |= "same line again and again" | level="warn"',
  '{app="orders"} | json | status >= 500',
  '{app=~".+"} | json | status >= 500 | __error__=""',
  '{app=~".+"} | json | level="error"',
  '{app=~".+"} | json | status == 200 | line_format "{{.level}}"',
  '{app=~".+"} |= "drive" or ip("10.0.0.0/8") !> "<_> over <_>"',
  '{app=~".+"} |= "a\\x00b"',
  '{app="idle"}',
  '{app="nobody"}',
  'sum(count_over_time({app=~".+"}[1h]))',
  'sum by (level) (count_over_time({app=~".+"}[500ms]))',
  'sum by (app) (rate({app=~".+"} |= "order" [700ms]))',
  'count_over_time({app=~".+"} |~ "over" [1s])',
  'bytes_over_time({app=~"orders|scada"}[1s])',
  'sum(bytes_rate({app=~".+"} |= "drive" [1s]))',
  'sum by (level_extracted) (count_over_time({app=~".+"} | json | __error__="" [1s]))',
  'sum(count_over_time({app=~"web|orders"} | json | status >= 500 | __error__="" [1s]))',
  'max_over_time({app="orders"} | json | __error__="" | unwrap status | __error__="" [1s])',
];

const options = (source: LogSource) => ({
  ...{ source, limits: defaultLogqlLimits, clock: systemClock, signal: new AbortController().signal },
});

async function answers(source: LogSource, text: string): Promise<readonly QueryResult['data'][]> {
  const expr = parseExpr(text);
  const endNs = startNs + BigInt(2 * rowsPerFile) * 1_000_001n;
  if (expr.kind === 'log') {
    const base = { fromNs: startNs + 100_000_000n, toNs: endNs - 7_000_000n, intervalNs: 0 };
    const asked = [
      { ...base, limit: 5000, direction: 'forward' as const },
      { ...base, limit: 11, direction: 'backward' as const },
      {
        ...base,
        fromNs: startNs + 1_499_500_000n,
        toNs: startNs + 1_500_400_000n,
        limit: 5000,
        direction: 'backward' as const,
      },
    ];
    return Promise.all(asked.map(async (log) => (await logQuery(expr, log, options(source))).data));
  }
  const times = { startNs: startNs + 1_000_000_000n, stepNs: 250_000_000, steps: 20 };
  return [
    (await instantQuery(expr, endNs, options(source))).data,
    (await rangeQuery(expr, times, options(source))).data,
  ];
}

/** What streams there are, and how much of them: whole, within files, in steps, for each way to select. */
async function indexAnswers(logs: StoredLogs) {
  const endNs = startNs + BigInt(2 * rowsPerFile) * 1_000_001n;
  const times = [
    { fromNs: startNs, toNs: endNs },
    { fromNs: startNs + 100_000_000n, toNs: endNs - 7_000_000n },
    { fromNs: startNs + 5_000_000n, toNs: startNs + 9_000_000n },
    { fromNs: endNs, toNs: endNs + 1n },
  ];
  const sets = [[], ['{app=~"o.*"}'], ['{app="web"}', '{pod="pod-2"}'], ['{app="nobody"}']];
  const { signal } = new AbortController();
  const limits = { streamsMax: 100, rowsMax: 10_000 };
  const asked = times.flatMap((range) =>
    sets.map((texts) => ({ ...range, matcherSets: texts.map(parseSelector) })),
  );
  return Promise.all(
    asked.map(async (each) => {
      const streams = (await Array.fromAsync(logs.streams({ ...each, ...limits }, signal))).flat();
      const stepped = [undefined, 700_000_000].map((stepNs) =>
        Array.fromAsync(logs.volumes({ ...each, ...limits, stepNs }, signal)),
      );
      if (streams.length > 1)
        await expect(
          Array.fromAsync(logs.volumes({ ...each, rowsMax: 1, stepNs: undefined }, signal)),
        ).rejects.toMatchObject({ name: 'LogqlError', subject: 'samplesMax' });
      const volumes = (await Promise.all(stepped)).flat(2).map((volume) => JSON.stringify(volume));
      return { streams: streams.sort(), volumes: volumes.sort() };
    }),
  );
}

test('files of every writer are read as DuckDB reads them', { timeout: 120_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'firn-log-files-'));
  try {
    await using stack = new AsyncDisposableStack();
    const engine = stack.use(await openEngine({ directories: [folder], memoryBytesMax: 1e9, threads: 1 }));
    const small = stack.use(openParquetjsWriter({ rowGroupRowsMax: 400 }));
    const large = stack.use(openParquetjsWriter());
    const duckdb = stack.use(await openDuckdbWriter());
    const batches = [batchOf(0, rowsPerFile), batchOf(1, rowsPerFile)] as const;
    const js = [await write(small, folder, 'a', batches[0]), await write(large, folder, 'b', batches[1])];
    const merged = join(folder, 'merged.parquet');
    await mergeStreaming({
      signal: 'logs',
      paths: js,
      rows: 2 * rowsPerFile,
      path: merged,
      memoryBytesMax: 1e9,
      // Files that are searched have trigrams.
      compressionLevel: 3,
    });
    const mixed = [js[0] ?? '', await write(duckdb, folder, 'c', batches[1])];
    const foreign = await otherWriters(engine, folder, mixed[1] ?? '');

    const sourceOf = (paths: readonly string[], rest?: string): StoredLogs =>
      logScan({ engine, tables: tablesOf(paths, rest) });
    const sources: readonly (readonly [string, StoredLogs])[] = [
      ['two files', sourceOf(js)],
      ['a merged file', sourceOf([merged])],
      ['files of two writers', sourceOf(mixed)],
      [
        'a file and rows that are in none',
        sourceOf(js.slice(0, 1), filesSql(tableSchemas.logs, js.slice(1))),
      ],
      ['a file of another program', sourceOf([js[0] ?? '', foreign])],
    ];
    const reference = duckdbLogs({ engine, from: filesSql(tableSchemas.logs, js) });
    let lines = 0;
    for (const text of queries) {
      const wanted = await answers(reference, text);
      lines += JSON.stringify(wanted, (_, value) =>
        typeof value === 'bigint' ? String(value) : value,
      ).length;
      for (const [name, source] of sources)
        expect(await answers(source, text), `${name}: ${text}`).toEqual(wanted);
    }
    expect(lines).toBeGreaterThan(1_000_000);
    const wanted = await indexAnswers(reference);
    expect(wanted.flatMap(({ volumes }) => volumes).length).toBeGreaterThan(80);
    for (const [name, source] of sources) expect(await indexAnswers(source), name).toEqual(wanted);
    await damaged(sourceOf, js[0] ?? '');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** The same rows as another engine might write them: snappy, and not in Firn's order. */
async function otherWriters(
  engine: Awaited<ReturnType<typeof openEngine>>,
  folder: string,
  from: string,
): Promise<string> {
  const path = join(folder, 'foreign.parquet');
  const connection = await engine.connect();
  await connection.run(
    `COPY (SELECT * FROM read_parquet(${sqlText(from)}) ORDER BY hash(line)) TO ${sqlText(path)} (FORMAT parquet, COMPRESSION snappy)`,
  );
  connection.closeSync();
  return path;
}

/** Bytes that are wrong are an error, and neither silence nor another answer. */
async function damaged(sourceOf: (paths: readonly string[]) => LogSource, path: string): Promise<void> {
  const bytes = readFileSync(path);
  let noticed = 0;
  for (let copy = 0; copy < 40; copy++) {
    const wrong = Buffer.from(bytes);
    const at = Math.floor((copy / 40) * (bytes.length - 300)) + 4;
    wrong.fill(0x55, at, at + 8);
    const name = `${path}-${copy}.parquet`;
    writeFileSync(name, wrong);
    const answer = answers(sourceOf([name]), '{app=~".+"}');
    await answer.then(
      (data) => expect(data).toBeDefined(),
      (error: unknown) => {
        noticed++;
        expect(error).toBeInstanceOf(Error);
      },
    );
  }
  expect(noticed).toBeGreaterThan(20);
}

function tablesOf(paths: readonly string[], rest: string | undefined): Tables {
  const files = paths.map((path) => ({ path, bytes: 1 }));
  return {
    tenant: tenantId('demo'),
    open: async () => ({
      from: '(the parts are to be read)',
      parts: { files, rest },
      ...{ filesConsidered: files.length, filesPruned: 0, [Symbol.asyncDispose]: async () => undefined },
    }),
    metricMetadata: async () => [],
  };
}
