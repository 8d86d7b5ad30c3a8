import { expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { defaultLogqlLimits } from '../logql/limits.ts';
import { parseLogExpr } from '../logql/parse.ts';
import { logQuery } from '../logql/query.ts';
import type { LogSource } from '../logql/source.ts';
import { tenantId } from '../model/ids.ts';
import { openEngine, sqlText } from '../sql/duckdb/engine.ts';
import type { Tables } from '../tables.ts';
import { logScan } from './log-scan.ts';

type Row = readonly [line: string, attributes: string | null, labels?: string];

/** A table of literal rows, a nanosecond apart. */
function tablesOf(rows: readonly Row[]): Tables {
  const text = (value: string | null): string => (value === null ? 'NULL' : sqlText(value));
  const values = rows.map(
    ([line, attributes, labels = '{"app":"x"}'], index) =>
      `(${labels.length}::BIGINT, make_timestamptz(1), ${1000 + index}::BIGINT, ${text(line)}, ${text(labels)}, ${text(attributes)}::VARCHAR)`,
  );
  return tablesFrom(
    `(SELECT * FROM (VALUES ${values.join(', ')}) AS rows(stream_id, timestamp, timestamp_ns, line, labels, attributes))`,
  );
}

function tablesFrom(from: string): Tables {
  return {
    tenant: tenantId('demo'),
    open: async () => ({
      from,
      ...{ filesConsidered: 0, filesPruned: 0, [Symbol.asyncDispose]: async () => undefined },
    }),
    metricMetadata: async () => [],
  };
}

const rows: readonly Row[] = [
  ['{"status":500,"level":"error"}', null],
  ['{"status":200,"level":"info"}', null],
  ['{"status":"503"}', null],
  ['{"status":"oops"}', null],
  ['{"level":"error"}', null],
  ['{"status":404, broken', null],
  ['{" status":600,"status":200}', null],
  ['{"status ":600,"status":200}', null],
  ['{"status\\t":600,"status":200}', null],
  ['{"status":200,"status":600}', null],
  ['{"a":{"status":600},"status":200}', null],
  ['{"status":200}', '{"status":"501"}'],
  ['{"status":null}', null],
  ['{"status":5e2}', null],
  ['not json at all', null],
  ['{"level":"er\\u0072or","status":1}', null],
  ['{"took":"oops","status":200}', null],
  ['{"status":200}', null, '{"app":"x","status":"599"}'],
];

/** The same without what the source may filter. */
const unfiltered = (source: LogSource): LogSource => ({
  ...source,
  lines: ({ fieldConditions: _, ...request }, signal) => source.lines(request, signal),
});

test.each([
  ['{app="x"} | json | status >= 500'],
  ['{app="x", status=""} | json | status >= 500'],
  ['{app="x", status=""} | json | status != 200'],
  ['{app="x", status=""} | json | level="error"'],
  ['{app="x", status=""} | json | level="error" | status < 300'],
  ['{app="x", status=""} | json | took > 1s and status >= 200'],
  ['{app="x", status=""} |= "status" | json | status == 500 or level="error"'],
  ['{app="x", status=""} != "\\x00" | json | level="error"'],
])('%s is the same whether or not the source filters fields', async (query) => {
  await using engine = await openEngine({ directories: [], memoryBytesMax: 500e6, threads: 2 });
  const source = logScan({ tables: tablesOf(rows), engine });
  const log = { fromNs: 0n, toNs: 10_000n, limit: 100, direction: 'forward' as const, intervalNs: 0 };
  const answers = await Promise.all(
    [source, unfiltered(source)].map(async (each) => {
      const options = { source: each, limits: defaultLogqlLimits, clock: systemClock };
      const { data } = await logQuery(parseLogExpr(query), log, {
        ...options,
        signal: new AbortController().signal,
      });
      return data;
    }),
  );
  expect(answers[0]).toEqual(answers[1]);
  expect(answers[0]).toMatchObject({ type: 'streams', streams: expect.arrayContaining([expect.anything()]) });
});

test('newest first stops early, and both directions give every line once', async () => {
  const many = `(SELECT 1::BIGINT AS stream_id, make_timestamptz(1) AS timestamp, 1000 + i AS timestamp_ns, 'line ' || i AS line,
    '{"app":"x"}' AS labels, NULL::VARCHAR AS attributes FROM range(20000) AS t(i))`;
  await using engine = await openEngine({ directories: [], memoryBytesMax: 500e6, threads: 2 });
  const source = logScan({ tables: tablesFrom(many), engine });
  const ask = async (query: string, direction: 'forward' | 'backward', limit: number) => {
    const log = { fromNs: 0n, toNs: 10n ** 12n, limit, direction, intervalNs: 0 };
    const options = { source, limits: { ...defaultLogqlLimits, entriesMax: 50_000 }, clock: systemClock };
    const { data, stats } = await logQuery(parseLogExpr(query), log, {
      ...options,
      signal: new AbortController().signal,
    });
    return {
      lines: data.type === 'streams' ? (data.streams[0]?.lines ?? []) : [],
      stats,
    };
  };
  const newest = await ask('{app="x"} | decolorize', 'backward', 2);
  expect(newest.lines).toEqual(['line 19999', 'line 19998']);
  expect(newest.stats.lines).toBeLessThan(6000);
  for (const direction of ['forward', 'backward'] as const)
    for (const query of ['{app="x"}', '{app="x"} | decolorize'])
      expect(new Set((await ask(query, direction, 50_000)).lines).size).toBe(20_000);
  expect((await ask('{app="x"} |= "line 7"', 'forward', 1)).lines).toEqual(['line 7']);
});

test('a NUL in a matcher is a value as others are', async () => {
  await using engine = await openEngine({ directories: [], memoryBytesMax: 1e9, threads: 1 });
  const labels = JSON.stringify({ app: 'a\0b' });
  const logs = logScan({
    engine,
    tables: tablesOf([
      ['one', null, labels],
      ['two', null],
    ]),
  });
  const { signal } = new AbortController();
  const range = { fromNs: 0n, toNs: 10_000n, streamsMax: 10 };
  for (const [op, value, found] of [
    ['=', 'a\0b', [labels]],
    ['=', 'a\0c', []],
    ['!=', 'x\0', ['{"app":"x"}', labels]],
    ['=~', 'a\\x00.', [labels]],
  ] as const) {
    const request = { ...range, matcherSets: [[{ label: 'app', op, value }]] };
    const streams = (await Array.fromAsync(logs.streams(request, signal))).flat();
    expect(streams.sort()).toEqual([...found].sort());
    const volumes = logs.volumes({ ...request, stepNs: undefined, rowsMax: 10 }, signal);
    const labelled = (await Array.fromAsync(volumes)).flat().map((volume) => volume.labels);
    expect(labelled.sort()).toEqual([...found].sort());
    const lines = await logQuery(
      { kind: 'log', matchers: [{ label: 'app', op, value }], stages: [] },
      { ...range, limit: 10, direction: 'forward', intervalNs: 0 },
      { source: logs, limits: defaultLogqlLimits, clock: systemClock, signal },
    );
    expect(lines.data.type === 'streams' && lines.data.streams.length).toBe(found.length);
  }
});
