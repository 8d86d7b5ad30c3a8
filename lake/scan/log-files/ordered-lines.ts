import type { LineBatch, LinesRequest } from '../../logql/source.ts';
import type { Pause } from './counts.ts';
import { batchBuilder, type Matches, matchesOf, openReading, type Reading } from './lines.ts';
import type { LogFile, LogGroup, Times } from './log-file.ts';
import { groupsOf, overlaps, type Piece, piecesOf, timeOf } from './select.ts';
import type { TextPage } from './text-page.ts';

// Lines in the order of time, so that whoever needs few reads few: what is not opened yet (a row group, rows of a page)
// stands in a queue by the time of the first line that it can have, and is opened when that is the next.

type Waiting =
  | { readonly kind: 'group'; readonly firstNs: bigint; readonly group: LogGroup }
  | { readonly kind: 'parts'; readonly firstNs: bigint; readonly parts: Parts }
  | { readonly kind: 'rows'; readonly firstNs: bigint; readonly open: OpenRows };

/** What one page has of pieces: it is unpacked once for all of them. */
interface Parts {
  /** Which data page of the lines; undefined where lines are not read. */
  readonly page: number | undefined;
  readonly parts: readonly Part[];
}

/** Rows [from, to) of a piece. */
interface Part {
  readonly piece: Piece;
  readonly from: number;
  readonly to: number;
  /**
   * Times of these rows, of the part of its piece that comes first: mostly no other is opened, and what caches had of times
   * may be gone by then.
   */
  readonly times: Times | undefined;
}

interface OpenRows {
  readonly matches: Matches;
  /** Which of them is the next. */
  at: number;
}

/** The first batch is small: there may be no need of a second. */
const firstBatchRows = 128;
const batchRows = 2048;

export async function* orderedLines(
  files: readonly LogFile[],
  request: LinesRequest,
  pause: Pause,
): AsyncGenerator<LineBatch> {
  const reading = openReading(request);
  const forward = request.direction === 'forward';
  const queue = timeQueue(forward);
  for (const group of groupsOf(files)) if (overlaps(group, request)) enter(queue, group, reading, forward);
  const batch = batchBuilder(request);
  const step = forward ? 1 : -1;
  let left = request.limit ?? Number.POSITIVE_INFINITY;
  let size = firstBatchRows;
  for (let next = queue.take(); next && left > 0; next = queue.take()) {
    if (next.kind !== 'rows') {
      open(queue, next, reading, forward);
      await pause();
      continue;
    }
    const { matches } = next.open;
    const until = rowsUntil(next.open, queue.firstNs(), step);
    for (; next.open.at !== until && left > 0; next.open.at += step) {
      batch.add(matches, next.open.at);
      left--;
      if (batch.rows() < size) continue;
      yield batch.take();
      size = batchRows;
    }
    putBack(queue, next.open);
  }
  if (batch.rows() > 0) yield batch.take();
}

interface TimeQueue {
  add(waiting: Waiting): void;
  take(): Waiting | undefined;
  /** Of what would be taken next. */
  firstNs(): bigint | undefined;
}

function timeQueue(forward: boolean): TimeQueue {
  /** What is next stands at the end. */
  const waiting: Waiting[] = [];
  const isLater = (a: bigint, b: bigint): boolean => (forward ? a > b : a < b);
  return {
    add: (one) => {
      let [low, high] = [0, waiting.length];
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (isLater(waiting[middle]?.firstNs ?? 0n, one.firstNs)) low = middle + 1;
        else high = middle;
      }
      waiting.splice(low, 0, one);
    },
    take: () => waiting.pop(),
    firstNs: () => waiting.at(-1)?.firstNs,
  };
}

/** A row group whose time is not known is opened at once. */
function enter(queue: TimeQueue, group: LogGroup, reading: Reading, forward: boolean): void {
  const { bounds } = group;
  if (bounds === undefined) openGroup(queue, group, reading, forward);
  else queue.add({ kind: 'group', firstNs: forward ? bounds.firstNs : bounds.lastNs, group });
}

function open(
  queue: TimeQueue,
  waiting: Exclude<Waiting, { kind: 'rows' }>,
  reading: Reading,
  forward: boolean,
): void {
  if (waiting.kind === 'group') {
    openGroup(queue, waiting.group, reading, forward);
    return;
  }
  const { page: number, parts } = waiting.parts;
  let page: TextPage | undefined;
  for (const { piece, from, to, times } of parts) {
    const ref = number === undefined ? undefined : piece.group.pages('line')[number];
    page ??= ref && piece.group.textPage('line', ref);
    const matches = matchesOf(reading, piece, page, from, to, times);
    putBack(queue, { matches, at: forward ? 0 : matches.rows.length - 1 });
  }
}

function openGroup(queue: TimeQueue, group: LogGroup, reading: Reading, forward: boolean): void {
  const pieces = piecesOf(group, reading.request, reading.streamOf);
  if (pieces.length === 0 || !reading.matcher.mayMatch(group)) return;
  const times = group.times();
  const wait = (page: number | undefined, parts: readonly Part[]): void => {
    const firsts = parts.map(({ from, to }) => timeOf(times, forward ? from : to - 1));
    const firstNs = firsts.reduce((first, ns) => (ns < first === forward ? ns : first));
    queue.add({ kind: 'parts', firstNs, parts: { page, parts } });
  };
  if (!reading.readsLines) {
    for (const piece of pieces)
      wait(undefined, [{ piece, from: piece.from, to: piece.to, times: undefined }]);
    return;
  }
  for (const [page, { firstRow, values }] of group.pages('line').entries()) {
    if (!reading.matcher.pageMayMatch(group, page)) continue;
    const parts = pieces
      .map((piece) => {
        const [from, to] = [Math.max(piece.from, firstRow), Math.min(piece.to, firstRow + values)];
        const isFirst = forward ? from === piece.from : to === piece.to;
        return { piece, from, to, times: isFirst ? timesOfRows(times, from, to) : undefined };
      })
      .filter(({ from, to }) => from < to);
    if (parts.length > 0) wait(page, parts);
  }
}

const timesOfRows = ({ baseNs, offsetsNs }: Times, from: number, to: number): Times => ({
  baseNs,
  offsetsNs: offsetsNs.slice(from, to),
});

function putBack(queue: TimeQueue, open: OpenRows): void {
  const { rows, times } = open.matches;
  if (open.at >= 0 && open.at < rows.length)
    queue.add({ kind: 'rows', firstNs: timeOf(times, open.at), open });
}

/** How far the rows come before whatever else waits, in steps of 1 or -1; at least one does. */
function rowsUntil({ matches, at }: OpenRows, nextNs: bigint | undefined, step: number): number {
  const { baseNs, offsetsNs } = matches.times;
  const end = step > 0 ? offsetsNs.length : -1;
  if (nextNs === undefined) return end;
  const limit = Number(nextNs - baseNs);
  let until = at + step;
  while (until !== end && (limit - (offsetsNs[until] ?? 0)) * step >= 0) until += step;
  return until;
}
