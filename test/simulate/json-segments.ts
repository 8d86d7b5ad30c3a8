import { createHash } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { ContentReader, SegmentContent } from '../../gateway/wal/recovery/read-segment.ts';
import { FirnError } from '../../lake/base/errors.ts';
import type { Batch } from '../../lake/model/batch.ts';
import { textsOf } from '../../lake/model/text-column.ts';
import type { SegmentFile, SegmentRows, SegmentWriter } from '../../lake/parquet/segment-writer.ts';
import { seriesIdsOf } from '../../lake/schema/batch-columns.ts';
import { dayOfUs, dayText } from '../../lake/schema/tables.ts';
import { segmentBody } from '../contract/shipments.ts';
import type { Life } from './world.ts';

// Segments without Parquet: a simulation wants thousands of them, and only whose rows they hold.

/** A row of a segment. `id` tells rows of metrics and logs apart. */
export type SimulatedRow =
  | { readonly id: number; readonly timestampUs: number }
  | {
      readonly gap: 'gap' | 'rollup';
      readonly signal: string;
      readonly fromUs: number;
      readonly toUs: number;
      readonly reason: string;
      readonly timestampUs: number;
    };

/** The cloud looks into a segment's footer; what stands before it is our own. */
const footer = segmentBody('');

export function parseSegment(body: Uint8Array): SimulatedRow[] {
  const text = Buffer.from(body.subarray(0, body.byteLength - footer.byteLength));
  return JSON.parse(text.toString()) as SimulatedRow[];
}

export function jsonSegmentWriter(life: Life): SegmentWriter {
  return {
    columns: 'field-ids',
    write: async ({ batches, labelsOf, pathOf }: SegmentRows) => {
      const days = new Map<number, SimulatedRow[]>();
      const ids = new Set<bigint>();
      for (const batch of batches) {
        for (const id of seriesIdsOf(batch) ?? []) ids.add(id);
        for (const row of rowsOf(batch)) {
          const day = dayOfUs(row.timestampUs);
          days.set(day, [...(days.get(day) ?? []), row]);
        }
      }
      const known = labelsOf(ids);
      for (const id of ids) if (!known.has(id)) throw noLabels(id);
      if (life.dead) throw new Error('killed');
      return [...days]
        .sort(([a], [b]) => a - b)
        .map(([day, rows]) => writeSegment(pathOf(dayText(day)), dayText(day), rows));
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

/** What recovery asks of the files that it finds. */
export async function openJsonContents(): Promise<ContentReader> {
  return {
    read: async (path) => {
      const rows = parseSegment(readFileSync(path));
      return { rows: rows.length, ...extentOf(rows) };
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function extentOf(rows: readonly SimulatedRow[]): Omit<SegmentContent, 'rows'> {
  const times = rows.map(({ timestampUs }) => timestampUs);
  const [minTimestampUs, maxTimestampUs] = [Math.min(...times), Math.max(...times)];
  const bounds = { timestamp: { nulls: 0, min: `${minTimestampUs}`, max: `${maxTimestampUs}` } };
  return { minTimestampUs, maxTimestampUs, bounds };
}

function writeSegment(path: string, day: string, rows: readonly SimulatedRow[]): SegmentFile {
  const body = Buffer.concat([Buffer.from(JSON.stringify(rows)), footer]);
  writeFileSync(`${path}.tmp`, body);
  renameSync(`${path}.tmp`, path);
  return {
    ...{ day, path, rows: rows.length, bytes: body.byteLength },
    ...extentOf(rows),
    sha256: createHash('sha256').update(body).digest('hex'),
  };
}

function rowsOf(batch: Batch): SimulatedRow[] {
  const indexes = Array.from({ length: batch.rows }, (_, index) => index);
  switch (batch.signal) {
    case 'metrics':
      return indexes.map((row) => ({
        id: batch.value[row] ?? Number.NaN,
        timestampUs: Number(batch.timestampUs[row]),
      }));
    case 'logs':
      return textsOf(batch.line).map((line, row) => ({
        id: Number(line),
        timestampUs: Number((batch.timestampNs[row] ?? 0n) / 1000n),
      }));
    case 'gaps':
      return indexes.map((row) => ({
        gap: batch.kind[row] ?? 'gap',
        signal: batch.ofSignal[row] ?? '',
        fromUs: Number(batch.fromUs[row]),
        toUs: Number(batch.toUs[row]),
        reason: batch.reason[row] ?? '',
        timestampUs: Number(batch.fromUs[row]),
      }));
    case 'metrics_1m':
    case 'spans':
    case 'events':
    case 'exemplars':
      throw new Error(`nothing makes ${batch.signal} here`);
  }
}

function noLabels(id: bigint): FirnError {
  const message = `no labels are stored for ${id}`;
  return new FirnError({ code: 'corrupt', operation: 'write segment', subject: 'labels', message });
}
