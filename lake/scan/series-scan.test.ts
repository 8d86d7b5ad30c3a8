import { expect, test } from 'vitest';
import { tenantId } from '../model/ids.ts';
import { canonicalLabels, type Labels, labelsJson } from '../model/labels.ts';
import { seriesId } from '../model/series-id.ts';
import { selectorMatchers } from '../promql/ast.ts';
import { parseSelector } from '../promql/parse-selector.ts';
import { bitsOf, isStaleAt, type SeriesData } from '../promql/source.ts';
import { type Engine, openEngine, sqlText } from '../sql/duckdb/engine.ts';
import type { Prune, Tables } from '../tables.ts';
import { seriesScan } from './series-scan.ts';

const signal = new AbortController().signal;
const everything = { samplesMax: 1_000_000, seriesMax: 1000, fromMs: 0, toMs: 1e12 };
const openTestEngine = (): Promise<Engine> =>
  openEngine({ directories: [], memoryBytesMax: 500e6, threads: 2 });

/** A table of literal rows; remembers how it was pruned. */
function tablesOf(from: string): Tables & { readonly pruned: Prune[] } {
  const pruned: Prune[] = [];
  return {
    tenant: tenantId('demo'),
    pruned,
    open: async (_table, prune) => {
      pruned.push(prune);
      const histogram = from.includes('AS histogram') ? '' : 'NULL::VARCHAR AS histogram,';
      const view = `(SELECT *, ${histogram} NULL::TIMESTAMPTZ AS start_timestamp FROM ${from})`;
      return { from: view, filesConsidered: 0, filesPruned: 0, [Symbol.asyncDispose]: async () => undefined };
    },
    metricMetadata: async () => [],
  };
}

/** `value` is SQL; the time is in microseconds. */
type Row = readonly [labels: Labels, timestampUs: number, value: string];

function rowsSql(rows: readonly Row[]): string {
  const lines = rows.map(([labels, timestampUs, value]) => {
    const json = labelsJson(labels);
    const name = labels.find(([label]) => label === '__name__')?.[1] ?? '';
    return `(${sqlText(name)}, ${seriesId(json)}, make_timestamptz(${timestampUs}), ${value}, ${sqlText(json)}, 'plant')`;
  });
  return `(SELECT * FROM (VALUES ${lines.join(', ')}) AS rows(name, series_id, timestamp, value, labels, site))`;
}

const labels = (pairs: Record<string, string>): Labels => canonicalLabels(Object.entries(pairs));
const matchersOf = (selector: string) => selectorMatchers(parseSelector(selector));
const textOf = (series: readonly SeriesData[]): readonly string[] =>
  series.map((one) => `${labelsJson(one.labels)} ${one.values.join()} @ ${one.timestampsMs.join()}`);

const up = labels({ __name__: 'up', job: 'a', 'we.ird "name/~': 'x' });
const down = labels({ __name__: 'down', job: 'b\nc', instance: "it's" });
const table = rowsSql([
  [up, 3_000_000, '3.0'],
  [up, 1_000_000, '1.0'],
  [up, 2_000_999, '2.0'],
  [up, 2_500_000, 'NULL'],
  [down, 1_000_000, '10.0'],
]);

test.each([
  ['up', ['up']],
  ['{job="a"}', ['up']],
  ['{job!="a"}', ['down']],
  ['{instance=""}', ['up']],
  ['{instance!="", job=~".+"}', ['down']],
  ['{job=~"a|x"}', ['up']],
  ['{job!~"a|x"}', ['down']],
  ['{job=~"b.c"}', ['down']],
  ['{job=~"B.C"}', []],
  ['{job=~"(?i)B.C"}', ['down']],
  ['{job=~"b"}', []],
  ['{__name__=~"u.*|dow"}', ['up']],
  [`{instance="it's"}`, ['down']],
  [String.raw`{"we.ird \"name/~"="x"}`, ['up']],
  [String.raw`{"we.ird \"name/~"!~""}`, ['up']],
  ['{job=~"a", __name__!="up"}', []],
])('%s finds %j', async (selector, names) => {
  await using engine = await openTestEngine();
  const scan = seriesScan({ tables: tablesOf(table), engine });
  const found = await scan.select({ ...everything, matchers: matchersOf(selector) }, signal);
  expect(found.map((one) => one.labels.find(([name]) => name === '__name__')?.[1])).toEqual(names);
});

