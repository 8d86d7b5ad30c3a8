import type { LineBatch, LinesRequest, Stream } from '../../logql/source.ts';
import { type AttributesReader, attributesReader } from './attributes.ts';
import type { Pause } from './counts.ts';
import type { LogFile, LogGroup } from './log-file.ts';
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
  return { request, attributes, matcher, streamOf: streamMatcher(request), readsLines };
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
  const batch = batchBuilder(reading);
  for (const group of groupsOf(files)) {
    const pieces = piecesOf(group, request, reading.streamOf);
    if (pieces.length === 0 || !reading.matcher.mayMatch(group)) continue;
    for (const { piece, page, rows } of matchesOf(reading, group, pieces)) {
      for (const row of rows) {
        batch.add(piece, page, row);
        if (batch.rows() >= batchRows) yield batch.take();
      }
      await pause();
    }
  }
  if (batch.rows() > 0) yield batch.take();
}

interface Match {
  readonly piece: Piece;
  readonly page: TextPage | undefined;
  readonly rows: Uint32Array;
}

function* matchesOf(
  { matcher, readsLines }: Reading,
  group: LogGroup,
  pieces: readonly Piece[],
): Generator<Match> {
  if (!readsLines) {
    for (const piece of pieces)
      yield { piece, page: undefined, rows: matcher.rows(piece, undefined, piece.from, piece.to) };
    return;
  }
  let next = 0;
  for (const ref of group.pages('line')) {
    const [first, end] = [ref.firstRow, ref.firstRow + ref.values];
    while (next < pieces.length && (pieces[next]?.to ?? 0) <= first) next++;
    let page: TextPage | undefined;
    for (let at = next; at < pieces.length; at++) {
      const piece = pieces[at];
      if (piece === undefined || piece.from >= end) break;
      page ??= group.textPage('line', ref);
      const rows = matcher.rows(piece, page, Math.max(piece.from, first), Math.min(piece.to, end));
      yield { piece, page, rows };
    }
  }
}

interface BatchBuilder {
  add(piece: Piece, page: TextPage | undefined, row: number): void;
  rows(): number;
  /** What has been added since. */
  take(): LineBatch;
}

export function batchBuilder({ request: { needs }, attributes }: Reading): BatchBuilder {
  let times: bigint[] = [];
  let lines: string[] = [];
  let metadata: (string | null)[] = [];
  let streams: Stream[] = [];
  return {
    rows: () => times.length,
    add: ({ group, stream }, page, row) => {
      times.push(timeOf(group.times(), row));
      const entry = page === undefined ? noEntry : entryOf(page, row);
      lines.push(needs.line && page !== undefined && entry !== noEntry ? entryText(page.entries, entry) : '');
      metadata.push(needs.metadata ? attributes.of(group, row) : null);
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
