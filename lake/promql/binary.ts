import { type BinaryOp, comparisonOps, renamingOps, type SetOp, setOps } from './ast.ts';
import { calculate, compare } from './binary-float.ts';
import { type BinaryNote, combineSamples } from './binary-sample.ts';
import { type Evaluation, evaluateScalar, evaluateVector } from './evaluation.ts';
import { combineMatched, signatureOf } from './match.ts';
import type { BinaryNode, Times } from './plan.ts';
import {
  copySample,
  isEmpty,
  mergeSameLabels,
  newSeries,
  putHistogram,
  type StepSeries,
  type Value,
} from './value.ts';

/** Binary operators, by the types of their sides. */
export async function evaluateBinary(evaluation: Evaluation, node: BinaryNode, times: Times): Promise<Value> {
  const { leftType, rightType } = node;
  if (leftType === 'scalar' && rightType === 'scalar') {
    const left = await evaluateScalar(evaluation, node.left, times);
    const right = await evaluateScalar(evaluation, node.right, times);
    return { kind: 'scalar', values: left.map((value, step) => scalarOp(node.op, value, right[step] ?? 0)) };
  }
  if (leftType === 'scalar' || rightType === 'scalar')
    return { kind: 'vector', series: await vectorScalar(evaluation, node, times) };
  const left = await evaluateVector(evaluation, node.left, times);
  const right = await evaluateVector(evaluation, node.right, times);
  const series = setOps.has(node.op)
    ? await combineSets(evaluation, node, left, right)
    : await combineMatched(evaluation, node, left, right, times);
  return { kind: 'vector', series: mergeSameLabels(series.filter((one) => !isEmpty(one))) };
}

/** Arithmetic, or 1 and 0 for a comparison. */
function scalarOp(op: BinaryOp, left: number, right: number): number {
  return comparisonOps.has(op) ? Number(compare(op, left, right)) : calculate(op, left, right);
}

async function vectorScalar(
  evaluation: Evaluation,
  node: BinaryNode,
  times: Times,
): Promise<readonly StepSeries[]> {
  const swapped = node.leftType === 'scalar';
  // In the order of the text, which is the order of errors.
  const first = swapped ? await evaluateScalar(evaluation, node.left, times) : undefined;
  const vector = await evaluateVector(evaluation, swapped ? node.right : node.left, times);
  const scalars = first ?? (await evaluateScalar(evaluation, node.right, times));
  const { op, returnBool } = node;
  const trim = isTrim(op);
  // As in Prometheus, the last thing to say of a step is said.
  const notes = new Map<number, BinaryNote>();
  const found: StepSeries[] = [];
  for (const series of vector) {
    if (evaluation.budget.due()) await evaluation.budget.pause();
    evaluation.budget.charge(times.steps);
    const dropName = series.dropName || returnBool || renamingOps.has(op);
    const result = newSeries(series.labels, dropName, times.steps);
    if (series.histograms || trim) withHistograms(node, series, scalars, result, notes);
    else withFloats(node, series, scalars, result);
    if (!isEmpty(result)) found.push(result);
  }
  const { annotations } = evaluation;
  for (const note of notes.values()) note({ annotations, span: node.span });
  return found;
}

/** `</` and `>/` trim histograms. */
const isTrim = (op: BinaryOp): boolean => op === '</' || op === '>/';

function withFloats(
  { op, returnBool, leftType }: BinaryNode,
  { values, present }: StepSeries,
  scalars: Float64Array,
  result: StepSeries,
): void {
  const swapped = leftType === 'scalar';
  const comparison = comparisonOps.has(op);
  for (let step = 0; step < values.length; step++) {
    if (!present[step]) continue;
    const value = values[step] ?? 0;
    const scalar = scalars[step] ?? 0;
    const [left, right] = swapped ? [scalar, value] : [value, scalar];
    if (!comparison) result.values[step] = calculate(op, left, right);
    else if (returnBool) result.values[step] = Number(compare(op, left, right));
    else if (compare(op, left, right)) result.values[step] = value;
    else continue;
    result.present[step] = 1;
  }
}

/** The same where there are histograms among the samples. */
function withHistograms(
  { op, returnBool, leftType }: BinaryNode,
  series: StepSeries,
  scalars: Float64Array,
  result: StepSeries,
  notes: Map<number, BinaryNote>,
): void {
  for (let step = 0; step < series.values.length; step++) {
    if (!series.present[step]) continue;
    const sample = { value: series.values[step] ?? 0, histogram: series.histograms?.[step] };
    const scalar = { value: scalars[step] ?? 0, histogram: undefined };
    const [left, right] = leftType === 'scalar' ? [scalar, sample] : [sample, scalar];
    const combined = combineSamples(op, left, right);
    if (combined.note) notes.set(step, combined.note);
    if (combined.failed || !(combined.keep || returnBool)) continue;
    if (returnBool) {
      result.values[step] = Number(combined.keep);
      result.present[step] = 1;
    } else if (comparisonOps.has(op)) copySample(result, step, series);
    else if (combined.sample.histogram) putHistogram(result, step, combined.sample.histogram);
    else {
      result.values[step] = combined.sample.value;
      result.present[step] = 1;
    }
  }
}

async function combineSets(
  evaluation: Evaluation,
  node: BinaryNode,
  left: readonly StepSeries[],
  right: readonly StepSeries[],
): Promise<readonly StepSeries[]> {
  const signature = signatureOf(node.matching);
  const op = node.op as SetOp;
  const { budget } = evaluation;
  const presence = await presenceBySignature(evaluation, op === 'or' ? left : right, signature);
  const keepMatched = op === 'and';
  const filter = (series: StepSeries): StepSeries => {
    const matched = presence.get(signature(series.labels));
    if (matched === undefined) return keepMatched ? { ...series, present: new Uint8Array(0) } : series;
    const present = series.present.slice();
    for (let step = 0; step < present.length; step++)
      if ((matched[step] === 1) !== keepMatched) present[step] = 0;
    return { ...series, present };
  };
  const result: StepSeries[] = op === 'or' ? [...left] : [];
  for (const series of op === 'or' ? right : left) {
    if (budget.due()) await budget.pause();
    budget.charge(series.values.length);
    result.push(filter(series));
  }
  return result;
}

/** By signature: at which steps any series of it has a value. */
async function presenceBySignature(
  { budget }: Evaluation,
  series: readonly StepSeries[],
  signature: (labels: StepSeries['labels']) => string,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const bySignature = new Map<string, Uint8Array>();
  for (const { labels, present } of series) {
    if (budget.due()) await budget.pause();
    const key = signature(labels);
    const flags = bySignature.get(key);
    if (flags === undefined) bySignature.set(key, present.slice());
    else
      for (let step = 0; step < present.length; step++)
        flags[step] = (flags[step] ?? 0) | (present[step] ?? 0);
  }
  return bySignature;
}