test('samples come in the order of time, in milliseconds, without NULLs, within both ends', async () => {
  await using engine = await openTestEngine();
  const tables = tablesOf(table);
  const scan = seriesScan({ tables, engine });
  const matchers = matchersOf('up');
  expect(textOf(await scan.select({ ...everything, matchers }, signal))).toEqual([
    `${labelsJson(up)} 1,2,3 @ 1000,2000,3000`,
  ]);
  expect(textOf(await scan.select({ ...everything, matchers, fromMs: 1001, toMs: 2000 }, signal))).toEqual([
    `${labelsJson(up)} 2 @ 2000`,
  ]);
  // Five minutes more, for the native histograms there may be.
  expect(tables.pruned.at(-1)).toEqual({ name: 'up', fromUs: -298_999_000, toUs: 2_000_999 });
});

test('a staleness marker and another NaN keep their bits; of a repeated time the largest value stays', async () => {
  await using engine = await openTestEngine();
  const connection = await engine.connect();
  // DuckDB has no literal for a NaN payload, so the marker goes in through an appender.
  await connection.run(
    'CREATE TABLE metrics (name VARCHAR, series_id BIGINT, timestamp TIMESTAMPTZ, value DOUBLE, labels VARCHAR, site VARCHAR)',
  );
  const values = new Float64Array(2);
  const words = bitsOf(values);
  [words[0], words[1], words[2], words[3]] = [2, 0x7ff00000, 7, 0x7ff80000];
  expect(isStaleAt(words, 0)).toBe(true);
  const { DuckDBDataChunk, DOUBLE, BIGINT, VARCHAR, TIMESTAMPTZ, DuckDBTimestampTZValue } = await import(
    '@duckdb/node-api'
  );
  const chunk = DuckDBDataChunk.create([VARCHAR, BIGINT, TIMESTAMPTZ, DOUBLE, VARCHAR, VARCHAR], 2);
  const json = labelsJson(up);
  chunk.setColumnValues(0, ['up', 'up']);
  chunk.setColumnValues(1, [1n, 1n]);
  chunk.setColumnValues(2, [new DuckDBTimestampTZValue(1000n), new DuckDBTimestampTZValue(2000n)]);
  const column = chunk.getColumnVector(3) as unknown as { items: Float64Array; flush(): void };
  column.items.set(values);
  column.flush();
  chunk.setColumnValues(4, [json, json]);
  chunk.setColumnValues(5, ['plant', 'plant']);
  const appender = await connection.createAppender('metrics');
  appender.appendDataChunk(chunk);
  appender.closeSync();
  for (const value of ['5', "'nan'", '4'])
    await connection.run(
      `INSERT INTO metrics VALUES ('up', 1, make_timestamptz(3000), ${value}, ${sqlText(json)}, 'plant')`,
    );
  const scan = seriesScan({ tables: tablesOf('metrics'), engine });
  const [series] = await scan.select({ ...everything, matchers: matchersOf('up') }, signal);
  const read = bitsOf(series?.values ?? new Float64Array(0));
  expect([...read.slice(0, 4)]).toEqual([...words]);
  expect(series?.values.at(-1)).toBe(5);
  expect(series?.timestampsMs).toEqual(Float64Array.of(1, 2, 3));
  connection.closeSync();
});

test('many threads and row groups still give every series in order', async () => {
  await using engine = await openTestEngine();
  const from = `(SELECT 'm' AS name, (i % 7)::BIGINT AS series_id, make_timestamptz(((i * 7919) % 300000) * 1000) AS timestamp,
    ((i * 7919) % 300000)::DOUBLE AS value, '{"__name__":"m","i":"' || (i % 7) || '"}' AS labels, 's' AS site FROM range(300000) t(i))`;
  const scan = seriesScan({ tables: tablesOf(from), engine });
  const found = await scan.select({ ...everything, matchers: matchersOf('m') }, signal);
  expect(found.length).toBe(7);
  expect(found.reduce((sum, { values }) => sum + values.length, 0)).toBe(300_000);
  for (const { timestampsMs, values } of found) {
    expect(
      timestampsMs.every((timeMs, index) => index === 0 || timeMs > (timestampsMs[index - 1] ?? 0)),
    ).toBe(true);
    expect(values).toEqual(timestampsMs);
  }
});

test('limits on samples and series are errors that name them', async () => {
  await using engine = await openTestEngine();
  const scan = seriesScan({ tables: tablesOf(table), engine });
  const matchers = matchersOf('{__name__!=""}');
  await expect(scan.select({ ...everything, matchers, samplesMax: 3 }, signal)).rejects.toMatchObject({
    code: 'limit',
    subject: 'samplesMax',
  });
  await expect(scan.select({ ...everything, matchers, seriesMax: 1 }, signal)).rejects.toMatchObject({
    code: 'limit',
    subject: 'seriesMax',
  });
  expect(await scan.select({ ...everything, matchers, samplesMax: 4, seriesMax: 2 }, signal)).toHaveLength(2);
});

