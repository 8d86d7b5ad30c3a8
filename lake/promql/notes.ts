import type { Annotations } from './annotations.ts';
import type { Span } from './ast.ts';
import { printString } from './literals.ts';

/** Where what is found about native histograms is noted, and of which metric it is. The texts are Prometheus' own. */
export interface Notes {
  readonly annotations: Annotations;
  readonly metric: string;
  readonly span: Span;
}

type Operation = 'addition' | 'subtraction' | 'aggregation';

export const noteMixed = ({ annotations, metric, span }: Notes): void =>
  annotations.warn(`encountered a mix of histograms and floats for metric name ${printString(metric)}`, span);

export const noteSchemas = ({ annotations, metric, span }: Notes): void =>
  annotations.warn(
    `vector contains a mix of histograms with exponential and custom buckets schemas for metric name ${printString(metric)}`,
    span,
  );

export const noteNotCounter = ({ annotations, metric, span }: Notes): void =>
  annotations.warn(`this native histogram metric is not a counter: ${printString(metric)}`, span);

export const noteNotGauge = ({ annotations, metric, span }: Notes): void =>
  annotations.warn(`this native histogram metric is not a gauge: ${printString(metric)}`, span);

export const noteIgnoredInRange = ({ annotations, metric, span }: Notes): void =>
  annotations.inform(
    `ignored histograms in a range containing both floats and histograms for metric name ${printString(metric)}`,
    span,
  );

export const noteReconciled = (
  { annotations, span }: Pick<Notes, 'annotations' | 'span'>,
  operation: Operation,
): void => annotations.inform(`mismatched custom buckets were reconciled during ${operation}`, span);

export const noteCollision = (
  { annotations, span }: Pick<Notes, 'annotations' | 'span'>,
  operation: Operation,
): void => annotations.warn(`conflicting counter resets during histogram ${operation}`, span);
