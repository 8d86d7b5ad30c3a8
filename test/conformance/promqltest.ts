import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../lake/base/clock.ts';
import { canonicalLabels } from '../../lake/model/labels.ts';
import { compact, type Histogram } from '../../lake/promql/histograms/histogram.ts';
import { defaultLookbackMs, defaultQueryLimits } from '../../lake/promql/limits.ts';
import { memorySource } from '../../lake/promql/memory-source.ts';
import { instantQuery, parseQuery, type QueryResult, rangeQuery } from '../../lake/promql/query.ts';
import type { SeriesSource } from '../../lake/promql/source.ts';
import { labelsKey } from '../../lake/promql/value.ts';
import { type CorpusValue, histogramOf, loadSections, numberOf, type Section } from './promqltest-load.ts';

// Runs Prometheus' acceptance cases (the corpus beside the repository, see its README) in process.

interface Expectation {
  readonly kind: string;
  readonly ordered: boolean;
  readonly fail: Pattern | null;
  readonly warn: readonly Pattern[];
  readonly info: readonly Pattern[];
  readonly no_warn: boolean;
  readonly no_info: boolean;
  readonly series?: readonly { readonly labels: Record<string, string>; readonly values: CorpusValue[] }[];
  readonly scalar?: CorpusValue;
  readonly string?: string;
  readonly range_vector?: { readonly from_ms: number; readonly step_ms: number };
}

interface Pattern {
  readonly match: 'any' | 'msg' | 'regex';
  readonly text?: string;
}

export interface CorpusCase {
  readonly id: string;
  readonly file: string;
  readonly expr: string;
  readonly mode: 'instant' | 'range';
  readonly at_ms: number;
  readonly start_ms: number;
  readonly end_ms: number;
  readonly step_ms: number;
  readonly load_lines: readonly number[];
  readonly needs: readonly string[];
  readonly expect: Expectation;
}

export interface Corpus {
  readonly cases: readonly CorpusCase[];
  /** The samples that are loaded when a case runs. */
  sourceOf(one: CorpusCase): SeriesSource;
}

/** Reads the corpus below `folder`; undefined when it is not there. */
export function readCorpus(folder: string): Corpus | undefined {
  if (!existsSync(join(folder, 'sections.jsonl'))) return undefined;
  const sections = new Map<string, Section>();
  for (const section of readLines<Section>(join(folder, 'sections.jsonl')))
    sections.set(`${section.file}:${section.line}`, section);
  const sources = new Map<string, SeriesSource>();
  return {
    cases: readLines<CorpusCase>(join(folder, 'dev', 'cases.jsonl')),
    sourceOf: ({ file, load_lines: lines }) => {
      const key = `${file}:${lines.join()}`;
      const known = sources.get(key);
      if (known) return known;
      const loaded = lines.flatMap((line) => sections.get(`${file}:${line}`) ?? []);
      const source = memorySource(loadSections(loaded));
      sources.set(key, source);
      return source;
    },
  };
}

function readLines<T>(path: string): readonly T[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as T);
}

/** Runs one case; returns what is wrong, or undefined when all is as expected. */
async function runCase(
  source: SeriesSource,
  one: CorpusCase,
  shift?: 'as range',
): Promise<string | undefined> {
  let result: QueryResult;
  const { expect } = one;
  try {
    result = await ask(source, one, shift);
  } catch (error) {
    const message = (error instanceof Error ? error.message : String(error)).replace(
      /^\d+:\d+: parse error: /,
      '',
    );
    if (expect.fail === null) return `failed: ${error instanceof Error ? error.stack : message}`;
    const whole = error instanceof Error ? error.message : message;
    return holds(expect.fail, message) || holds(expect.fail, whole) ? undefined : `other error: ${message}`;
  }
  if (expect.fail !== null) return 'did not fail';
  // What is said of the steps around it is not known.
  return compareData(one, result, shift) ?? (shift ? undefined : compareNotes(expect, result));
}

async function ask(
  source: SeriesSource,
  one: CorpusCase,
  shift: 'as range' | undefined,
): Promise<QueryResult> {
  const query = parseQuery(one.expr);
  const options = {
    source,
    clock: systemClock,
    limits: { ...defaultQueryLimits, samplesMax: 1_000_000, timeoutMs: 10_000 },
    lookbackMs: defaultLookbackMs,
    signal: new AbortController().signal,
  };
  if (one.mode === 'range')
    return rangeQuery(query, { startMs: one.start_ms, endMs: one.end_ms, stepMs: one.step_ms }, options);
  if (shift === undefined) return instantQuery(query, one.at_ms, options);
  const times = { startMs: one.at_ms - 60_000, endMs: one.at_ms + 60_000, stepMs: 60_000 };
  return rangeQuery(query, times, options);
}

function holds({ match, text = '' }: Pattern, message: string): boolean {
  if (match === 'any') return true;
  return match === 'msg' ? message === text : new RegExp(text).test(message);
}

