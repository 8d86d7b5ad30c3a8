import type { Matcher } from '../../promql/ast.ts';
import { tooManySamples } from '../../promql/budget.ts';
import { histogramHistoryMs } from '../../promql/source.ts';
import type { FileIndex, GroupIndex } from './file-index.ts';
import { copyValues, type GroupSamples } from './group-samples.ts';
import type { SeriesFiles } from './series-files.ts';
import { yes } from './series-table.ts';

/** What a selector wants of files; milliseconds, both inclusive. */
export interface FileSelection {
  readonly matchers: readonly Matcher[];
  readonly fromMs: number;
  readonly toMs: number;
  readonly samplesMax: number;
}

/** Where the samples of a selection are. Series go by their numbers in the table. */
export interface Located {
  /** Files that only SQL can read. */
  readonly unsupported: readonly string[];
  /** Series that have more than numbers; none of their rows are among the pieces. */
  readonly special: ReadonlySet<number>;
  /** The others, in ascending order. */
  readonly series: Uint32Array;
  readonly pieces: Pieces;
  readonly samples: number;
}

/** Rows of series: piece n is rows [from, to) of a run of a group; those of series s are [ofSeries[s], ofSeries[s + 1]). */
export interface Pieces {
  readonly groups: readonly GroupSamples[];
  readonly ofSeries: Uint32Array;
  readonly group: Uint32Array;
  /** First row of each piece, and behind its last. */
  readonly from: Uint32Array;
  readonly to: Uint32Array;
  /** Where the times of its first row are. */
  readonly time: Uint32Array;
}

/** Series to find by searching each group for them, rather than by looking at all that it has. */
const searchedMax = 64;

/** Of a row group that is wanted less than one in so many rows, a query keeps only those. */
const sparseShare = 4;

/** Lets others run, and throws when nobody waits any more. */
export type Pause = () => Promise<void>;

/** Runs of rows, and their samples. */
interface Chosen {
  readonly group: Pick<GroupIndex, 'series' | 'starts' | 'firstMs' | 'lastMs'>;
  readonly samples: GroupSamples;
  readonly runs: Uint32Array;
}

/** Throws PromqlError when more samples than allowed are wanted, before all of them are read; FirnError as readGroupSamples. */
export async function locate(
  store: SeriesFiles,
  paths: readonly string[],
  selection: FileSelection,
  pause: Pause,
): Promise<Located> {
  const { fromMs, toMs } = selection;
  const { table } = store;
  const unsupported: string[] = [];
  const found: [FileIndex, GroupIndex][] = [];
  for (const path of paths) {
    const index = store.index(path);
    if (index === undefined) unsupported.push(path);
    for (const group of index?.groups ?? [])
      if (group.lastMs >= fromMs - histogramHistoryMs && group.firstMs <= toMs)
        if (index) found.push([index, group]);
    await pause();
  }
  const verdicts = table.verdicts(selection.matchers);
  const numbers = numbersOf(verdicts, table.end);
  const wanted = runsOf(verdicts, numbers);
  const special = new Set<number>();
  for (const [, group] of found)
    if (group.special)
      for (const run of wanted(group)) if (group.special[run] === 1) special.add(group.series[run] ?? 0);
  const chosen: Chosen[] = [];
  let certain = 0;
  for (const [index, group] of found) {
    if (group.lastMs < fromMs) continue;
    const all = wanted(group);
    const runs = special.size === 0 ? all : all.filter((run) => !special.has(group.series[run] ?? 0));
    if (runs.length === 0) continue;
    const rows = rowsOf(group, runs);
    if (group.firstMs >= fromMs && group.lastMs <= toMs) certain += rows;
    if (certain > selection.samplesMax) throw tooManySamples();
    const samples = store.samples(index, group);
    chosen.push(
      rows * sparseShare < group.rows ? pick(group, samples, runs, rows) : { group, samples, runs },
    );
    store.trimSamples();
    await pause();
  }
  return { unsupported, special, ...arrange(chosen, numbers, selection) };
}

function rowsOf({ starts }: GroupIndex, runs: Uint32Array): number {
  let rows = 0;
  for (const run of runs) rows += (starts[run + 1] ?? 0) - (starts[run] ?? 0);
  return rows;
}