test('more label entries than labelEntriesMax are an error, unless fewer were asked for', async () => {
  await using engine = await openTestEngine();
  const scan = seriesScan({ tables: tablesOf(table), engine, limits: { labelEntriesMax: 3 } });
  await expect(scan.labelNames({ matcherSets: [], limit: 0 }, signal)).rejects.toMatchObject({
    code: 'limit',
    subject: 'labelEntriesMax',
  });
  expect(await scan.labelNames({ matcherSets: [], limit: 1 }, signal)).toHaveLength(2);
  expect(await scan.labelValues('job', { matcherSets: [], limit: 0 }, signal)).toHaveLength(2);
});

test('native histograms are samples among the others, with the one before the range', async () => {
  await using engine = await openTestEngine();
  const text = '{"schema":0,"count":3,"sum":4.5,"positive_spans":[[1,2]],"positive_counts":[1,2]}';
  const stale = text.replace('4.5', '"StaleNaN"');
  const from = `(SELECT *, CASE WHEN value = 2 THEN '${text}' WHEN value = 5 THEN '${stale}' END AS histogram FROM ${rowsSql(
    [
      [up, 1_000_000, '1.0'],
      [up, 2_000_000, '2.0'],
      [up, 3_000_000, '3.0'],
      [up, 4_000_000, '5.0'],
      [down, 1_000_000, '2.0'],
    ],
  )})`;
  const scan = seriesScan({ tables: tablesOf(from), engine });
  const selection = { ...everything, matchers: matchersOf('{job!=""}'), fromMs: 2001 };
  const [first, second] = await scan.select(selection, signal);
  expect(first).toMatchObject({ labels: down, timestampsMs: Float64Array.of(1000) });
  expect(second?.timestampsMs).toEqual(Float64Array.of(2000, 3000, 4000));
  expect(second?.histograms?.map((one) => one?.positive)).toEqual([
    { indexes: [1, 2], counts: [1, 2] },
    undefined,
    undefined,
  ]);
  expect(await scan.series({ matcherSets: [], limit: 0 }, signal)).toEqual([down, up]);
});

test('exemplars of a series, by time, each once', async () => {
  await using engine = await openTestEngine();
  const trace = labelsJson(labels({ trace_id: 'abc' }));
  const from = `(SELECT *, CASE WHEN value = 3 THEN '{}' ELSE '${trace}' END AS exemplar_labels FROM ${table} UNION ALL
    SELECT *, '${trace}' AS exemplar_labels FROM ${rowsSql([[up, 1_000_000, '1.0']])})`;
  const scan = seriesScan({ tables: tablesOf(from), engine });
  const request = { matcherSets: [matchersOf('up'), matchersOf('none')], fromMs: 1000, toMs: 3000, limit: 0 };
  expect(await scan.exemplars(request, signal)).toEqual([
    {
      labels: up,
      exemplars: [
        { labels: [['trace_id', 'abc']], value: 1, timestampMs: 1000 },
        { labels: [['trace_id', 'abc']], value: 2, timestampMs: 2000 },
        { labels: [], value: 3, timestampMs: 3000 },
      ],
    },
  ]);
});

test('an aborted signal ends a running statement', async () => {
  await using engine = await openTestEngine();
  const slow = `(SELECT 'm' AS name, 1::BIGINT AS series_id, make_timestamptz(1) AS timestamp, random() AS value, '{}' AS labels, '' AS site
    FROM range(100000000) a(i), range(1000) b(j))`;
  const scan = seriesScan({ tables: tablesOf(slow), engine });
  const controller = new AbortController();
  setTimeout(() => controller.abort(new Error('gone')), 50);
  const answer = scan.series({ matcherSets: [matchersOf('{x=~"a.*"}')], limit: 0 }, controller.signal);
  await expect(answer).rejects.toThrow('gone');
});

test('label names, values and series', async () => {
  await using engine = await openTestEngine();
  const scan = seriesScan({ tables: tablesOf(table), engine });
  const all = { matcherSets: [], limit: 0 };
  expect(await scan.labelNames(all, signal)).toEqual(['__name__', 'instance', 'job', 'we.ird "name/~']);
  expect(await scan.labelValues('__name__', all, signal)).toEqual(['down', 'up']);
  expect(await scan.labelValues('we.ird "name/~', all, signal)).toEqual(['x']);
  expect(await scan.labelValues('job', { ...all, matcherSets: [matchersOf('up')] }, signal)).toEqual(['a']);
  expect(await scan.labelValues('job', { ...all, fromMs: 1500 }, signal)).toEqual(['a']);
  expect(await scan.labelValues('none', all, signal)).toEqual([]);
  const both = { matcherSets: [matchersOf('up'), matchersOf('{instance!=""}')], limit: 0 };
  expect(await scan.series(both, signal)).toEqual([down, up]);
  // One more than asked for shows that there are more.
  expect(await scan.series({ ...both, limit: 1 }, signal)).toHaveLength(2);
});
