import type { CountRow, CountsRequest } from '../../logql/source.ts';
import { metadataNames } from '../count-metadata.ts';
import { labelsOf } from '../stream-labels.ts';
import { tooManyCounts } from '../too-many-counts.ts';
import { type AttributesReader, attributesReader } from './attributes.ts';
import type { LogFile, LogGroup, Times } from './log-file.ts';
import { type RowMatcher, rowMatcher } from './matching.ts';
import { firstNotBelow, groupsOf, type Piece, piecesOf, streamMatcher } from './select.ts';
import { entryBytes, entryOf, noEntry, type TextPage } from './text-page.ts';

// Lines counted where they are: by stream, by what is asked of their metadata, and by time. No line becomes a text.

/** Called between pieces of work; may wait, and throws when the query has ended. */
export type Pause = () => Promise<void>;

/** The count of one stream with one metadata. */
interface Counter {
  readonly labels: ReadonlyMap<string, string>;
  readonly metadata: ReadonlyMap<string, string>;
  readonly buckets: Map<number, number>;
}

interface Counting {
  readonly request: CountsRequest;
  readonly counters: Map<string, Counter>;
  readonly attributes: AttributesReader;
  /** Names of metadata that are asked for; undefined for all. */
  readonly names: readonly string[] | undefined;
  rows: number;
}

export async function countLines(
  files: readonly LogFile[],
  request: CountsRequest,
  pause: Pause,
): Promise<readonly CountRow[]> {
  const attributes = attributesReader();
  const matcher = rowMatcher(request, attributes);
  const streamOf = streamMatcher([request.matchers]);
  const counting: Counting = {
    ...{ request, counters: new Map(), attributes, names: metadataNames(request.labels), rows: 0 },
  };
  for (const group of groupsOf(files)) {
    const pieces = piecesOf(group, request, streamOf);
    if (pieces.length === 0 || !matcher.mayMatch(group)) continue;
    for (const _ of countGroup(counting, group, pieces, matcher)) await pause();
  }
  return [...counting.counters.values()].flatMap(({ labels, metadata, buckets }) =>
    [...buckets].map(([bucket, value]) => ({ labels, metadata, bucket, value })),
  );
}

/** Yields between its pages. */
function* countGroup(
  counting: Counting,
  group: LogGroup,
  pieces: readonly Piece[],
  matcher: RowMatcher,
): Generator<void> {
  if (!matcher.readsLines && !counting.request.bytes) {
    for (const piece of pieces) {
      counting.request.stats.lines += piece.to - piece.from;
      const asksMetadata = counting.names?.length !== 0 && group.pages('attributes').length > 0;
      if (asksMetadata) countRows(counting, piece, undefined, undefined);
      else countRange(counting, piece, piece.from, piece.to);
    }
    yield;
    return;
  }
  let next = 0;
  for (const [number, ref] of group.pages('line').entries()) {
    if (!matcher.pageMayMatch(group, number)) continue;
    const [first, end] = [ref.firstRow, ref.firstRow + ref.values];
    while ((pieces[next]?.to ?? end) <= first) next++;
    let page: TextPage | undefined;
    for (let at = next; at < pieces.length; at++) {
      const piece = pieces[at];
      if (piece === undefined || piece.from >= end) break;
      page ??= group.textPage('line', ref);
      const rows = matcher.rows(piece, page, Math.max(piece.from, first), Math.min(piece.to, end));
      if (rows.length > 0) countRows(counting, piece, rows, page);
    }
    yield;
  }
}

/** Tells the bucket of a row, and where that ends. */
function bucketsOf({ originNs, bucketNs }: CountsRequest, { baseNs, offsetsNs }: Times) {
  const size = BigInt(bucketNs);
  const distance = baseNs - originNs;
  // Rounded up: a bucket holds its end.
  const first = distance > 0n ? (distance + size - 1n) / size : distance / size;
  const beyond = Number(distance - first * size);
  return {
    of: (row: number): number => Number(first) + Math.ceil(((offsetsNs[row] ?? 0) + beyond) / bucketNs),
    /** Offset of the last nanosecond of a bucket. */
    end: (bucket: number): number => (bucket - Number(first)) * bucketNs - beyond,
  };
}