/** Copies of some runs, so that a query for a few series does not hold all samples of every file. */
function pick(group: GroupIndex, held: GroupSamples, runs: Uint32Array, rows: number): Chosen {
  const series = Uint32Array.from(runs, (run) => group.series[run] ?? 0);
  const starts = new Uint32Array(runs.length + 1);
  const times = new Int32Array(rows);
  const values = new Float64Array(rows);
  let at = 0;
  for (let place = 0; place < runs.length; place++) {
    const run = runs[place] ?? 0;
    const [start, end] = [group.starts[run] ?? 0, group.starts[run + 1] ?? 0];
    const time = held.timesOf[run] ?? 0;
    times.set(held.times.subarray(time, time + end - start), at);
    copyValues(held, start, end, values, at);
    at += end - start;
    starts[place + 1] = at;
  }
  const { baseMs, hasNaN } = held;
  const bytes = times.byteLength + values.byteLength;
  return {
    group: { series, starts, firstMs: group.firstMs, lastMs: group.lastMs },
    samples: { times, timesOf: starts, baseMs, values, codes: undefined, hasNaN, bytes },
    runs: Uint32Array.from(runs.keys()),
  };
}

/** Which series are wanted, in ascending order. */
function numbersOf(verdicts: Uint8Array, end: number): Uint32Array {
  const numbers = new Uint32Array(end);
  let count = 0;
  for (let number = 0; number < end; number++) if (verdicts[number] === yes) numbers[count++] = number;
  return numbers.slice(0, count);
}

/** The runs of a group whose series are wanted, in order. */
function runsOf(verdicts: Uint8Array, numbers: Uint32Array): (group: GroupIndex) => Uint32Array {
  if (numbers.length <= searchedMax)
    return (group) => {
      const runs: number[] = [];
      for (const number of numbers) searchRuns(group, number, runs);
      return Uint32Array.from(runs).sort();
    };
  return ({ series }) => {
    const runs = new Uint32Array(series.length);
    let length = 0;
    for (let run = 0; run < series.length; run++)
      if (verdicts[series[run] ?? 0] === yes) runs[length++] = run;
    return runs.subarray(0, length);
  };
}

function searchRuns({ series, bySeries }: GroupIndex, number: number, runs: number[]): void {
  let [low, high] = [0, bySeries.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((series[bySeries[middle] ?? 0] ?? 0) < number) low = middle + 1;
    else high = middle;
  }
  for (; low < bySeries.length && series[bySeries[low] ?? 0] === number; low++) runs.push(bySeries[low] ?? 0);
}

/** Brings the runs into the order of their series, cut to the time that is asked for. */
function arrange(
  chosen: readonly Chosen[],
  wanted: Uint32Array,
  selection: FileSelection,
): Pick<Located, 'series' | 'pieces' | 'samples'> {
  const counts = new Uint32Array((wanted.at(-1) ?? 0) + 1);
  for (const { group, runs } of chosen)
    for (let at = 0; at < runs.length; at++) {
      const number = group.series[runs[at] ?? 0] ?? 0;
      counts[number] = (counts[number] ?? 0) + 1;
    }
  const numbers = wanted.filter((number) => (counts[number] ?? 0) > 0);
  const ofSeries = new Uint32Array(numbers.length + 1);
  /** Where the next piece of a series goes. */
  const next = counts;
  for (let at = 0; at < numbers.length; at++) {
    const number = numbers[at] ?? 0;
    ofSeries[at + 1] = (ofSeries[at] ?? 0) + (counts[number] ?? 0);
    next[number] = ofSeries[at] ?? 0;
  }
  const total = ofSeries[numbers.length] ?? 0;
  const pieces = {
    groups: chosen.map(({ samples }) => samples),
    ofSeries,
    group: new Uint32Array(total),
    from: new Uint32Array(total),
    to: new Uint32Array(total),
    time: new Uint32Array(total),
  };
  let samples = 0;
  for (const [place, { group, samples: held, runs }] of chosen.entries()) {
    const whole = group.firstMs >= selection.fromMs && group.lastMs <= selection.toMs;
    const { series, starts } = group;
    for (let at = 0; at < runs.length; at++) {
      const run = runs[at] ?? 0;
      const start = starts[run] ?? 0;
      let [from, to] = [start, starts[run + 1] ?? 0];
      const time = held.timesOf[run] ?? 0;
      if (!whole) [from, to] = cut(held, time, start, to, selection);
      const number = series[run] ?? 0;
      const piece = next[number] ?? 0;
      next[number] = piece + 1;
      pieces.group[piece] = place;
      pieces.from[piece] = from;
      pieces.to[piece] = to;
      pieces.time[piece] = time + from - start;
      samples += to - from;
    }
  }
  return { series: numbers, pieces, samples };
}

function cut(
  { times, baseMs }: GroupSamples,
  time: number,
  start: number,
  end: number,
  { fromMs, toMs }: FileSelection,
): [from: number, to: number] {
  const firstNotBefore = (ms: number): number => {
    let [low, high] = [0, end - start];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((times[time + middle] ?? 0) + baseMs < ms) low = middle + 1;
      else high = middle;
    }
    return start + low;
  };
  return [firstNotBefore(fromMs), firstNotBefore(toMs + 1)];
}
