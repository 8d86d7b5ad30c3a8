import { messageOf } from '../base/errors.ts';
import type { LabelFilter, LineFilter, LogExpr, LogRange, RangeAggregation, RangeOp, Stage } from './ast.ts';
import { parseError } from './errors.ts';
import { compilePipeline, compileStage, type Pipeline } from './pipeline/compile.ts';
import { errorLabel } from './pipeline/row.ts';
import { stageText } from './print.ts';
import type { FieldCondition } from './source.ts';

// How a pipeline is carried out: what a source can filter where the lines are, and what is left for each line.

export interface PipelinePlan {
  /** Filters of the line as it is stored. */
  readonly pushed: readonly LineFilter[];
  /** What `| json | field >= 1` says of it. */
  readonly fields: readonly FieldCondition[];
  /** What is left, or undefined when nothing is. */
  readonly pipeline: Pipeline | undefined;
  readonly needs: { readonly line: boolean; readonly metadata: boolean };
}

/** Splits a pipeline. Throws LogqlError `parse` that names the stage which cannot be made. */
export function planPipeline({ stages }: LogExpr, wanted?: ReadonlySet<string>): PipelinePlan {
  const first = stages.findIndex((stage) => stage.kind !== 'line-filter');
  const leading = first < 0 ? stages : stages.slice(0, first);
  const pushed = leading.filter((stage) => stage.kind === 'line-filter');
  const pipeline = compiled(stages, wanted);
  const rest = first < 0 && pushed.every(isPushable) ? undefined : pipeline;
  return {
    pushed,
    fields: fieldConditions(stages.slice(pushed.length)),
    pipeline: rest,
    needs: { line: stages.some(readsLine), metadata: true },
  };
}

function compiled(stages: readonly Stage[], wanted: ReadonlySet<string> | undefined): Pipeline {
  for (const stage of stages)
    try {
      compileStage(stage);
    } catch (cause) {
      throw parseError(`stage '${stageText(stage)}' : ${messageOf(cause)}`);
    }
  return compilePipeline(stages, wanted);
}

function readsLine(stage: Stage): boolean {
  return !['label-filter', 'drop', 'keep'].includes(stage.kind);
}

/** Whether a source filters exactly as a pipeline would: texts and regular expressions, and no addresses or patterns. */
export function isPushable({ op, alternatives }: LineFilter): boolean {
  const plain = op === '|=' || op === '!=' || op === '|~' || op === '!~';
  return plain && alternatives.every(({ kind }) => kind === 'text');
}

const counts: readonly RangeOp[] = [
  'count_over_time',
  'rate',
  'bytes_over_time',
  'bytes_rate',
  'absent_over_time',
];

/**
 * Conditions that every line must meet which a filter right behind `| json` keeps, and whose fields it reads without an
 * error. A comparison that cannot be made is an error, and lets whatever is compared after it pass: so numbers count only
 * before that can have been.
 */
function fieldConditions([json, ...rest]: readonly Stage[]): readonly FieldCondition[] {
  if (json?.kind !== 'json' || json.expressions.length > 0) return [];
  const found: FieldCondition[] = [];
  let certain = true;
  const add = (filter: LabelFilter): void => {
    if (filter.kind === 'and') {
      add(filter.left);
      add(filter.right);
    } else if (filter.kind === 'text') {
      const { label, op, value } = filter.matcher;
      if (op === '=' && value !== '') found.push({ field: label, op: '==', value });
    } else {
      if (filter.kind === 'number' && certain)
        found.push({ field: filter.label, op: filter.op, value: filter.value });
      certain = false;
    }
  };
  for (const stage of rest) {
    if (stage.kind !== 'label-filter') break;
    add(stage.filter);
  }
  return found.filter(({ field }) => /^[a-zA-Z][a-zA-Z0-9]*$/.test(field));
}

/** Whether lines need only be counted, where they are. */
export function isCountable({ op, range }: RangeAggregation): boolean {
  return (
    counts.includes(op) &&
    range.unwrap === undefined &&
    range.log.stages.every((stage) => stage.kind === 'line-filter' && isPushable(stage))
  );
}

export const countsBytes = (op: RangeOp): boolean => op === 'bytes_over_time' || op === 'bytes_rate';

const additive: readonly RangeOp[] = [
  ...(['count_over_time', 'rate', 'bytes_over_time', 'bytes_rate', 'sum_over_time'] as const),
];

/** Whether a sum of this by some labels may add lines of several series at once. */
export const isAdditive = ({ op }: RangeAggregation): boolean => additive.includes(op);

const parsers = new Set(['json', 'logfmt', 'regexp', 'pattern']);

/** The same range without parsers, where nobody asks for a label that they make: lines are then only counted. */
export function withoutParsers(expr: RangeAggregation): RangeAggregation {
  const { log, unwrap } = expr.range;
  const simple = log.stages.every(({ kind }) => kind === 'line-filter' || parsers.has(kind));
  if (unwrap !== undefined || !simple) return expr;
  const stages = log.stages.filter(({ kind }) => kind === 'line-filter');
  return { ...expr, range: { ...expr.range, log: { ...log, stages } } };
}

/** The same range without formats of a line that nothing behind them reads; what would be wrong with them is not seen. */
export function withoutIdleFormats(expr: RangeAggregation): RangeAggregation {
  if (countsBytes(expr.op)) return expr;
  const { log } = expr.range;
  const last = log.stages.findLastIndex(
    ({ kind }) => kind === 'line-filter' || kind === 'unpack' || parsers.has(kind),
  );
  const stages = log.stages.filter(({ kind }, index) => kind !== 'line-format' || index < last);
  if (stages.length === log.stages.length) return expr;
  return { ...expr, range: { ...expr.range, log: { ...log, stages } } };
}

/** Whether a sum by some labels asks for the errors of its lines: then those of parsers are labels, and end no query. */
export function asksForErrors({ log, unwrap }: LogRange, by: readonly string[] | undefined): boolean {
  if (by === undefined) return false;
  const names = new Set(by);
  for (const stage of log.stages) if (stage.kind === 'label-filter') addNames(names, stage.filter);
  for (const filter of unwrap?.filters ?? []) addNames(names, filter);
  return names.has(errorLabel);
}

/**
 * The labels that matter to a range aggregation whose series are told apart by `by` only: those, and the ones that its
 * stages look at. Undefined where a stage may look at any.
 */
export function wantedLabels(
  { log, unwrap }: LogRange,
  by: readonly string[] | undefined,
): ReadonlySet<string> | undefined {
  if (by === undefined) return undefined;
  const names = new Set(by);
  for (const stage of log.stages) {
    if (stage.kind === 'label-filter') addNames(names, stage.filter);
    else if (stage.kind === 'drop') for (const { label } of stage.labels) names.add(label);
    else if (['line-format', 'label-format', 'keep', 'unpack'].includes(stage.kind)) return undefined;
  }
  if (unwrap !== undefined) {
    names.add(unwrap.label);
    for (const filter of unwrap.filters) addNames(names, filter);
  }
  // A line's errors are no labels that a parser finds.
  for (const name of [...names]) if (name.startsWith('__error')) names.delete(name);
  return names;
}

function addNames(names: Set<string>, filter: LabelFilter): void {
  switch (filter.kind) {
    case 'and':
    case 'or':
      addNames(names, filter.left);
      addNames(names, filter.right);
      return;
    case 'text':
      names.add(filter.matcher.label);
      return;
    default:
      names.add(filter.label);
  }
}
