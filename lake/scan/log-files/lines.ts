import type { LineBatch, LinesRequest, Stream } from '../../logql/source.ts';
import { type AttributesReader, attributesReader, type GroupAttributes } from './attributes.ts';
import type { Pause } from './counts.ts';
import type { LogFile, LogGroup, Times } from './log-file.ts';
import { type RowMatcher, rowMatcher } from './matching.ts';
import { groupsOf, type Piece, piecesOf, type StreamOf, streamMatcher, timeOf } from './select.ts';
import { entryOf, entryText, noEntry, type TextPage } from './text-page.ts';

/** What reading the lines of one request needs. */
export interface Reading {
  readonly request: LinesRequest;
  readonly attributes: AttributesReader;
  readonly matcher: RowMatcher;
  readonly streamOf: StreamOf;
  readonly readsLines: boolean;
}

export function openReading(request: LinesRequest): Reading {
  const attributes = attributesReader();
  const matcher = rowMatcher(request, attributes);
  const readsLines = request.needs.line || matcher.readsLines;
  return { request, attributes, matcher, streamOf: streamMatcher([request.matchers]), readsLines };
}

/** Rows of one batch at most. */
const batchRows = 2048;

/** Lines in the order in which they lie in the files. */
export async function* unorderedLines(
  files: readonly LogFile[],
  request: LinesRequest,
  pause: Pause,
): AsyncGenerator<LineBatch> {
  const reading = openReading(request);
  const batch = batchBuilder(request);
  for (const group of groupsOf(files)) {
    const pieces = piecesOf(group, request, reading.streamOf);
    if (pieces.length === 0 || !reading.matcher.mayMatch(group)) continue;
    for (const matches of matchesOfGroup(reading, group, pieces)) {
      for (let at = 0; at < matches.rows.length; at++) {
        batch.add(matches, at);
        if (batch.rows() >= batchRows) yield batch.take();
      }
      await pause();
    }
  }
  if (batch.rows() > 0) yield batch.take();
}

/** Rows of a piece that match. It has what makes lines of them, so that nothing is looked up for each. */
export interface Matches {
  readonly stream: Stream;
  readonly page: TextPage | undefined;
  readonly rows: Uint32Array;
  /** Of these rows. */
  readonly times: Times;
  readonly attributes: GroupAttributes;
}

/** Rows of [from, to) of the piece that match; `page` has them where lines are read, `known` their times. */
export function matchesOf(
  { matcher, attributes }: Reading,
  piece: Piece,
  page: TextPage | undefined,
  from: number,
  to: number,
  known?: Times,
): Matches {
  const { group, stream } = piece;
  const rows = matcher.rows(piece, page, from, to);
  const times = { baseNs: 0n, offsetsNs: new Float64Array(rows.length) };
  if (rows.length > 0) {
    const { baseNs, offsetsNs } = known ?? group.times();
    const first = known === undefined ? 0 : from;
    times.baseNs = baseNs;
    for (let at = 0; at < rows.length; at++) times.offsetsNs[at] = offsetsNs[(rows[at] ?? 0) - first] ?? 0;
  }
  return { stream, page, rows, times, attributes: attributes.of(group) };
}

function* matchesOfGroup(reading: Reading, group: LogGroup, pieces: readonly Piece[]): Generator<Matches> {
  if (!reading.readsLines) {
    for (const piece of pieces) yield matchesOf(reading, piece, undefined, piece.from, piece.to);
    return;
  }
  let next = 0;
  for (const [number, ref] of group.pages('line').entries()) {
    if (!reading.matcher.pageMayMatch(group, number)) continue;
    const [first, end] = [ref.firstRow, ref.firstRow + ref.values];
    while (next < pieces.length && (pieces[next]?.to ?? 0) <= first) next++;
    let page: TextPage | undefined;
    for (let at = next; at < pieces.length; at++) {
      const piece = pieces[at];
      if (piece === undefined || piece.from >= end) break;
      page ??= group.textPage('line', ref);
      yield matchesOf(reading, piece, page, Math.max(piece.from, first), Math.min(piece.to, end));
    }
  }
}

interface BatchBuilder {
  /** The match at this place. */
  add(matches: Matches, at: number): void;
  rows(): number;
  /** What has been added since. */
  take(): LineBatch;
}

export function batchBuilder({ needs }: LinesRequest): BatchBuilder {
  let times: bigint[] = [];
  let lines: string[] = [];
  let metadata: (string | null)[] = [];
  let streams: Stream[] = [];
  return {
    rows: () => times.length,
    add: ({ stream, page, rows, times: of, attributes }, at) => {
      const row = rows[at] ?? 0;
      times.push(timeOf(of, at));
      const entry = page === undefined ? noEntry : entryOf(page, row);
      lines.push(needs.line && page !== undefined && entry !== noEntry ? entryText(page.entries, entry) : '');
      metadata.push(needs.metadata ? attributes.text(row) : null);
      streams.push(stream);
    },
    take: () => {
      const ofRows = streams;
      const batch: LineBatch = {
        ...{ rows: times.length, timestampNs: BigInt64Array.from(times), lines, metadata },
        stream: (row) => {
          const stream = ofRows[row];
          if (stream === undefined) throw new RangeError(`no row ${row} in a batch of ${ofRows.length}`);
          return stream;
        },
      };
      [times, lines, metadata, streams] = [[], [], [], []];
      return batch;
    },
  };
}
