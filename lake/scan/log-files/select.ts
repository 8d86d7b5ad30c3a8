import type { Matcher } from '../../logql/ast.ts';
import { valueTest } from '../../logql/pipeline/label-filter.ts';
import type { LinesRequest, Stream } from '../../logql/source.ts';
import { labelsOf } from '../stream-labels.ts';
import type { LogFile, LogGroup, Run, Times } from './log-file.ts';

// Which rows of files a query is about: runs of matching streams, cut to its time.

/** Rows [from, to) of a row group, of one stream, in the order of time. */
export interface Piece {
  readonly group: LogGroup;
  readonly stream: Stream;
  readonly from: number;
  readonly to: number;
}

type Selection = Pick<LinesRequest, 'fromNs' | 'toNs'>;

export type StreamOf = (labels: string) => Stream | undefined;

/** The stream of a text of labels where it matches one of these sets; each text is looked at once a query. */
export function streamMatcher(matcherSets: readonly (readonly Matcher[])[]): StreamOf {
  const sets = matcherSets.map((matchers) =>
    matchers.map((matcher) => ({ label: matcher.label, test: valueTest(matcher) })),
  );
  const known = new Map<string, Stream | undefined>();
  return (text) => {
    if (known.has(text)) return known.get(text);
    const labels = labelsOf(text);
    const matches = sets.some((tests) => tests.every(({ label, test }) => test(labels.get(label) ?? '')));
    const stream = matches ? { labels } : undefined;
    known.set(text, stream);
    return stream;
  };
}

/** Whether a row group may have rows of that time. */
export const overlaps = ({ bounds }: LogGroup, { fromNs, toNs }: Selection): boolean =>
  bounds === undefined || (bounds.firstNs < toNs && bounds.lastNs >= fromNs);

const isWithin = ({ bounds }: LogGroup, { fromNs, toNs }: Selection): boolean =>
  bounds !== undefined && bounds.firstNs >= fromNs && bounds.lastNs < toNs;

/** The pieces of a row group, in the order of its rows. */
export function piecesOf(group: LogGroup, selection: Selection, streamOf: StreamOf): readonly Piece[] {
  if (!overlaps(group, selection)) return [];
  const pieces: Piece[] = [];
  for (const run of group.runs()) {
    const stream = streamOf(run.labels);
    if (stream === undefined) continue;
    const { from, to } = rowsIn(group, run, selection);
    if (from < to) pieces.push({ group, stream, from, to });
  }
  return pieces;
}

/** Those rows of a run that are of the time. */
export const rowsIn = (
  group: LogGroup,
  run: Run,
  selection: Selection,
): { readonly from: number; readonly to: number } =>
  isWithin(group, selection) ? run : cutToTime(group.times(), run, selection);

function cutToTime(
  times: Times,
  { from, to }: Run,
  { fromNs, toNs }: Selection,
): { from: number; to: number } {
  return { from: firstRow(times, fromNs, from, to), to: firstRow(times, toNs, from, to) };
}

/** The first row of [from, to) that is not before `ns`. */
export function firstRow({ baseNs, offsetsNs }: Times, ns: bigint, from: number, to: number): number {
  return firstNotBelow(offsetsNs, Number(ns - baseNs), from, to);
}

export function firstNotBelow(values: Float64Array, limit: number, from: number, to: number): number {
  let [low, high] = [from, to];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] ?? 0) < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

export const timeOf = ({ baseNs, offsetsNs }: Times, row: number): bigint =>
  baseNs + BigInt(offsetsNs[row] ?? 0);

export function* groupsOf(files: readonly LogFile[]): Generator<LogGroup> {
  for (const { groups } of files) yield* groups;
}
