import type { Batch, SeriesEntry } from '../../lake/model/batch.ts';
import type { Stored } from './lake.ts';

/** A row that a device sent. */
export interface SentRow {
  readonly id: number;
  readonly signal: 'metrics' | 'logs';
  readonly timestampUs: number;
  readonly receivedUs: number;
  acknowledged: boolean;
}

const plain: SeriesEntry = { id: 1n, labels: '{"__name__":"m"}' };
const alarm: SeriesEntry = { id: 2n, labels: '{"__name__":"m","alarm":"yes"}' };

/** As a receiver hands them over. */
export function batchOf(signal: 'metrics' | 'logs', rows: readonly SentRow[], isAlarm: boolean): Batch {
  const series = isAlarm ? alarm : plain;
  const ids = BigInt64Array.from(rows, () => series.id);
  const common = { rows: rows.length, series: [series] };
  const nulls = rows.map(() => null);
  if (signal === 'metrics')
    return {
      ...{ signal, ...common, seriesId: ids, metadata: [] },
      timestampUs: BigInt64Array.from(rows, ({ timestampUs }) => BigInt(timestampUs)),
      value: Float64Array.from(rows, ({ id }) => id),
    };
  return {
    ...{
      signal,
      ...common,
      streamId: ids,
      attributes: nulls,
      severity: nulls,
      traceId: nulls,
      spanId: nulls,
    },
    timestampNs: BigInt64Array.from(rows, ({ timestampUs }) => BigInt(timestampUs) * 1000n),
    line: rows.map(({ id }) => `${id}`),
  };
}

/**
 * Which rows are lost without a word, or there twice, or said to be missing although nothing was damaged. A gap of a
 * damaged log has times of receipt.
 */
export function wrongIn(sent: readonly SentRow[], { times, gaps }: Stored, damaged: boolean): string[] {
  const wrong: string[] = [];
  for (const { id, signal, receivedUs, acknowledged } of sent) {
    const found = times.get(id) ?? 0;
    if (found > 1) wrong.push(`row ${id} is there ${found} times`);
    if (found > 0 || !acknowledged) continue;
    const covered = gaps.some(
      (gap) => gap.signal === signal && gap.fromUs <= receivedUs && gap.toUs >= receivedUs,
    );
    if (!covered) wrong.push(`row ${id} of ${signal} was acknowledged and is lost`);
  }
  if (!damaged) for (const gap of gaps) wrong.push(`a gap of ${gap.signal} because of ${gap.reason}`);
  for (const id of times.keys()) if (id > sent.length) wrong.push(`row ${id} was never sent`);
  return wrong;
}
