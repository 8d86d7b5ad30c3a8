import type { LineBatch, LinesRequest } from '../../logql/source.ts';
import type { Pause } from './counts.ts';
import { batchBuilder, type Matches, matchesOf, openReading, type Reading } from './lines.ts';
import type { LogFile, LogGroup } from './log-file.ts';
import { groupsOf, overlaps, type Piece, piecesOf, timeOf } from './select.ts';

// Lines in the order of time, so that whoever needs few reads few: what is not opened yet (a row group, rows of a page)
// stands in a queue by the time of the first line that it can have, and is opened when that is the next.

type Waiting =
  | { readonly kind: 'group'; readonly firstNs: bigint; readonly group: LogGroup }
  | { readonly kind: 'part'; readonly firstNs: bigint; readonly part: Part }
  | { readonly kind: 'rows'; readonly firstNs: bigint; readonly open: OpenRows };

/** Rows [from, to) of a piece that one page has. */
interface Part {
  readonly piece: Piece;
  /** Which data page of the lines; undefined where lines are not read. */
  readonly page: number | undefined;
  readonly from: number;
  readonly to: number;
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
  const { piece, page: number, from, to } = waiting.part;
  const ref = number === undefined ? undefined : piece.group.pages('line')[number];
  const page = ref && piece.group.textPage('line', ref);
  const matches = matchesOf(reading, piece, page, from, to);
  putBack(queue, { matches, at: forward ? 0 : matches.rows.length - 1 });
}

function openGroup(queue: TimeQueue, group: LogGroup, reading: Reading, forward: boolean): void {
  const pieces = piecesOf(group, reading.request, reading.streamOf);
  if (pieces.length === 0 || !reading.matcher.mayMatch(group)) return;
  const pages = reading.readsLines ? group.pages('line') : [];
  const times = group.times();
  for (const piece of pieces) {
    for (const { page, from, to } of partsOf(piece, pages)) {
      if (page !== undefined && !reading.matcher.pageMayMatch(group, page)) continue;
      queue.add({
        kind: 'part',
        firstNs: timeOf(times, forward ? from : to - 1),
        part: { piece, page, from, to },
      });
    }
  }
}

function partsOf({ from, to }: Piece, pages: ReturnType<LogGroup['pages']>): readonly Omit<Part, 'piece'>[] {
  if (pages.length === 0) return [{ page: undefined, from, to }];
  return pages.flatMap(({ firstRow, values }, page) => {
    const part = { page, from: Math.max(from, firstRow), to: Math.min(to, firstRow + values) };
    return part.from < part.to ? [part] : [];
  });
}

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
