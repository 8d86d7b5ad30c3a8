import type { PromqlErrorType } from './errors.ts';
import type { Evaluated, EvaluationTask } from './evaluator.ts';
import type { SeriesData } from './source.ts';

// What a thread that evaluates and the one that asks say to each other.

export type ToWorker =
  | { readonly kind: 'evaluate'; readonly task: EvaluationTask }
  | { readonly kind: 'cancel' };

export type FromWorker =
  | { readonly kind: 'done'; readonly evaluated: Evaluated }
  /** Without a type it is a fault of the program, and the message its stack. */
  | { readonly kind: 'failed'; readonly errorType: PromqlErrorType | undefined; readonly message: string };

/** The memory of the samples, each once, to hand it over in place of copying it. */
export function buffersOf(series: readonly SeriesData[]): ArrayBuffer[] {
  const found = new Set<ArrayBuffer>();
  for (const { timestampsMs, values, startsMs } of series)
    for (const array of [timestampsMs, values, startsMs])
      if (array?.buffer instanceof ArrayBuffer && array.byteLength > 0) found.add(array.buffer);
  return [...found];
}
