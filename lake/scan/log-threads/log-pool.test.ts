import { expect, test } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { type AnswerTask, answer } from '../../logql/answer/answer.ts';
import { defaultLogqlLimits } from '../../logql/limits.ts';
import { parseExpr, parseLogExpr } from '../../logql/parse.ts';
import { type LogOptions, type LogqlTask, runQuery } from '../../logql/query.ts';
import { tenantId } from '../../model/ids.ts';
import { emptyRows } from '../../schema/duckdb-types.ts';
import { tableSchemas } from '../../schema/tables.ts';
import { openEngine } from '../../sql/duckdb/engine.ts';
import type { Tables } from '../../tables.ts';
import { type LogScan, logScan } from '../log-scan.ts';
import { createLogPool } from './log-pool.ts';

// A table that DuckDB makes: what is read is as long as the test wants, and none of it is in files.

function tablesOf(rows: number): Tables & { readonly opened: () => number } {
  let open = 0;
  const lines = `SELECT 1::BIGINT AS stream_id, make_timestamptz(i) AS timestamp, i * 1000 AS timestamp_ns,
      '{"n":' || i || '}' AS line, '{"app":"x"}' AS labels, '{"level":"info"}' AS attributes FROM range(${rows}) AS numbers(i)`;
  const rest = `(${emptyRows(tableSchemas.logs)} UNION ALL BY NAME ${lines})`;
  return {
    tenant: tenantId('demo'),
    open: async () => {
      open++;
      return {
        ...{ from: rest, parts: { files: [], rest }, filesConsidered: 3, filesPruned: 1 },
        [Symbol.asyncDispose]: async () => void open--,
      };
    },
    metricMetadata: async () => [],
    opened: () => open,
  };
}

const taskOf = (text: string): LogqlTask => {
  const expr = parseExpr(text);
  if (expr.kind === 'log')
    return {
      ...{ kind: 'log', expr },
      log: { fromNs: 0n, toNs: 10n ** 15n, limit: 30, direction: 'backward', intervalNs: 0 },
    };
  return { kind: 'range', expr, times: { startNs: 0n, stepNs: 1_000_000, steps: 5 } };
};

const ask = (
  logs: LogScan,
  text: string,
  signal = new AbortController().signal,
  limits = defaultLogqlLimits,
) => runQuery(taskOf(text), { source: logs, evaluator: logs.evaluator, limits, clock: systemClock, signal });

test('answers, limits, errors and ends of a thread are those of the thread that asks', async () => {
  await using engine = await openEngine({ directories: [], memoryBytesMax: 1e9, threads: 1 });
  await using pool = createLogPool({ threads: 1, cacheBytesMax: 1_000_000 });
  const tables = tablesOf(20_000);
  const here = logScan({ tables, engine });
  const there = logScan({ tables, engine, pool });
  expect(there.evaluator).toBeDefined();
  for (const text of [
    '{app="x"} |= "7" | json | n > 500',
    'sum by (level) (count_over_time({app="x"} |= "1" [1ms]))',
    'sum by (app) (sum_over_time({app="x"} | json | unwrap n [1ms]))',
    '1 + 1',
  ])
    expect(await ask(there, text), text).toEqual(await ask(here, text));
  const { signal } = new AbortController();
  const failing = 'sum_over_time({app="x"} | json | unwrap level [1ms])';
  for (const limits of [
    { ...defaultLogqlLimits, bytesMax: 500 },
    { ...defaultLogqlLimits, samplesMax: 10 },
    { ...defaultLogqlLimits, entriesMax: 10 },
    { ...defaultLogqlLimits, timeoutMs: 1 },
    defaultLogqlLimits,
  ]) {
    const text = limits.entriesMax === 10 ? '{app="x"}' : failing;
    const wanted = await ask(here, text, signal, limits).catch((error: unknown) => error);
    const got = await ask(there, text, signal, limits).catch((error: unknown) => error);
    expect(got).toEqual(wanted);
    expect(got).toMatchObject({ name: 'LogqlError' });
  }
  expect(tables.opened()).toBe(0);
});

/** Tasks of all kinds that are more than a query. */
const range = { fromNs: 0n, toNs: 10n ** 15n };
const log = (limit: number): LogOptions => ({ ...range, limit, direction: 'backward', intervalNs: 0 });
const expr = parseLogExpr('{app="x"}');
const asked = { matcherSets: [expr.matchers], ...range };
const volume = { ...asked, kind: 'volume', by: 'series', names: [], limit: 10 } as const;
const tasks: readonly AnswerTask[] = [
  { kind: 'query', task: taskOf('sum by (level) (count_over_time({app="x"} [1ms]))'), categorize: false },
  // Some pieces.
  { kind: 'query', task: { kind: 'log', expr, log: log(5000) }, categorize: true },
  { kind: 'fields', expr, log: log(100), name: undefined, limit: 5 },
  { kind: 'fields', expr, log: log(100), name: 'n', limit: 5 },
  { kind: 'patterns', expr, log: log(1000), stepNs: 10_000_000_000n },
  { kind: 'labels', ...asked },
  { kind: 'label-values', name: 'app', ...asked },
  { kind: 'series', ...asked },
  { kind: 'detected-labels', ...asked },
  { kind: 'stats', ...asked },
  { ...volume, resultType: 'vector', stepNs: undefined },
  { ...volume, resultType: 'matrix', stepNs: 5_000_000 },
];

