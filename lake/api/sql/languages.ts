import type { Clock } from '../../base/clock.ts';
import { FirnError } from '../../base/errors.ts';
import type { LogqlLimits } from '../../logql/limits.ts';
import { parseExpr } from '../../logql/parse.ts';
import { type LogqlEvaluator, runQuery } from '../../logql/query.ts';
import type { LogSource } from '../../logql/source.ts';
import { labelsJson } from '../../model/labels.ts';
import type { Evaluator } from '../../promql/evaluator.ts';
import { defaultLookbackMs, type QueryLimits } from '../../promql/limits.ts';
import * as promql from '../../promql/query.ts';
import type { SeriesSource } from '../../promql/source.ts';
import type { LanguageQuery, LanguageRows, Languages } from '../../sql/languages.ts';

// promql() and logql() of SQL: the languages' own answers, a row for each sample or line.

export interface LanguagesOptions {
  readonly scan: SeriesSource;
  readonly logs: LogSource & { readonly evaluator: LogqlEvaluator | undefined };
  readonly evaluator?: Evaluator;
  readonly clock: Clock;
  readonly promqlLimits: QueryLimits;
  readonly logqlLimits: LogqlLimits;
  /** Rows of one answer; more are FirnError `limit`. */
  readonly rowsMax?: number;
}

const defaultRowsMax = 1_000_000;

export function createLanguages(options: LanguagesOptions): Languages {
  const rowsMax = options.rowsMax ?? defaultRowsMax;
  return {
    run: (query, signal) =>
      query.language === 'promql'
        ? runPromql(query, options, createRows(rowsMax), signal)
        : runLogql(query, options, createRows(rowsMax), signal),
  };
}

async function runPromql(
  { text, startMs, endMs, stepMs }: LanguageQuery,
  { scan: source, clock, promqlLimits: limits, evaluator }: LanguagesOptions,
  rows: Rows,
  signal: AbortSignal,
): Promise<LanguageRows> {
  const query = promql.parseQuery(text);
  const asked = { source, clock, limits, lookbackMs: defaultLookbackMs, signal, evaluator };
  if (stepMs > 0 && (endMs - startMs) / stepMs > limits.stepsMax)
    throw tooMuch('stepsMax', limits.stepsMax, 'steps');
  const times = { startMs: Math.floor(startMs), endMs: Math.floor(endMs), stepMs: Math.trunc(stepMs) };
  const { data } =
    stepMs === 0
      ? await promql.instantQuery(query, times.endMs, asked)
      : await promql.rangeQuery(query, times, asked);
  switch (data.type) {
    case 'scalar':
      rows.add('{}', data.timestampMs * 1000, data.value);
      break;
    case 'string':
      throw new FirnError({
        ...{ code: 'invalid', operation: 'answer PromQL', subject: 'query' },
        message: 'a string has no rows',
      });
    case 'vector':
      for (const { labels, value } of data.samples)
        rows.add(labelsJson(labels), data.timestampMs * 1000, value);
      break;
    case 'matrix':
      for (const { labels, timestampsMs, values } of data.series) {
        const json = labelsJson(labels);
        timestampsMs.forEach((ms, index) => {
          rows.add(json, ms * 1000, values[index] ?? Number.NaN);
        });
      }
  }
  return rows.samples();
}

async function runLogql(
  { text, startMs, endMs, stepMs }: LanguageQuery,
  { logs: source, clock, logqlLimits: limits }: LanguagesOptions,
  rows: Rows,
  signal: AbortSignal,
): Promise<LanguageRows> {
  const expr = parseExpr(text);
  const asked = { source, evaluator: source.evaluator, clock, limits, signal };
  const [fromNs, toNs] = [startMs, endMs].map((ms) => BigInt(Math.round(ms * 1000)) * 1000n) as [
    bigint,
    bigint,
  ];
  if (expr.kind === 'log') {
    const log = { fromNs, toNs, limit: rows.max + 1, direction: 'forward', intervalNs: 0 } as const;
    const { data } = await runQuery(
      { kind: 'log', expr, log },
      { ...asked, limits: { ...limits, entriesMax: rows.max + 1 } },
    );
    for (const { labels, metadata, parsed, timesNs, lines } of data.type === 'streams' ? data.streams : []) {
      const all = JSON.stringify(Object.fromEntries([...labels, ...metadata, ...parsed]));
      for (const [index, line] of lines.entries())
        rows.addLine(all, Number((timesNs[index] ?? 0n) / 1000n), line);
    }
    return rows.lines();
  }
  const stepNs = Math.trunc(stepMs) * 1e6;
  const steps = stepNs === 0 ? 1 : Number((toNs - fromNs) / BigInt(stepNs)) + 1;
  const { data } =
    stepNs === 0
      ? await runQuery({ kind: 'instant', expr, timeNs: toNs }, asked)
      : await runQuery({ kind: 'range', expr, times: { startNs: fromNs, stepNs, steps } }, asked);
  if (data.type === 'scalar') rows.add('{}', Number(data.timestampNs / 1000n), data.value);
  else if (data.type !== 'streams') {
    const startUs = Number((data.type === 'matrix' ? data.times.startNs : data.timestampNs) / 1000n);
    for (const { labels, values, present } of data.series) {
      const json = JSON.stringify(Object.fromEntries(labels));
      values.forEach((value, step) => {
        if (present[step]) rows.add(json, startUs + (step * stepNs) / 1000, value);
      });
    }
  }
  return rows.samples();
}

interface Rows {
  readonly max: number;
  add(labels: string, timestampUs: number, value: number): void;
  addLine(labels: string, timestampUs: number, line: string): void;
  samples(): LanguageRows;
  lines(): LanguageRows;
}

function createRows(max: number): Rows {
  const timestampsUs: number[] = [];
  const values: number[] = [];
  const texts: string[] = [];
  const known = new Map<string, number>();
  const labelsAt: number[] = [];
  const begin = (labels: string, timestampUs: number): void => {
    if (timestampsUs.length >= max) throw tooMuch('rowsMax', max, 'rows');
    timestampsUs.push(timestampUs);
    const at = known.get(labels) ?? known.size;
    known.set(labels, at);
    labelsAt.push(at);
  };
  const common = () => ({
    timestampsUs: Float64Array.from(timestampsUs),
    labels: [...known.keys()],
    labelsAt: Uint32Array.from(labelsAt),
  });
  return {
    max,
    add: (labels, timestampUs, value) => {
      begin(labels, timestampUs);
      values.push(value);
    },
    addLine: (labels, timestampUs, line) => {
      begin(labels, timestampUs);
      texts.push(line);
    },
    samples: () => ({ ...common(), values: Float64Array.from(values) }),
    lines: () => ({ ...common(), lines: texts }),
  };
}

const tooMuch = (subject: string, max: number, what: string): FirnError =>
  new FirnError({
    ...{ code: 'limit', operation: 'answer SQL', subject },
    message: `the answer has more than ${max} ${what} (${subject})`,
    hint: 'ask for less time, a larger step, or fewer series',
  });
