import { sampleText, timestampText } from '../../base/number-text.ts';
import type { Entry, QueryResult, ResultData } from '../query.ts';
import type { ReadStats } from '../source.ts';
import { compareText, type Series, type SeriesLabels, type Times } from '../value.ts';

// The JSON of Loki's answers, in pieces, so that a large answer is never one string.

export interface EncodeOptions {
  /** Labels stand by where they come from (X-Loki-Response-Encoding-Flags: categorize-labels). */
  readonly categorize: boolean;
  readonly execMs: number;
}

export function* resultPieces({ data, stats }: QueryResult, options: EncodeOptions): Generator<string> {
  yield '{"status":"success","data":{';
  yield* dataPieces(data, options);
  yield `,"stats":${JSON.stringify(statsOf(data, stats, options.execMs))}}}`;
}

function* dataPieces(data: ResultData, { categorize }: EncodeOptions): Generator<string> {
  yield `"resultType":"${data.type}",`;
  if (data.type === 'streams' && categorize) yield '"encodingFlags":["categorize-labels"],';
  switch (data.type) {
    case 'scalar':
      yield `"result":${sample(data.timestampNs, data.value)}`;
      return;
    case 'vector':
      yield* listPieces(
        data.series,
        ({ labels, values }) =>
          `{"metric":${labelsText(labels)},"value":${sample(data.timestampNs, values[0] ?? Number.NaN)}}`,
      );
      return;
    case 'matrix':
      yield* listPieces(data.series, (series) => matrixText(series, data.times));
      return;
    case 'streams':
      yield* listPieces(categorize ? categorized(data.streams) : merged(data.streams), streamText);
  }
}

function* listPieces<T>(items: Iterable<T>, text: (item: T) => string): Generator<string> {
  yield '"result":[';
  let comma = '';
  for (const item of items) {
    yield comma + text(item);
    comma = ',';
  }
  yield ']';
}

/** Not by JSON.stringify of an object, which would reorder names like `10`. */
export const labelsText = (labels: SeriesLabels): string =>
  `{${labels.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;

const sample = (ns: bigint, value: number): string => `[${secondsText(ns)},"${sampleText(value)}"]`;

/** Seconds with milliseconds, which is all that Loki tells of a metric's time. */
const secondsText = (ns: bigint): string => timestampText(Number(ns / 1_000_000n));

function matrixText({ labels, values, present }: Series, { startNs, stepNs }: Times): string {
  const points: string[] = [];
  present.forEach((there, step) => {
    if (there === 1) points.push(sample(startNs + BigInt(stepNs) * BigInt(step), values[step] ?? 0));
  });
  return `{"metric":${labelsText(labels)},"values":[${points.join(',')}]}`;
}

interface TextStream {
  readonly labels: SeriesLabels;
  readonly values: readonly string[];
}

const streamText = ({ labels, values }: TextStream): string =>
  `{"stream":${labelsText(labels)},"values":[${values.join(',')}]}`;

type Streams = (ResultData & { type: 'streams' })['streams'];

/** Streams are those of the index; what a line has besides stands with it. */
function* categorized(streams: Streams): Generator<TextStream> {
  for (const group of Map.groupBy(streams, ({ labels }) => labelsText(labels)).values()) {
    const values = inOrder(group.flatMap(({ entries }) => entries)).map((entry) => {
      const extra = [
        ...(entry.metadata.length > 0 ? [`"structuredMetadata":${labelsText(entry.metadata)}`] : []),
        ...(entry.parsed.length > 0 ? [`"parsed":${labelsText(entry.parsed)}`] : []),
      ];
      return `["${entry.timestampNs}",${JSON.stringify(entry.line)},{${extra.join(',')}}]`;
    });
    yield { labels: group[0]?.labels ?? [], values };
  }
}

/** All labels of a line are its stream's. */
function* merged(streams: Streams): Generator<TextStream> {
  for (const { labels, entries } of streams) {
    const [first] = entries;
    const all = [...labels, ...(first?.metadata ?? []), ...(first?.parsed ?? [])];
    yield {
      labels: all.sort(([a], [b]) => compareText(a, b)),
      values: entries.map(({ timestampNs, line }) => `["${timestampNs}",${JSON.stringify(line)}]`),
    };
  }
}

/** In the order that the entries of each part have. */
function inOrder(entries: readonly Entry[]): readonly Entry[] {
  const [first, last] = [entries[0], entries.at(-1)];
  const rising = entries.find((entry, index) => entry.timestampNs !== entries[index + 1]?.timestampNs);
  if (first === undefined || last === undefined || rising === undefined) return entries;
  return [...entries].sort((a, b) =>
    a.timestampNs > b.timestampNs ? -1 : a.timestampNs < b.timestampNs ? 1 : 0,
  );
}

function entriesOf(data: ResultData): number {
  if (data.type === 'streams') return data.streams.reduce((sum, { entries }) => sum + entries.length, 0);
  return data.type === 'scalar' ? 1 : data.series.length;
}

/** The stats that Grafana shows, in Loki's names. */
function statsOf(
  data: ResultData,
  { lines, bytes, filesConsidered, filesPruned }: ReadStats,
  execMs: number,
) {
  const seconds = Math.max(execMs, 0.001) / 1000;
  const store = {
    totalChunksRef: filesConsidered,
    totalChunksDownloaded: filesConsidered - filesPruned,
    chunksDownloadTime: 0,
    chunk: {
      ...{ headChunkBytes: 0, headChunkLines: 0, decompressedBytes: bytes, decompressedLines: lines },
      ...{ compressedBytes: 0, totalDuplicates: 0 },
    },
  };
  return {
    summary: {
      bytesProcessedPerSecond: Math.round(bytes / seconds),
      linesProcessedPerSecond: Math.round(lines / seconds),
      totalBytesProcessed: bytes,
      totalLinesProcessed: lines,
      execTime: seconds,
      queueTime: 0,
      ...{ subqueries: 0, totalEntriesReturned: entriesOf(data), splits: 1, shards: 1 },
    },
    querier: { store },
    ingester: {
      ...{ totalReached: 0, totalChunksMatched: 0, totalBatches: 0, totalLinesSent: 0 },
      store: { totalChunksRef: 0, totalChunksDownloaded: 0, chunksDownloadTime: 0 },
    },
  };
}