function compareNotes(expect: Expectation, { warnings, infos }: QueryResult): string | undefined {
  const kinds = [
    ['warning', warnings, expect.warn, expect.no_warn],
    ['info', infos, expect.info, expect.no_info],
  ] as const;
  for (const [kind, texts, patterns, none] of kinds) {
    if (none && texts.length > 0) return `unexpected ${kind}: ${texts.join('; ')}`;
    const missing = patterns.find((pattern) => !texts.some((text) => holds(pattern, text)));
    if (missing) return `no ${kind} like ${JSON.stringify(missing)} in ${JSON.stringify(texts)}`;
    const extra = texts.find((text) => !patterns.some((pattern) => holds(pattern, text)));
    if (patterns.length > 0 && extra) return `unexpected ${kind}: ${extra}`;
  }
  return undefined;
}

function compareData(
  one: CorpusCase,
  { data }: QueryResult,
  shift: 'as range' | undefined,
): string | undefined {
  const { expect } = one;
  if (data.type === 'string')
    return data.value === expect.string ? undefined : `string ${JSON.stringify(data.value)}`;
  if (data.type === 'scalar')
    return expect.scalar !== undefined &&
      typeof expect.scalar !== 'object' &&
      almostEqual(numberOf(expect.scalar), data.value)
      ? undefined
      : `scalar ${data.value}`;
  const wanted = new Map(
    (expect.series ?? []).map(({ labels, values }) => [
      labelsKey(canonicalLabels(Object.entries(labels))),
      values,
    ]),
  );
  const got = new Map<string, ReadonlyMap<number, Point>>();
  if (data.type === 'vector')
    for (const { labels, value, histogram } of data.samples)
      got.set(labelsKey(labels), new Map([[0, histogram ?? value]]));
  else {
    const startMs = shift ? one.at_ms : (expect.range_vector?.from_ms ?? one.start_ms);
    const stepMs = shift ? 1 : (expect.range_vector?.step_ms ?? one.step_ms);
    for (const { labels, timestampsMs, values, histograms } of data.series) {
      const points = new Map<number, Point>();
      timestampsMs.forEach((timeMs, index) => {
        if (!shift || timeMs === one.at_ms)
          points.set((timeMs - startMs) / stepMs, histograms?.[index] ?? values[index] ?? 0);
      });
      if (points.size > 0) got.set(labelsKey(labels), points);
    }
  }
  const order = [...got.keys()].join() === [...wanted.keys()].join();
  if (expect.ordered && data.type === 'vector' && !order) return `order ${[...got.keys()].join(' ')}`;
  return compareSeries(wanted, got);
}

function compareSeries(
  wanted: ReadonlyMap<string, readonly CorpusValue[]>,
  got: ReadonlyMap<string, ReadonlyMap<number, Point>>,
): string | undefined {
  for (const key of got.keys()) if (!wanted.has(key)) return `unexpected series ${key}`;
  for (const [key, values] of wanted) {
    const points = got.get(key) ?? new Map<number, Point>();
    let count = 0;
    for (const [index, value] of values.entries()) {
      if (value === null) continue;
      count++;
      const point = points.get(index);
      if (point === undefined || !samePoint(value, point))
        return `${key} has ${JSON.stringify(point)} in place of ${JSON.stringify(value)} at step ${index}`;
    }
    if (count !== points.size) return `${key} has ${points.size} points in place of ${count}`;
  }
  return undefined;
}

/** A sample of an answer. */
type Point = number | Histogram;

function samePoint(wanted: CorpusValue, point: Point): boolean {
  if (typeof wanted !== 'object' || wanted === null)
    return typeof point === 'number' && almostEqual(numberOf(wanted), point);
  if (typeof point === 'number') return false;
  const [one, other] = [compact(histogramOf(wanted.histogram)), compact(point)];
  const near = (left: readonly number[], right: readonly number[]): boolean =>
    left.length === right.length && left.every((value, index) => almostEqual(value, right[index] ?? 0));
  return (
    one.schema === other.schema &&
    one.zeroThreshold === other.zeroThreshold &&
    near([one.count, one.sum, one.zeroCount], [other.count, other.sum, other.zeroCount]) &&
    near(one.positive.counts, other.positive.counts) &&
    near(one.negative.counts, other.negative.counts) &&
    one.positive.indexes.join() === other.positive.indexes.join() &&
    one.negative.indexes.join() === other.negative.indexes.join() &&
    near(one.customValues, other.customValues) &&
    (wanted.histogram.counter_reset_hint === undefined || one.hint === other.hint)
  );
}

function almostEqual(one: number, other: number): boolean {
  if (one === other || (Number.isNaN(one) && Number.isNaN(other))) return true;
  return Math.abs(one - other) < 1e-6 * (Math.abs(one) + Math.abs(other));
}

/** Their value depends on the query being instant. */
const usesQueryTimes = /\b(start|end|range|step)\(\)/i;

/** Runs every case that `wanted` lets through, instant ones also inside a range. */
export async function runCorpus(
  { cases, sourceOf }: Corpus,
  wanted: (one: CorpusCase) => boolean,
): Promise<{ readonly passed: number; readonly failed: readonly string[] }> {
  const failed: string[] = [];
  let passed = 0;
  for (const one of cases.filter(wanted)) {
    const source = sourceOf(one);
    let why = await runCase(source, one);
    const also = one.mode === 'instant' && one.expect.kind === 'vector' && !usesQueryTimes.test(one.expr);
    if (why === undefined && also) {
      why = await runCase(source, one, 'as range');
      if (why !== undefined) why = `inside a range: ${why}`;
    }
    if (why === undefined) passed++;
    else failed.push(`${one.id} ${one.expr}: ${why}`);
  }
  return { passed, failed };
}
