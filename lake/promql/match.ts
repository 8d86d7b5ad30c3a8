import { type Labels, labelValue } from '../model/labels.ts';
import { type Matching, renamingOps } from './ast.ts';
import { type BinaryNote, combineSamples, type Sample } from './binary-sample.ts';
import { executionError } from './errors.ts';
import type { Evaluation } from './evaluation.ts';
import type { BinaryNode, Times } from './plan.ts';
import {
  labelsKey,
  newSeries,
  printLabels,
  putHistogram,
  type StepSeries,
  withLabel,
  withoutName,
} from './value.ts';

/** The text by which series of the two sides belong together. */
export function signatureOf({ on, labels: names }: Matching): (labels: Labels) => string {
  const wanted = new Set(names);
  return on
    ? (labels) => labelsKey(labels.filter(([name]) => wanted.has(name)))
    : (labels) => labelsKey(labels.filter(([name]) => name !== '__name__' && !wanted.has(name)));
}

/** The series of the `one` side that share a signature, and what has been matched with them. */
interface MatchGroup {
  readonly ones: StepSeries[];
  /** Which of `ones` has a value, plus 1; 0 for none. */
  readonly owner: Uint16Array | Uint32Array;
  /** Steps at which a series of the other side has been combined with this group. */
  readonly matched: Uint8Array;
}

interface Matcher {
  readonly node: BinaryNode;
  readonly evaluation: Evaluation;
  readonly times: Times;
  readonly results: Map<string, Result>;
  /** What to say, by step. */
  readonly notes: Map<number, BinaryNote>;
}

interface Result {
  readonly series: StepSeries;
  /** By group: steps that have been taken, also by pairs that a comparison then filtered out. */
  readonly taken: Map<MatchGroup, Uint8Array>;
}

/**
 * Arithmetic and comparisons between vectors. The `many` side (the left one, unless group_right) is gone through in its
 * order; series of the `one` side are found by signature. The rules hold at each step for itself.
 */
export async function combineMatched(
  evaluation: Evaluation,
  node: BinaryNode,
  left: readonly StepSeries[],
  right: readonly StepSeries[],
  times: Times,
): Promise<readonly StepSeries[]> {
  const { matching } = node;
  const swapped = matching.group === 'right';
  const [many, ones] = swapped ? [right, left] : [left, right];
  // As in Prometheus, fill_left is for the many side, also when group_right has made that the right one.
  const { fillLeft: fillMany, fillRight: fillOne } = matching;
  const fills = fillMany !== undefined || fillOne !== undefined;
  if (!fills && (many.length === 0 || ones.length === 0)) return [];
  const signature = signatureOf(matching);
  const groups = await groupOnes(evaluation, node, ones, many, times, fills);
  const matcher: Matcher = { node, evaluation, times, results: new Map(), notes: new Map() };
  for (const series of many) {
    if (evaluation.budget.due()) await evaluation.budget.pause();
    const key = signature(series.labels);
    let group = groups.get(key);
    if (group === undefined) {
      if (fillOne === undefined) continue;
      group = newGroup(times);
      groups.set(key, group);
    }
    combineMany(matcher, series, group, fillOne);
  }
  if (fillMany !== undefined) {
    for (const series of ones) {
      const group = groups.get(signature(series.labels));
      if (group) fillUnmatched(matcher, series, group, fillMany);
    }
  }
  const { annotations } = evaluation;
  for (const note of matcher.notes.values()) note({ annotations, span: node.span });
  return [...matcher.results.values()].map(({ series }) => series);
}

const newGroup = ({ steps }: Times): MatchGroup => ({
  ones: [],
  owner: new Uint32Array(steps),
  matched: new Uint8Array(steps),
});

/** Sorts the `one` side into groups; two series of a group with a value at the same step are an error. */
async function groupOnes(
  { budget }: Evaluation,
  node: BinaryNode,
  ones: readonly StepSeries[],
  many: readonly StepSeries[],
  times: Times,
  fills: boolean,
): Promise<Map<string, MatchGroup>> {
  const signature = signatureOf(node.matching);
  const groups = new Map<string, MatchGroup>();
  for (const series of ones) {
    if (budget.due()) await budget.pause();
    const key = signature(series.labels);
    const group = groups.get(key) ?? newGroup(times);
    groups.set(key, group);
    const number = group.ones.push(series);
    for (let step = 0; step < times.steps; step++) {
      if (!series.present[step]) continue;
      const other = group.ones[(group.owner[step] ?? 0) - 1];
      // With nothing on the other side there is nothing to match, and no error.
      const matters = other && (fills || many.some(({ present }) => present[step] === 1));
      if (matters) throw duplicates(node, series, other);
      group.owner[step] = number;
    }
  }
  return groups;
}

