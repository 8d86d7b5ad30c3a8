import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import type { LogsBatch } from '../../lake/model/batch.ts';
import { canonicalLabels, labelsJson } from '../../lake/model/labels.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import { deviceStreams } from '../../lake/receive/logs/streams.ts';
import { createLogsBuilder } from '../../lake/receive/logs-builder.ts';
import { createSeriesCache } from '../../lake/receive/series-cache.ts';
import { type GeneratedLine, generateLines } from './logql-lines.ts';

// A part of the lines, on a thread: as text, and as one file as maintenance makes it, without the segments that it would
// be made from.

export interface Slice {
  readonly folder: string;
  readonly number: number;
  readonly level: number;
  readonly seed: number;
  readonly startMs: number;
  readonly bytesMax: number;
}

export interface WrittenSlice {
  readonly raw: string;
  readonly paths: readonly string[];
  readonly rawBytes: number;
  readonly storedBytes: number;
  readonly lines: number;
  readonly endMs: number;
}

const stepMs = 4;
const rareEvery = 100_000;
const batchLines = 250_000;
/** Row groups as merged files have them. */
const layout = { writerRowsMax: 50_000_000, rowGroupRowsMax: 131_072, rowGroupCharsMax: 8 * 1024 * 1024 };

async function writeSlice({ folder, number, level, seed, startMs, bytesMax }: Slice): Promise<WrittenSlice> {
  const raw = join(folder, `raw-${number}.log`);
  const file = openSync(raw, 'w');
  const streams = streamFinder();
  const batches: LogsBatch[] = [];
  let builder = createLogsBuilder();
  let text: string[] = [];
  let [rawBytes, lines] = [0, 0];
  const flush = (): void => {
    writeSync(file, text.join(''));
    text = [];
    batches.push(builder.finish());
    builder = createLogsBuilder();
  };
  for (const { labels, line } of generateLines(seed, startMs, stepMs, rareEvery)) {
    const timestampNs = BigInt(startMs + lines * stepMs) * 1_000_000n;
    builder.append(streams(labels), { timestampNs, line });
    text.push(`${line}\n`);
    rawBytes += Buffer.byteLength(line) + 1;
    if (++lines % batchLines === 0) flush();
    if (rawBytes >= bytesMax) break;
  }
  flush();
  closeSync(file);
  const labelsOf = new Map(
    batches.flatMap(({ series }) => series.map(({ id, labels }) => [id, labels] as const)),
  );
  await using writer = openParquetjsWriter({ ...layout, compressionLevel: level });
  const files = await writer.write({
    ...{ signal: 'logs', site: 'plant', batches, labelsOf: () => labelsOf },
    pathOf: (day) => join(folder, `${day}-${number}.parquet`),
  });
  const storedBytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const paths = files.map(({ path }) => path);
  return { raw, paths, rawBytes, storedBytes, lines, endMs: startMs + lines * stepMs };
}

/** The stream of labels, made once for each of the few that there are. */
function streamFinder() {
  const streams = deviceStreams(createSeriesCache({ identity: [] }));
  const make = (labels: GeneratedLine['labels']) => {
    const own = canonicalLabels([...labels, ['service_name', labels[0]?.[1] ?? '']]);
    return streams.ofKey(labelsJson(own), () => own);
  };
  const known = new Map<string, ReturnType<typeof make>>();
  return (labels: GeneratedLine['labels']) => {
    const key = labels.map(([, value]) => value).join(' ');
    const found = known.get(key) ?? make(labels);
    known.set(key, found);
    return found;
  };
}

parentPort?.postMessage(await writeSlice(workerData as Slice));
