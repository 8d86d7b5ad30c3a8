import { sampleText, timestampText } from '../../base/number-text.ts';
import type { LogStream, QueryResult, ResultData } from '../query.ts';
import type { ReadStats } from '../source.ts';
import { compareText, type Series, type SeriesLabels, type Times } from '../value.ts';

// The JSON of Loki's answers, in pieces, so that a large answer is never one string.

export interface EncodeOptions {
  /** Labels stand by where they come from (X-Loki-Response-Encoding-Flags: categorize-labels). */
  readonly categorize: boolean;
  /** Of lines: the oldest first. */
  readonly forward: boolean;
  readonly execMs: number;
}

export function* resultPieces({ data, stats }: QueryResult, options: EncodeOptions): Generator<string> {
  yield '{"status":"success","data":{';
  yield* dataPieces(data, options);
  yield `,"stats":${JSON.stringify(statsOf(data, stats, options.execMs))}}}`;
}

function* dataPieces(data: ResultData, { categorize, forward }: EncodeOptions): Generator<string> {
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
      yield* listPieces(categorize ? categorized(data.streams, forward) : merged(data.streams), streamText);
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
function* categorized(streams: Streams, forward: boolean): Generator<TextStream> {
  for (const group of Map.groupBy(streams, ({ labels }) => labelsText(labels)).values()) {
    const parts = group.map((stream) => ({ ...stream, values: valuesOf(stream, extraText(stream)) }));
    const values = inOrder(parts, forward);
    yield { labels: group[0]?.labels ?? [], values };
  }
}

function extraText({ metadata, parsed }: LogStream): string {
  const extra = [
    ...(metadata.length > 0 ? [`"structuredMetadata":${labelsText(metadata)}`] : []),
    ...(parsed.length > 0 ? [`"parsed":${labelsText(parsed)}`] : []),
  ];
  return `,{${extra.join(',')}}`;
}

/** All labels of a line are its stream's. */
function* merged(streams: Streams): Generator<TextStream> {
  for (const stream of streams) {
    const all = [...stream.labels, ...stream.metadata, ...stream.parsed];
    yield { labels: all.sort(([a], [b]) => compareText(a, b)), values: valuesOf(stream, '') };
  }
}

/** `[time, line]` of each line, and `extra` behind it. */
const valuesOf = ({ timesNs, lines }: LogStream, extra: string): readonly string[] =>
  lines.map((line, index) => `["${timesNs[index]}",${JSON.stringify(line)}${extra}]`);

interface Part {
  readonly timesNs: BigInt64Array;
  readonly values: readonly string[];
}

/** The values of all parts in the order of time, which those of each part are in. */
function inOrder(parts: readonly Part[], forward: boolean): readonly string[] {
  if (parts.length === 1) return parts[0]?.values ?? [];
  const all = parts.flatMap(({ timesNs, values }) =>
    values.map((value, index) => ({ timeNs: timesNs[index] ?? 0n, value })),
  );
  const earlier = forward ? -1 : 1;
  return all
    .sort((a, b) => (a.timeNs < b.timeNs ? earlier : a.timeNs > b.timeNs ? -earlier : 0))
    .map(({ value }) => value);
}

function entriesOf(data: ResultData): number {
  if (data.type === 'streams') return data.streams.reduce((sum, { lines }) => sum + lines.length, 0);
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