async function textOf(
  task: AnswerTask,
  logs: LogScan,
  limits = defaultLogqlLimits,
  signal = new AbortController().signal,
): Promise<string> {
  const options = {
    source: logs,
    index: logs,
    evaluator: logs.evaluator,
    limits,
    clock: systemClock,
    signal,
  };
  return Buffer.concat(await Array.fromAsync(await answer(task, options)))
    .toString()
    .replace(/,"stats":{"summary".*/, '');
}

test.each(tasks.map((task) => [task.kind, task] as const))(
  '%s: a thread answers the same',
  async (_, task) => {
    await using engine = await openEngine({ directories: [], memoryBytesMax: 1e9, threads: 1 });
    await using pool = createLogPool({ threads: 1, cacheBytesMax: 1_000_000 });
    const tables = tablesOf(20_000);
    const here = logScan({ tables, engine });
    const there = logScan({ tables, engine, pool });
    const text = await textOf(task, here);
    expect(text.length).toBeGreaterThan(20);
    expect(await textOf(task, there)).toBe(text);
    const few = { ...defaultLogqlLimits, seriesMax: 0 };
    const wanted = await textOf(task, here, few).catch((error: unknown) => error);
    expect(await textOf(task, there, few).catch((error: unknown) => error)).toEqual(wanted);
    if (isOfStreams(task)) expect(wanted).toMatchObject({ type: 'limit', subject: 'seriesMax' });
    // So much that it cannot be answered before it is ended.
    const many = tablesOf(50_000_000);
    const huge = { tables: many, engine };
    const short = { ...defaultLogqlLimits, timeoutMs: 20 };
    for (const logs of [logScan(huge), logScan({ ...huge, pool })])
      await expect(textOf(task, logs, short)).rejects.toMatchObject({
        type: 'timeout',
        subject: 'timeoutMs',
      });
    const gone = new AbortController();
    await expect.poll(many.opened).toBe(0);
    const waiting = textOf(task, logScan({ ...huge, pool }), defaultLogqlLimits, gone.signal);
    while (many.opened() === 0) await new Promise((resolve) => setImmediate(resolve));
    gone.abort();
    await expect(waiting).rejects.toMatchObject({ type: 'canceled' });
    expect(many.opened()).toBe(0);
    expect(tables.opened()).toBe(0);
  },
);

const isOfStreams = ({ kind }: AnswerTask): boolean => !['query', 'fields', 'patterns'].includes(kind);

test('an answer whose rest nobody takes ends, and the next is answered', async () => {
  await using engine = await openEngine({ directories: [], memoryBytesMax: 1e9, threads: 1 });
  await using pool = createLogPool({ threads: 1, cacheBytesMax: 1_000_000 });
  const logs = logScan({ tables: tablesOf(20_000), engine, pool });
  const { signal } = new AbortController();
  const options = { source: logs, index: logs, evaluator: logs.evaluator, limits: defaultLogqlLimits };
  const [, large = tasks[0]] = tasks;
  for await (const piece of await answer(large as AnswerTask, { ...options, clock: systemClock, signal })) {
    expect(piece.length).toBeGreaterThan(60_000);
    break;
  }
  expect(await textOf({ kind: 'labels', ...asked }, logs)).toContain('"app"');
});

test('a query that nobody waits for any more ends and lets its view go; the next is answered', async () => {
  await using engine = await openEngine({ directories: [], memoryBytesMax: 1e9, threads: 1 });
  await using pool = createLogPool({ threads: 1, cacheBytesMax: 1_000_000 });
  const tables = tablesOf(50_000_000);
  const logs = logScan({ tables, engine, pool });
  const gone = new AbortController();
  const asked = ask(logs, 'sum_over_time({app="x"} | json | unwrap n [1h])', gone.signal);
  while (tables.opened() === 0) await new Promise((resolve) => setImmediate(resolve));
  gone.abort();
  await expect(asked).rejects.toMatchObject({ type: 'canceled' });
  expect(tables.opened()).toBe(0);
  const goneAtOnce = new AbortController();
  const askedAtOnce = ask(logs, '{app="x"} | json | n < 0', goneAtOnce.signal);
  goneAtOnce.abort();
  await expect(askedAtOnce).rejects.toMatchObject({ type: 'canceled' });
  expect(tables.opened()).toBe(0);
  const few = logScan({ tables: tablesOf(100), engine, pool });
  expect((await ask(few, '{app="x"}')).data).toMatchObject({ type: 'streams' });
});