/** The bucket of all rows of a group, if it is one. */
function onlyBucket({ originNs, bucketNs }: CountsRequest, { bounds }: LogGroup): number | undefined {
  if (bounds === undefined) return undefined;
  const [first, last] = [bounds.firstNs, bounds.lastNs].map((ns) =>
    bucketsOf({ originNs, bucketNs } as CountsRequest, { baseNs: ns, offsetsNs: new Float64Array(1) }).of(0),
  );
  return first === last ? first : undefined;
}

function countRange(counting: Counting, piece: Piece, from: number, to: number): void {
  const { request } = counting;
  const counter = counterOf(counting, piece, null);
  const only = onlyBucket(request, piece.group);
  if (only !== undefined) {
    add(counting, counter, only, to - from);
    return;
  }
  const times = piece.group.times();
  const buckets = bucketsOf(request, times);
  for (let row = from; row < to; ) {
    const bucket = buckets.of(row);
    const next = firstNotBelow(times.offsetsNs, buckets.end(bucket) + 1, row, to);
    add(counting, counter, bucket, next - row);
    row = next;
  }
}

/** Counts these rows, all of the piece where they are undefined. `page` has their lines, where bytes are counted. */
function countRows(
  counting: Counting,
  piece: Piece,
  rows: Uint32Array | undefined,
  page: TextPage | undefined,
): void {
  const { request, names, attributes } = counting;
  const { group, from, to } = piece;
  const only = onlyBucket(request, group);
  const buckets = only === undefined ? bucketsOf(request, group.times()) : undefined;
  const asksMetadata = names?.length !== 0;
  if (only !== undefined && !asksMetadata && !request.bytes) {
    add(counting, counterOf(counting, piece, null), only, rows?.length ?? to - from);
    return;
  }
  const ofGroup = attributes.of(group);
  const ofEntry: (Counter | undefined)[] = [];
  const plain = counterOf(counting, piece, null);
  let metadata: TextPage | undefined;
  let [counter, bucket, value]: [Counter, number, number | undefined] = [plain, Number.NaN, undefined];
  const count = rows?.length ?? to - from;
  for (let index = 0; index < count; index++) {
    const row = rows === undefined ? from + index : (rows[index] ?? 0);
    let own = plain;
    if (asksMetadata) {
      if (metadata === undefined || row >= metadata.firstRow + metadata.rows) {
        metadata = ofGroup.page(row);
        ofEntry.length = 0;
      }
      const entry = metadata === undefined ? noEntry : entryOf(metadata, row);
      if (entry !== noEntry) {
        ofEntry[entry] ??= counterOf(counting, piece, ofGroup.text(row));
        own = ofEntry[entry] ?? plain;
      }
    }
    const at = only ?? buckets?.of(row) ?? 0;
    if (own !== counter || at !== bucket) {
      if (value !== undefined) add(counting, counter, bucket, value);
      [counter, bucket, value] = [own, at, 0];
    }
    value =
      (value ?? 0) + (request.bytes && page !== undefined ? entryBytes(page.entries, entryOf(page, row)) : 1);
  }
  if (value !== undefined) add(counting, counter, bucket, value);
}

function counterOf({ counters, names }: Counting, { stream }: Piece, text: string | null): Counter {
  const all: ReadonlyMap<string, string> = text === null ? new Map() : labelsOf(text);
  const metadata = names === undefined ? all : new Map([...all].filter(([name]) => names.includes(name)));
  const key = JSON.stringify([...stream.labels, null, ...metadata]);
  const known = counters.get(key) ?? { labels: stream.labels, metadata, buckets: new Map() };
  counters.set(key, known);
  return known;
}

function add(counting: Counting, { buckets }: Counter, bucket: number, value: number): void {
  const before = buckets.get(bucket);
  if (before === undefined && ++counting.rows > counting.request.rowsMax)
    throw tooManyCounts(counting.request);
  buckets.set(bucket, (before ?? 0) + value);
}
