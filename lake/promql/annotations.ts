import type { Span } from './ast.ts';
import { positionText } from './errors.ts';
import { printFloat, printGeneral, printString } from './literals.ts';

/** What a query's author should know about the result; the texts are Prometheus' own. */
export interface Annotations {
  warn(text: string, span: Span): void;
  inform(text: string, span: Span): void;
  /** histogram_quantile had to force bucket counts to be monotonic; reports of one metric are merged. */
  forcedMonotonicity(report: MonotonicityReport, metric: string, span: Span): void;
  /** Samples of a metric count since a time before the sample before them. */
  startOverlap(metric: string, span: Span): void;
  /** Each text once, with its position in the query. */
  texts(query: string): AnnotationTexts;
}

export interface AnnotationTexts {
  readonly warnings: readonly string[];
  readonly infos: readonly string[];
  /** What is said of two parts of a time is, each text once, what is said of all of it: nothing is counted or left out. */
  readonly additive: boolean;
}

interface MonotonicityReport {
  readonly fromMs: number;
  readonly toMs: number;
  readonly bucketMin: number;
  readonly bucketMax: number;
  readonly differenceMax: number;
  readonly samples: number;
}

interface Note {
  readonly severity: 'warning' | 'info';
  readonly text: string;
  readonly span: Span;
  readonly report: MonotonicityReport | undefined;
  /** How often, where that is said. */
  readonly times?: number;
}

/** Texts of one kind that an answer carries at most. */
export const annotationsMax = 10;

const isAdditive = (notes: readonly Note[]): boolean =>
  notes.every(({ report, times }) => report === undefined && times === undefined) &&
  (['warning', 'info'] as const).every(
    (kind) => notes.filter(({ severity }) => severity === kind).length <= annotationsMax,
  );

export function createAnnotations(): Annotations {
  const notes = new Map<string, Note>();
  const add = (severity: Note['severity'], text: string, span: Span): void => {
    const full = `PromQL ${severity}: ${text}`;
    if (!notes.has(full)) notes.set(full, { severity, text: full, span, report: undefined });
  };
  return {
    warn: (text, span) => add('warning', text, span),
    inform: (text, span) => add('info', text, span),
    forcedMonotonicity: (report, metric, span) => {
      const text = `PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)${forMetric(metric)}`;
      const before = notes.get(text)?.report;
      notes.set(text, { severity: 'info', text, span, report: before ? merge(before, report) : report });
    },
    startOverlap: (metric, span) => {
      const text = `PromQL warning: sample has start time that overlaps with previous sample timestamp for metric ${printString(metric)}`;
      const times = (notes.get(text)?.times ?? 0) + 1;
      notes.set(text, { severity: 'warning', text, span, report: undefined, times });
    },
    texts: (query) => ({
      warnings: textsOf(query, notes, 'warning'),
      infos: textsOf(query, notes, 'info'),
      additive: isAdditive([...notes.values()]),
    }),
  };
}

/** ` for metric name "x"`, or nothing when the name is not known. */
export function forMetric(name: string): string {
  return name === '' ? '' : ` for metric name ${printString(name)}`;
}

function merge(one: MonotonicityReport, other: MonotonicityReport): MonotonicityReport {
  return {
    fromMs: Math.min(one.fromMs, other.fromMs),
    toMs: Math.max(one.toMs, other.toMs),
    bucketMin: Math.min(one.bucketMin, other.bucketMin),
    bucketMax: Math.max(one.bucketMax, other.bucketMax),
    differenceMax: Math.max(one.differenceMax, other.differenceMax),
    samples: one.samples + other.samples,
  };
}

function textsOf(query: string, notes: ReadonlyMap<string, Note>, severity: Note['severity']): string[] {
  const all = [...notes.values()].filter((note) => note.severity === severity);
  const texts = all.slice(0, annotationsMax).map(({ text, span, report, times = 1 }) => {
    const place = `(${positionText(query, span.start)})`;
    if (times > 1) return `${text} (${times} occurrences) ${place}`;
    if (report === undefined) return `${text} ${place}`;
    const { bucketMin, bucketMax, differenceMax, samples, fromMs, toMs } = report;
    const buckets = `from buckets ${printGeneral(bucketMin)} to ${printGeneral(bucketMax)}`;
    const difference = printFloat(Number(differenceMax.toPrecision(2)));
    const time = `${samples} samples from ${secondsText(fromMs)} to ${secondsText(toMs)}`;
    return `${text}, ${buckets}, with a max diff of ${difference}, over ${time} ${place}`;
  });
  if (all.length > annotationsMax)
    texts.push(`${all.length - annotationsMax} more ${severity} annotations omitted`);
  return texts;
}

const secondsText = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
