import type { IndexRequest, StreamVolume, VolumeRequest } from '../../logql/source.ts';
import type { PageRef } from '../../parquet/columns-file.ts';
import { volumeSums } from '../volume-sums.ts';
import type { Pause } from './counts.ts';
import type { LogFile, LogGroup, Run } from './log-file.ts';
import { firstRow, groupsOf, overlaps, rowsIn, type StreamOf, streamMatcher } from './select.ts';
import { bytesOfRows } from './text-page.ts';

// What streams there are in files, and how much of each, by their runs of rows; lines are hardly read.

type Asked = Pick<IndexRequest, 'matcherSets' | 'fromNs' | 'toNs'>;

/** See LogIndex. */
export async function* streamsOf(
  files: readonly LogFile[],
  request: IndexRequest,
  pause: Pause,
): AsyncGenerator<readonly string[]> {
  const known = new Set<string>();
  const streamOf = matcherOf(request);
  for (const group of groupsOf(files)) {
    const found: string[] = [];
    for (const run of runsOf(group, request, streamOf)) {
      if (known.has(run.labels)) continue;
      const { from, to } = rowsIn(group, run, request);
      if (from >= to) continue;
      known.add(run.labels);
      found.push(run.labels);
      if (known.size > request.streamsMax) break;
    }
    if (found.length > 0) yield found;
    if (known.size > request.streamsMax) return;
    await pause();
  }
}

/** See LogIndex. */
export async function* volumesOf(
  files: readonly LogFile[],
  request: VolumeRequest,
  pause: Pause,
): AsyncGenerator<readonly StreamVolume[]> {
  const volumes = volumeSums(request);
  const streamOf = matcherOf(request);
  const reading = { bytesLeft: exactBytesMax };
  for (const group of groupsOf(files)) {
    for (const run of runsOf(group, request, streamOf)) {
      const rows = rowsIn(group, run, request);
      for (const { step, from, to } of stepsOf(group, rows, request)) {
        const bytes = lineBytes(group, from, to, reading);
        volumes.add({ labels: run.labels, step, lines: to - from, bytes });
      }
      await pause();
    }
  }
  yield volumes.all();
}

const matcherOf = ({ matcherSets }: Asked): StreamOf =>
  streamMatcher(matcherSets.length === 0 ? [[]] : matcherSets);

function* runsOf(group: LogGroup, asked: Asked, streamOf: StreamOf): Generator<Run> {
  if (!overlaps(group, asked)) return;
  for (const run of group.runs()) if (streamOf(run.labels) !== undefined) yield run;
}

interface Rows {
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

/** The rows of one stream by pieces of time. */
function* stepsOf(
  group: LogGroup,
  { from, to }: Rows,
  { fromNs, stepNs }: VolumeRequest,
): Generator<Rows & { readonly step: number }> {
  if (from >= to) return;
  if (stepNs === undefined) return yield { step: 0, from, to };
  const times = group.times();
  const size = BigInt(stepNs);
  for (let row = from; row < to; ) {
    const step = (times.baseNs + BigInt(times.offsetsNs[row] ?? 0) - fromNs) / size;
    const next = firstRow(times, fromNs + (step + 1n) * size, row, to);
    yield { step: Number(step), from: row, to: next };
    row = next;
  }
}

/** Bytes of pages that are unpacked to know how much of them is asked for; of others their mean line counts. */
const exactBytesMax = 256 * 1024 * 1024;

/** Bytes of the lines of rows [from, to). A page that is asked for as a whole says it in its header. */
function lineBytes(group: LogGroup, from: number, to: number, reading: { bytesLeft: number }): number {
  let sum = 0;
  for (const page of group.pages('line')) {
    const first = Math.max(from, page.firstRow);
    const end = Math.min(to, page.firstRow + page.values);
    if (first < end) sum += partBytes(group, page, first, end, reading);
  }
  return sum;
}

function partBytes(
  group: LogGroup,
  page: PageRef,
  first: number,
  end: number,
  reading: { bytesLeft: number },
): number {
  const all = group.bytesOf('line', page);
  const share = (end - first) / page.values;
  if (share === 1 && all !== undefined) return all;
  if (reading.bytesLeft <= 0) return Math.round((all ?? page.uncompressedBytes) * share);
  reading.bytesLeft -= page.uncompressedBytes * share;
  return bytesOfRows(group.textPage('line', page), first, end);
}
