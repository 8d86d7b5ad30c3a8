import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { LogsBatch } from '../../lake/model/batch.ts';
import { canonicalLabels, labelsJson } from '../../lake/model/labels.ts';
import { mergeStreaming } from '../../lake/parquet/merge-streaming.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import { deviceStreams } from '../../lake/receive/logs/streams.ts';
import { createLogsBuilder } from '../../lake/receive/logs-builder.ts';
import { createSeriesCache } from '../../lake/receive/series-cache.ts';
import { generateLines } from './logql-lines.ts';

// Lines as text for grep, and as the files that the lake has of them.

export const startMs = Date.UTC(2026, 0, 15);
const stepMs = 4;
const rareEvery = 100_000;
const linesPerSegment = 250_000;

export interface Corpus {
  readonly raw: string;
  readonly paths: readonly string[];
  readonly rawBytes: number;
  readonly storedBytes: number;
  readonly lines: number;
  readonly endMs: number;
}

/** What an earlier run with --keep has left, or a new one. */
export async function corpusOf(
  folder: string,
  bytesMax: number,
  seed: number,
  level: number,
): Promise<Corpus> {
  const file = join(folder, `corpus-${bytesMax}-${seed}-${level}.json`);
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Corpus;
  const corpus = await write(folder, bytesMax, seed, level);
  writeFileSync(file, JSON.stringify(corpus));
  return corpus;
}

/** Raw text for grep, and files as the lake has them after compaction: one of a day. */
async function write(folder: string, bytesMax: number, seed: number, level: number): Promise<Corpus> {
  const raw = join(folder, 'raw.log');
  const file = openSync(raw, 'w');
  const streams = deviceStreams(createSeriesCache({ identity: [] }));
  const labels = new Map<bigint, string>();
  await using writer = openParquetjsWriter();
  const segments: { path: string; rows: number; day: string }[] = [];
  let builder = createLogsBuilder();
  let text: string[] = [];
  let [rawBytes, lines] = [0, 0];
  const flush = async (): Promise<void> => {
    writeSync(file, text.join(''));
    text = [];
    const batch: LogsBatch = builder.finish();
    for (const { id, labels: json } of batch.series) labels.set(id, json);
    const pathOf = (day: string): string => join(folder, `part-${segments.length}-${day}.parquet`);
    const written = await writer.write({
      ...{ signal: 'logs', site: 'plant', batches: [batch], labelsOf: () => labels, pathOf },
    });
    for (const { path, rows, day } of written) segments.push({ path, rows, day });
    builder = createLogsBuilder();
  };
  for (const { labels: pairs, line } of generateLines(seed, startMs, stepMs, rareEvery)) {
    const own = canonicalLabels([...pairs, ['service_name', pairs[0]?.[1] ?? '']]);
    const stream = streams.ofKey(labelsJson(own), () => own);
    builder.append(stream, { timestampNs: BigInt(startMs + lines * stepMs) * 1_000_000n, line });
    text.push(`${line}\n`);
    rawBytes += Buffer.byteLength(line) + 1;
    if (++lines % linesPerSegment === 0) await flush();
    if (rawBytes >= bytesMax) break;
  }
  await flush();
  closeSync(file);
  const paths = await compact(folder, segments, level);
  const storedBytes = paths.reduce((sum, path) => sum + statSync(path).size, 0);
  return { raw, paths, rawBytes, storedBytes, lines, endMs: startMs + lines * stepMs };
}

async function compact(
  folder: string,
  segments: readonly { readonly path: string; readonly rows: number; readonly day: string }[],
  compressionLevel: number,
): Promise<readonly string[]> {
  const merged: string[] = [];
  for (const [day, parts] of Map.groupBy(segments, (segment) => segment.day)) {
    // About 256 MB of file, as maintenance makes them.
    for (let first = 0; first < parts.length; first += 40) {
      const some = parts.slice(first, first + 40);
      const path = join(folder, `${day}-${first}.parquet`);
      await mergeStreaming({
        ...{
          signal: 'logs',
          paths: some.map((part) => part.path),
          path,
          memoryBytesMax: 4e9,
          compressionLevel,
        },
        rows: some.reduce((sum, part) => sum + part.rows, 0),
      });
      for (const part of some) rmSync(part.path);
      merged.push(path);
    }
  }
  return merged;
}
