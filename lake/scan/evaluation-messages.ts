import type { Matcher } from '../promql/ast.ts';
import type { PromqlErrorType } from '../promql/errors.ts';
import type { Evaluated, EvaluationTask } from '../promql/evaluator.ts';
import type { SeriesData } from '../promql/source.ts';
import type { FileSelection } from './samples/locate.ts';
import type { SeriesFilesLimits } from './samples/series-files.ts';
import type { OtherSeries } from './samples/stored-series.ts';

// What a thread that reads files and evaluates, and the one that asks, say to each other. A query is a job: it is located,
// where its samples are in files, and then evaluated.

/** What a thread is started with. */
export interface WorkerSettings {
  readonly limits: SeriesFilesLimits;
}

/** Paths of immutable files as one text: every query says hundreds, and each text of a message costs as much as its bytes. */
export type PackedPaths = string & { readonly brand: 'PackedPaths' };

export const packPaths = (files: readonly { readonly path: string }[]): PackedPaths =>
  files.map(({ path }) => path).join('\0') as PackedPaths;

export const unpackPaths = (packed: PackedPaths): readonly string[] =>
  packed === '' ? [] : packed.split('\0');

interface FilesToRead extends FileSelection {
  readonly paths: PackedPaths;
  readonly seriesMax: number;
}

/** What files cannot tell, and what was read elsewhere of it. */
export interface NotInFiles {
  readonly special: readonly bigint[];
  readonly unsupported: readonly string[];
}

/** Series of files: by any of these sets of matchers, with samples in this time (absent: at any). */
export interface SeriesRequest {
  readonly paths: PackedPaths;
  readonly matcherSets: readonly (readonly Matcher[])[];
  readonly fromMs?: number | undefined;
  readonly toMs?: number | undefined;
  readonly wanted: WantedOfSeries;
}

export type WantedOfSeries =
  | { readonly kind: 'names' }
  | { readonly kind: 'values'; readonly label: string }
  | { readonly kind: 'labels' };

/** Texts in no order, each once; labels as JSON. */
export interface FoundSeries {
  readonly texts: readonly string[];
  readonly unsupported: readonly string[];
}

export type JobRequest =
  | { readonly kind: 'find'; readonly request: SeriesRequest }
  /**
   * Scans whose samples are in files, others undefined. With `task`, which then needs nothing else, it is evaluated at
   * once unless something turns out not to be in files.
   */
  | {
      readonly kind: 'locate';
      readonly scans: readonly (FilesToRead | undefined)[];
      readonly task: Omit<EvaluationTask, 'data'> | undefined;
    }
  /** Of located scans `data` holds what is in no file. */
  | {
      readonly kind: 'evaluate';
      readonly task: Omit<EvaluationTask, 'data'>;
      readonly data: readonly (readonly SeriesData[] | readonly OtherSeries[])[];
    };

export type ToWorker =
  | { readonly kind: 'job'; readonly job: number; readonly request: JobRequest }
  | { readonly kind: 'cancel'; readonly job: number };

export type JobAnswer =
  | { readonly kind: 'located'; readonly scans: readonly (NotInFiles | undefined)[] }
  | { readonly kind: 'found'; readonly found: FoundSeries }
  | { readonly kind: 'done'; readonly evaluated: Evaluated }
  /** Without a type it is a fault of the program, and the message its stack. */
  | { readonly kind: 'failed'; readonly errorType: PromqlErrorType | undefined; readonly message: string };

export interface FromWorker {
  readonly job: number;
  readonly answer: JobAnswer;
}

/** The memory of the samples, each once, to hand it over in place of copying it. */
export function buffersOf(series: readonly SeriesData[]): ArrayBuffer[] {
  const found = new Set<ArrayBuffer>();
  for (const { timestampsMs, values, startsMs } of series)
    for (const array of [timestampsMs, values, startsMs])
      if (array?.buffer instanceof ArrayBuffer && array.byteLength > 0) found.add(array.buffer);
  return [...found];
}
