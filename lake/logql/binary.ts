import { arithmetic, holds } from './arithmetic.ts';
import type { Binary, BinaryOp, Matching } from './ast.ts';
import { executionError } from './errors.ts';
import { compareText, labelsKey, type Series, type SeriesLabels, type Times, type Value } from './value.ts';

const isComparison = (op: BinaryOp): boolean => ['==', '!=', '>', '>=', '<', '<='].includes(op);

/** An operator between two values. Throws LogqlError `execution` where series do not match one to one. */
export function evaluateBinary(expr: Binary, left: Value, right: Value, times: Times): Value {
  if (left.kind === 'scalar' && right.kind === 'scalar')
    return { kind: 'scalar', value: arithmetic(expr.op, left.value, right.value) };
  if (left.kind === 'vector' && right.kind === 'vector')
    return { kind: 'vector', series: vectors(expr, left.series, right.series, times) };
  const [vector, scalar, swapped] =
    left.kind === 'vector' ? [left, right, false] : [right as Value & { kind: 'vector' }, left, true];
  const value = scalar.kind === 'scalar' ? scalar.value : Number.NaN;
  const series = vector.series.map((one) => withScalar(expr, one, value, swapped));
  return { kind: 'vector', series: series.filter(({ present }) => present.includes(1)) };
}

/** The result of one step, or undefined where a comparison leaves the sample out. `kept` is what a comparison keeps. */
function merged({ op, returnBool }: Binary, left: number, right: number, kept: number): number | undefined {
  if (!isComparison(op)) return arithmetic(op, left, right);
  const true_ = holds(op, left, right);
  if (returnBool) return true_ ? 1 : 0;
  return true_ ? kept : undefined;
}

function withScalar(expr: Binary, series: Series, scalar: number, swapped: boolean): Series {
  const { values, present } = series;
  const out = new Float64Array(values.length);
  const shown = new Uint8Array(values.length);
  for (let step = 0; step < values.length; step++) {
    if (present[step] !== 1) continue;
    const value = values[step] ?? Number.NaN;
    const result = swapped ? merged(expr, scalar, value, value) : merged(expr, value, scalar, value);
    if (result === undefined) continue;
    out[step] = result;
    shown[step] = 1;
  }
  return { labels: series.labels, values: out, present: shown };
}

/** What makes two series match. */
function signature(labels: SeriesLabels, matching: Matching | undefined): string {
  if (matching === undefined) return labelsKey(labels);
  return labelsKey(labels.filter(([name]) => matching.labels.includes(name) === matching.on));
}

function vectors(
  expr: Binary,
  left: readonly Series[],
  right: readonly Series[],
  times: Times,
): readonly Series[] {
  const { op, matching } = expr;
  if (op === 'and' || op === 'unless') return kept(left, right, matching, times, op === 'and');
  if (op === 'or') return [...left, ...kept(right, left, matching, times, false)];
  const swapped = matching?.many === 'right';
  return swapped ? matched(expr, right, left, times, true) : matched(expr, left, right, times, false);
}

/** The samples of `series` with a partner in `others` at the same step, or without one. */
function kept(
  series: readonly Series[],
  others: readonly Series[],
  matching: Matching | undefined,
  times: Times,
  withPartner: boolean,
): readonly Series[] {
  const bySignature = Map.groupBy(others, ({ labels }) => signature(labels, matching));
  return series
    .map((one) => {
      const partners = bySignature.get(signature(one.labels, matching)) ?? [];
      const present = new Uint8Array(times.steps);
      for (let step = 0; step < times.steps; step++) {
        const partner = partners.some((other) => other.present[step] === 1);
        if (one.present[step] === 1 && partner === withPartner) present[step] = 1;
      }
      return { ...one, present };
    })
    .filter(({ present }) => present.includes(1));
}

/** `many` matched with `one`: each of its samples with the one of the other side that has its signature. */
function matched(
  expr: Binary,
  many: readonly Series[],
  one: readonly Series[],
  times: Times,
  swapped: boolean,
): readonly Series[] {
  const { matching } = expr;
  const found = new Map<
    string,
    { readonly labels: SeriesLabels; values: Float64Array; present: Uint8Array }
  >();
  const ones = Map.groupBy(one, ({ labels }) => signature(labels, matching));
  const taken = new Map<string, Uint8Array>();
  for (const partners of ones.values()) checkUnique(partners, times);
  for (const member of many) {
    const key = signature(member.labels, matching);
    for (const partner of ones.get(key) ?? []) {
      const labels = resultLabels(member.labels, partner.labels, matching);
      const resultKey = matching?.many === undefined ? key : labelsKey(labels);
      const steps = taken.get(resultKey) ?? new Uint8Array(times.steps);
      taken.set(resultKey, steps);
      const series = found.get(labelsKey(labels)) ?? {
        ...{ labels, values: new Float64Array(times.steps), present: new Uint8Array(times.steps) },
      };
      for (let step = 0; step < times.steps; step++) {
        if (member.present[step] !== 1 || partner.present[step] !== 1) continue;
        const [a, b] = [member.values[step] ?? Number.NaN, partner.values[step] ?? Number.NaN];
        const value = swapped ? merged(expr, b, a, b) : merged(expr, a, b, a);
        if (value === undefined) continue;
        if (steps[step] === 1) throw tooManyMatches(matching);
        steps[step] = 1;
        series.values[step] = value;
        series.present[step] = 1;
        found.set(labelsKey(labels), series);
      }
    }
  }
  return [...found.values()];
}

/** Two of one signature may stand beside each other in time, but not at a step. */
function checkUnique(partners: readonly Series[], times: Times): void {
  if (partners.length < 2) return;
  for (let step = 0; step < times.steps; step++)
    if (partners.filter(({ present }) => present[step] === 1).length > 1)
      throw executionError(
        'found duplicate series on the right hand-side;many-to-many matching not allowed: matching labels must be unique on one side',
      );
}

function tooManyMatches(matching: Matching | undefined) {
  return executionError(
    matching?.many === undefined
      ? 'multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)'
      : 'multiple matches for labels: grouping labels must ensure unique matches',
  );
}

function resultLabels(many: SeriesLabels, one: SeriesLabels, matching: Matching | undefined): SeriesLabels {
  if (matching === undefined) return many;
  if (matching.many === undefined)
    return many.filter(([name]) => matching.labels.includes(name) === matching.on);
  const rest = many.filter(([name]) => !matching.include.includes(name));
  const included = one.filter(([name, value]) => matching.include.includes(name) && value !== '');
  return [...rest, ...included].sort(([a], [b]) => compareText(a, b));
}
