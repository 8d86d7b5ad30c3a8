import { expect, test } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { defaultLogqlLimits } from '../../logql/limits.ts';
import { parseExpr } from '../../logql/parse.ts';
import { type LogqlTask, runQuery } from '../../logql/query.ts';
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
