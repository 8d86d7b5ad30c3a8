import { compileRe2 } from '../regexp/re2.ts';
import { aggregate } from './aggregate.ts';
import type { LabelReplace, MetricExpr, RangeAggregation } from './ast.ts';
import { evaluateBinary } from './binary.ts';
import { boundsOf, collect, type Reading } from './collect.ts';
import { executionError, pipelineError } from './errors.ts';
import { isAdditive, withoutIdleFormats, withoutParsers } from './plan.ts';
import { quoted } from './units.ts';
import { compareText, type Series, type SeriesLabels, type Times, type Value } from './value.ts';
import { overWindows, windowFunction } from './window.ts';

/**
 * The value of a metric expression at all its points of time. `by`: the labels that whoever asks will sum by.
 * Throws LogqlError.
 */
export async function evaluate(
  expr: MetricExpr,
  times: Times,
  reading: Reading,
  by?: readonly string[],
): Promise<Value> {
  switch (expr.kind) {
    case 'number':
      return { kind: 'scalar', value: expr.value };
    case 'vector':
      return { kind: 'vector', series: [constant([], expr.value, times)] };
    case 'range-aggregation':
      return { kind: 'vector', series: await rangeAggregation(expr, times, reading, by) };
    case 'vector-aggregation': {
      if (expr.op === 'approx_topk' && times.steps > 1)
        throw executionError('count min sketches are only supported on instant queries');
      const { grouping = { without: false, labels: [] } } = expr;
      const summed = expr.op === 'sum' && !grouping.without ? grouping.labels : undefined;
      const input = await evaluate(expr.input, times, reading, summed);
      return { kind: 'vector', series: aggregate(expr, seriesOf(input, times), times) };
    }
    case 'binary': {
      const left = await evaluate(expr.left, times, reading);
      const right = await evaluate(expr.right, times, reading);
      return evaluateBinary(expr, left, right, times);
    }
    case 'label-replace':
      return labelReplace(expr, await evaluate(expr.input, times, reading));
  }
}

/** The time whose lines are asked for first; undefined where none are. */
export function firstAsked(
  expr: MetricExpr,
  times: Times,
): { readonly fromNs: bigint; readonly toNs: bigint } | undefined {
  switch (expr.kind) {
    case 'number':
    case 'vector':
      return undefined;
    case 'range-aggregation':
      return boundsOf(expr, times);
    case 'vector-aggregation':
    case 'label-replace':
      return firstAsked(expr.input, times);
    case 'binary':
      return firstAsked(expr.left, times) ?? firstAsked(expr.right, times);
  }
}

export function seriesOf(value: Value, times: Times): readonly Series[] {
  return value.kind === 'vector' ? value.series : [constant([], value.value, times)];
}

function constant(labels: SeriesLabels, value: number, { steps }: Times): Series {
  return {
    labels,
    values: new Float64Array(steps).fill(value),
    present: new Uint8Array(steps).fill(1),
  };
}

async function rangeAggregation(
  written: RangeAggregation,
  times: Times,
  reading: Reading,
  by: readonly string[] | undefined,
): Promise<readonly Series[]> {
  const expr = withoutIdleFormats(written);
  if (expr.op === 'absent_over_time') return absent(expr, times, reading);
  const labels = by !== undefined && isAdditive(expr) ? by : undefined;
  const asked = labels?.length === 0 ? withoutParsers(expr) : expr;
  const { rangeNs } = expr.range;
  const compute = windowFunction(expr.op, rangeNs, expr.parameter);
  const found: Series[] = [];
  for (const { labels: own, samples, error } of await collect(asked, times, labels, reading)) {
    const { values, present } = overWindows({ samples, firstEndNs: 0, rangeNs, times }, compute);
    if (!present.includes(1)) continue;
    if (error !== undefined) throw pipelineError(error, labelsText(own));
    found.push({ labels: own, values, present });
    await reading.budget.breathe();
  }
  return found;
}

/** As Loki prints labels: {app="a", level="error"}. */
const labelsText = (labels: SeriesLabels): string =>
  `{${labels.map(([name, value]) => `${name}=${quoted(value)}`).join(', ')}}`;

/** 1 where no line is in the window; its labels are those that the selector says by `=`. */
async function absent(expr: RangeAggregation, times: Times, reading: Reading): Promise<readonly Series[]> {
  const { rangeNs, log } = expr.range;
  const present = new Uint8Array(times.steps);
  for (const { samples, error, labels } of await collect(expr, times, undefined, reading)) {
    const windows = overWindows({ samples, firstEndNs: 0, rangeNs, times }, () => 1);
    if (error !== undefined && windows.present.includes(1)) throw pipelineError(error, labelsText(labels));
    windows.present.forEach((there, step) => {
      if (there === 1) present[step] = 1;
    });
  }
  const missing = present.map((there) => 1 - there);
  if (!missing.includes(1)) return [];
  const names = log.matchers.map(({ label }) => label);
  const labels = log.matchers
    .filter(
      ({ label, op, value }) =>
        op === '=' && value !== '' && names.indexOf(label) === names.lastIndexOf(label),
    )
    .map(({ label, value }) => [label, value] as const)
    .sort(([a], [b]) => compareText(a, b));
  return [{ labels, values: new Float64Array(times.steps).fill(1), present: missing }];
}

function labelReplace(expr: LabelReplace, input: Value): Value {
  if (input.kind === 'scalar') return input;
  const regexp = compileRe2(`^(?:${expr.pattern})$`);
  const series = input.series.map((one) => {
    const value = one.labels.find(([name]) => name === expr.source)?.[1] ?? '';
    if (!regexp.test(value)) return one;
    const text = regexp.replaceAll(value, expr.replacement);
    const rest = one.labels.filter(([name]) => name !== expr.target);
    const labels = text === '' ? rest : [...rest, [expr.target, text] as const];
    return { ...one, labels: [...labels].sort(([a], [b]) => compareText(a, b)) };
  });
  return { kind: 'vector', series };
}
