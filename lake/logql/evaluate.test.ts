import { expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { defaultLogqlLimits } from './limits.ts';
import { parseExpr } from './parse.ts';
import { instantQuery } from './query.ts';
import type { LogSource } from './source.ts';

// Metric queries over lines with errors, as Loki (grafana/loki 65e30f8) answered them.

const stream = { labels: new Map([['app', 'x']]) };
const lines = ['{"level":"warn"}', 'no json', '{"level":"warn"}'];
const timeNs = 1_700_000_000_000_000_000n;

const source = {
  lines: async function* () {
    yield {
      rows: lines.length,
      lines,
      timestampNs: lines.map((_, index) => timeNs - BigInt(index)),
      metadata: lines.map(() => null),
      stream: () => stream,
    };
  },
} as unknown as LogSource;

async function ask(query: string): Promise<unknown> {
  const expr = parseExpr(query);
  if (expr.kind === 'log') throw new Error('a query of lines');
  const { signal } = new AbortController();
  const { data } = await instantQuery(expr, timeNs, {
    ...{ source, limits: defaultLogqlLimits, clock: systemClock, signal },
  });
  if (data.type !== 'vector') throw new Error(`a ${data.type}`);
  return data.series.map(({ labels, values }) => [Object.fromEntries(labels), values[0]]);
}

test('a sum that asks for errors counts lines that no parser could read', async () => {
  expect(await ask('sum by (level, __error__) (count_over_time({app="x"} | json [1m]))')).toEqual([
    [{ __error__: 'JSONParserErr' }, 1],
    [{ level: 'warn' }, 2],
  ]);
});

test('of any other query they are its end, which names all labels of the line', async () => {
  await expect(ask('sum by (level) (count_over_time({app="x"} | json [1m]))')).rejects.toThrow(
    `pipeline error: 'JSONParserErr' for series: '{__error__="JSONParserErr", ` +
      `__error_details__="Value looks like object, but can't find closing '}' symbol", app="x"}'.`,
  );
});

test('a format of lines that nothing reads is not carried out', async () => {
  expect(
    await ask('sum by (app) (count_over_time({app="x"} | drop none | line_format "{{.app.x}}" [1m]))'),
  ).toEqual([[{ app: 'x' }, 3]]);
  await expect(
    ask('sum by (app) (count_over_time({app="x"} | line_format "{{.app.x}}" |= "o" [1m]))'),
  ).rejects.toThrow("pipeline error: 'TemplateFormatErr'");
  await expect(
    ask('sum by (app) (bytes_over_time({app="x"} | line_format "{{.app.x}}" [1m]))'),
  ).rejects.toThrow("pipeline error: 'TemplateFormatErr'");
});