function duplicates({ matching }: BinaryNode, one: StepSeries, other: StepSeries): Error {
  const side = matching.group === 'right' ? 'left' : 'right';
  const [first, second] = [printLabels(one.labels), printLabels(other.labels)].sort();
  const group = printLabels(matchLabels(matching, one.labels));
  return executionError(
    `found duplicate series for the match group ${group} on the ${side} hand-side of the operation: [${first}, ${second}];many-to-many matching not allowed: matching labels must be unique on one side`,
  );
}

/** The labels that the two sides have in common. */
function matchLabels({ on, labels: names }: Matching, labels: Labels): Labels {
  return labels.filter(([name]) =>
    on ? names.includes(name) : name !== '__name__' && !names.includes(name),
  );
}

const sampleAt = ({ values, histograms }: StepSeries, step: number): Sample => ({
  value: values[step] ?? 0,
  histogram: histograms?.[step],
});

function combineMany(
  matcher: Matcher,
  many: StepSeries,
  group: MatchGroup,
  fillOne: number | undefined,
): void {
  const { node, times } = matcher;
  const resultOf = resultCache(matcher, group);
  for (let step = 0; step < times.steps; step++) {
    if (!many.present[step]) continue;
    const one = group.ones[(group.owner[step] ?? 0) - 1];
    if (one === undefined && fillOne === undefined) continue;
    const oneLabels = one ? one.labels : matchLabels(node.matching, many.labels);
    const sample = one ? sampleAt(one, step) : { value: fillOne ?? 0, histogram: undefined };
    put(matcher, group, resultOf(many.labels, oneLabels), step, sampleAt(many, step), sample);
  }
}

function fillUnmatched(matcher: Matcher, one: StepSeries, group: MatchGroup, fillMany: number): void {
  const resultOf = resultCache(matcher, group);
  const manyLabels = matchLabels(matcher.node.matching, one.labels);
  for (let step = 0; step < matcher.times.steps; step++) {
    if (!one.present[step] || group.matched[step]) continue;
    const filled = { value: fillMany, histogram: undefined };
    put(matcher, group, resultOf(manyLabels, one.labels), step, filled, sampleAt(one, step));
  }
}

interface Slot {
  readonly series: StepSeries;
  readonly taken: Uint8Array;
}

/** Where results of a pair of label sets go; the pair hardly ever changes from one step to the next. */
function resultCache(matcher: Matcher, group: MatchGroup): (many: Labels, one: Labels) => Slot {
  let last: { many: Labels; one: Labels; slot: Slot } | undefined;
  return (many, one) => {
    if (last?.many === many && last.one === one) return last.slot;
    last = { many, one, slot: slotOf(matcher, group, resultLabels(matcher.node, many, one)) };
    return last.slot;
  };
}

function slotOf({ results, evaluation, times, node }: Matcher, group: MatchGroup, labels: Labels): Slot {
  const key = labelsKey(labels);
  let result = results.get(key);
  if (result === undefined) {
    evaluation.budget.charge(times.steps);
    result = { series: newSeries(labels, node.returnBool, times.steps), taken: new Map() };
    results.set(key, result);
  }
  let taken = result.taken.get(group);
  if (taken === undefined) {
    taken = new Uint8Array(times.steps);
    result.taken.set(group, taken);
  }
  return { series: result.series, taken };
}

/** The labels of a result: those of the many side, less what the operator and the matching take away. */
function resultLabels({ op, matching }: BinaryNode, many: Labels, one: Labels): Labels {
  let labels = renamingOps.has(op) ? withoutName(many) : many;
  if (matching.group === undefined) {
    labels = labels.filter(([name]) => matching.on === matching.labels.includes(name));
  }
  for (const name of matching.include) labels = withLabel(labels, name, labelValue(one, name));
  return labels;
}

/** Combines the samples of a pair at one step. */
function put(
  matcher: Matcher,
  group: MatchGroup,
  { series, taken }: Slot,
  step: number,
  many: Sample,
  one: Sample,
): void {
  const { node, notes } = matcher;
  const { op, returnBool, matching } = node;
  const [left, right] = matching.group === 'right' ? [one, many] : [many, one];
  const { sample, keep, failed, note } = combineSamples(op, left, right);
  // As in Prometheus, the last thing to say of a step is said.
  if (note) notes.set(step, note);
  if (failed) return;
  if (matching.group === undefined && group.matched[step])
    throw executionError(
      'multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)',
    );
  group.matched[step] = 1;
  if (matching.group !== undefined && taken[step])
    throw executionError('multiple matches for labels: grouping labels must ensure unique matches');
  taken[step] = 1;
  if (!keep && !returnBool) return;
  if (series.present[step]) throw executionError('vector cannot contain metrics with the same labelset');
  if (sample.histogram && !returnBool) putHistogram(series, step, sample.histogram);
  else {
    series.values[step] = returnBool ? Number(keep) : sample.value;
    series.present[step] = 1;
  }
}
