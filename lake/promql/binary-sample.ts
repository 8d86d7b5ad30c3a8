import { type BinaryOp, comparisonOps } from './ast.ts';
import { calculate, compare } from './binary-float.ts';
import {
  compact,
  divide,
  equalHistograms,
  type Histogram,
  multiply,
  withHint,
} from './histograms/histogram.ts';
import { combine } from './histograms/sum.ts';
import { trimHistogram } from './histograms/trim.ts';
import { type Notes, noteCollision, noteReconciled } from './notes.ts';

// Binary operators on samples of which at least one is a native histogram.

/** A sample: a float, or a histogram whose float means nothing. */
export interface Sample {
  readonly value: number;
  readonly histogram: Histogram | undefined;
}

/** What to say to the author of the query about one pair of samples. */
export type BinaryNote = (notes: Pick<Notes, 'annotations' | 'span'>) => void;

export interface SampleResult {
  readonly sample: Sample;
  /** False when a comparison does not hold. */
  readonly keep: boolean;
  /** The pair has no result at all, not even 0 with `bool`. */
  readonly failed: boolean;
  readonly note: BinaryNote | undefined;
}

const histogramResult = (histogram: Histogram, keep = true, note?: BinaryNote): SampleResult => ({
  ...{ sample: { value: 0, histogram }, keep, failed: false, note },
});

const failure = (note: BinaryNote): SampleResult => ({
  ...{ sample: { value: 0, histogram: undefined }, keep: false, failed: true, note },
});

export function combineSamples(op: BinaryOp, left: Sample, right: Sample): SampleResult {
  const [one, other] = [left.histogram, right.histogram];
  if (one && other) return combineHistograms(op, one, other);
  if (one) {
    if (op === '*') return histogramResult(compact(multiply(one, right.value)));
    if (op === '/') return histogramResult(compact(divide(one, right.value)));
    if (op === '</' || op === '>/') return histogramResult(trimHistogram(one, right.value, op === '</'));
    return failure(typesNote(op, 'histogram', 'float'));
  }
  if (other) {
    if (op === '*') return histogramResult(compact(multiply(other, left.value)));
    return failure(typesNote(op, 'float', 'histogram'));
  }
  if (op === '</' || op === '>/') return failure(typesNote(op, 'float', 'float'));
  const comparison = comparisonOps.has(op);
  const value = comparison ? left.value : calculate(op, left.value, right.value);
  const keep = !comparison || compare(op, left.value, right.value);
  return { sample: { value, histogram: undefined }, keep, failed: false, note: undefined };
}

function combineHistograms(op: BinaryOp, left: Histogram, right: Histogram): SampleResult {
  switch (op) {
    case '+':
    case '-':
      return addHistograms(op, left, right);
    case '==':
      return histogramResult(left, equalHistograms(left, right));
    case '!=':
      return histogramResult(left, !equalHistograms(left, right));
    default:
      return failure(typesNote(op, 'histogram', 'histogram'));
  }
}

function addHistograms(op: '+' | '-', left: Histogram, right: Histogram): SampleResult {
  const combined = combine(left, right, op === '+' ? 1 : -1);
  if (combined === undefined)
    return failure(({ annotations, span }) =>
      annotations.warn(`incompatible bucket layout encountered for binary operator ${op}`, span),
    );
  const operation = op === '+' ? 'addition' : 'subtraction';
  // Prometheus gives no result here, only the warning.
  if (combined.collision) return failure((notes) => noteCollision(notes, operation));
  const result = compact(op === '-' ? withHint(combined.histogram, 'gauge') : combined.histogram);
  return histogramResult(
    result,
    true,
    combined.reconciled ? (notes) => noteReconciled(notes, operation) : undefined,
  );
}

const typesNote =
  (op: BinaryOp, left: string, right: string): BinaryNote =>
  ({ annotations, span }) =>
    annotations.inform(
      `incompatible sample types encountered for binary operator "${op}": ${left} ${op} ${right}`,
      span,
    );
